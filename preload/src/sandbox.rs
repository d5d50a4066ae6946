//! Whether the process has installed a seccomp filter of its own.
//!
//! From then on a system call that the program does not make itself may be fatal, so the agent makes none. What it
//! needs later (the ring's pages) is fetched just before the filter is installed.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[unsafe(link_section = ".data")]
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Whether optional system calls are over for this process and its forked children.
#[inline(always)]
pub fn active() -> bool {
    ACTIVE.load(Relaxed)
}

/// A filter has been, or is about to be, installed; or its installation failed.
pub fn set(on: bool) {
    ACTIVE.store(on, Relaxed);
}
