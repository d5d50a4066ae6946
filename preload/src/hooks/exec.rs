//! The exec family: recorded before, with a second record if the call returns.

use super::{from_kernel, hook, outcome};
use crate::capture::{Strings, c_str};
use crate::emit::{self, Caller, Urgency};
use crate::exec::{Environment, FOUND, Look, Room, search};
use crate::next::Next;
use crate::{control, init, record, sites, start, sys};
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
}

/// How an exec is finally made.
#[derive(Clone, Copy)]
pub enum Way {
    /// `execve(path, argv, envp)`, or `execvpe`: a function with these arguments.
    Given(usize),
    /// `execv(path, argv)`: with another environment, `execve` in its place.
    Own(usize),
    /// `execvp(file, argv)`: with another environment, `execvpe` in its place.
    OwnSearching(usize),
    /// `fexecve(fd, argv, envp)`.
    Descriptor(usize),
    /// `execveat(dir, path, argv, envp, flags)`.
    At(usize),
    /// The system call itself: execve, or execveat where there is a directory.
    Kernel,
}

/// One exec as the program asks for it.
pub struct Request {
    /// The call.
    pub call: Call,
    /// Directory or descriptor; `AT_FDCWD` where the call has none.
    pub dirfd: c_int,
    /// Flags of execveat.
    pub at_flags: c_int,
    /// Path, or file to be searched for; null for fexecve.
    pub path: *const c_char,
    /// Arguments.
    pub argv: Array,
    /// Environment.
    pub envp: Array,
    /// What to call.
    pub way: Way,
}

type Three = unsafe extern "C" fn(*const c_char, Array, Array) -> c_int;
type Two = unsafe extern "C" fn(*const c_char, Array) -> c_int;
type OfDescriptor = unsafe extern "C" fn(c_int, Array, Array) -> c_int;
type OfDirectory = unsafe extern "C" fn(c_int, *const c_char, Array, Array, c_int) -> c_int;

impl Request {
    /// The real thing. The result of [`Way::Kernel`] is a negative errno, of the others -1 with `errno`.
    #[inline(never)]
    fn perform(&self, envp: Array) -> c_int {
        let (path, argv) = (self.path, self.argv);
        let same = core::ptr::eq(envp, self.envp);
        let (at, name) = match self.way {
            Way::Own(at) if same => (at, ""),
            Way::Own(_) => (0, "execve"),
            Way::OwnSearching(at) if same => (at, ""),
            Way::OwnSearching(_) => (0, "execvpe"),
            Way::Given(at) | Way::Descriptor(at) | Way::At(at) => (at, ""),
            Way::Kernel if self.dirfd == sys::AT_FDCWD && self.call != Call::Execveat => {
                return sys::call3(sys::nr::EXECVE, path as usize, argv as usize, envp as usize) as c_int;
            }
            Way::Kernel => {
                let (dir, flags) = (self.dirfd as usize, self.at_flags as usize);
                let number = sys::nr::EXECVEAT;
                return sys::call6(number, dir, path as usize, argv as usize, envp as usize, flags, 0) as c_int;
            }
        };
        let at = if at != 0 { Some(at) } else { crate::next::definition(name.as_bytes()) };
        let Some(at) = at else { return from_kernel(-(sys::ENOSYS as isize)) };
        // SAFETY: the C library's functions with the program's arguments.
        unsafe {
            match self.way {
                Way::Own(_) | Way::OwnSearching(_) if same => core::mem::transmute::<usize, Two>(at)(path, argv),
                Way::Descriptor(_) => core::mem::transmute::<usize, OfDescriptor>(at)(self.dirfd, argv, envp),
                Way::At(_) => {
                    core::mem::transmute::<usize, OfDirectory>(at)(self.dirfd, path, argv, envp, self.at_flags)
                }
                _ => core::mem::transmute::<usize, Three>(at)(path, argv, envp),
            }
        }
    }

    fn errno(&self, result: c_int) -> c_int {
        if matches!(self.way, Way::Kernel) { result } else { outcome(result) }
    }

