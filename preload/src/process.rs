//! Which process this is: the pid, cached in a page that the kernel clears in every forked child.
//!
//! A fork may come from `fork`, `forkpty`, `daemon` or a bare `clone`: only the kernel sees them all. The page is
//! mapped at the first record that asks, or before the first fork; a process that only executes and ends never does. A vfork child shares our
//! memory and sees its parent's pid here; calls that it makes on its way to exec ask the kernel instead
//! ([`kernel_pid`]).

use crate::emit::Caller;
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

fn page() -> Option<&'static Page> {
    match PAGE.load(Relaxed) {
        0 => None,
        // SAFETY: mapped below, never unmapped.
        at => Some(unsafe { &*(at as *const Page) }),
    }
}

/// Maps the page for the process `pid`, which owns the present ring. It is filled in before it is seen: whoever finds
/// it empty later is a forked child.
fn map_page(pid: u32) {
    const SIZE: usize = 4096;
    let Ok(at) = usize::try_from(sys::map_private(SIZE)) else { return };
    let cleared = sys::madvise(at, SIZE, sys::MADV_WIPEONFORK) == 0;
    // SAFETY: fresh memory of that size, ours alone until it is published.
    unsafe { &*(at as *const Page) }.known.store(state(OWN, pid), Relaxed);
    if !cleared || PAGE.compare_exchange(0, at, Release, Relaxed).is_err() {
        sys::unmap(at, SIZE);
    }
}

const fn state(session: u32, pid: u32) -> u64 {
    (session as u64) << 32 | pid as u64
}

/// The pid (0 where it is not known and may not be asked: a child forked in a sandbox), and whether this process
/// should now open a session: it was forked, has written its first records into the inherited ring, and no other
/// thread is at it. The caller then opens one and calls [`own_session`].
#[inline(always)]
pub fn identity() -> (u32, bool) {
    match page().map(|p| p.known.load(Relaxed)) {
        Some(known) if known >> 32 == u64::from(OWN) => (known as u32, false),
        _ => ask(),
    }
}

/// The pid alone.
pub fn pid() -> u32 {
    match page().map(|p| p.known.load(Relaxed)) {
        Some(known) if known != 0 => known as u32,
        _ => ask().0,
    }
}

#[cold]
#[inline(never)]
fn ask() -> (u32, bool) {
    if sandbox::active() {
        return (page().map_or(0, |p| p.known.load(Relaxed) as u32), false);
    }
    let pid = sys::getpid();
    let Some(page) = page() else {
        // A vfork child, or one of a fork that no hook saw, is not the owner: nothing is kept in memory that may be
        // its parent's.
        if pid == OWNER.load(Relaxed) {
            map_page(pid);
        }
        return (pid, false);
    };
    let mut known = page.known.load(Relaxed);
    // Empty: cleared by a fork, even if the number is the same (the first process of a new pid namespace). Another
    // number: a vfork child of a forked child has asked before.
    if known == 0 || known as u32 != pid {
        known = state(BORROWED, pid);
        page.known.store(known, Relaxed);
    }
    let wants = known == state(BORROWED, pid)
        && page.borrowed.fetch_add(1, Relaxed) >= GRACE
        && page.known.compare_exchange(known, state(OPENING, pid), Relaxed, Relaxed).is_ok();
    (pid, wants)
}

/// Before a fork: the child shall be able to tell that it is one.
pub fn about_to_fork() {
    if page().is_none() {
        ask();
    }
}

/// The pid as the kernel has it now: right in a vfork child too.
pub fn kernel_pid() -> u32 {
    if sandbox::active() { pid() } else { sys::getpid() }
}

/// Whether this may be a vfork child, or another process that shares our memory.
pub fn shares_memory() -> bool {
    match page().map(|p| p.known.load(Relaxed)) {
        Some(0) => false, // cleared by a fork: the memory is this child's own
        Some(known) => known as u32 != kernel_pid(),
        None => OWNER.load(Relaxed) != kernel_pid(),
    }
}

/// The process that the present ring belongs to.
pub fn owner() -> u32 {
    OWNER.load(Relaxed)
}

/// The process `pid` has a ring of its own.
pub fn own_session(pid: u32) {
    OWNER.store(pid, Relaxed);
    if let Some(page) = page() {
        page.known.store(state(OWN, pid), Relaxed);
    }
}

/// Calls of posix_spawn under way: children that share our memory may open files, at depth `sites`.
#[unsafe(link_section = ".data")]
static SPAWNING: AtomicU32 = AtomicU32::new(0);

/// Makes a call whose child shares our memory until it executes.
pub fn spawning<T>(call: impl FnOnce() -> T) -> T {
    SPAWNING.fetch_add(1, Relaxed);
    let result = call();
    SPAWNING.fetch_sub(1, Relaxed);
    result
}

/// Who makes an open or a connect now.
#[inline(always)]
pub fn caller() -> Caller {
    if SPAWNING.load(Relaxed) == 0 { Caller::Process } else { Caller::AnyChild }
}
