//! What porthole was started with and Rust's runtime has changed since (noted by the binary before it could).

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Bit of [`note`]: SIGPIPE was ignored. Bits 0 to 2: that standard stream was closed.
pub const SIGPIPE_IGNORED: u8 = 8;

static SEEN: AtomicU8 = AtomicU8::new(0);

/// Keeps the bits.
pub fn note(seen: u8) {
    SEEN.store(seen, Relaxed);
}

/// Whether SIGPIPE was ignored.
pub(super) fn sigpipe_ignored() -> bool {
    SEEN.load(Relaxed) & SIGPIPE_IGNORED != 0
}

/// The standard streams that were closed.
pub(super) fn closed_streams() -> impl Iterator<Item = i32> {
    let seen = SEEN.load(Relaxed);
    (0..3).filter(move |fd| seen >> fd & 1 != 0)
}
