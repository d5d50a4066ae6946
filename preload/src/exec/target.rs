//! What the file to be executed is: a bounded look at its first bytes.

use crate::capture::{c_str, join};
use crate::next::ProgramHeader;
use crate::sys;
use core::ffi::{c_char, c_int};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use porthole_common::record::Target;

/// Scripts that name scripts: Linux follows four.
const SCRIPTS: usize = 4;
/// Bytes looked at: the ELF header and the first nine program headers. PT_INTERP must stand before the first PT_LOAD;
/// linkers put PT_DYNAMIC behind the last one.
const LOOK: usize = 64 + 9 * size_of::<ProgramHeader>();

const S_IFMT: u32 = 0o170000;
const S_IFREG: u32 = 0o100000;
const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o010;

/// The process has used up its descriptors.
pub struct NoDescriptor;

/// The file at `path`, and for a script its interpreter.
pub fn of_path(dir: c_int, path: *const c_char) -> Result<Target, NoDescriptor> {
    let mut name = [0u8; 128];
    let (mut dir, mut path) = (dir, path);
    for _ in 0..=SCRIPTS {
        // A look must not open anything but a regular file: devices act on being opened, pipes wait.
        let Ok(st) = sys::stat(dir, path, 0) else { return Ok(Target::Unknown) };
        if st.mode & S_IFMT != S_IFREG {
            return Ok(Target::Unknown);
        }
        let fd = sys::openat(dir, path, sys::O_RDONLY | sys::O_CLOEXEC | sys::O_NOCTTY | sys::O_NONBLOCK, 0);
        if fd < 0 {
            // What cannot be read is no script: nobody could run it.
            return match fd as c_int {
                e if e == -sys::EMFILE => Err(NoDescriptor),
                _ => Ok(secure(&st, -1).unwrap_or(Target::Unreadable)),
            };
        }
        let target = look(fd as c_int, &st, &mut name);
        sys::close(fd as c_int);
        match target {
            Some(target) => return Ok(target),
            None => (dir, path) = (sys::AT_FDCWD, name.as_ptr().cast()),
        }
    }
    Ok(Target::Unknown)
}

/// The open file `fd`; its offset stays.
pub fn of_file(fd: c_int) -> Result<Target, NoDescriptor> {
    let Ok(st) = sys::stat(fd, c"".as_ptr(), sys::AT_EMPTY_PATH) else { return Ok(Target::Unknown) };
    if st.mode & S_IFMT != S_IFREG {
        return Ok(Target::Unknown);
    }
    let mut name = [0u8; 128];
    match look(fd, &st, &mut name) {
        Some(target) => Ok(target),
        None => of_path(sys::AT_FDCWD, name.as_ptr().cast()),
    }
}

/// What an open file is; `None` for a script, whose interpreter is then `name`.
#[inline(never)]
fn look(fd: c_int, st: &sys::FileStat, name: &mut [u8; 128]) -> Option<Target> {
    let mut head = [0u8; LOOK];
    if sys::pread(fd, &mut head, 0) < 0 {
        return Some(Target::Unreadable);
    }
    if interpreter(&head, name) {
        return None;
    }
    Some(classify(fd, st, &mut head))
}

/// Whether this is a script; the interpreter that it names in its first line is then in `name`.
fn interpreter(head: &[u8; LOOK], name: &mut [u8; 128]) -> bool {
    let word = || {
        let line = head.strip_prefix(b"#!")?;
        let from = line.iter().position(|b| !b" \t".contains(b))?;
        let line = line.get(from..)?;
        line.get(..line.iter().position(|b| b" \t\n\0".contains(b))?)
    };
    word().is_some_and(|word| join(name, &[word]).is_some())
}

