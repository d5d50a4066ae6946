//! Time of a record: the raw counter where the host says that it is steady, else the vDSO's clock.

use crate::next::Next;
use crate::{control, sys};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use porthole_common::record::Clock;

#[unsafe(link_section = ".data")]
static CLOCK: AtomicU8 = AtomicU8::new(Clock::None as u8);
#[unsafe(link_section = ".data")]
static CLOCK_GETTIME: Next = Next::new();

const PR_GET_TSC: c_int = 25;
/// prctl option with which a process forbids itself the counter.
pub const PR_SET_TSC: c_int = 26;
/// Its value that allows it.
pub const PR_TSC_ENABLE: usize = 1;

/// Chooses the clock. The counter may have been forbidden by whoever executed us (the setting survives exec), and
/// then reading it, which the vDSO does too, would be fatal.
pub fn choose() {
    let mut allowed = 0i32;
    let known = sys::prctl(PR_GET_TSC, (&raw mut allowed) as usize, 0, 0, 0) == 0;
    let clock = if known && allowed as usize != PR_TSC_ENABLE { Clock::None } else { control::clock() };
    set(clock as u8);
}

/// The clock in use, for [`set`] to restore.
pub fn current() -> u8 {
    CLOCK.load(Relaxed)
}

/// Another clock from now on.
pub fn set(clock: u8) {
    CLOCK.store(clock, Relaxed);
}

/// Stops reading any clock.
pub fn forbid() {
    set(Clock::None as u8);
}

/// Now, in the clock's unit; 0 without one.
#[inline(always)]
pub fn now() -> u64 {
    match CLOCK.load(Relaxed) {
        n if n == Clock::Tsc as u8 => sys::tsc(),
        n if n == Clock::Realtime as u8 => realtime(),
        _ => 0,
    }
}

#[cold]
fn realtime() -> u64 {
    let Some(at) = CLOCK_GETTIME.address_in_libc("clock_gettime") else { return 0 };
    // SAFETY: clock_gettime of the C library.
    let read: unsafe extern "C" fn(c_int, *mut [i64; 2]) -> c_int = unsafe { core::mem::transmute(at) };
    let mut time = [0i64; 2];
    // SAFETY: the pointer is to a `struct timespec`; CLOCK_REALTIME (0) cannot fail, so errno stays.
    unsafe { read(0, &raw mut time) };
    (time[0] as u64).wrapping_mul(1_000_000_000).wrapping_add(time[1] as u64)
}
