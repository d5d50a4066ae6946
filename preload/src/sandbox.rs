//! Whether the process has installed a seccomp filter of its own.
//!
//! From then on a system call that the program does not make itself may be fatal, so the agent makes none. What it
//! needs later (the ring's pages, memory for another environment) is fetched just before the filter is installed.

use crate::{control, start, sys};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

#[unsafe(link_section = ".data")]
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Memory for environments, set aside before there is a filter.
#[unsafe(link_section = ".data")]
static SCRATCH: AtomicUsize = AtomicUsize::new(0);
/// Whose each part of it is: a thread's pointer.
#[unsafe(link_section = ".data")]
static THREADS: [AtomicUsize; PARTS] = [const { AtomicUsize::new(0) }; PARTS];

/// Threads that may use the scratch memory at the same time. Nobody gives anything back, a vfork child could not.
const PARTS: usize = 16;
/// Bytes of one part: address space only, until it is used. Environments are rarely larger.
pub const SCRATCH_LEN: usize = 64 * 1024;

/// Variable that tells a program below such a filter, which the loader's own list makes load us, that we are not to
/// make any call.
pub const QUIET: &[u8] = b"PORTHOLE_QUIET=";

/// Whether this program was started below a filter by a process that has set it. Whoever starts a set-user-id program
/// could set the variable, too: there it says nothing.
pub fn inherited() -> bool {
    const AT_SECURE: core::ffi::c_ulong = 23;
    control::in_file()
        && start::variable(start::environment(), QUIET.strip_suffix(b"=").unwrap_or(QUIET)).is_some()
        && start::auxiliary(AT_SECURE) == Some(0)
}

/// Whether optional system calls are over for this process and its forked children.
#[inline(always)]
pub fn active() -> bool {
    ACTIVE.load(Relaxed)
}

/// Sets the scratch memory aside, once, while that is still allowed.
pub fn prepare() {
    if SCRATCH.load(Acquire) != 0 || active() {
        return;
    }
    if let Ok(at) = usize::try_from(sys::map_private(PARTS * SCRATCH_LEN))
        && SCRATCH.compare_exchange(0, at, AcqRel, Relaxed).is_err()
    {
        sys::unmap(at, PARTS * SCRATCH_LEN);
    }
}

/// A filter is about to be installed; or its installation has failed.
pub fn set(on: bool) {
    ACTIVE.store(on, Relaxed);
}

/// [`SCRATCH_LEN`] bytes for the exec that is about to be made.
///
/// A vfork child has the thread pointer of its parent's thread, which stands still meanwhile: what that thread has used
/// before is free again. With more threads than parts the last one is shared.
pub fn scratch() -> Option<usize> {
    let (at, me) = (SCRATCH.load(Acquire), sys::thread_pointer());
    if at == 0 {
        return None;
    }
    let mine = |thread: &AtomicUsize| {
        let owner = thread.load(Relaxed);
        owner == me || owner == 0 && thread.compare_exchange(0, me, Relaxed, Relaxed).is_ok()
    };
    Some(at + THREADS.iter().position(mine).unwrap_or(PARTS - 1) * SCRATCH_LEN)
}
