//! chdir, fchdir: the working directory that relative paths start from.

use super::{from_kernel, hook, outcome};
use crate::capture::c_str;
use crate::emit::{self, Caller, Urgency};
use crate::{sandbox, sys};
use core::ffi::{c_char, c_int};
use core::ptr::null;
use porthole_common::limits;
use porthole_common::record::{Call, Chdir};

hook! {
    fn chdir(path: *const c_char) -> c_int,
    missing from_kernel(sys::call1(sys::nr::CHDIR, path as usize)),
    real => {
        let result = real(path);
        // SAFETY: the program's argument.
        unsafe { changed(Call::Chdir, outcome(result), -1, path) };
        result
    }
}

hook! {
    fn fchdir(fd: c_int) -> c_int,
    missing from_kernel(sys::call1(sys::nr::FCHDIR, fd as usize)),
    real => {
        let result = real(fd);
        // SAFETY: null is allowed.
        unsafe { changed(Call::Fchdir, outcome(result), fd, null()) };
        result
    }
}

/// # Safety
/// `path` is null or what the program passed to a call that returned `res`.
pub unsafe fn changed(call: Call, res: c_int, fd: c_int, path: *const c_char) {
    // SAFETY: the kernel has read the string unless it said EFAULT.
    let path = unsafe { c_str(if res == -sys::EFAULT { null() } else { path }, limits::PATH) };
    let mut buf = [0u8; 1024];
    let cwd = if res == 0 && !sandbox::active() { sys::getcwd(&mut buf) } else { &[] };
    let chdir = Chdir { call, res, fd, path, cwd };
    let len = Chdir::encoded_len(path.len(), cwd.len());
    emit::record(Caller::AnyChild, Urgency::Normal, len, |w| chdir.encode(w));
}
