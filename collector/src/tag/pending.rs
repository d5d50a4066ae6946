//! An exec whose outcome is not known yet.
//!
//! The record is made before the call (posix_spawn: after it). What follows tells the outcome: a failure record in
//! the same ring, the hello of the new program, or nothing: then it was a program that cannot be preloaded.

use super::process::Person;
use crate::ingest::message::SessionId;
use porthole_common::record::{Call, Exec, Injection, Target};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an exec waits for hello or failure.
pub(super) const WAIT: Duration = Duration::from_millis(50);
/// How long a program that should announce itself has for it before it is called a blind spot: a loaded machine may
/// take this long to start it.
pub(super) const HELLO_WAIT: Duration = Duration::from_secs(2);
/// Execs of one container that wait at a time; beyond, the oldest waits no longer.
pub(super) const MAX: usize = 4096;

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
    pub argv: Vec<String>,
    pub target: Target,
    pub injection: u8,
    /// When it is decided without further word.
    pub deadline: Instant,
    /// Already told as a success; only the program's hello is still waited for.
    pub told: bool,
}

impl Pending {
    /// Whether a new session is the program that this exec has started.
    pub fn started(&self, vpid: u32, pid: Option<u32>, parent: Option<u32>, parent_vpid: u32) -> bool {
        match self.image {
            // The number inside alone, where the kernel has not told the one outside.
            Image::Own => {
                self.vpid == vpid && self.caller.process.pid.zip(pid).is_none_or(|(caller, pid)| caller == pid)
            }
            Image::Child(child) => child == vpid,
            Image::SomeChild => match (self.caller.process.pid, parent) {
                (Some(caller), Some(parent)) => caller == parent,
                _ => self.vpid == parent_vpid,
            },
        }
    }

    /// Why the program cannot be seen; `None` when it should have announced itself.
    pub fn blind(&self) -> Option<&'static str> {
        if self.injection == Injection::Removed as u8 {
            return Some("entry_removed");
        }
        if self.injection == Injection::Absent as u8 {
            return Some("environment_lost");
        }
        match self.target {
            Target::Static => Some("static"),
            Target::OtherArchitecture => Some("other_architecture"),
            Target::Secure => Some("setuid"),
            Target::Unreadable => Some("unreadable"),
            Target::Other => Some("unknown_format"),
            Target::Dynamic | Target::Unknown => None,
        }
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
mod tests {
    use super::*;
    use crate::event::{Identity, Process};

    fn pending(image: Image, pid: Option<u32>) -> Pending {
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
            argv: vec![],
            target: Target::Dynamic,
            injection: Injection::Kept as u8,
            deadline: Instant::now(),
            told: false,
        }
    }

    #[test]
    fn an_exec_is_met_by_the_same_process() {
        let p = pending(Image::Own, Some(100));
        assert!(p.started(7, Some(100), Some(50), 1));
        assert!(!p.started(7, Some(101), Some(50), 1), "another process with the same inner pid");
        assert!(!p.started(8, Some(100), Some(50), 1));
        assert!(pending(Image::Own, None).started(7, Some(100), None, 0));
        assert!(p.started(7, None, None, 0), "a ring whose hello was not heard");
    }

    #[test]
    fn a_spawned_child_is_met_by_its_pid_or_its_parent() {
        assert!(pending(Image::Child(9), Some(100)).started(9, Some(200), Some(100), 7));
        assert!(!pending(Image::Child(9), Some(100)).started(8, Some(200), Some(100), 7));
        assert!(pending(Image::SomeChild, Some(100)).started(9, Some(200), Some(100), 7));
        assert!(!pending(Image::SomeChild, Some(100)).started(9, Some(200), Some(101), 7));
        assert!(pending(Image::SomeChild, None).started(9, None, None, 7));
    }

    #[test]
    fn blindness_has_a_reason() {
        let mut p = pending(Image::Own, None);
        assert_eq!(p.blind(), None);
        p.target = Target::Static;
        assert_eq!(p.blind(), Some("static"));
        p.injection = Injection::Absent as u8;
        assert_eq!(p.blind(), Some("environment_lost"));
    }
}
