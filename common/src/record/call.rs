//! The libc calls that records are made of.

use crate::msgpack::{Malformed, Reader};

/// The libc call behind a record. Numbers are shared by all kinds; what the kernel is asked follows from them
/// (`evt.type`, see `docs/WIRE.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the calls' own names
pub enum Call {
    Execve = 1,
    Execv = 2,
    Execvp = 3,
    Execvpe = 4,
    Execl = 5,
    Execlp = 6,
    Execle = 7,
    Fexecve = 8,
    Execveat = 9,
    PosixSpawn = 10,
    PosixSpawnp = 11,
    System = 12,
    Popen = 13,
    Open = 20,
    Openat = 21,
    Creat = 22,
    Fopen = 23,
    Freopen = 24,
    Opendir = 25,
    Connect = 30,
    Fork = 40,
    Chdir = 50,
    Fchdir = 51,
    Exit = 60,
    ExitNow = 61,
    Prctl = 70,
    Seccomp = 71,
}

impl Call {
    /// The call with this number.
    pub fn from_number(n: u8) -> Option<Call> {
        use Call::*;
        const ALL: [Call; 27] = [
            Execve,
            Execv,
            Execvp,
            Execvpe,
            Execl,
            Execlp,
            Execle,
            Fexecve,
            Execveat,
            PosixSpawn,
            PosixSpawnp,
            System,
            Popen,
            Open,
            Openat,
            Creat,
            Fopen,
            Freopen,
            Opendir,
            Connect,
            Fork,
            Chdir,
            Fchdir,
            Exit,
            ExitNow,
            Prctl,
            Seccomp,
        ];
        ALL.into_iter().find(|c| *c as u8 == n)
    }

    pub(super) fn read(r: &mut Reader) -> Result<Call, Malformed> {
        Call::from_number(r.number()?).ok_or(Malformed::Range)
    }
}
