//! posix_spawn, posix_spawnp: recorded after the call, which waits for the new program to have started.

use super::exec::{Array, Program, unreadable};
use super::hook;
use crate::exec::{Environment, FOUND, Look, Room, search};
use crate::{init, sys};
use core::ffi::{c_char, c_int, c_void};
use porthole_common::record::Call;

/// Calls `spawn` with a place for the pid and the environment that the exec rule gives, and records.
fn spawned(
    call: Call,
    path: *const c_char,
    pid: *mut c_int,
    argv: Array,
    envp: Array,
    spawn: impl Fn(*mut c_int, Array) -> c_int,
) -> c_int {
    if unreadable(path, argv, envp) {
        return spawn(pid, envp);
    }
    init::ensure();
    let look = Look::at(sys::AT_FDCWD, path);
    let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, look };
    let mut room = Room::new();
    let planned = Environment::plan(envp, look, &mut room);
    let mut child: c_int = 0;
    let mut error = spawn(&raw mut child, planned.array);
    if error == sys::E2BIG && planned.array != envp {
        error = spawn(&raw mut child, envp);
    }
    if error == 0 && !pid.is_null() {
        // SAFETY: the program's variable for the pid; written only on success, as libc does.
        unsafe { *pid = child };
    }
    room.release();
    program.record(child.max(0) as u32, -error, planned.injection);
    error
}

type Opaque = *const c_void;

hook! {
    fn posix_spawn(pid: *mut c_int, path: *const c_char, actions: Opaque, attributes: Opaque, argv: Array, envp: Array)
        -> c_int, missing sys::ENOSYS,
    real => {
        spawned(Call::PosixSpawn, path, pid, argv, envp, |pid, envp| real(pid, path, actions, attributes, argv, envp))
    }
}

hook! {
    fn posix_spawnp(pid: *mut c_int, file: *const c_char, actions: Opaque, attributes: Opaque, argv: Array, envp: Array)
        -> c_int, missing sys::ENOSYS,
    real => {
        if unreadable(file, argv, envp) {
            return real(pid, file, actions, attributes, argv, envp);
        }
        let mut found = [0u8; FOUND];
        let path = search(file, &mut found);
        spawned(Call::PosixSpawnp, path, pid, argv, envp, |pid, envp| real(pid, file, actions, attributes, argv, envp))
    }
}
