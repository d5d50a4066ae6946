//! What porthole was started with and has changed since (noted by the binary before `main`).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// The kernel's signals are 1 to this.
pub const SIGNALS: i32 = 64;

/// The kernel's `struct sigaction`, or a little more: its handler, then flags, restorer and mask.
#[derive(Debug, Default)]
#[repr(C)]
pub struct KernelAction(pub [usize; 8]);

static IGNORED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Keeps what was found: ignored signals (bit n-1 for signal n) and closed standard streams (bit n).
pub fn note(ignored: u64, closed: u8) {
    IGNORED.store(ignored, Relaxed);
    CLOSED.store(closed, Relaxed);
}

/// Whether this signal was ignored.
pub(super) fn was_ignored(signal: i32) -> bool {
    IGNORED.load(Relaxed) >> (signal - 1) & 1 != 0
}

/// The standard streams that were closed.
pub(super) fn closed_streams() -> impl Iterator<Item = i32> {
    let closed = CLOSED.load(Relaxed);
    (0..3).filter(move |fd| closed >> fd & 1 != 0)
}
