//! The entry in `LD_PRELOAD` is taken out of the program's sight where every exec passes through us and puts it back.

use crate::capture::Strings;
use crate::{next, sites, start};
use core::ffi::c_char;

const NAME: &[u8] = b"LD_PRELOAD=";

/// Takes our entry out before the program has looked, if that is safe.
pub fn hide() {
    if sites::tells_exec() && !next::bypasses_libc() {
        take_out();
    }
}

/// Takes our entry out of the program's `environ`: the whole variable if we are alone in it, else the end of its value.
/// Nothing is moved in memory but the array's pointers.
#[inline(never)]
pub fn take_out() {
    let (Some(own), environment) = (next::own_path(), start::environment()) else { return };
    let mut n = 0;
    while !environment.pointer(n).is_null() {
        let entry = environment.pointer(n);
        match value_without(entry, own) {
            Some(Rest::Nothing) => remove(environment, n),
            Some(Rest::Before(end)) => {
                // SAFETY: inside the entry's string, on the initial stack, which is the program's to write.
                unsafe { *entry.add(end).cast_mut() = 0 };
                n += 1;
            }
            None => n += 1,
        }
    }
}

/// What is left of an entry without us.
enum Rest {
    Nothing,
    /// Everything before this offset, where the separator in front of us stands.
    Before(usize),
}

fn value_without(entry: *const c_char, own: &[u8]) -> Option<Rest> {
    // SAFETY: a string of the environment.
    let value = unsafe { crate::capture::behind(entry, NAME, 4096) }?;
    if value == own {
        return Some(Rest::Nothing);
    }
    let before = value.strip_suffix(own)?;
    (before.last().is_some_and(|b| b": ".contains(b))).then_some(Rest::Before(NAME.len() + before.len() - 1))
}

/// Closes the gap in the array.
fn remove(environment: Strings, from: usize) {
    let array = environment.array().cast_mut();
    let mut n = from;
    loop {
        let next = environment.pointer(n + 1);
        // SAFETY: not behind the null pointer that ends the array.
        unsafe { *array.add(n) = next };
        if next.is_null() {
            return;
        }
        n += 1;
    }
}
