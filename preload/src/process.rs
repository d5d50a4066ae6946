//! Which process this is: the pid, cached in a page that the kernel clears in every forked child.
//!
//! A fork may come from `fork`, `forkpty`, `daemon` or a bare `clone`: only the kernel sees them all. The page lies in
//! the library's own zeroed memory, so it costs one madvise and no mapping. A vfork child shares our memory and sees
//! its parent's pid here; calls that it makes on its way to exec ask the kernel instead ([`kernel_pid`]).

use crate::{sandbox, sys};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[repr(C, align(4096))]
struct Page {
    /// 0 = not known in this process yet.
    pid: AtomicU32,
    /// See [`Session`].
    session: AtomicU32,
    /// Records that this process has written into the ring of its parent.
    borrowed: AtomicU32,
    /// Whether the kernel has been told to clear the page. Cleared with it, which is right: a child's page is
    /// cleared in its own children too.
    rest: [u32; 1021],
}

static PAGE: Page =
    Page { pid: AtomicU32::new(0), session: AtomicU32::new(0), borrowed: AtomicU32::new(0), rest: [0; 1021] };
static CLEARED_ON_FORK: AtomicU32 = AtomicU32::new(0);

const BORROWED: u32 = 0;
const OPENING: u32 = 2;
const OWN: u32 = 1;

/// Records that a forked child writes into its parent's ring before it gets one of its own. A child that only opens
/// a few files and executes something (each command of a shell script with a redirection) would otherwise pay for two
/// sessions.
const GRACE: u32 = 8;

/// Asks the kernel to clear the page in forked children.
pub fn prepare() {
    let done = sys::madvise((&raw const PAGE) as usize, size_of::<Page>(), sys::MADV_WIPEONFORK) == 0;
    CLEARED_ON_FORK.store(u32::from(done), Relaxed);
}

/// The pid; 0 where it is not known and may not be asked (a child forked in a sandbox).
#[inline(always)]
pub fn pid() -> u32 {
    match PAGE.pid.load(Relaxed) {
        0 => ask(),
        pid => pid,
    }
}

#[cold]
fn ask() -> u32 {
    if sandbox::active() {
        return 0;
    }
    let pid = sys::getpid();
    if CLEARED_ON_FORK.load(Relaxed) != 0 {
        PAGE.pid.store(pid, Relaxed);
    }
    pid
}

/// The pid as the kernel has it now: right in a vfork child too.
pub fn kernel_pid() -> u32 {
    if sandbox::active() { pid() } else { sys::getpid() }
}

/// Whether this is a vfork child, or any other process that shares our memory.
pub fn shares_memory() -> bool {
    let cached = PAGE.pid.load(Relaxed);
    cached != 0 && cached != kernel_pid()
}

/// The process has a ring of its own.
pub fn own_session() {
    PAGE.session.store(OWN, Relaxed);
}

/// Whether this process should now open a session: it was forked, has written its first records into the inherited
/// ring, and no other thread is at it. The caller opens one and calls [`own_session`].
#[inline(always)]
pub fn wants_session() -> bool {
    PAGE.session.load(Relaxed) == BORROWED && count_borrowed()
}

#[cold]
fn count_borrowed() -> bool {
    if sandbox::active() || CLEARED_ON_FORK.load(Relaxed) == 0 {
        return false;
    }
    PAGE.borrowed.fetch_add(1, Relaxed) >= GRACE
        && PAGE.session.compare_exchange(BORROWED, OPENING, Relaxed, Relaxed).is_ok()
}
