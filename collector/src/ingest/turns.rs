//! Whose rings are read next: those that are due, and no container more than its share.
//!
//! A container that makes records faster than they are told has the share that is on its way, and waits with the rest;
//! then its rings have their turn one after the other. The next stages' queues never hold more of it, so that its
//! neighbours' records come through in the time of a few such shares.

use super::Ingest;
use super::drain::ACTIVE;
use super::message::SessionId;
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
        let Some(c) = self.registered_mut(container) else { return };
        c.behind.push_back(id);
        if c.behind.len() == 1 {
            self.behind.push_back(container);
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
                let Some(id) = c.behind.pop_front() else { break };
                self.drain(id, now);
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
}
