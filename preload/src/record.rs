//! A call of any function that has a signature becomes a record: its arguments are read where the kernel has read them.

use crate::capture::path_str;
use crate::emit::{self, Caller, Urgency};
use crate::next::Walk;
use crate::{control, sandbox, sys};
use core::ffi::{c_char, c_int};
use porthole_common::limits;
use porthole_common::record::signature::Kind as Of;
use porthole_common::record::{ARGUMENTS, Call, Called, Kind, Open, Value};

/// Records a call that returned `res` (a value, or the negative errno).
///
/// # Safety
/// `arguments` are those of a function with this `shape`, after the call.
#[inline(never)]
pub unsafe fn called(call: Call, shape: u32, arguments: &[usize; ARGUMENTS], res: isize) {
    // SAFETY: the caller's promise.
    unsafe { called_at(call, shape, arguments, res, None) };
}

/// [`called`], with an address that was found in another way.
///
/// # Safety
/// As for [`called`].
pub unsafe fn called_at(call: Call, shape: u32, arguments: &[usize; ARGUMENTS], res: isize, address: Option<&[u8]>) {
    if !control::wants(Kind::Called) {
        return;
    }
    let mut values = [Value::Skipped; ARGUMENTS];
    for (n, value) in values.iter_mut().enumerate() {
        let kind = shape >> (4 * n) & 15;
        let Some(&argument) = arguments.get(n) else { return };
        let limit = if kind == Of::Path as u32 { limits::PATH } else { limits::TEXT };
        // SAFETY: the kinds are those of the arguments.
        *value = unsafe {
            match kind {
                k if k == Of::Skip as u32 => Value::Skipped,
                // An int is all that C passes in most cases; the upper half of its register may be anything.
                k if k == Of::Number as u32 => Value::Number(number(call, argument)),
                k if k == Of::Path as u32 || k == Of::Text as u32 => Value::Bytes(string(argument, res, shape, limit)),
                k if k == Of::Message as u32 => Value::Bytes(address.unwrap_or_else(|| message(argument, res))),
                k if k == Of::Peer as u32 => {
                    Value::Bytes(address.unwrap_or_else(|| peer(argument, arguments.get(n + 1), res)))
                }
                _ => Value::Bytes(given(argument, arguments.get(n + 1), res)),
            }
        };
    }
    let called = Called { call, res: res as i64, arguments: values };
    let len = called.encoded_len();
    emit::record(Caller::AnyChild, Urgency::Normal, len, |w| called.encode(w));
}

/// Records the libraries that the loader has brought before we came to run, each as the open that it was.
pub fn libraries(objects: &Walk) {
    if !control::wants(Kind::Open) {
        return;
    }
    for path in objects.libraries() {
        let flags = (sys::O_RDONLY | sys::O_CLOEXEC) as u32;
        let open = Open { call: Call::Load, res: 0, flags, mode: 0, dirfd: sys::AT_FDCWD, path };
        emit::record_hot(Caller::Starting, Urgency::Normal, &emit::words::<_, 4>(open.prefix()), path);
    }
}

/// A number as C declares it.
fn number(call: Call, argument: usize) -> i64 {
    match call {
        // size_t, off_t, unsigned long, dev_t, long: the whole register
        Call::Sendto
        | Call::Recvfrom
        | Call::Truncate
        | Call::Ftruncate
        | Call::Mount
        | Call::Ptrace
        | Call::InitModule
        | Call::Prctl
        | Call::Mknod
        | Call::Mknodat => match i32::try_from(argument as isize) {
            Ok(n) => i64::from(n),
            // an int in a register whose upper half was left over
            Err(_) if call == Call::Sendto || call == Call::Recvfrom || call == Call::Mknodat => {
                i64::from(argument as i32)
            }
            Err(_) => argument as i64,
        },
        _ => i64::from(argument as i32),
    }
}

/// # Safety
/// `at` is a string argument of a call that returned `res`.
unsafe fn string<'a>(at: usize, res: isize, shape: u32, limit: usize) -> &'a [u8] {
    let path = at as *const c_char;
    if path.is_null() || res < 0 && !was_read(res as c_int, shape) && !readable(path) {
        return &[];
    }
    // SAFETY: the kernel or the libc function has read it.
    unsafe { path_str(path, limit) }
}

/// Whether an error tells that the only string of the call has been read by then.
fn was_read(error: c_int, shape: u32) -> bool {
    let strings =
        (0..ARGUMENTS).filter(|n| [Of::Path as u32, Of::Text as u32].contains(&(shape >> (4 * n) & 15))).count();
    const ENOENT: c_int = 2;
    const EACCES: c_int = 13;
    const EEXIST: c_int = 17;
    const ENOTDIR: c_int = 20;
    const EISDIR: c_int = 21;
    const ENOTEMPTY: c_int = 39;
    strings == 1 && [ENOENT, EACCES, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY].contains(&-error)
}

/// Asks the kernel, which has maybe failed before it looked at the string. In a sandbox it is not asked.
#[cold]
pub fn readable(path: *const c_char) -> bool {
    !sandbox::active() && sys::access(sys::AT_FDCWD, path, 0) != -(sys::EFAULT as isize)
}

/// A socket address that the program passes.
///
/// # Safety
/// `at` and `len` are address and length of a call that returned `res`.
pub unsafe fn given<'a>(at: usize, len: Option<&usize>, res: isize) -> &'a [u8] {
    // Errors that the kernel gives before it has read the address.
    const ENOTSOCK: isize = 88;
    let unread = [sys::EFAULT as isize, sys::EINVAL as isize, sys::EBADF as isize, ENOTSOCK];
    let len = len.map_or(0, |&len| (len as u32) as usize).min(limits::SOCKADDR);
    if at == 0 || len == 0 || unread.contains(&-res) {
        return &[];
    }
    // SAFETY: the kernel has taken this address, or refused it for another reason than its place or length.
    unsafe { core::slice::from_raw_parts(at as *const u8, len) }
}

/// A socket address that the call has written.
///
/// # Safety
/// `at` and `len` are the address's and its length's place in a call that returned `res`.
pub unsafe fn peer<'a>(at: usize, len: Option<&usize>, res: isize) -> &'a [u8] {
    let len = len.map_or(0, |&len| len) as *const u32;
    if at == 0 || len.is_null() || res < 0 {
        return &[];
    }
    // SAFETY: the call has written the length.
    let len = (unsafe { *len } as usize).min(LARGEST_PEER);
    // SAFETY: and the address; programs bring room for what their socket's family has.
    unsafe { core::slice::from_raw_parts(at as *const u8, len) }
}

/// Bytes of an address that the kernel has written that are looked at: `struct sockaddr_in6`. The length that it gives
/// may be more than the program had room for.
const LARGEST_PEER: usize = 28;

/// The address of a `struct msghdr`: its first field, and the length behind it.
///
/// # Safety
/// `at` is the argument of a call that returned `res`.
pub unsafe fn message<'a>(at: usize, res: isize) -> &'a [u8] {
    if at == 0 || res < 0 {
        return &[];
    }
    // SAFETY: the kernel has read the structure.
    let (name, len) = unsafe { (*(at as *const usize), *((at + 8) as *const u32)) };
    if name == 0 {
        return &[];
    }
    // SAFETY: the kernel has read or written this address.
    unsafe { core::slice::from_raw_parts(name as *const u8, (len as usize).min(LARGEST_PEER)) }
}
