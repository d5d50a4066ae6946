//! Initialisation: once, by whichever comes first, our constructor or a hook.
//!
//! Other libraries' constructors run before ours (`ls`: libselinux's opens a file), so a hook must be able to start
//! everything. There is no lock: whoever wins the first swap does it; a thread or a signal handler that comes in
//! between is passed through and not recorded.

use crate::{clock, next, record, sandbox, session, sites};
use core::sync::atomic::{AtomicU32, Ordering::*};

const NEW: u32 = 0;
const BUSY: u32 = 1;
const DONE: u32 = 2;

#[unsafe(link_section = ".data")]
static STATE: AtomicU32 = AtomicU32::new(NEW);

/// Makes sure that initialisation has been done or is under way.
#[inline(always)]
pub fn ensure() {
    if STATE.load(Acquire) == NEW {
        initialise();
    }
}

#[cold]
fn initialise() {
    if STATE.compare_exchange(NEW, BUSY, AcqRel, Relaxed).is_err() {
        return;
    }
    let objects = next::walk();
    if sandbox::inherited() {
        sandbox::set(true);
        STATE.store(DONE, Release);
        return;
    }
    clock::choose();
    sites::patch();
    sites::hide();
    session::open_first();
    record::libraries(&objects);
    STATE.store(DONE, Release);
}

#[cfg(porthole_agent)]
extern "C" fn constructor() {
    ensure();
}

// DT_INIT (build.rs names it) rather than .init_array: that would be a table to relocate, on a page of its own.
//
// What is written follows the code, at the same place in its page where the code ends. The byte behind the code, at the
// start of a page, makes that the start: everything that is written is on one page, and a second one would be copied in
// every process.
#[cfg(porthole_agent)]
core::arch::global_asm!(
    ".section .fini,\"axR\",@progbits",
    ".p2align 12",
    ".byte 0",
    ".text",
    ".globl porthole_init",
    ".hidden porthole_init",
    ".type porthole_init,@function",
    "porthole_init: jmp {}",
    ".size porthole_init, .-porthole_init",
    sym constructor,
);
