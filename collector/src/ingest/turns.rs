//! Whose rings are read next: those that are due, and no container more than its share.
//!
//! A container that makes records faster than they are told has the share that is on its way, and waits with the rest;
//! then its rings have their turn one after the other. The next stages' queues never hold more of it, up to the outputs,
//! so that its neighbours' records come through in the time that an output needs for a few such shares.

use super::Ingest;
use super::drain::ACTIVE;
use super::message::SessionId;
use super::processes::Ended;
use super::registrations::Registered;
use std::cmp::Reverse;
use std::time::Instant;

impl Ingest {
    pub(super) fn drain_due(&mut self, now: Instant) {
        // One look for each ring that is due now; what becomes due meanwhile has its turn after the sockets.
        while self.due.peek().is_some_and(|d| d.0.0 <= now) {
            let Some(Reverse((at, id))) = self.due.pop() else { return };
            let Some(open) = self.sessions.get(&id).filter(|o| o.due == at) else { continue };
            if open.shared.has_its_share() {
                self.fall_behind(id);
            } else {
                self.drain(id, now);
            }
        }
        self.catch_up(now);
    }

    /// The ring waits until fewer records of its container are on their way.
    fn fall_behind(&mut self, id: SessionId) {
        let Some(container) = self.sessions.get(&id).map(|o| o.container) else { return };
        self.wait(container, |c| c.behind.push_back(id));
    }

    /// Tells of a process's end, or does so later where its last words have to wait.
    pub(super) fn end_in_turn(&mut self, container: u64, ended: Ended) {
        if self.registered(container).is_some_and(|c| c.container.has_its_share()) {
            self.wait(container, |c| c.ended.push_back(ended));
        } else {
            self.tell_end(container, ended);
        }
    }

    fn wait(&mut self, container: u64, for_what: impl FnOnce(&mut Registered)) {
        let Some(c) = self.registered_mut(container) else { return };
        let waits = !c.behind.is_empty() || !c.ended.is_empty();
        for_what(c);
        if !waits {
            self.behind.push_back(container);
        }
    }

    /// Tells of all ends that wait, whatever the container's share.
    pub(super) fn tell_ends(&mut self, container: u64) {
        while let Some(ended) = self.registered_mut(container).and_then(|c| c.ended.pop_front()) {
            self.tell_end(container, ended);
        }
    }

    /// Looks at the rings that had to wait, container by container, each in its turn.
    fn catch_up(&mut self, now: Instant) {
        for _ in 0..self.behind.len() {
            let Some(container) = self.behind.pop_front() else { return };
            while let Some(c) = self.registered_mut(container) {
                if c.container.has_its_share() {
                    self.behind.push_back(container);
                    break;
                }
                if let Some(id) = c.behind.pop_front() {
                    self.drain(id, now);
                } else if let Some(ended) = c.ended.pop_front() {
                    self.tell_end(container, ended);
                } else {
                    break;
                }
            }
        }
    }

    /// When the stage has something to do again because of rings that wait.
    pub(super) fn behind_due(&self, now: Instant) -> Option<Instant> {
        (!self.behind.is_empty()).then(|| now + ACTIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{OnTheirWay, SHARE};
    use crate::ingest::message::Message;
    use crate::ingest::stage::Stage;

    #[test]
    fn a_container_with_its_share_on_the_way_waits_and_others_do_not() {
        let mut stage = Stage::new("turns");
        let (busy, calm) = (stage.register(), stage.register_as("calm"));
        let now = Instant::now();
        let rings = ["a", "b"].map(|name| stage.open(busy, name, now));
        let neighbour = stage.open(calm, "n", now);
        let shared = stage.ingest.registered(busy).unwrap().container.clone();
        let on_their_way = OnTheirWay::new(&shared, SHARE);
        for id in rings.into_iter().chain([neighbour]) {
            stage.ingest.look_soon(id, now);
        }
        stage.ingest.drain_due(now);
        let waiting = |stage: &Stage| Vec::from(stage.ingest.registered(busy).unwrap().behind.clone());
        assert_eq!(waiting(&stage), rings);
        assert_eq!(stage.ingest.due.iter().map(|d| d.0.1).collect::<Vec<_>>(), [neighbour], "it was looked at");
        assert!(stage.ingest.behind_due(now).is_some());
        drop(on_their_way);
        stage.ingest.drain_due(now);
        assert!(waiting(&stage).is_empty() && stage.ingest.behind_due(now).is_none());
        assert_eq!(stage.ingest.due.len(), 3);
    }

    #[test]
    fn the_end_of_a_process_waits_for_its_last_words() {
        let mut stage = Stage::new("ends");
        let busy = stage.register();
        let now = Instant::now();
        let id = stage.open(busy, "a", now);
        let shared = stage.ingest.registered(busy).unwrap().container.clone();
        let on_their_way = OnTheirWay::new(&shared, SHARE);
        stage.ingest.end_in_turn(busy, Ended { pid: 7, status: Some(0), sessions: vec![id] });
        stage.ingest.drain_due(now);
        let told = |stage: &Stage| stage.messages.try_iter().any(|m| matches!(m, Message::Exited { pid: 7, .. }));
        assert!(!told(&stage) && stage.ingest.behind_due(now).is_some());
        drop(on_their_way);
        stage.ingest.drain_due(now);
        assert!(told(&stage) && stage.ingest.behind_due(now).is_none());
    }
}
