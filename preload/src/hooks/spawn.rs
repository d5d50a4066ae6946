//! posix_spawn, posix_spawnp: recorded after the call, which waits for the new program to have started.

use super::exec::{Array, Program, readable};
use crate::exec::{Environment, FOUND, Look, Room, search};
use crate::next::Next;
use crate::{init, process, sites, sys};
use core::ffi::{c_char, c_int, c_void};
use porthole_common::record::Call;

type Opaque = *const c_void;
type Spawn = unsafe extern "C" fn(*mut c_int, *const c_char, Opaque, Opaque, Array, Array) -> c_int;

/// The arguments of both functions.
struct Request {
    call: Call,
    pid: *mut c_int,
    file: *const c_char,
    actions: Opaque,
    attributes: Opaque,
    argv: Array,
    envp: Array,
    real: usize,
}

impl Request {
    fn perform(&self, pid: *mut c_int, envp: Array) -> c_int {
        // SAFETY: the C library's function with the program's arguments.
        let spawn = unsafe { core::mem::transmute::<usize, Spawn>(self.real) };
        // SAFETY: as above.
        unsafe { spawn(pid, self.file, self.actions, self.attributes, self.argv, envp) }
    }

    /// Calls it with a place for the pid and the environment that the exec rule gives, and records.
    fn run(&self) -> c_int {
        let Request { call, pid, file, argv, envp, .. } = *self;
        if sites::tells_exec() {
            // The child, whose memory is ours until it executes, tells itself.
            process::spawning(|| self.perform(pid, envp))
        } else if file.is_null() || !readable(file, argv, envp) {
            self.perform(pid, envp)
        } else {
            init::ensure();
            let mut found = [0u8; FOUND];
            let path = if call == Call::PosixSpawnp { search(file, &mut found) } else { file };
            let look = Look::at(sys::AT_FDCWD, path);
            let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, look };
            let mut room = Room::new();
            let planned = Environment::plan(envp, look, &mut room);
            let mut child: c_int = 0;
            let mut error = self.perform(&raw mut child, planned.array);
            if error == sys::E2BIG && planned.array != envp {
                error = self.perform(&raw mut child, envp);
            }
            if error == 0 && !pid.is_null() {
                // SAFETY: the program's variable for the pid; written only on success, as libc does.
                unsafe { *pid = child };
            }
            room.release();
            program.record(child.max(0) as u32, -error, planned.injection);
            error
        }
    }
}

macro_rules! spawning {
    ($($name:ident => $call:ident;)*) => {$(
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
        unsafe extern "C" fn $name(
            pid: *mut c_int, file: *const c_char, actions: Opaque, attributes: Opaque, argv: Array, envp: Array,
        ) -> c_int {
            #[unsafe(link_section = ".data")]
            static NEXT: Next = Next::new();
            let Some(real) = NEXT.address(stringify!($name)) else { return sys::ENOSYS };
            Request { call: Call::$call, pid, file, actions, attributes, argv, envp, real }.run()
        }
    )*};
}

spawning! {
    posix_spawn => PosixSpawn;
    posix_spawnp => PosixSpawnp;
}
