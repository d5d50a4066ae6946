//! The search of `PATH` that execvp and posix_spawnp make inside libc: done once more here, only to know what the
//! call is going to find. What is executed stays libc's decision.

use super::target::has_slash;
use crate::capture::{c_str, join};
use crate::{sandbox, start, sys};
use core::ffi::{c_char, c_int};

/// Bytes of a path that a search can find; a longer one stays as it was given.
pub const FOUND: usize = 256;

/// Where execvp will find `file`, written into `buf`; `file` itself where no search is made or nothing is found.
pub fn search(file: *const c_char, buf: &mut [u8]) -> *const c_char {
    const X_OK: c_int = 1;
    // SAFETY: the caller's argument, a string.
    let name = unsafe { c_str(file, 256) };
    if sandbox::active() || name.is_empty() || has_slash(file) {
        return file;
    }
    let path = start::variable(start::environment(), b"PATH").unwrap_or(b"/bin:/usr/bin");
    for directory in path.split(|&b| b == b':') {
        let parts: &[&[u8]] = if directory.is_empty() { &[b"./", name] } else { &[directory, b"/", name] };
        if join(buf, parts).is_some() && sys::access(sys::AT_FDCWD, buf.as_ptr().cast(), X_OK) == 0 {
            return buf.as_ptr().cast();
        }
    }
    file
}
