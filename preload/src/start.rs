//! What the kernel put on the stack when the program started: arguments, environment, auxiliary vector.

use crate::capture::{Strings, c_str};
use crate::next::{self, Next};
use core::ffi::{c_char, c_ulong};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Auxiliary vector entry: the file name given to execve.
pub const AT_EXECFN: c_ulong = 31;

#[unsafe(link_section = ".data")]
static ENVIRON: AtomicUsize = AtomicUsize::new(0);
#[unsafe(link_section = ".data")]
static GETAUXVAL: Next = Next::new();

/// The program's `environ`, as it is now.
pub fn environment() -> Strings {
    let at = match ENVIRON.load(Relaxed) {
        0 => {
            let at = next::global("environ").unwrap_or(0);
            ENVIRON.store(at, Relaxed);
            at
        }
        at => at,
    };
    if at == 0 {
        // SAFETY: null is allowed.
        return unsafe { Strings::new(core::ptr::null()) };
    }
    // SAFETY: the variable `environ` of the C library; what it points to is the program's to keep valid.
    unsafe { Strings::new(*(at as *const *const *const c_char)) }
}

/// The value of an environment variable.
#[inline(never)]
pub fn variable<'a>(environment: Strings, name: &[u8]) -> Option<&'a [u8]> {
    environment.iter(4096).find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
}

/// An entry of the auxiliary vector.
pub fn auxiliary(kind: c_ulong) -> Option<c_ulong> {
    let at = GETAUXVAL.address_in_libc("getauxval")?;
    // SAFETY: getauxval of the C library; it may set errno for an entry that is missing, and every entry asked for
    // here is always there on Linux.
    let get: unsafe extern "C" fn(c_ulong) -> c_ulong = unsafe { core::mem::transmute(at) };
    // SAFETY: no other condition.
    Some(unsafe { get(kind) })
}

/// The file name given to execve.
pub fn executed_name() -> Option<*const c_char> {
    auxiliary(AT_EXECFN).map(|at| at as *const c_char).filter(|p| !p.is_null())
}

/// The arguments as the kernel laid them out, if they can be found: `environ` still points into the initial stack,
/// below the file name that the kernel put at its top.
pub fn arguments(name: *const c_char) -> Option<(Strings, usize)> {
    const STACK: usize = 16 << 20;
    let environment = environment().array() as usize;
    let distance = (name as usize).checked_sub(environment)?;
    if !environment.is_multiple_of(8) || distance > STACK {
        return None;
    }
    // argc, argv[0], …, argv[argc - 1], null, environ[0], …
    let mut count = 0;
    let here = &raw const count as usize;
    loop {
        // Only while `environ` is where the kernel put it is argc found before our own frame.
        if environment - 16 - 8 * count <= here && environment > here {
            return None;
        }
        // SAFETY: on the initial stack, between argc and the environment.
        let word = unsafe { *((environment - 16 - 8 * count) as *const usize) };
        if word == count {
            let array = (environment - 8 - 8 * count) as *const *const c_char;
            // SAFETY: argv, null-terminated.
            return Some((unsafe { Strings::new(array) }, count));
        }
        count += 1;
        if count > 1 << 20 {
            return None;
        }
    }
}

/// [`executed_name`] as bytes.
pub fn executed_bytes<'a>(name: *const c_char, max: usize) -> &'a [u8] {
    // SAFETY: null or a string at the top of the stack.
    let bytes = unsafe { c_str(name, max + 1) };
    if bytes.len() > max { &[] } else { bytes }
}
