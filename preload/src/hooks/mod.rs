//! The hooked functions, one file per family and one line per function.
//!
//! Every hook has the same shape: call the next definition, then record; exec is recorded before. What the program
//! gets back, and `errno`, are the real function's. Most functions need nothing but that: [`calls!`] gives each a few
//! instructions that name it and jump to one of two common bodies in [`trampoline`]. The others are Rust functions made
//! with [`hook!`].

mod chdir;
mod connect;
mod descriptors;
mod exec;
mod identity;
mod kernel;
mod lookup;
mod modes;
mod mounts;
mod names;
mod number;
mod open;
mod process;
mod sandbox;
mod shell;
mod sockets;
mod spawn;
mod stdio;
mod trampoline;
mod variadic;

pub use connect::connected;
pub use exec::at_site as exec_at_site;
pub use number::made;
pub use open::{opened, opened_how};
use trampoline::{After, Before, calls};

use crate::next;
use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Declares a hook: an exported function of the C library, and `$real`, a closure-like call of the next definition.
///
/// A thread that is cancelled inside the real function is unwound through our frame: plain `"C"` on both sides leaves
/// it without a landing pad (`"C-unwind"` would put one there that aborts, because we are built without unwinding),
/// and the frame's unwind table is kept.
macro_rules! hook {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty, missing $missing:expr, $real:ident => $body:block) => {
        $(#[$meta])*
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
        #[allow(non_snake_case)] // the C library's own names
        unsafe extern "C" fn $name($($arg: $type),*) -> $ret {
            #[unsafe(link_section = ".data")]
            static NEXT: $crate::next::Next = $crate::next::Next::new();
            #[allow(unused_variables)]
            let $real = |$($arg: $type),*| -> $ret {
                match NEXT.address(stringify!($name)) {
                    Some(at) => {
                        type Function = unsafe extern "C" fn($($type),*) -> $ret;
                        // SAFETY: the next definition of the same function of the C library, with the program's own
                        // arguments.
                        unsafe { core::mem::transmute::<usize, Function>(at)($($arg),*) }
                    }
                    None => $missing,
                }
            };
            $body
        }
    };
}
pub(crate) use hook;

#[unsafe(link_section = ".data")]
static ERRNO: AtomicUsize = AtomicUsize::new(0);

/// The calling thread's `errno`.
pub fn errno() -> Option<*mut c_int> {
    let at = match ERRNO.load(Relaxed) {
        0 => {
            let at = next::in_libc("__errno_location")?;
            ERRNO.store(at, Relaxed);
            at
        }
        at => at,
    };
    // SAFETY: `__errno_location` of the C library (the Linux Standard Base has it; glibc and musl do).
    let location: extern "C" fn() -> *mut c_int = unsafe { core::mem::transmute(at) };
    Some(location())
}

/// The result of a libc call as the kernel gives it: the value, or the negative errno.
#[inline(always)]
pub fn outcome(result: c_int) -> c_int {
    if result == -1 { failure() } else { result }
}

/// The negative errno of a call that has just failed.
#[cold]
#[inline(never)]
pub fn failure() -> c_int {
    // SAFETY: the thread's own variable.
    errno().map_or(-1, |at| unsafe { -*at })
}

/// Sets `errno` from a direct system call, and gives what the libc function would: used only where the C library
/// lacks a function that the program calls all the same.
#[inline(never)]
pub fn from_kernel(result: isize) -> c_int {
    if result >= 0 {
        return result as c_int;
    }
    if let Some(at) = errno() {
        // SAFETY: the thread's own variable.
        unsafe { *at = -result as c_int };
    }
    -1
}
