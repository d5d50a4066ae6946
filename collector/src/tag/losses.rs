//! Records that are missing: each is counted, and told within a second.
//!
//! The first loss of a container for a reason is told at once, with its ring and place; what follows within a second is
//! told as one sum. Nobody can drown the outputs in losses.

use super::index::{Late, Wait};
use super::{Draft, Tagger};
use crate::clock::now_ns;
use crate::container::Container;
use crate::event::{Identity, Source};
use crate::ingest::message::SessionId;
use crate::loss::Reason;
use crate::outputs::Output;
use crate::owed::{self, Owed};
use porthole_common::record::{Drop, DropReason};
use std::sync::Arc;

/// Losses of one container since the last that was told, by reason. An entry lives for a second after each.
#[derive(Default)]
pub(super) struct Losses {
    open: Vec<(&'static str, Owed)>,
    /// The sums have changed since they were kept.
    changed: bool,
}

impl Losses {
    /// Counts into an open sum, if there is one for this reason.
    fn add(&mut self, reason: &'static str, count: u64) -> bool {
        let Some((_, owed)) = self.open.iter_mut().find(|(r, _)| *r == reason) else { return false };
        owed.count += count;
        self.changed = true;
        true
    }

    fn begin(&mut self, reason: &'static str) {
        self.open.push((reason, Owed { reason: reason.into(), since_ns: now_ns(), count: 0 }));
    }

    /// The sum of this reason, which is over now.
    fn end(&mut self, reason: &str) -> Option<(&'static str, Owed)> {
        let at = self.open.iter().position(|(r, _)| *r == reason)?;
        Some(self.open.remove(at))
    }

    fn owed(&self) -> Vec<Owed> {
        self.open.iter().map(|(_, owed)| owed.clone()).filter(|owed| owed.count > 0).collect()
    }
}

impl Tagger {
    /// Records of a ring are missing. (Ingest has counted them.)
    pub(super) fn lost(&mut self, id: SessionId, sequence: u32, count: u32, reason: Reason) {
        self.tell_loss(id, sequence, count, reason.as_str());
    }

    /// A record's bytes are none of this version.
    pub(super) fn malformed(&mut self, id: SessionId, sequence: u32) {
        if let Some(t) = self.sessions.get(&id) {
            // Ingest has counted it as received when it took it from the ring.
            t.container.counters.received.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            t.container.counters.lose(Reason::Malformed, 1);
        }
        self.lost(id, sequence, 1, Reason::Malformed);
    }

    /// The agent says that it could not keep a record.
    pub(super) fn agent_lost(&mut self, id: SessionId, sequence: u32, drop: &Drop) {
        if let Some(t) = self.sessions.get(&id) {
            t.container.counters.lose(Reason::Agent, u64::from(drop.count));
        }
        let detail = match drop.reason {
            r if r == DropReason::Early as u8 => "agent_early",
            r if r == DropReason::TooLarge as u8 => "agent_too_large",
            _ => "agent",
        };
        self.tell_loss(id, sequence, drop.count, detail);
    }

    fn tell_loss(&mut self, id: SessionId, sequence: u32, count: u32, reason: &'static str) {
        let Some(t) = self.sessions.get(&id) else { return };
        let container = t.container.clone();
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        if followed.losses.add(reason, count.into()) {
            return;
        }
        followed.losses.begin(reason);
        self.deadlines.insert(Wait::Second, Late::Loss(container.key.clone(), reason));
        let draft = Draft {
            evt_type: "porthole.drop",
            time_ns: now_ns(),
            rawres: None,
            fields: vec![("porthole.reason", reason.into()), ("porthole.count", i64::from(count).into())],
            source: Source::Host,
            identity: t.own.identity(),
            process: (!t.shared).then(|| t.own.process.clone()),
            session: t.ring.session.clone(),
            seq: Some(sequence),
        };
        self.emit(&container, draft);
    }

    /// Keeps the sums, before the position of the ring passes what they count.
    pub(super) fn keep_losses(&mut self, container: &Arc<Container>) {
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        if std::mem::take(&mut followed.losses.changed) {
            let owed = followed.losses.owed();
            self.out.push(Output::Owe(container.clone(), owed));
        }
    }

    /// A second has passed since a loss was told: what has come since is told, and the next second begins.
    pub(super) fn losses_are_due(&mut self, key: &Arc<str>, reason: &'static str) {
        let Some(followed) = self.containers.get_mut(key) else { return };
        let container = followed.container.clone();
        let Some((_, owed)) = followed.losses.end(reason) else { return };
        if owed.count == 0 {
            return;
        }
        if !self.ending {
            followed.losses.begin(reason);
            self.deadlines.insert(Wait::Second, Late::Loss(key.clone(), reason));
        }
        self.tell_sum(&container, owed);
    }

    /// Tells all sums of a container that ends.
    pub(super) fn tell_losses(&mut self, container: &Arc<Container>) {
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        let open = std::mem::take(&mut followed.losses.open);
        for (_, owed) in open.into_iter().filter(|(_, owed)| owed.count > 0) {
            self.tell_sum(container, owed);
        }
    }

    /// Tells what an earlier collector has counted and not told.
    pub(super) fn tell_owed(&mut self, container: &Arc<Container>) {
        for owed in owed::load(&container.dir) {
            self.tell_sum(container, owed);
        }
    }

    fn tell_sum(&mut self, container: &Arc<Container>, owed: Owed) {
        let count = i64::try_from(owed.count).unwrap_or(i64::MAX);
        let session = format!("{}/lost-{}.{}", container.session_prefix(), owed.reason, owed.since_ns);
        let draft = Draft {
            evt_type: "porthole.drop",
            time_ns: now_ns(),
            rawres: None,
            fields: vec![("porthole.reason", owed.reason.into()), ("porthole.count", count.into())],
            source: Source::Host,
            identity: Identity::Inherited,
            process: None,
            session: session.into(),
            seq: None,
        };
        self.emit(container, draft);
        let left = self.containers.get(&container.key).map_or(vec![], |f| f.losses.owed());
        self.out.push(Output::Owe(container.clone(), left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_kept_apart_by_reason_and_end_one_by_one() {
        let mut losses = Losses::default();
        assert!(!losses.add("malformed", 1), "the first is told at once");
        losses.begin("malformed");
        losses.begin("ring_full");
        assert!(losses.add("malformed", 2) && losses.add("malformed", 3) && !losses.add("tampered", 1));
        assert_eq!(losses.owed().iter().map(|o| (o.reason.as_str(), o.count)).collect::<Vec<_>>(), [("malformed", 5)]);
        assert_eq!(losses.end("malformed").map(|(_, owed)| owed.count), Some(5));
        assert!(losses.end("malformed").is_none() && losses.owed().is_empty());
    }
}
