//! open, openat, creat; their 64-bit and fortified forms.

use super::{calls, outcome};
use crate::capture::path_str;
use crate::emit::{self, Urgency};
use crate::{control, process, record, sites, sys};
use core::ffi::{c_char, c_int};
use porthole_common::limits;
use porthole_common::record::{Call, Kind, Open};

/// Flags of creat: `O_CREAT|O_WRONLY|O_TRUNC`.
pub const CREAT: usize = 0o1101;

calls! { after
    open => Open, Open;
    open64 => Open, Open;
    openat => Openat, Openat;
    openat64 => Openat, Openat;
    creat => Creat, Creat;
    creat64 => Creat, Creat;
    __open_2 => Open, Open;
    __open64_2 => Open, Open;
    __openat_2 => Openat, Openat;
    __openat64_2 => Openat, Openat;
    open_by_handle_at => OpenByHandleAt, Int;
}

/// A function of this file has returned. Its register for the mode means nothing where none is passed.
///
/// # Safety
/// The arguments are the function's.
#[inline(always)]
pub unsafe fn hooked(call: Call, result: c_int, dirfd: c_int, path: usize, flags: usize, mode: usize) {
    if !sites::tells_open() {
        // SAFETY: the caller's promise.
        unsafe { opened(call, outcome(result), dirfd, path as *const c_char, flags as c_int, mode as u32) };
    }
}

/// Records an open that returned `res`.
///
/// # Safety
/// `path` is what the program passed to a call that did not fail with EFAULT.
#[inline(never)]
pub unsafe fn opened(call: Call, res: c_int, dirfd: c_int, path: *const c_char, flags: c_int, mode: u32) {
    if !control::wants(Kind::Open) || res == -sys::EFAULT || res == -sys::EINVAL && !record::readable(path) {
        return;
    }
    // SAFETY: the kernel has read the string.
    let path = unsafe { path_str(path, limits::PATH) };
    let makes = flags & sys::O_CREAT != 0 || flags & sys::O_TMPFILE_BIT != 0;
    let open = Open { call, res, flags: flags as u32, mode: if makes { mode } else { 0 }, dirfd, path };
    emit::record_hot(process::caller(), Urgency::Normal, &emit::words::<_, 4>(open.prefix()), path);
}

/// openat2: flags and mode stand in a structure.
///
/// # Safety
/// The arguments are those of a call that returned `res`.
pub unsafe fn opened_how(res: c_int, dirfd: c_int, path: usize, how: usize) {
    // Errors that come before the kernel has read the structure, or the path.
    const E2BIG: c_int = 7;
    if [sys::EFAULT, sys::EINVAL, E2BIG].contains(&-res) || how == 0 {
        return;
    }
    // SAFETY: `struct open_how`, which the kernel has read: flags, mode, resolve.
    let (flags, mode) = unsafe { (*(how as *const u64), *((how + 8) as *const u64)) };
    // SAFETY: the caller's promise.
    unsafe { opened(Call::Openat2, res, dirfd, path as *const c_char, flags as c_int, mode as u32) };
}
