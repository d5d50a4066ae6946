//! An exec whose outcome is not known yet.
//!
//! The record is made before the call (posix_spawn: after it). What follows tells the outcome: a failure record in
//! the same ring, the hello of the new program, or nothing: then it was a program that cannot be preloaded.

use super::index::{Index, Key};
use super::newcomers::Program;
use super::process::Person;
use crate::ingest::message::SessionId;
use porthole_common::record::{Call, Exec, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Execs of one container that wait at a time; beyond, the oldest waits no longer.
const MAX: usize = 4096;

/// Whose program the exec replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Image {
    /// The caller's own.
    Own,
    /// That of a child with this pid inside the container.
    Child(u32),
    /// That of a child whose pid only its hello tells (system, popen).
    SomeChild,
}

/// See the module.
pub(super) struct Pending {
    pub session: SessionId,
    /// Name of that session, which may be over before the exec is told.
    pub session_name: Arc<str>,
    pub sequence: u32,
    pub time_ns: u64,
    pub evt_type: &'static str,
    pub image: Image,
    /// The caller's pid inside the container.
    pub vpid: u32,
    /// The caller.
    pub caller: Person,
    /// The path as given, and made absolute.
    pub path: String,
    pub resolved: String,
    /// The executable as the kernel will name it, where it is a file in memory.
    pub memory: Option<Arc<str>>,
    pub argv: Vec<String>,
    pub target: Target,
    pub injection: u8,
    /// Already told as a success; only the program's hello is still waited for.
    pub told: bool,
    /// Its program has been called a blind spot: should a hello come all the same, it is no other program's.
    pub given_up: bool,
}

impl Pending {
    /// Whether a new program is the one that this exec has started.
    pub fn started(&self, program: &Program) -> bool {
        match self.image {
            // The number inside alone, where the kernel has not told the one outside.
            Image::Own => {
                let outside = self.caller.process.pid.zip(program.pid);
                self.vpid == program.vpid && outside.is_none_or(|(caller, pid)| caller == pid)
            }
            Image::Child(child) => child == program.vpid,
            Image::SomeChild => match (self.caller.process.pid, program.parent) {
                (Some(caller), Some(parent)) => caller == parent,
                _ => self.vpid == program.parent_vpid,
            },
        }
    }

    /// What a program that it has started has at least one of.
    pub fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let (inside, outside) = match self.image {
            Image::Own => (Key::Pid(self.vpid), None),
            Image::Child(child) => (Key::Pid(child), None),
            Image::SomeChild => (Key::ChildOf(self.vpid), self.caller.process.pid.map(Key::ChildOfHost)),
        };
        [Some(inside), outside].into_iter().flatten()
    }
}

/// The execs of one container that wait, the oldest first.
#[derive(Default)]
pub(super) struct Waiting {
    all: BTreeMap<u64, Pending>,
    by_program: Index<Key>,
    by_record: Index<(SessionId, u32)>,
}

impl Waiting {
    pub fn insert(&mut self, number: u64, pending: Pending) {
        self.by_program.insert(pending.keys(), number);
        self.by_record.insert([(pending.session, pending.sequence)], number);
        self.all.insert(number, pending);
    }

    pub fn take(&mut self, number: u64) -> Option<Pending> {
        let pending = self.all.remove(&number)?;
        self.by_program.remove(pending.keys(), number);
        self.by_record.remove([(pending.session, pending.sequence)], number);
        Some(pending)
    }

    pub fn get(&self, number: u64) -> Option<&Pending> {
        self.all.get(&number)
    }

    /// The oldest, when there are more than may wait.
    pub fn take_surplus(&mut self) -> Option<Pending> {
        if self.all.len() <= MAX { None } else { self.take_oldest() }
    }

    pub fn take_oldest(&mut self) -> Option<Pending> {
        let oldest = *self.all.keys().next()?;
        self.take(oldest)
    }

    /// The exec that this record is about.
    pub fn take_record(&mut self, session: SessionId, sequence: u32) -> Option<Pending> {
        let number = self.by_record.of([(session, sequence)]).next()?;
        self.take(number)
    }

