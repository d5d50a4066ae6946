//! Programs whose exec record has not come: held until it does, or told without it.
//!
//! A hello comes over the socket at once; the record of the exec that has started the program lies in another ring,
//! which on a loaded machine is read later than a program may be held. It must be told once all the same: whoever was
//! told without a record is remembered for the one that comes late.

use super::index::{Index, Key};
use super::pending::{Image, Pending};
use super::process::Person;
use crate::ingest::hello::Hello;
use crate::ingest::message::SessionId;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Programs of one container that were told without a record and are remembered.
const MAX_TOLD: usize = 1024;
/// For how long: a record that comes later is told again. Each costs a kilobyte, and containers may be many.
const REMEMBER: Duration = Duration::from_secs(60);
/// A posix_spawn is recorded after the call: its program may be older than the record, by so much.
const SPAWN_NS: u64 = 2_000_000_000;

/// What tells a new program: pids inside the container and, as far as they are known, on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub vpid: u32,
    pub pid: Option<u32>,
    pub parent: Option<u32>,
    pub parent_vpid: u32,
}

impl Program {
    pub fn new(hello: &Hello, own: &Person) -> Program {
        Program { vpid: hello.pid, pid: own.process.pid, parent: own.process.ppid, parent_vpid: hello.ppid }
    }

    /// Under what an exec that has started it stands.
    pub fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let (pid, parent) = (self.pid.map(Key::Host), self.parent.map(Key::ChildOfHost));
        [Some(Key::Pid(self.vpid)), Some(Key::ChildOf(self.parent_vpid)), pid, parent].into_iter().flatten()
    }
}

/// See the module.
pub(super) struct Newcomer {
    /// Its session, which may be over; `None` where it has none of its own.
    pub session: Option<SessionId>,
    pub program: Program,
    /// When it began.
    pub time_ns: u64,
    /// Told already. The hello is kept where it had no room for all arguments.
    pub told: Option<(Person, Option<Box<Hello>>)>,
}

impl Newcomer {
    /// Whether this exec has started it.
    fn started_by(&self, pending: &Pending) -> bool {
        // Who was told without a record may have executed another program since: that record is younger.
        let begun = match pending.image {
            Image::Child(_) => self.time_ns.abs_diff(pending.time_ns) <= SPAWN_NS,
            _ => pending.time_ns <= self.time_ns,
        };
        self.session != Some(pending.session) && (self.told.is_none() || begun) && pending.started(&self.program)
    }
}

/// The newcomers of one container.
#[derive(Default)]
pub(super) struct Newcomers {
    all: BTreeMap<u64, Newcomer>,
    index: Index<Key>,
    /// Those that were told, and when, the oldest first.
    told: VecDeque<(Instant, u64)>,
}

impl Newcomers {
    pub fn insert(&mut self, number: u64, newcomer: Newcomer) {
        self.index.insert(newcomer.program.keys(), number);
        if newcomer.told.is_some() {
            self.told.push_back((Instant::now(), number));
        }
        self.all.insert(number, newcomer);
        self.forget_at(Instant::now());
    }

    /// Forgets those that were told long ago, and those that are too many.
    fn forget_at(&mut self, now: Instant) {
        let old = |told: &(Instant, u64)| now.duration_since(told.0) > REMEMBER;
        while self.told.len() > MAX_TOLD || self.told.front().is_some_and(old) {
            if let Some((_, oldest)) = self.told.pop_front() {
                self.take(oldest);
            }
        }
    }

    pub fn take(&mut self, number: u64) -> Option<Newcomer> {
        let newcomer = self.all.remove(&number)?;
        self.index.remove(newcomer.program.keys(), number);
        Some(newcomer)
    }

    /// The program that this exec has started, the oldest first: a process may have executed one after the other.
    pub fn started_by(&mut self, pending: &Pending) -> Option<Newcomer> {
        let found = |n: &u64| self.all.get(n).is_some_and(|newcomer| newcomer.started_by(pending));
        let number = self.index.of(pending.keys()).filter(found).min()?;
        self.take(number)
    }

    /// The held session of a process on the host.
    pub fn held_process(&self, pid: u32) -> Option<SessionId> {
        let held = |n| self.all.get(&n).filter(|newcomer| newcomer.told.is_none())?.session;
        self.index.of([Key::Host(pid)]).find_map(held)
    }

    /// Every session that is held.
    pub fn held(&self) -> impl Iterator<Item = SessionId> {
        self.all.values().filter(|newcomer| newcomer.told.is_none()).filter_map(|newcomer| newcomer.session)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending::tests::pending;
    use super::*;

    fn told(session: SessionId, time_ns: u64) -> Newcomer {
        let program = Program { vpid: 7, pid: Some(100), parent: Some(50), parent_vpid: 1 };
        Newcomer { session: Some(session), program, time_ns, told: Some((Person::default(), None)) }
    }

    #[test]
    fn a_late_record_meets_the_oldest_program_that_is_younger_than_itself() {
        let mut newcomers = Newcomers::default();
        for (number, time) in [(1, 10), (2, 20), (3, 30)] {
            newcomers.insert(number, told(number + 100, time));
        }
        let mut record = pending(Image::Own, Some(100));
        record.time_ns = 15;
        assert_eq!(newcomers.started_by(&record).and_then(|n| n.session), Some(102));
        record.session = 103;
        assert!(newcomers.started_by(&record).is_none(), "nobody starts the program that executes");
        record.session = 1;
        assert_eq!(newcomers.started_by(&record).and_then(|n| n.session), Some(103));
        assert!(newcomers.started_by(&record).is_none(), "the first began before the exec");
    }

    #[test]
    fn so_many_are_remembered_for_so_long_and_no_more() {
        let mut newcomers = Newcomers::default();
        for number in 0..5000 {
            newcomers.insert(number, told(number, number));
        }
        assert_eq!((newcomers.all.len(), newcomers.told.len()), (MAX_TOLD, MAX_TOLD));
        assert_eq!(newcomers.index.of([Key::Pid(7)]).count(), MAX_TOLD);
        newcomers.insert(5000, Newcomer { told: None, ..told(5000, 0) });
        newcomers.forget_at(Instant::now() + REMEMBER);
        assert_eq!((newcomers.all.len(), newcomers.told.len()), (1, 0), "who is held is not forgotten");
    }
}
