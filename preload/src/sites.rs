//! Depth `sites`: the system call instructions of the C library that open, execute and connect lead to us.
//!
//! What a hooked name cannot see is a library that calls itself: `getpwnam` opens a file, `system` executes a shell.
//! The host tells where the instructions are ([`porthole_common::sites`]); once, before the program's own code runs,
//! their bytes are compared and each is replaced by a jump to a stub of ours ([`entry`]), which makes the same system
//! call and then a record. Where memory may not be writable and executable, nothing is changed and the names tell, as
//! they do for a library that the host does not know.

mod entry;
mod environment;

use crate::{control, next, sys};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use porthole_common::sites::{BUILD_ID, CALLS, LENGTH, OBJECT_HEAD, OBJECTS, OFFSET, coverage};

pub use environment::{hide, take_out};

/// One patched instruction. The stubs know the layout.
#[repr(C)]
pub struct Site {
    /// Where the program goes on.
    back: AtomicUsize,
    /// The system call.
    number: AtomicU32,
    /// 1 where the instruction before was `mov edi, AT_FDCWD`.
    current_directory: AtomicU32,
}

/// As many as there are stubs.
const PLACES: usize = porthole_common::sites::SITES;

#[unsafe(link_section = ".data")]
static SITES: [Site; PLACES] =
    [const { Site { back: AtomicUsize::new(0), number: AtomicU32::new(0), current_directory: AtomicU32::new(0) } };
        PLACES];

/// [`coverage`] of what is patched; 0 = depth `symbols`.
#[unsafe(link_section = ".data")]
static TELLS: AtomicU32 = AtomicU32::new(0);

/// Whether the sites tell of open and its like.
#[inline(always)]
pub fn tells_open() -> bool {
    TELLS.load(Relaxed) & coverage::OPEN != 0
}

/// Whether they tell of connect.
#[inline(always)]
pub fn tells_connect() -> bool {
    TELLS.load(Relaxed) & coverage::CONNECT != 0
}

/// Whether they tell of every exec.
#[inline(always)]
pub fn tells_exec() -> bool {
    TELLS.load(Relaxed) & coverage::EXEC != 0
}

/// Whether they tell what the library opens inside.
#[inline(always)]
pub fn tells_inside() -> bool {
    TELLS.load(Relaxed) & coverage::INSIDE != 0
}

/// The objects of the host's table that this process has loaded: base address, and end of its executable segment.
struct Object {
    base: AtomicUsize,
    end: AtomicUsize,
}