    /// The exec that has started a program, whose session this is. One of the process itself comes before one of its
    /// parent's.
    pub fn take_start(&mut self, program: &Program, session: Option<SessionId>) -> Option<Pending> {
        let start = |number: u64| {
            let p = self.all.get(&number).filter(|p| session != Some(p.session) && p.started(program))?;
            Some((p.image != Image::Own, number))
        };
        let (_, number) = self.by_program.of(program.keys()).filter_map(start).min()?;
        self.take(number)
    }
}

/// Whose program an exec record's call starts.
pub(super) fn image(exec: &Exec) -> Image {
    match exec.call {
        Call::PosixSpawn | Call::PosixSpawnp if exec.child != 0 => Image::Child(exec.child),
        Call::PosixSpawn | Call::PosixSpawnp | Call::System | Call::Popen => Image::SomeChild,
        _ => Image::Own,
    }
}

/// The system call behind an exec.
pub(super) fn evt_type(call: Call) -> &'static str {
    match call {
        Call::Fexecve | Call::Execveat => "execveat",
        _ => "execve",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{Identity, Process};
    use porthole_common::record::Injection;

    pub fn pending(image: Image, pid: Option<u32>) -> Pending {
        Pending {
            session: 1,
            session_name: "c/r.1".into(),
            sequence: 0,
            time_ns: 0,
            evt_type: "execve",
            image,
            vpid: 7,
            caller: Person::new(Process { pid, vpid: Some(7), ..Default::default() }, Identity::Verified),
            path: "/bin/x".into(),
            resolved: "/bin/x".into(),
            memory: None,
            argv: vec![],
            target: Target::Dynamic,
            injection: Injection::Kept as u8,
            told: false,
            given_up: false,
        }
    }

    fn program(vpid: u32, pid: Option<u32>, parent: Option<u32>, parent_vpid: u32) -> Program {
        Program { vpid, pid, parent, parent_vpid }
    }

    /// By the exec itself, and by the index: it must not hide what belongs together.
    fn started(pending: Pending, program: Program) -> bool {
        let started = pending.started(&program);
        let mut waiting = Waiting::default();
        waiting.insert(1, pending);
        assert_eq!(waiting.take_start(&program, None).is_some(), started);
        started
    }

    #[test]
    fn an_exec_is_met_by_the_same_process() {
        let p = || pending(Image::Own, Some(100));
        assert!(started(p(), program(7, Some(100), Some(50), 1)));
        assert!(!started(p(), program(7, Some(101), Some(50), 1)), "another process with the same inner pid");
        assert!(!started(p(), program(8, Some(100), Some(50), 1)));
        assert!(started(pending(Image::Own, None), program(7, Some(100), None, 0)));
        assert!(started(p(), program(7, None, None, 0)), "a ring whose hello was not heard");
    }

    #[test]
    fn a_spawned_child_is_met_by_its_pid_or_its_parent() {
        assert!(started(pending(Image::Child(9), Some(100)), program(9, Some(200), Some(100), 7)));
        assert!(!started(pending(Image::Child(9), Some(100)), program(8, Some(200), Some(100), 7)));
        assert!(started(pending(Image::SomeChild, Some(100)), program(9, Some(200), Some(100), 7)));
        assert!(started(pending(Image::SomeChild, Some(100)), program(9, Some(200), Some(100), 0)));
        assert!(!started(pending(Image::SomeChild, Some(100)), program(9, Some(200), Some(101), 7)));
        assert!(started(pending(Image::SomeChild, None), program(9, None, None, 7)));
    }

    #[test]
    fn the_process_itself_comes_first_then_the_oldest_and_never_its_own_session() {
        let mut waiting = Waiting::default();
        waiting.insert(1, pending(Image::Child(7), None));
        waiting.insert(2, Pending { session: 5, ..pending(Image::Own, None) });
        waiting.insert(3, Pending { session: 6, ..pending(Image::Own, None) });
        let mut next = |session| waiting.take_start(&program(7, None, None, 0), session).map(|p| (p.image, p.session));
        assert_eq!(next(Some(5)), Some((Image::Own, 6)));
        assert_eq!(next(None), Some((Image::Own, 5)));
        assert_eq!(next(None), Some((Image::Child(7), 1)));
        assert_eq!(next(None), None);
        assert!(waiting.take_record(1, 0).is_none());
    }
}
