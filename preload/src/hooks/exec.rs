//! The exec family: recorded before, with a second record if the call returns.

use super::{from_kernel, hook, outcome};
use crate::capture::{Strings, c_str};
use crate::emit::{self, Caller, Urgency};
use crate::exec::{Environment, FOUND, Look, Room, search};
use crate::next::Next;
use crate::{control, init, sandbox, start, sys};
use core::ffi::{c_char, c_int};
use core::ptr::null;
use porthole_common::limits;
use porthole_common::record::{Args, Call, Exec, ExecFailed, Injection, Kind};

/// An array of arguments or environment entries.
pub type Array = *const *const c_char;

/// What is to be executed.
pub struct Program {
    /// The call.
    pub call: Call,
    /// Where a relative path starts.
    pub dirfd: c_int,
    /// Flags of execveat.
    pub at_flags: c_int,
    /// The path, as given or found.
    pub path: *const c_char,
    /// Its arguments.
    pub argv: Array,
    /// What a look at it told.
    pub look: Look,
}

impl Program {
    /// Records it; returns the record's sequence number.
    pub fn record(&self, child: u32, res: c_int, injection: Injection) -> Option<u32> {
        if !control::wants(Kind::Exec) {
            return None;
        }
        // SAFETY: the program's arguments: strings and a null-terminated array of strings.
        let (path, argv) = unsafe { (c_str(self.path, limits::PATH), Strings::new(self.argv)) };
        let (kept, bytes) = argv.fitting(limits::ARGV, limits::ARGC);
        let exec = Exec {
            call: self.call,
            child,
            dirfd: self.dirfd,
            at_flags: self.at_flags as u32,
            res,
            target: self.look.target as u8,
            injection: injection as u8,
            path,
            argc: argv.count() as u32,
            argv: Args::EMPTY,
        };
        let len = Exec::encoded_len(path.len(), kept, bytes);
        emit::record(Caller::AnyChild, Urgency::Patient, len, |w| {
            exec.encode(w, kept as u16, argv.iter(limits::ARGV));
        })
    }

    /// Records, executes with the environment that the exec rule gives, and records the failure if it comes back.
    fn execute(&self, environment: Array, execute: impl Fn(Array, Injection) -> c_int) -> c_int {
        init::ensure();
        let mut room = Room::new();
        let planned = Environment::plan(environment, self.look, &mut room);
        let sequence = self.record(0, 0, planned.injection);
        let mut result = execute(planned.array, planned.injection);
        if outcome(result) == -sys::E2BIG && planned.injection == Injection::Added {
            result = execute(environment, Injection::Absent);
        }
        let errno = outcome(result);
        room.release();
        if let Some(exec) = sequence {
            let failed = ExecFailed { call: self.call, errno: errno.unsigned_abs(), exec };
            emit::record(Caller::AnyChild, Urgency::Patient, ExecFailed::LEN, |w| failed.encode(w));
        }
        result
    }
}

/// A pointer that the kernel would refuse must not be read by us: the call is passed through as it is. Arrays are
/// judged by the look of their addresses, which is free; the path is asked of the kernel.
pub fn unreadable(path: *const c_char, argv: Array, envp: Array) -> bool {
    // SAFETY: `plausible` looks at the addresses before it reads what they point to.
    let (argv, envp) = unsafe { (Strings::new(argv), Strings::new(envp)) };
    path.is_null()
        || !argv.plausible()
        || !envp.plausible()
        || !sandbox::active() && sys::access(sys::AT_FDCWD, path, 0) == -(sys::EFAULT as isize)
}

#[unsafe(link_section = ".data")]
static EXECVE: Next = Next::new();
#[unsafe(link_section = ".data")]
static EXECVPE: Next = Next::new();

type Execve = unsafe extern "C" fn(*const c_char, Array, Array) -> c_int;

fn call_execve(path: *const c_char, argv: Array, envp: Array) -> c_int {
    match EXECVE.address("execve") {
        // SAFETY: execve of the C library with the program's arguments.
        Some(at) => unsafe { core::mem::transmute::<usize, Execve>(at)(path, argv, envp) },
        None => from_kernel(sys::call3(sys::nr::EXECVE, path as usize, argv as usize, envp as usize)),
    }
}

/// execve and what is the same with another spelling of its arguments.
pub fn plain(call: Call, path: *const c_char, argv: Array, envp: Array) -> c_int {
    if unreadable(path, argv, envp) {
        return call_execve(path, argv, envp);
    }
    let look = Look::at(sys::AT_FDCWD, path);
    let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, look };
    program.execute(envp, |envp, _| call_execve(path, argv, envp))
}

