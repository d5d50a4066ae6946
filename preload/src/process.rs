//! Which process this is: the pid, cached in a page that the kernel clears in every forked child.
//!
//! A fork may come from `fork`, `forkpty`, `daemon` or a bare `clone`: only the kernel sees them all. The page is
//! mapped at the first record that asks; a process that only executes and ends never does. A vfork child shares our
//! memory and sees its parent's pid here; calls that it makes on its way to exec ask the kernel instead
//! ([`kernel_pid`]).

use crate::{sandbox, sys};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

/// The page, while 0 everywhere in a process that has not asked yet.
struct Page {
    /// The pid, and in the high half whose the ring is: see [`OWN`]. One word, because every record asks for both.
    known: AtomicU64,
    /// Records that this process has written into the ring of its parent.
    borrowed: AtomicU32,
}

#[unsafe(link_section = ".data")]
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// The process that the present ring belongs to. Copied to forked children, which so learn that it is not theirs.
#[unsafe(link_section = ".data")]
static OWNER: AtomicU32 = AtomicU32::new(0);

/// The ring is this process's own.
const OWN: u32 = 1;
/// It is the parent's.
const BORROWED: u32 = 2;
/// A thread is opening a session.
const OPENING: u32 = 3;

/// Records that a forked child writes into its parent's ring before it gets one of its own. A child that only opens
/// a few files and executes something (each command of a shell script with a redirection) would otherwise pay for two
/// sessions.
const GRACE: u32 = 8;

/// The page; mapped now if that is allowed.
fn page() -> Option<&'static Page> {
    match PAGE.load(Relaxed) {
        0 => map_page(),
        // SAFETY: mapped below, never unmapped.
        at => Some(unsafe { &*(at as *const Page) }),
    }
}

#[cold]
fn map_page() -> Option<&'static Page> {
    const SIZE: usize = 4096;
    if sandbox::active() {
        return None;
    }
    let at = usize::try_from(sys::map_private(SIZE)).ok()?;
    let cleared = sys::madvise(at, SIZE, sys::MADV_WIPEONFORK) == 0;
    if !cleared || PAGE.compare_exchange(0, at, Relaxed, Relaxed).is_err() {
        sys::unmap(at, SIZE);
    }
    match PAGE.load(Relaxed) {
        0 => None,
        // SAFETY: this mapping, or that of the thread that was faster.
        at => Some(unsafe { &*(at as *const Page) }),
    }
}

/// The pid (0 where it is not known and may not be asked: a child forked in a sandbox), and whether this process
/// should now open a session: it was forked, has written its first records into the inherited ring, and no other
/// thread is at it. The caller then opens one and calls [`own_session`].
#[inline(always)]
pub fn identity() -> (u32, bool) {
    match PAGE.load(Relaxed) {
        0 => ask(),
        // SAFETY: mapped below, never unmapped.
        at => match unsafe { &*(at as *const Page) }.known.load(Relaxed) {
            known if known >> 32 == u64::from(OWN) => (known as u32, false),
            _ => ask(),
        },
    }
}

/// The pid alone.
pub fn pid() -> u32 {
    let known = page().map_or(0, |p| p.known.load(Relaxed));
    if known != 0 { known as u32 } else { ask().0 }
}

#[cold]
#[inline(never)]
fn ask() -> (u32, bool) {
    let Some(page) = page() else {
        return (if sandbox::active() { 0 } else { sys::getpid() }, false);
    };
    let mut known = page.known.load(Relaxed);
    if known == 0 {
        if sandbox::active() {
            return (0, false);
        }
        let pid = sys::getpid();
        let session = if OWNER.load(Relaxed) == pid { OWN } else { BORROWED };
        known = u64::from(session) << 32 | u64::from(pid);
        page.known.store(known, Relaxed);
    }
    let pid = known as u32;
    let opening = u64::from(OPENING) << 32 | u64::from(pid);
    let wants = known >> 32 == u64::from(BORROWED)
        && !sandbox::active()
        && page.borrowed.fetch_add(1, Relaxed) >= GRACE
        && page.known.compare_exchange(known, opening, Relaxed, Relaxed).is_ok();
    (pid, wants)
}

/// The pid as the kernel has it now: right in a vfork child too.
pub fn kernel_pid() -> u32 {
    if sandbox::active() { pid() } else { sys::getpid() }
}

/// Whether this is a vfork child, or any other process that shares our memory.
pub fn shares_memory() -> bool {
    let cached = match PAGE.load(Relaxed) {
        0 => 0,
        // SAFETY: as in `page`.
        at => unsafe { &*(at as *const Page) }.known.load(Relaxed) as u32,
    };
    let known = if cached != 0 { cached } else { OWNER.load(Relaxed) };
    known != kernel_pid()
}

/// The process `pid` has a ring of its own.
pub fn own_session(pid: u32) {
    OWNER.store(pid, Relaxed);
    if PAGE.load(Relaxed) != 0
        && let Some(page) = page()
    {
        page.known.store(u64::from(OWN) << 32 | u64::from(pid), Relaxed);
    }
}
