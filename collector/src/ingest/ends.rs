//! Containers that end: deleted by the runtime, or forgotten by it.

use super::message::Message;
use super::{DELETED_DEADLINE, Ingest};
use porthole_registration::life;
use std::time::Instant;

impl Ingest {
    /// The container is to go as soon as its rings are over.
    pub(super) fn end(&mut self, id: u64) {
        if self.containers.get(&id).is_some_and(|w| w.ending.is_none()) {
            // its control group is about to go
            self.look_at_memory_of(id);
        }
        if let Some(w) = self.containers.get_mut(&id).filter(|w| w.shared.is_some() && w.ending.is_none()) {
            w.ending = Some(Instant::now());
        }
    }

    /// Ends containers that are over, and those whose runtime has forgotten them without a `delete` (`run`).
    pub(super) fn look_after_containers(&mut self, now: Instant) {
        let ids: Vec<u64> = self.containers.keys().copied().collect();
        for id in ids {
            let Some(w) = self.containers.get_mut(&id) else { continue };
            let Some(c) = &w.shared else {
                if !self.setup.state_dir.join("containers").join(&w.key).exists() {
                    self.forget(id);
                }
                continue;
            };
            if w.ending.is_none() && !c.container.is_host() {
                let alive = life::is_alive(&c.container.registration);
                if (w.alive_seen && !alive) || life::is_dead(&c.container.registration) {
                    w.ending = Some(now);
                }
                w.alive_seen |= alive;
            }
            let Some(since) = self.containers.get(&id).and_then(|w| w.ending) else { continue };
            let late = now.duration_since(since) > DELETED_DEADLINE;
            self.scan_rings(id);
            if late {
                // Whoever was held up finds rings that nobody has looked at: this look is the last one.
                self.accept(id);
                self.open_awaiting(id);
            }
            if self.close_rings(id, late) {
                self.let_go(id);
            }
        }
    }

    fn let_go(&mut self, id: u64) {
        let Some(c) = self.registered(id).map(|c| c.container.clone()) else { return };
        self.finished.insert(c.key.to_string(), c.registration.created_ns);
        if self.finished.len() > 10_000 {
            self.finished.clear();
        }
        self.send(Message::Deleted(c));
        self.forget(id);
    }

    fn forget(&mut self, id: u64) {
        let Some(w) = self.containers.remove(&id) else { return };
        self.keys.remove(&w.key);
        for (side, wd) in w.watches {
            self.watches.remove(&(side, wd));
            let _ = self.inotify(side).rm_watch(wd);
        }
        if let Some(c) = w.shared {
            if let Some(name) = c.kept {
                self.setup.kept.forget(name);
            }
            self.connections.retain(|_, connection| connection.container != id);
            for process in c.processes.into_values() {
                self.pidfds.remove(&process.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::stage::Stage;
    use porthole_common::limits::OVERFLOW_RING;

    #[test]
    fn a_ring_that_is_found_when_its_container_is_long_over_is_read() {
        let mut stage = Stage::new("late");
        let container = stage.register();
        stage.make_ring(container, OVERFLOW_RING);
        let now = Instant::now();
        stage.ingest.containers.get_mut(&container).unwrap().ending = now.checked_sub(2 * DELETED_DEADLINE);
        stage.ingest.look_after_containers(now);
        let messages: Vec<Message> = stage.messages.try_iter().collect();
        let at = |wanted: fn(&Message) -> bool| messages.iter().position(wanted);
        let (opened, gone) = (at(|m| matches!(m, Message::Opened(_))), at(|m| matches!(m, Message::Deleted(_))));
        assert!(opened.is_some() && opened < gone, "opened at {opened:?}, gone at {gone:?}");
    }
}