/// The forms that pass on the caller's own environment: `same` is the real function, used while nothing changes.
pub fn inheriting(call: Call, path: *const c_char, argv: Array, same: impl Fn() -> c_int) -> c_int {
    if unreadable(path, argv, null()) {
        return same();
    }
    let look = Look::at(sys::AT_FDCWD, path);
    let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, look };
    program.execute(start::environment().array(), |envp, injection| match injection {
        Injection::Added | Injection::Removed => call_execve(path, argv, envp),
        Injection::Kept | Injection::Absent => same(),
    })
}

/// The forms that search `PATH`; `same` is the real function, used while nothing changes.
pub fn searching(call: Call, file: *const c_char, argv: Array, environment: Array, same: impl Fn() -> c_int) -> c_int {
    if unreadable(file, argv, environment) {
        return same();
    }
    let mut found = [0u8; FOUND];
    let path = search(file, &mut found);
    let look = Look::at(sys::AT_FDCWD, path);
    let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, look };
    program.execute(environment, |envp, injection| match (injection, EXECVPE.address("execvpe")) {
        (Injection::Added | Injection::Removed, Some(at)) => {
            // SAFETY: execvpe of the C library with the program's arguments.
            unsafe { core::mem::transmute::<usize, Execve>(at)(file, argv, envp) }
        }
        _ => same(),
    })
}

hook! {
    fn execve(path: *const c_char, argv: Array, envp: Array) -> c_int, missing -1,
    real => { plain(Call::Execve, path, argv, envp) }
}

hook! {
    fn execv(path: *const c_char, argv: Array) -> c_int, missing call_execve(path, argv, start::environment().array()),
    real => { inheriting(Call::Execv, path, argv, || real(path, argv)) }
}

hook! {
    fn execvp(file: *const c_char, argv: Array) -> c_int, missing from_kernel(-(sys::ENOSYS as isize)),
    real => { searching(Call::Execvp, file, argv, start::environment().array(), || real(file, argv)) }
}

hook! {
    fn execvpe(file: *const c_char, argv: Array, envp: Array) -> c_int, missing from_kernel(-(sys::ENOSYS as isize)),
    real => { searching(Call::Execvpe, file, argv, envp, || real(file, argv, envp)) }
}

hook! {
    fn fexecve(fd: c_int, argv: Array, envp: Array) -> c_int, missing from_kernel(-(sys::ENOSYS as isize)),
    real => {
        // The C library refuses what the kernel would take.
        if argv.is_null() || envp.is_null() {
            return real(fd, argv, envp);
        }
        let mut name = [0u8; 256];
        let path = name_of(fd, &mut name);
        if unreadable(path, argv, envp) {
            return real(fd, argv, envp);
        }
        let look = Look::open_file(fd);
        let program = Program { call: Call::Fexecve, dirfd: fd, at_flags: 0, path, argv, look };
        program.execute(envp, |envp, _| real(fd, argv, envp))
    }
}

hook! {
    fn execveat(dir: c_int, path: *const c_char, argv: Array, envp: Array, flags: c_int) -> c_int,
    missing from_kernel(sys::call6(
        sys::nr::EXECVEAT, dir as usize, path as usize, argv as usize, envp as usize, flags as usize, 0)),
    real => {
        if unreadable(path, argv, envp) {
            return real(dir, path, argv, envp, flags);
        }
        // SAFETY: a string, as `unreadable` found.
        let empty = unsafe { *path == 0 };
        let mut name = [0u8; 256];
        let (path_known, look) =
            if empty { (name_of(dir, &mut name), Look::open_file(dir)) } else { (path, Look::at(dir, path)) };
        let program =
            Program { call: Call::Execveat, dirfd: dir, at_flags: flags, path: path_known, argv, look };
        program.execute(envp, |envp, _| real(dir, path, argv, envp, flags))
    }
}

/// The path behind a descriptor, by /proc; empty where that is not mounted.
fn name_of(fd: c_int, buf: &mut [u8; 256]) -> *const c_char {
    let mut link = [0u8; 32];
    let mut digits = [0u8; 10];
    let (mut n, mut at) = (fd.unsigned_abs(), digits.len());
    while at > 0 && (n > 0 || at == digits.len()) {
        at -= 1;
        if let Some(d) = digits.get_mut(at) {
            *d = b'0' + (n % 10) as u8;
        }
        n /= 10;
    }
    let known = crate::capture::join(&mut link, &[b"/proc/self/fd/", digits.get(at..).unwrap_or(&[])]).is_some();
    let room = buf.len() - 1;
    let len = match buf.get_mut(..room) {
        Some(b) if known && !sandbox::active() => sys::readlink(link.as_ptr().cast(), b).max(0) as usize,
        _ => 0,
    };
    if let Some(end) = buf.get_mut(len.min(room)) {
        *end = 0;
    }
    buf.as_ptr().cast()
}
