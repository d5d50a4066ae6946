//! Our entry in the child's `LD_PRELOAD`: there already, added last, or taken out.

use super::Look;
use crate::capture::{Strings, c_str, join};
use crate::{control, next, process, sandbox, sys};
use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::ptr;
use porthole_common::record::Injection;

const NAME: &[u8] = b"LD_PRELOAD=";
/// With this variable (`ldd` sets it) a loader lists the libraries, ours among them, instead of running the program.
const LISTED: &[u8] = b"LD_TRACE_LOADED_OBJECTS=";
/// Environment entries that fit on our stack; a larger environment gets memory of its own for the moment of the call.
const ON_STACK: usize = 40;
/// Bytes of a merged value that fit on our stack.
const VALUE: usize = 256;

/// Room on the stack of the hook for another environment.
pub struct Room {
    pointers: [MaybeUninit<*const c_char>; ON_STACK],
    value: [u8; VALUE],
    /// A mapping of its own for a larger environment: address and length.
    mapped: (usize, usize),
}

impl Room {
    /// Unused.
    pub const fn new() -> Room {
        Room { pointers: [MaybeUninit::uninit(); ON_STACK], value: [0; VALUE], mapped: (0, 0) }
    }

    /// Gives back what a call that returned did not need.
    pub fn release(&mut self) {
        let (at, len) = core::mem::take(&mut self.mapped);
        if len != 0 {
            sys::unmap(at, len);
        }
    }
}

/// The environment for the new program.
pub struct Environment {
    /// What to pass to exec.
    pub array: *const *const c_char,
    /// What was done.
    pub injection: Injection,
}

impl Environment {
    /// Applies the exec rule to `given`.
    pub fn plan(given: *const *const c_char, look: Look, room: &mut Room) -> Environment {
        let unchanged = |injection| Environment { array: given, injection };
        let Some(own) = next::own_path() else { return unchanged(Injection::Absent) };
        // What we cannot take out of the loader's list has to be told to stay quiet.
        let quiet = control::in_file() && sandbox::active();
        if control::not_in_variable() && !quiet {
            return unchanged(look.unwelcome.unwrap_or(Injection::Kept));
        }
        let name = if quiet { sandbox::QUIET } else { NAME };
        let mut unwelcome = look.unwelcome.filter(|_| !quiet);
        // SAFETY: the caller's environment, or null.
        let strings = unsafe { Strings::new(given) };
        // With several entries of the name, loaders take the last.
        let mut place = None;
        let mut count = 0;
        for (i, entry) in strings.iter(LISTED.len()).enumerate() {
            if entry.starts_with(name) {
                place = Some(i);
            }
            if entry == LISTED && !quiet {
                unwelcome = Some(Injection::Removed);
            }
            count = i + 1;
        }
        // SAFETY: the entry found, behind its name.
        let value = place.map(|i| unsafe { c_str(strings.pointer(i).add(name.len()), 65536) });
        let present = value.is_some_and(|v| names(v, own));
        match (present, unwelcome) {
            (true, None) => unchanged(if quiet { Injection::Sandboxed } else { Injection::Kept }),
            (false, Some(why)) => unchanged(why),
            (present, why) => {
                let Some(array) = changed(strings, count, place, value, (name, own), present, room) else {
                    return unchanged(if present { Injection::Kept } else { Injection::Absent });
                };
                let done = if quiet { Injection::Sandboxed } else { Injection::Added };
                Environment { array, injection: why.unwrap_or(done) }
            }
        }
    }
}

/// Entries of a value: the loaders split at colons and blanks.
fn entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b':' || b == b' ').filter(|e| !e.is_empty())
}

/// Whether one of a value's entries is `own`.
#[inline(never)]
pub fn names(value: &[u8], own: &[u8]) -> bool {
    entries(value).any(|e| e == own)
}

/// A copy of the environment's pointers with our entry added last, or removed.
fn changed(
    strings: Strings,
    count: usize,
    place: Option<usize>,
    value: Option<&[u8]>,
    (name, own): (&[u8], &[u8]),
    remove: bool,
    room: &mut Room,
) -> Option<*const *const c_char> {
    // also behind an empty value: the variable was there, and still is when our entry is taken out
    let separator: &[u8] = if value.is_some() { b":" } else { b"" };
    let old = value.unwrap_or(&[]);
    let value_len = name.len() + old.len() + own.len() + 2;
    let (pointers, text) = memory(room, count + 2, value_len)?;
    let len = if remove { without(text, old, own)? } else { join(text, &[name, old, separator, own])?.len() };
    let entry: *const c_char = if len == 0 { ptr::null() } else { text.as_ptr().cast() };
    let mut n = 0;
    let mut put = |p: *const c_char| {
        if let Some(slot) = pointers.get_mut(n) {
            slot.write(p);
            n += 1;
        }
    };
    for i in 0..count {
        match Some(i) == place {
            true if entry.is_null() => {}
            true => put(entry),
            false => put(strings.pointer(i)),
        }
    }
    if place.is_none() && !entry.is_null() {
        put(entry);
    }
    put(ptr::null());
    Some(pointers.as_ptr().cast())
}

/// `LD_PRELOAD=` and what is left of `old`; 0 when we were all of it.
fn without(text: &mut [u8], old: &[u8], own: &[u8]) -> Option<usize> {
    let mut n = NAME.len();
    text.get_mut(..n)?.copy_from_slice(NAME);
    for e in entries(old).filter(|&e| e != own) {
        if n > NAME.len() {
            *text.get_mut(n)? = b':';
            n += 1;
        }
        text.get_mut(n..n + e.len())?.copy_from_slice(e);
        n += e.len();
    }
    *text.get_mut(n)? = 0;
    Some(if old == own { 0 } else { n })
}

type Memory<'a> = (&'a mut [MaybeUninit<*const c_char>], &'a mut [u8]);

/// Room for so many pointers and bytes: the hook's stack, else a mapping. In a sandbox that is the one that was made
/// before; so it is for a child that shares its parent's memory (vfork), where every new one would stay behind.
fn memory(room: &mut Room, pointers: usize, bytes: usize) -> Option<Memory<'_>> {
    if pointers <= ON_STACK && bytes <= VALUE {
        return Some((&mut room.pointers, &mut room.value));
    }
    let table = pointers * size_of::<*const c_char>();
    let len = table + bytes;
    let shared = process::shares_memory();
    let at = if sandbox::active() || shared {
        if len > sandbox::SCRATCH_LEN {
            return None;
        }
        if shared {
            sandbox::prepare();
        }
        sandbox::scratch()?
    } else {
        let at = usize::try_from(sys::map_private(len)).ok()?;
        room.mapped = (at, len);
        at
    };
    // SAFETY: memory of that size, ours alone until `release`.
    Some(unsafe {
        (
            core::slice::from_raw_parts_mut(at as *mut MaybeUninit<*const c_char>, pointers),
            core::slice::from_raw_parts_mut((at + table) as *mut u8, bytes),
        )
    })
}
