//! Whether the process has installed a seccomp filter of its own.
//!
//! From then on a system call that the program does not make itself may be fatal, so the agent makes none. What it
//! needs later (the ring's pages, memory for another environment) is fetched just before the filter is installed.

use crate::sys;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

#[unsafe(link_section = ".data")]
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Memory that one exec at a time may use; 0 while it does, or before there is a filter.
#[unsafe(link_section = ".data")]
static SCRATCH: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the scratch memory: address space only, until it is used. Environments are rarely larger.
pub const SCRATCH_LEN: usize = 256 * 1024;

/// Whether optional system calls are over for this process and its forked children.
#[inline(always)]
pub fn active() -> bool {
    ACTIVE.load(Relaxed)
}

/// Sets the scratch memory aside, while that is still allowed.
pub fn prepare() {
    if let Ok(at) = usize::try_from(sys::map_private(SCRATCH_LEN))
        && SCRATCH.compare_exchange(0, at, AcqRel, Relaxed).is_err()
    {
        sys::unmap(at, SCRATCH_LEN);
    }
}

/// A filter is about to be installed; or its installation has failed.
pub fn set(on: bool) {
    ACTIVE.store(on, Relaxed);
}

/// The scratch memory, if nobody has it.
pub fn take_scratch() -> Option<usize> {
    match SCRATCH.swap(0, AcqRel) {
        0 => None,
        at => Some(at),
    }
}

/// Gives it back.
pub fn return_scratch(at: usize) {
    SCRATCH.store(at, Release);
}
