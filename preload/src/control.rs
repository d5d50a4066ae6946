//! The control page: a read-only page of this very library, in the container's own copy of it.
//!
//! The collector writes it in the file; since no process ever writes to the page, all of them see the change at once.

use porthole_common::control::{ALIGN, CAPTURE, CLOCK, ENTRY, MAGIC, RING_DATA, SIZE, entry};
use porthole_common::limits;
use porthole_common::record::{Clock, Kind};
use porthole_common::ring::valid_data_len;

/// The page, in the read-only segment.
#[repr(C, align(64))]
struct Page([u8; SIZE]);
const _: () = assert!(align_of::<Page>() == ALIGN);

#[used]
#[unsafe(link_section = ".rodata.porthole_control")]
static PAGE: Page = Page({
    let mut page = [0u8; SIZE];
    let mut i = 0;
    while i < MAGIC.len() {
        page[i] = MAGIC[i];
        i += 1;
    }
    page
});

#[inline(always)]
fn word(at: usize) -> u32 {
    // SAFETY: inside the page, aligned; volatile because the host changes it.
    unsafe { (&raw const PAGE.0).cast::<u8>().add(at).cast::<u32>().read_volatile() }
}

/// Whether records of this kind are wanted.
#[inline(always)]
pub fn wants(kind: Kind) -> bool {
    let mask = word(CAPTURE);
    mask == 0 || mask >> (kind as u32) & 1 != 0
}

/// The clock that the host has chosen.
pub fn clock() -> Clock {
    if word(CLOCK) & 0xff == Clock::Tsc as u32 { Clock::Tsc } else { Clock::Realtime }
}

/// Whether the loader's own list names us, so that whatever is executed loads us.
pub fn in_file() -> bool {
    has_entry(entry::FILE)
}

/// Whether `LD_PRELOAD` does not, and is none of our business.
pub fn not_in_variable() -> bool {
    has_entry(entry::NO_VARIABLE)
}

fn has_entry(bit: u8) -> bool {
    const _: () = assert!(ENTRY == CLOCK + 1);
    word(CLOCK) >> 8 & u32::from(bit) != 0
}

/// Data bytes of a new ring.
pub fn ring_data() -> usize {
    match word(RING_DATA) as usize {
        n if valid_data_len(n) => n,
        _ => limits::RING_DATA,
    }
}

/// What stands in the page from `offset` on, and does not change: it is written before the container starts.
pub fn bytes(offset: usize) -> &'static [u8] {
    let len = SIZE.saturating_sub(offset);
    // SAFETY: inside the page; black-boxed, because the compiler knows what the page holds as built, but not what the
    // host has written there.
    unsafe { core::slice::from_raw_parts(core::hint::black_box((&raw const PAGE.0).cast::<u8>()).add(offset), len) }
}
