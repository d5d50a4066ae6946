//! fopen, freopen, opendir: libc opens the file inside, where no symbol is crossed.

use super::open::opened;
use super::{errno, hook, outcome};
use crate::next::Next;
use crate::sys;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;
use porthole_common::record::Call;

type Stream = *mut c_void;

#[unsafe(link_section = ".data")]
static FILENO: Next = Next::new();
#[unsafe(link_section = ".data")]
static DIRFD: Next = Next::new();

/// The descriptor behind a stream that was just opened (nobody else can hold its lock), or the negative errno.
fn descriptor(of: &Next, name: &'static str, stream: Stream) -> c_int {
    if stream.is_null() {
        return outcome(-1);
    }
    let Some(at) = of.address_in_libc(name) else { return 0 };
    // SAFETY: fileno or dirfd of the C library.
    let get: unsafe extern "C" fn(Stream) -> c_int = unsafe { core::mem::transmute(at) };
    let at = errno();
    // SAFETY: the thread's errno.
    let before = at.map(|at| unsafe { *at });
    // SAFETY: a stream that the C library has just made.
    let fd = unsafe { get(stream) };
    if let (Some(at), Some(before)) = (at, before) {
        // SAFETY: as above.
        unsafe { *at = before };
    }
    fd
}

/// Open flags of a mode string.
///
/// # Safety
/// `mode` is null or a string.
unsafe fn flags_of(mode: *const c_char) -> c_int {
    const O_WRONLY: c_int = 1;
    // SAFETY: see above.
    let mode = unsafe { crate::capture::c_str(mode, 32) };
    let mode = mode.split(|&b| b == b',').next().unwrap_or(&[]);
    let mut flags = match mode.first() {
        Some(b'w') => O_WRONLY | sys::O_CREAT | sys::O_TRUNC,
        Some(b'a') => O_WRONLY | sys::O_CREAT | sys::O_APPEND,
        _ => sys::O_RDONLY,
    };
    for b in mode.iter().skip(1) {
        match b {
            b'+' => flags = flags & !O_WRONLY | sys::O_RDWR,
            b'x' => flags |= sys::O_EXCL,
            b'e' => flags |= sys::O_CLOEXEC,
            _ => {}
        }
    }
    flags
}

/// Records a stream opened by path; a null path (freopen: change of mode) opens nothing by name.
unsafe fn stream_opened(call: Call, stream: Stream, path: *const c_char, mode: *const c_char) {
    if path.is_null() {
        return;
    }
    // SAFETY: the program's arguments.
    unsafe { opened(call, descriptor(&FILENO, "fileno", stream), sys::AT_FDCWD, path, flags_of(mode), 0o666) };
}

macro_rules! stream_openers {
    ($($name:ident($($arg:ident: $type:ty),*), $call:ident;)*) => {$(
        hook! {
            fn $name(path: *const c_char, mode: *const c_char $(, $arg: $type)*) -> Stream, missing null_mut(),
            real => {
                let stream = real(path, mode $(, $arg)*);
                // SAFETY: the program's arguments.
                unsafe { stream_opened(Call::$call, stream, path, mode) };
                stream
            }
        }
    )*};
}

stream_openers! {
    fopen(), Fopen;
    fopen64(), Fopen;
    freopen(old: Stream), Freopen;
    freopen64(old: Stream), Freopen;
}

hook! {
    fn opendir(path: *const c_char) -> Stream, missing null_mut(),
    real => {
        let stream = real(path);
        let flags = sys::O_RDONLY | sys::O_NONBLOCK | sys::O_CLOEXEC | sys::O_DIRECTORY;
        // SAFETY: the program's argument.
        unsafe { opened(Call::Opendir, descriptor(&DIRFD, "dirfd", stream), sys::AT_FDCWD, path, flags, 0) };
        stream
    }
}