    /// Records, executes with the environment that the exec rule gives, and records the failure if it comes back.
    #[inline(never)]
    pub fn run(&self) -> c_int {
        let searching = matches!(self.call, Call::Execvp | Call::Execvpe | Call::Execlp);
        let of_descriptor = self.path.is_null() && self.call == Call::Fexecve;
        // At depth `sites` the C library's own call is seen; those of execveat and fexecve are none.
        let site = sites::tells_exec() && !matches!(self.way, Way::Kernel | Way::At(_) | Way::Descriptor(_));
        if site || !of_descriptor && self.path.is_null() || !readable(self.path, self.argv, self.envp) {
            return self.perform(self.envp);
        }
        init::ensure();
        // SAFETY: a string, as `readable` found.
        let empty = !of_descriptor && self.call == Call::Execveat && unsafe { *self.path == 0 };
        let mut name = [0u8; FOUND];
        let (path, look) = if of_descriptor || empty {
            (name_of(self.dirfd, &mut name), Look::open_file(self.dirfd))
        } else {
            let path = if searching { search(self.path, &mut name) } else { self.path };
            (path, Look::at(self.dirfd, path))
        };
        let Request { call, dirfd, at_flags, argv, .. } = *self;
        let program = Program { call, dirfd, at_flags, path, argv, look };
        let mut room = Room::new();
        let planned = Environment::plan(self.envp, look, &mut room);
        let sequence = program.record(0, 0, planned.injection);
        let mut result = self.perform(planned.array);
        if self.errno(result) == -sys::E2BIG && !core::ptr::eq(planned.array, self.envp) {
            result = self.perform(self.envp);
        }
        let errno = self.errno(result);
        room.release();
        if let Some(exec) = sequence {
            let failed = ExecFailed { call, errno: errno.unsigned_abs(), exec };
            emit::record(Caller::AnyChild, Urgency::Patient, ExecFailed::LEN, |w| failed.encode(w));
        }
        result
    }
}

/// A pointer that the kernel would refuse must not be read by us: the call is passed through as it is. Arrays are
/// judged by the look of their addresses, which is free; the path is asked of the kernel.
pub fn readable(path: *const c_char, argv: Array, envp: Array) -> bool {
    // SAFETY: `plausible` looks at the addresses before it reads what they point to.
    let (argv, envp) = unsafe { (Strings::new(argv), Strings::new(envp)) };
    argv.plausible() && envp.plausible() && (path.is_null() || crate::sandbox::active() || record::readable(path))
}

/// A function that executes: what its next definition is called as, and its arguments.
macro_rules! executing {
    ($($name:ident($($arg:ident: $type:ty),*), $call:ident, $way:ident, $dir:expr, $path:expr, $argv:ident, $envp:expr, $flags:expr;)*) => {$(
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
        unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
            #[unsafe(link_section = ".data")]
            static NEXT: Next = Next::new();
            let Some(at) = NEXT.address(stringify!($name)) else { return from_kernel(-(sys::ENOSYS as isize)) };
            let (dirfd, at_flags, path, argv, envp) = ($dir, $flags, $path, $argv, $envp);
            Request { call: Call::$call, dirfd, at_flags, path, argv, envp, way: Way::$way(at) }.run()
        }
    )*};
}

/// The program's own environment.
pub fn own_environment() -> Array {
    start::environment().array()
}

executing! {
    execve(path: *const c_char, argv: Array, envp: Array), Execve, Given, sys::AT_FDCWD, path, argv, envp, 0;
    execvpe(file: *const c_char, argv: Array, envp: Array), Execvpe, Given, sys::AT_FDCWD, file, argv, envp, 0;
    execv(path: *const c_char, argv: Array), Execv, Own, sys::AT_FDCWD, path, argv, own_environment(), 0;
    execvp(file: *const c_char, argv: Array), Execvp, OwnSearching, sys::AT_FDCWD, file, argv, own_environment(), 0;
    execveat(dir: c_int, path: *const c_char, argv: Array, envp: Array, flags: c_int),
        Execveat, At, dir, path, argv, envp, flags;
}

hook! {
    fn fexecve(fd: c_int, argv: Array, envp: Array) -> c_int, missing from_kernel(-(sys::ENOSYS as isize)),
    real => {
        // The C library refuses what the kernel would take.
        if argv.is_null() || envp.is_null() {
            return real(fd, argv, envp);
        }
        let Some(at) = NEXT.address("fexecve") else { return real(fd, argv, envp) };
        Request { call: Call::Fexecve, dirfd: fd, at_flags: 0, path: null(), argv, envp, way: Way::Descriptor(at) }.run()
    }
}

/// The system call that a site, or `syscall()`, is about to make. The result is the kernel's.
pub fn at_site(number: usize, arguments: &[usize; 6]) -> isize {
    let [a, b, c, d, e, _] = *arguments;
    let request = if number == sys::nr::EXECVE {
        let (path, argv, envp) = (a as *const c_char, b as Array, c as Array);
        Request { call: Call::Execve, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, envp, way: Way::Kernel }
    } else {
        let (path, argv, envp) = (b as *const c_char, c as Array, d as Array);
        let (dirfd, at_flags) = (a as c_int, e as c_int);
        Request { call: Call::Execveat, dirfd, at_flags, path, argv, envp, way: Way::Kernel }
    };
    request.run() as isize
}

/// The path behind a descriptor, by /proc; empty where that is not mounted.
fn name_of(fd: c_int, buf: &mut [u8; FOUND]) -> *const c_char {
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
        Some(b) if known && !crate::sandbox::active() => sys::readlink(link.as_ptr().cast(), b).max(0) as usize,
        _ => 0,
    };
    if let Some(end) = buf.get_mut(len.min(room)) {
        *end = 0;
    }
    buf.as_ptr().cast()
}
