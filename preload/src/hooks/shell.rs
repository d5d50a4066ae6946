//! system, popen: libc starts a shell inside. The shell is a program like any other, with a session of its own; here
//! is only who asked for it.

use super::calls;
use super::exec::Program;
use crate::exec::{Look, names};
use crate::{sites, start, sys};
use core::ffi::c_char;
use core::ptr::null;
use porthole_common::record::{Call, Injection};

/// Records `/bin/sh -c command`, about to be started.
pub fn starting(call: Call, command: *const c_char) {
    // At depth `sites` the shell's own exec is seen.
    if command.is_null() || sites::tells_exec() {
        return;
    }
    crate::init::ensure();
    let shell = c"/bin/sh".as_ptr();
    let argv = [c"sh".as_ptr(), c"-c".as_ptr(), command, null()];
    let look = Look::at(sys::AT_FDCWD, shell);
    let program = Program { call, dirfd: sys::AT_FDCWD, at_flags: 0, path: shell, argv: argv.as_ptr(), look };
    // The C library gives the shell `environ` as it is.
    let injection = look.unwelcome.unwrap_or_else(inherited);
    if look.unwelcome.is_some() {
        sites::take_out();
    }
    program.record(0, 0, injection);
}

/// Whether the program's own environment, which the shell gets, still has our entry.
fn inherited() -> Injection {
    if crate::control::not_in_variable() {
        return Injection::Kept;
    }
    let own = crate::next::own_path().unwrap_or(&[]);
    let value = start::variable(start::environment(), b"LD_PRELOAD").unwrap_or(&[]);
    if names(value, own) { Injection::Kept } else { Injection::Absent }
}

calls! { before
    system => System, Shell;
    popen => Popen, Shell;
}
