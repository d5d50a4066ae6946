//! Where a new program stands in the tree: its records wait until that is known.

use super::Tagger;
use super::index::{Late, Wait};
use super::newcomers::{Newcomer, Program};
use super::sessions::Tracked;
use crate::container::OnTheirWay;
use crate::ingest::message::{Batch, SessionId};
use std::collections::VecDeque;
use std::time::Instant;

/// Records that wait until it is known which exec has started their program.
pub(super) struct Held {
    /// What it is found by among the container's newcomers.
    number: u64,
    time_ns: u64,
    pub batches: VecDeque<Batch>,
}

impl Tagger {
    /// Finds the new program's place: a forked child has one, an executed program follows from its exec, an entry
    /// process from the runtime.
    pub(super) fn place(&mut self, id: SessionId, time_ns: u64) {
        let Some(t) = self.sessions.get(&id) else { return };
        if t.hello.forked() || t.hello.again() {
            return self.save(id);
        }
        if self.meet(id) {
            self.tell_go(id, time_ns);
            return self.save(id);
        }
        let Some(t) = self.sessions.get(&id) else { return };
        let Some(followed) = self.containers.get(&t.container.key) else { return };
        // The first process, and one whose parent is outside the container, come from the runtime. Any other may have
        // been executed by a process that we follow (or by a descendant that has no session): its record is on the
        // way, all rings are read within the time it waits. So may one whose ring is merely the first that was found.
        // One in a pid namespace that was made inside comes from there.
        let (own, all) = (t.own.process.ns.pid, followed.ns.and_then(|ns| ns.pid));
        let nested = own.zip(all).is_some_and(|(own, all)| own != all);
        let outside = t.hello.ppid == 0 && t.own.process.vpid.is_some() && !nested;
        let alone = || !self.sessions.iter().any(|(o, s)| *o != id && self.same_container(id, s));
        let first = !outside && !followed.entered && t.own.process.pid.is_some() && alone();
        if !outside && !first {
            return self.hold(id, time_ns);
        }
        self.enter(id, time_ns, true);
        self.tell_go(id, time_ns);
        if first {
            self.remember_session(id, time_ns);
        }
        self.save(id);
    }

    fn hold(&mut self, id: SessionId, time_ns: u64) {
        self.number += 1;
        let Some(t) = self.sessions.get_mut(&id) else { return };
        let program = Program::new(&t.hello, &t.own);
        t.held = Some(Held { number: self.number, time_ns, batches: VecDeque::new() });
        if let Some(followed) = self.containers.get_mut(&t.container.key) {
            followed.newcomers.insert(self.number, Newcomer { session: Some(id), program, time_ns, told: None });
        }
        // Where its parent is one that we follow, its exec is on the way, however busy the machine is.
        let wait = if self.descends(id) { Wait::Answer } else { Wait::Short };
        self.deadlines.insert(wait, Late::Held(id));
    }

    /// More is known of a process whose exec has not been found.
    pub(super) fn seek_again(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get(&id) else { return };
        let Some(held) = &t.held else { return };
        let program = Program::new(&t.hello, &t.own);
        if let Some(followed) = self.containers.get_mut(&t.container.key) {
            followed.newcomers.take(held.number);
            let newcomer = Newcomer { session: Some(id), program, time_ns: held.time_ns, told: None };
            followed.newcomers.insert(held.number, newcomer);
        }
        if self.meet(id) {
            self.unhold(id);
        }
    }

    fn remember_session(&mut self, id: SessionId, time_ns: u64) {
        let Some(t) = self.sessions.get(&id) else { return };
        let (key, hello, own) = (t.container.key.clone(), t.hello.clone(), t.own.clone());
        self.remember(&key, Some(id), &hello, &own, time_ns);
    }

    /// A program of Go's makes most of its system calls itself.
    fn tell_go(&mut self, id: SessionId, time_ns: u64) {
        let Some(t) = self.sessions.get(&id).filter(|t| t.hello.go()) else { return };
        let (container, own, session) = (t.container.clone(), t.own.clone(), t.ring.session.clone());
        let path = vec![("porthole.path", own.process.exepath.to_string().into())];
        self.blind(&container, "go", (session, None), time_ns, own, path);
    }

    fn same_container(&self, id: SessionId, other: &Tracked) -> bool {
        !other.shared && self.sessions.get(&id).is_some_and(|t| t.container.key == other.container.key)
    }

    /// The session's exec has been found, or is not waited for any longer.
    pub(super) fn unhold(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get_mut(&id) else { return };
        let Some(held) = t.held.take() else { return };
        if let Some(followed) = self.containers.get_mut(&t.container.key) {
            followed.newcomers.take(held.number);
        }
        // The session stays open until the last of its batches is told, even if it is over by now.
        t.undecided += 1;
        let container = t.container.clone();
        self.tell_go(id, held.time_ns);
        self.save(id);
        let count = held.batches.len();
        for (n, mut batch) in held.batches.into_iter().enumerate() {
            // From here on it waits for nothing but the outputs.
            batch.share = Some(OnTheirWay::new(&container, batch.items.len()));
            // An exec's failure may stand in the next one.
            batch.cut |= n + 1 < count;
            self.records(batch);
        }
        let Some(t) = self.sessions.get_mut(&id) else { return };
        t.undecided -= 1;
        if let Some((pid, status)) = t.exited.take() {
            self.exited(&container, pid, status);
        }
        self.finish(id);
    }

    /// Whether a process whose parent nobody knows may come from the runtime. A subshell without a session is unknown
    /// too: once the container has begun, only what the engine has added comes from outside.
    fn may_be_entry(&self, id: SessionId) -> bool {
        let Some(t) = self.sessions.get(&id) else { return false };
        let Some(followed) = self.containers.get(&t.container.key) else { return false };
        !followed.entered || followed.added.iter().any(|a| a.args == t.hello.argv)
    }

    /// Whether the session's parent is a process of the container that we know.
    fn descends(&self, id: SessionId) -> bool {
        let Some(t) = self.sessions.get(&id) else { return false };
        let Some(followed) = self.containers.get(&t.container.key) else { return false };
        match t.own.process.ppid {
            Some(ppid) => followed.known.contains_key(&ppid),
            None => t.hello.ppid != 0 && followed.seen.contains(&t.hello.ppid),
        }
    }

    /// Decides everything whose time is over; with `None` everything.
    pub(super) fn expire(&mut self, now: Option<Instant>) {
        while let Some(late) = self.deadlines.pop(now) {
            match late {
                Late::Held(id) => self.session_is_late(id),
                Late::Exec(container, number) => self.exec_is_late(&container, number),
                Late::Loss(container, reason) => self.losses_are_due(&container, reason),
            }
        }
    }

    /// The session's exec has been waited for long enough.
    pub(super) fn session_is_late(&mut self, id: SessionId) {
        let Some(time_ns) = self.sessions.get(&id).and_then(|t| Some(t.held.as_ref()?.time_ns)) else { return };
        let entry = !self.descends(id) && self.may_be_entry(id);
        self.enter(id, time_ns, entry);
        self.remember_session(id, time_ns);
        self.unhold(id);
    }
}
