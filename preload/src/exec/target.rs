//! What the file to be executed is: a bounded look at its first bytes.

use crate::capture::c_str;
use crate::next::ProgramHeader;
use crate::sys;
use core::ffi::{c_char, c_int};
use porthole_common::record::Target;

/// Scripts that name scripts: Linux follows four.
const SCRIPTS: usize = 4;
/// Bytes looked at: the ELF header and the first seven program headers. PT_INTERP must stand before the first PT_LOAD.
const LOOK: usize = 64 + 7 * 56;

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
    let mut head = [0u8; LOOK];
    let (mut dir, mut path) = (dir, path);
    for _ in 0..=SCRIPTS {
        // A look must not open anything but a regular file: devices act on being opened, pipes wait.
        let Ok(st) = sys::stat(dir, path, 0) else { return Ok(Target::Unknown) };
        if st.mode & S_IFMT != S_IFREG {
            return Ok(Target::Unknown);
        }
        let fd = sys::openat(dir, path, sys::O_RDONLY | sys::O_CLOEXEC | sys::O_NOCTTY | sys::O_NONBLOCK, 0);
        if fd < 0 {
            return if fd as c_int == -sys::EMFILE { Err(NoDescriptor) } else { Ok(Target::Unreadable) };
        }
        let n = sys::pread(fd as c_int, &mut head, 0);
        sys::close(fd as c_int);
        let Some(head) = head.get(..n.max(0) as usize) else { return Ok(Target::Unknown) };
        match interpreter(head, &mut name) {
            None => return Ok(classify(head, st.mode, st.uid)),
            Some(interpreter) => (dir, path) = (sys::AT_FDCWD, interpreter),
        }
    }
    Ok(Target::Unknown)
}

/// The open file `fd`; its offset stays.
pub fn of_file(fd: c_int) -> Result<Target, NoDescriptor> {
    let mut head = [0u8; LOOK];
    let empty = [0u8; 1];
    let Ok(st) = sys::stat(fd, empty.as_ptr().cast(), sys::AT_EMPTY_PATH) else { return Ok(Target::Unknown) };
    if st.mode & S_IFMT != S_IFREG {
        return Ok(Target::Unknown);
    }
    let n = sys::pread(fd, &mut head, 0);
    if n < 0 {
        return Ok(Target::Unreadable);
    }
    let Some(head) = head.get(..n as usize) else { return Ok(Target::Unknown) };
    let mut name = [0u8; 128];
    match interpreter(head, &mut name) {
        None => Ok(classify(head, st.mode, st.uid)),
        Some(interpreter) => of_path(sys::AT_FDCWD, interpreter),
    }
}

/// The interpreter that a script names in its first line.
fn interpreter(head: &[u8], name: &mut [u8; 128]) -> Option<*const c_char> {
    let line = head.strip_prefix(b"#!")?;
    let from = line.iter().position(|b| !b" \t".contains(b))?;
    let line = line.get(from..)?;
    let len = line.iter().position(|b| b" \t\n\0".contains(b))?;
    name.get_mut(..len)?.copy_from_slice(line.get(..len)?);
    *name.get_mut(len)? = 0;
    Some(name.as_ptr().cast())
}

fn classify(head: &[u8], mode: u32, owner: u32) -> Target {
    if !head.starts_with(b"\x7fELF") {
        return Target::Other;
    }
    const CLASS64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const X86_64: u16 = 62;
    let u16_at = |at: usize| head.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    if head.get(4) != Some(&CLASS64) || head.get(5) != Some(&LITTLE_ENDIAN) || u16_at(18) != Some(X86_64) {
        return Target::OtherArchitecture;
    }
    if mode & S_ISUID != 0 && owner != sys::geteuid() || mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP {
        return Target::Secure;
    }
    let (Some(offset), Some(count)) = (head.get(32..40), u16_at(56)) else { return Target::Unknown };
    let mut at = offset.iter().rev().fold(0usize, |v, &b| v << 8 | usize::from(b));
    const PT_LOAD: u32 = 1;
    const PT_INTERP: u32 = 3;
    for _ in 0..count {
        let Some(kind) = at.checked_add(4).and_then(|end| head.get(at..end)) else { return Target::Unknown };
        match u32::from_le_bytes([kind[0], kind[1], kind[2], kind[3]]) {
            PT_INTERP => return Target::Dynamic,
            PT_LOAD => return Target::Static,
            _ => at += size_of::<ProgramHeader>(),
        }
    }
    Target::Static
}

/// Whether `path` is one that a search of `PATH` is not made for.
pub fn has_slash(path: *const c_char) -> bool {
    // SAFETY: the caller's argument, a string.
    unsafe { c_str(path, 4096) }.contains(&b'/')
}