#[unsafe(link_section = ".data")]
static FOUND: [Object; OBJECTS] = [const { Object { base: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; OBJECTS];

/// A loaded object with a GNU build-id: noted if the host's table has it.
pub fn note(build_id: &[u8], base: usize, end: usize) {
    let mut place = 0;
    for_each_object(|id, _, _| {
        if id == build_id
            && let Some(found) = FOUND.get(place)
        {
            found.base.store(base, Relaxed);
            found.end.store(end, Relaxed);
        }
        place += 1;
    });
}

/// A site that is a call begins with it.
const CALL: u8 = 0xe8;

/// The host's table: build-id, coverage, and the addresses as bytes, of each object.
fn for_each_object(mut each: impl FnMut(&'static [u8], u32, &'static [u8])) {
    let table = control::bytes(OFFSET);
    let Some((count, mut rest)) = table.split_first_chunk::<4>() else { return };
    for _ in 0..u32::from_le_bytes(*count).min(OBJECTS as u32) {
        let Some((head, behind)) = rest.split_first_chunk::<OBJECT_HEAD>() else { return };
        let Some((id, numbers)) = head.split_first_chunk::<BUILD_ID>() else { return };
        let Some((covers, n)) = numbers.split_first_chunk::<4>() else { return };
        let Some(n) = n.first_chunk::<4>() else { return };
        let Some((addresses, next)) = behind.split_at_checked(u32::from_le_bytes(*n) as usize * 4) else { return };
        each(id, u32::from_le_bytes(*covers), addresses);
        rest = next;
    }
}

/// Patches what the host's table and this process's memory agree on. Called once, while there is one thread.
pub fn patch() {
    // glibc says whether there are more; where it does not, this is the constructor.
    if let Some(single) = next::global("__libc_single_threaded")
        // SAFETY: a char of the C library.
        && unsafe { *(single as *const u8) } == 0
    {
        return;
    }
    let (mut place, mut used) = (0, 0);
    let mut tells = 0;
    for_each_object(|_, covers, addresses| {
        let Some(object) = FOUND.get(place) else { return };
        place += 1;
        let (base, end) = (object.base.load(Relaxed), object.end.load(Relaxed));
        let whole = coverage::EXEC | coverage::INSIDE;
        if base == 0 || covers != 0 && covers & whole != whole {
            return;
        }
        if let Some(n) = patch_object(base, end, addresses, used) {
            used += n;
            tells |= covers;
        }
    });
    TELLS.store(tells, Release);
}

/// The addresses of one object's sites.
fn each_address(base: usize, addresses: &[u8]) -> impl Iterator<Item = usize> {
    addresses.as_chunks::<4>().0.iter().map(move |a| base.wrapping_add(u32::from_le_bytes(*a) as usize))
}

/// All sites of an object, or none.
fn patch_object(base: usize, end: usize, addresses: &[u8], used: usize) -> Option<usize> {
    const PAGE: usize = 4096;
    const READ_EXECUTE: usize = 5;
    const ALL: usize = 7;
    let (mut low, mut high, mut count) = (usize::MAX, 0, 0);
    for at in each_address(base, addresses) {
        if at < base || at + LENGTH + 1 > end {
            return None;
        }
        // SAFETY: inside the object's executable segment.
        let (before, bytes) = unsafe { (*((at - 8) as *const [u8; 8]), *(at as *const [u8; LENGTH])) };
        let site = SITES.get(used + count)?;
        if let [CALL, a, b, c, d, ..] = bytes {
            let called = (at + 5).wrapping_add_signed(i32::from_le_bytes([a, b, c, d]) as isize);
            if !(base..end).contains(&called) || !entry::calls(called) {
                return None;
            }
        } else {
            let (number, current_directory) = number_of(before, bytes)?;
            site.back.store(at + LENGTH, Relaxed);
            site.number.store(number, Relaxed);
            site.current_directory.store(current_directory, Relaxed);
        }
        distance(used + count, at, bytes[0])?;
        (low, high, count) = (low.min(at), high.max(at), count + 1);
    }
    if count == 0 {
        return Some(0);
    }
    let from = low & !(PAGE - 1);
    let len = (high + LENGTH + 1).next_multiple_of(PAGE) - from;
    // Executable all the time: a signal may come, and its handler may call the library.
    if sys::protect(from, len, ALL) != 0 {
        return None;
    }
    for (n, at) in each_address(base, addresses).enumerate() {
        // SAFETY: writable now, and nobody else writes code. One store: a signal finds the old bytes or the new.
        unsafe {
            let mut bytes = *(at as *const [u8; LENGTH + 1]);
            let Some([a, b, c, d]) = distance(used + n, at, bytes[0]).map(i32::to_le_bytes) else { continue };
            bytes = match bytes {
                [CALL, _, _, _, _, e, f, g] => [CALL, a, b, c, d, e, f, g],
                // jmp stub; a two-byte nop, which is never reached
                [.., last] => [0xe9, a, b, c, d, 0x66, 0x90, last],
            };
            (at as *mut u64).write_unaligned(u64::from_le_bytes(bytes));
        }
    }
    sys::protect(from, len, READ_EXECUTE);
    Some(count)
}

/// How far a site at `at` has to go: to stub `n`, or where it is a call.
fn distance(n: usize, at: usize, first: u8) -> Option<i32> {
    let to = if first == CALL { entry::cancellable as *const () as usize } else { entry::stub(n) };
    i32::try_from(to.wrapping_sub(at + 5) as isize).ok()
}

/// The system call of a site, and whether it sets the directory to the current one, if its bytes are what a site has.
fn number_of(before: [u8; 8], bytes: [u8; LENGTH]) -> Option<(u32, u32)> {
    let (number, current_directory) = match (before, bytes) {
        (_, [0xb8, a, b, c, d, 0x0f, 0x05]) => (u32::from_le_bytes([a, b, c, d]), 0),
        ([0xb8, a, b, c, d, 0x48, 0x89, 0xfe], [0xbf, 0x9c, 0xff, 0xff, 0xff, 0x0f, 0x05]) => {
            (u32::from_le_bytes([a, b, c, d]), 1)
        }
        _ => return None,
    };
    CALLS.contains(&number).then_some((number, current_directory))
}
