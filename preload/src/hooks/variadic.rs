//! execl, execlp, execle: functions with a variable number of arguments.
//!
//! Rust has no stable way to receive them. A few instructions lay the arguments that came in registers directly below
//! those on the stack, which makes them the array that execv wants.

use super::exec::{Array, Request, Way, own_environment};
use super::from_kernel;
use crate::{next, sys};
use core::ffi::{c_char, c_int};
use porthole_common::record::Call;

#[inline(never)]
fn run(call: Call, path: *const c_char, argv: Array, envp: Array, name: &[u8], way: fn(usize) -> Way) -> c_int {
    let Some(at) = next::definition(name) else { return from_kernel(-(sys::ENOSYS as isize)) };
    Request { call, dirfd: sys::AT_FDCWD, at_flags: 0, path, argv, envp, way: way(at) }.run()
}

unsafe extern "C" fn execl_array(path: *const c_char, argv: Array) -> c_int {
    run(Call::Execl, path, argv, own_environment(), b"execv", Way::Own)
}

unsafe extern "C" fn execlp_array(file: *const c_char, argv: Array) -> c_int {
    run(Call::Execlp, file, argv, own_environment(), b"execvp", Way::OwnSearching)
}

unsafe extern "C" fn execle_array(path: *const c_char, argv: Array) -> c_int {
    let mut n = 0;
    // SAFETY: the arguments end with a null pointer, behind which execle has its environment.
    let envp = unsafe {
        while !(*argv.add(n)).is_null() {
            n += 1;
        }
        (*argv.add(n + 1)).cast::<*const c_char>()
    };
    run(Call::Execle, path, argv, envp, b"execve", Way::Given)
}

/// `$name(path, argument, …, null)`: gathers the arguments and calls `$array(path, argv)`.
macro_rules! gather {
    ($($name:ident => $array:ident;)*) => {$(
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "pop rax",       // the return address stands between the registers' arguments and the stack's
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",  // argv
                "push rax",
                "push rax",      // twice, for the alignment that a call wants
                "sub rsp, 8",
                "call {array}",
                "add rsp, 16",
                "pop rcx",
                "add rsp, 40",
                "jmp rcx",
                array = sym $array,
            )
        }
    )*};
}

gather! {
    execl => execl_array;
    execlp => execlp_array;
    execle => execle_array;
}
