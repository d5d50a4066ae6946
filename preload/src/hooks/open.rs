//! open, openat, creat; their 64-bit and fortified forms.

use super::{from_kernel, hook, outcome};
use crate::capture::path_str;
use crate::emit::{self, Urgency};
use crate::{control, sandbox, sys};
use core::ffi::{c_char, c_int};
use porthole_common::limits;
use porthole_common::record::{Call, Kind, Open};

/// Records an open that returned `res`.
///
/// # Safety
/// `path` is what the program passed to a call that did not fail with EFAULT.
#[inline(never)]
pub unsafe fn opened(call: Call, res: c_int, dirfd: c_int, path: *const c_char, flags: c_int, mode: u32) {
    if !control::wants(Kind::Open) || res == -sys::EFAULT || res == -sys::EINVAL && unread(dirfd, path) {
        return;
    }
    // SAFETY: the kernel has read the string.
    let path = unsafe { path_str(path, limits::PATH) };
    let makes = flags & sys::O_CREAT != 0 || flags & sys::O_TMPFILE_BIT != 0;
    let open = Open { call, res, flags: flags as u32, mode: if makes { mode } else { 0 }, dirfd, path };
    emit::record_hot(Urgency::Normal, open.prefix(), path);
}

/// EINVAL may have come before the kernel has read the path, or after. True if it cannot be read.
#[cold]
#[inline(never)]
fn unread(dirfd: c_int, path: *const c_char) -> bool {
    sandbox::active() || sys::access(dirfd, path, 0) == -(sys::EFAULT as isize)
}

/// One function that opens: `$call` with directory `$dir`, flags and mode.
macro_rules! opener {
    ($($name:ident($($arg:ident: $type:ty),*), $call:ident, $dir:expr, $path:ident, $flags:expr, $mode:expr;)*) => {$(
        hook! {
            fn $name($($arg: $type),*) -> c_int, missing from_kernel(sys::openat($dir, $path, $flags, $mode)),
            real => {
                let result = real($($arg),*);
                // SAFETY: the program's argument, as the kernel took it.
                unsafe { opened(Call::$call, outcome(result), $dir, $path, $flags, $mode) };
                result
            }
        }
    )*};
}

const CREAT: c_int = 0o1101; // O_CREAT|O_WRONLY|O_TRUNC

opener! {
    open(path: *const c_char, flags: c_int, mode: u32), Open, sys::AT_FDCWD, path, flags, mode;
    open64(path: *const c_char, flags: c_int, mode: u32), Open, sys::AT_FDCWD, path, flags, mode;
    openat(dir: c_int, path: *const c_char, flags: c_int, mode: u32), Openat, dir, path, flags, mode;
    openat64(dir: c_int, path: *const c_char, flags: c_int, mode: u32), Openat, dir, path, flags, mode;
    creat(path: *const c_char, mode: u32), Creat, sys::AT_FDCWD, path, CREAT, mode;
    creat64(path: *const c_char, mode: u32), Creat, sys::AT_FDCWD, path, CREAT, mode;
    __open_2(path: *const c_char, flags: c_int), Open, sys::AT_FDCWD, path, flags, 0;
    __open64_2(path: *const c_char, flags: c_int), Open, sys::AT_FDCWD, path, flags, 0;
    __openat_2(dir: c_int, path: *const c_char, flags: c_int), Openat, dir, path, flags, 0;
    __openat64_2(dir: c_int, path: *const c_char, flags: c_int), Openat, dir, path, flags, 0;
}