fn classify(fd: c_int, st: &sys::FileStat, head: &mut [u8; LOOK]) -> Target {
    if !head.starts_with(b"\x7fELF") {
        return Target::Other;
    }
    const CLASS64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const I386: u16 = 3;
    const X86_64: u16 = 62;
    match (head[4], head[5], u16::from_le_bytes([head[18], head[19]])) {
        (CLASS64, LITTLE_ENDIAN, X86_64) => {}
        (_, LITTLE_ENDIAN, I386 | X86_64) => return Target::WordSize,
        _ => return Target::OtherArchitecture,
    }
    if let Some(target) = secure(st, fd) {
        return target;
    }
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    let (table, count) = (word(head, 32) as usize, u16::from_le_bytes([head[56], head[57]]));
    let (mut loaded, mut from) = (Target::Static, None);
    for n in 0..usize::from(count) {
        let at = table.saturating_add(n * size_of::<ProgramHeader>());
        let Some(kind) = at.checked_add(4).and_then(|end| head.get(at..end)) else {
            return if loaded == Target::Static { Target::Unknown } else { loaded };
        };
        match u32::from_le_bytes([kind[0], kind[1], kind[2], kind[3]]) {
            PT_INTERP => loaded = Target::Dynamic,
            PT_LOAD if loaded == Target::Static => return Target::Static,
            // where the file's start is found in memory
            PT_LOAD if from.is_none() => from = Some(word(head, at + 16).wrapping_sub(word(head, at + 8))),
            PT_DYNAMIC if sanitized(fd, word(head, at + 8), from.unwrap_or(0), head) => return Target::Asan,
            PT_DYNAMIC => break,
            _ => {}
        }
    }
    loaded
}

/// A word of the file's start, 0 beyond what was read.
fn word(head: &[u8; LOOK], at: usize) -> u64 {
    head.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}

/// Whether the file makes the kernel tell the new program's loader not to trust the environment (`AT_SECURE`), and by
/// what: its mode gives other effective ids than the caller's real ones, or it brings capabilities, of which nobody asks
/// where the caller is root. (A caller whose own ids differ gets such a loader from any file. To ask for them would cost
/// every exec two calls; the program that does not announce itself tells.)
fn secure(st: &sys::FileStat, fd: c_int) -> Option<Target> {
    let by_user = st.mode & S_ISUID != 0 && sys::getres(sys::nr::GETRESUID)[0] != st.uid;
    let by_group = st.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP && sys::getres(sys::nr::GETRESGID)[0] != st.gid;
    if by_user || by_group {
        return Some(Target::Secure);
    }
    let root = STARTED_AS.load(Relaxed) == 0;
    (!root && sys::has_attribute(fd, c"security.capability")).then_some(Target::FileCapabilities)
}

/// The user as whom this program was started. One that has started as root and is not any more is not worth a system
/// call for each exec.
#[unsafe(link_section = ".data")]
static STARTED_AS: AtomicU32 = AtomicU32::new(0);

/// See [`STARTED_AS`].
pub fn started_as(uid: u32) {
    STARTED_AS.store(uid, Relaxed);
}

/// Whether the first library that a program names is the AddressSanitizer's. Behind the dynamic section at `at` and
/// the addresses `from` which the file is loaded, the names.
fn sanitized(fd: c_int, at: u64, from: u64, room: &mut [u8; LOOK]) -> bool {
    const DT_NEEDED: u64 = 1;
    const DT_STRTAB: u64 = 5;
    if sys::pread(fd, room, at as usize) < 0 {
        return false;
    }
    let (mut first, mut strings) = (None, 0);
    for n in 0..LOOK / 16 {
        match (word(room, 16 * n), word(room, 16 * n + 8)) {
            (0, _) => break,
            (DT_NEEDED, name) => first = first.or(Some(name)),
            (DT_STRTAB, address) => strings = address,
            _ => {}
        }
    }
    let mut name = [0u8; 16];
    first.is_some_and(|first| {
        sys::pread(fd, &mut name, strings.wrapping_sub(from).wrapping_add(first) as usize) > 0
            && (name.starts_with(b"libasan.so") || name.starts_with(b"libclang_rt.asan"))
    })
}

/// Whether `path` is one that a search of `PATH` is not made for.
pub fn has_slash(path: *const c_char) -> bool {
    // SAFETY: the caller's argument, a string.
    unsafe { c_str(path, 4096) }.contains(&b'/')
}
