//! Functions that open inside the C library, where no symbol is crossed. At depth `sites` the site tells, and better.

use super::open::opened;
use super::trampoline::After;
use super::{calls, errno, outcome};
use crate::capture::{Strings, c_str, join};
use crate::next::Next;
use crate::{sites, sys};
use core::ffi::{c_char, c_int, c_void};
use porthole_common::record::{ARGUMENTS, Call};

calls! { after
    fopen => Fopen, Stream;
    fopen64 => Fopen, Stream;
    freopen => Freopen, Stream;
    freopen64 => Freopen, Stream;
    opendir => Opendir, Directory;
    scandir => Scandir, Walk;
    scandir64 => Scandir, Walk;
    ftw => Ftw, Walk;
    ftw64 => Ftw, Walk;
    nftw => Ftw, Walk;
    nftw64 => Ftw, Walk;
    fts_open => FtsOpen, Paths;
    fts64_open => FtsOpen, Paths;
    glob => Glob, Pattern;
    glob64 => Glob, Pattern;
    mkstemp => Mkstemp, Template;
    mkstemp64 => Mkstemp, Template;
    mkostemp => Mkstemp, Template;
    mkostemp64 => Mkstemp, Template;
    mkstemps => Mkstemp, Template;
    mkstemps64 => Mkstemp, Template;
    mkostemps => Mkstemp, Template;
    mkostemps64 => Mkstemp, Template;
    tmpfile => Tmpfile, Temporary;
    tmpfile64 => Tmpfile, Temporary;
    shm_open => ShmOpen, Shared;
}

const DIRECTORY: c_int = sys::O_RDONLY | sys::O_NONBLOCK | sys::O_CLOEXEC | sys::O_DIRECTORY;

/// One of the functions above has returned.
///
/// # Safety
/// `arguments` and `result` are those of a function with this `what`.
#[inline(never)]
pub unsafe fn done(what: After, call: Call, arguments: &[usize; ARGUMENTS], result: usize) {
    if sites::tells_inside() {
        return;
    }
    let [a, b, c, ..] = *arguments;
    let path = a as *const c_char;
    let int = result as c_int;
    // SAFETY: the function has taken its arguments.
    unsafe {
        match what {
            // a null path (freopen: change of mode) opens nothing by name
            After::Stream if path.is_null() => {}
            After::Stream => {
                let fd = descriptor(&FILENO, "fileno", result);
                opened(call, fd, sys::AT_FDCWD, path, flags_of(b as *const c_char), 0o666);
            }
            After::Directory => opened(call, descriptor(&DIRFD, "dirfd", result), sys::AT_FDCWD, path, DIRECTORY, 0),
            // what it opens is closed again when it returns: the descriptor is not known
            After::Walk => opened(call, if int < 0 { outcome(-1) } else { 0 }, sys::AT_FDCWD, path, DIRECTORY, 0),
            After::Template => {
                const MADE: c_int = sys::O_RDWR | sys::O_CREAT | sys::O_EXCL;
                opened(call, outcome(int), sys::AT_FDCWD, path, MADE, 0o600);
            }
            After::Temporary => {
                let flags = sys::O_RDWR | sys::O_EXCL | sys::O_TMPFILE_BIT | sys::O_DIRECTORY;
                let fd = descriptor(&FILENO, "fileno", result);
                opened(call, fd, sys::AT_FDCWD, c"/tmp".as_ptr(), flags, 0o600);
            }
            After::Shared => {
                let mut name = [0u8; 272];
                let given = c_str(path, 256);
                let slashes = given.iter().take_while(|&&c| c == b'/').count();
                if join(&mut name, &[b"/dev/shm/", given.get(slashes..).unwrap_or(&[])]).is_some() {
                    let flags = b as c_int | sys::O_NOFOLLOW | sys::O_CLOEXEC;
                    opened(call, outcome(int), sys::AT_FDCWD, name.as_ptr().cast(), flags, c as u32);
                }
            }
            After::Pattern => pattern(call, path),
            After::Paths if result != 0 => {
                let paths = Strings::new(a as *const *const c_char);
                (0..16).map(|n| paths.pointer(n)).take_while(|p| !p.is_null()).for_each(|path| {
                    opened(call, 0, sys::AT_FDCWD, path, DIRECTORY, 0);
                });
            }
            _ => {}
        }
    }
}

/// The directory in front of a pattern's first wildcard is opened in any case.
unsafe fn pattern(call: Call, pattern: *const c_char) {
    // SAFETY: the program's argument.
    let pattern = unsafe { c_str(pattern, 256) };
    let Some(wild) = pattern.iter().position(|b| b"*?[".contains(b)) else { return };
    let slash = pattern.iter().take(wild).rposition(|&b| b == b'/');
    let directory = match slash {
        None => &b"."[..],
        Some(0) => b"/",
        Some(n) => pattern.get(..n).unwrap_or(&[]),
    };
    let mut path = [0u8; 272];
    if join(&mut path, &[directory]).is_some() {
        // SAFETY: a string of ours.
        unsafe { opened(call, 0, sys::AT_FDCWD, path.as_ptr().cast(), DIRECTORY, 0) };
    }
}

#[unsafe(link_section = ".data")]
static FILENO: Next = Next::new();
#[unsafe(link_section = ".data")]
static DIRFD: Next = Next::new();

/// The descriptor behind a stream that was just opened (nobody else can hold its lock), or the negative errno.
fn descriptor(of: &Next, name: &'static str, stream: usize) -> c_int {
    if stream == 0 {
        return outcome(-1);
    }
    let Some(at) = of.address_in_libc(name) else { return 0 };
    // SAFETY: fileno or dirfd of the C library.
    let get: unsafe extern "C" fn(*mut c_void) -> c_int = unsafe { core::mem::transmute(at) };
    let at = errno();
    // SAFETY: the thread's errno.
    let before = at.map(|at| unsafe { *at });
    // SAFETY: a stream that the C library has just made.
    let fd = unsafe { get(stream as *mut c_void) };
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
    let mode = unsafe { c_str(mode, 32) };
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
