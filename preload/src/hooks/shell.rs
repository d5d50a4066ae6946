//! system, popen: libc starts a shell inside. The shell is a program like any other, with a session of its own; here
//! is only who asked for it.

use super::exec::Program;
use super::hook;
use crate::exec::Look;
use crate::start;
use crate::sys;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::{null, null_mut};
use porthole_common::record::{Call, Injection};

/// Records `/bin/sh -c command`, about to be started.
fn starting(call: Call, command: *const c_char) {
    if command.is_null() {
        return;
    }
    crate::init::ensure();
    let shell = c"/bin/sh".as_ptr();
    let argv = [c"sh".as_ptr(), c"-c".as_ptr(), command, null()];
    let look = Look::at(sys::AT_FDCWD, shell);
    let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path: shell, argv: argv.as_ptr(), look };
    program.record(0, 0, inherited());
}

/// Whether the program's own environment, which the shell gets, still has our entry.
fn inherited() -> Injection {
    let own = crate::next::own_path().unwrap_or(&[]);
    let value = start::variable(start::environment(), b"LD_PRELOAD").unwrap_or(&[]);
    let there = value.split(|&b| b == b':' || b == b' ').any(|e| e == own);
    if there { Injection::Kept } else { Injection::Absent }
}

hook! {
    fn system(command: *const c_char) -> c_int, missing -1,
    real => {
        starting(Call::System, command);
        real(command)
    }
}

hook! {
    fn popen(command: *const c_char, mode: *const c_char) -> *mut c_void, missing null_mut(),
    real => {
        starting(Call::Popen, command);
        real(command, mode)
    }
}
