//! What a program file is, as far as preloading goes: a bounded look that believes no offset, because the file comes out
//! of an image. (Inside a container the agent looks at what is executed: `preload/src/exec/target.rs`.)

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What a look tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// It has a loader of this machine's kind.
    Dynamic,
    /// It has none.
    Static,
    /// The AddressSanitizer's library is the first that its loader brings, and refuses to start when it is not.
    Asan,
    /// For this machine's family, of another word size.
    WordSize,
    /// For another machine.
    OtherArchitecture,
    /// It names this interpreter.
    Script(Vec<u8>),
    /// Not readable, or nothing of the above.
    Unknown,
}

impl Program {
    /// Its name in `container.json`.
    pub fn name(&self) -> &'static str {
        match self {
            Program::Dynamic => "dynamic",
            Program::Static => "static",
            Program::Asan => "asan",
            Program::WordSize => "word-size",
            Program::OtherArchitecture => "other-architecture",
            Program::Script(_) => "script",
            Program::Unknown => "unknown",
        }
    }

    /// Why the agent must not be preloaded: who would complain.
    pub fn objection(&self) -> Option<&'static str> {
        match self {
            Program::Asan => Some("is built with the AddressSanitizer, which refuses to start behind another library"),
            Program::WordSize => Some("is of another word size, its loader would complain"),
            Program::OtherArchitecture => Some("is of another architecture, its loader would complain"),
            _ => None,
        }
    }
}

/// Looks at a regular file.
pub fn look(file: &File) -> Program {
    let head = read(file, 0, 4096);
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
        let word = line.split(|b| b" \t\0".contains(b)).find(|w| !w.is_empty()).unwrap_or_default();
        return Program::Script(word.to_vec());
    }
    program(file, &head).unwrap_or(Program::Unknown)
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
#[cfg(target_arch = "x86_64")]
const MACHINES: [u64; 2] = [62, 3];
#[cfg(target_arch = "aarch64")]
const MACHINES: [u64; 2] = [183, 40];

fn program(file: &File, head: &[u8]) -> Option<Program> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let (class_64, little_endian, machine) = (number(head, 4, 1)? == 2, number(head, 5, 1)? == 1, number(head, 18, 2)?);
    if !little_endian || !MACHINES.contains(&machine) {
        return Some(Program::OtherArchitecture);
    }
    if !class_64 || machine != MACHINES[0] {
        return Some(Program::WordSize);
    }
    let (table, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    let (mut kind, mut loaded, mut dynamic) = (Program::Static, None, None);
    for n in 0..count {
        let at = usize::try_from(table.checked_add(n * size)?).ok()?;
        let (offset, address) = (number(head, at.checked_add(8)?, 8)?, number(head, at.checked_add(16)?, 8)?);
        match number(head, at, 4)? {
            PT_INTERP => kind = Program::Dynamic,
            PT_LOAD if loaded.is_none() => loaded = Some(address.wrapping_sub(offset)),
            PT_DYNAMIC => dynamic = Some(offset),
            _ => {}
        }
    }
    let first = || first_library(file, dynamic?, loaded?);
    if kind == Program::Dynamic && first().is_some_and(|name| is_asan(&name)) {
        kind = Program::Asan;
    }
    Some(kind)
}

/// The beginning of the first library's name. `loaded` is where the file's start is found in memory.
fn first_library(file: &File, dynamic: u64, loaded: u64) -> Option<Vec<u8>> {
    let entries = read(file, dynamic, 1024);
    let (mut first, mut strings) = (None, None);
    for entry in entries.chunks_exact(16) {
        let value = number(entry, 8, 8)?;
        match number(entry, 0, 8)? {
            0 => break,
            DT_NEEDED if first.is_none() => first = Some(value),
            DT_STRTAB => strings = Some(value),
            _ => {}
        }
    }
    Some(read(file, strings?.wrapping_sub(loaded).wrapping_add(first?), 24))
}

fn is_asan(name: &[u8]) -> bool {
    name.starts_with(b"libasan.so") || name.starts_with(b"libclang_rt.asan")
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// What there is of these bytes of the file.
fn read(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let read = if at > i64::MAX as u64 { 0 } else { file.read_at(&mut bytes, at).unwrap_or(0) };
    bytes.truncate(read);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with these segments; the dynamic section stands at 1024 and names this library first.
    fn elf(class: u8, machine: u64, segments: &[u64], library: &str) -> Vec<u8> {
        const BASE: u64 = 0x40_0000;
        let mut bytes = vec![0; 2048];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        bytes[18..20].copy_from_slice(&(machine as u16).to_le_bytes());
        (bytes[32], bytes[54], bytes[56]) = (64, 56, segments.len() as u8);
        for (n, kind) in segments.iter().enumerate() {
            let at = 64 + 56 * n;
            let offset = if *kind == PT_DYNAMIC { 1024_u64 } else { 0 };
            bytes[at..at + 8].copy_from_slice(&kind.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
            bytes[at + 16..at + 24].copy_from_slice(&(BASE + offset).to_le_bytes());
        }
        for (n, word) in [DT_NEEDED, 5, DT_NEEDED, 0, DT_STRTAB, BASE + 1536].iter().enumerate() {
            bytes[1024 + 8 * n..][..8].copy_from_slice(&word.to_le_bytes());
        }
        bytes[1541..][..library.len()].copy_from_slice(library.as_bytes());
        bytes
    }

    fn of(bytes: &[u8]) -> Program {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("porthole-program-{}-{}", std::process::id(), N.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        let found = look(&File::open(&path).unwrap());
        std::fs::remove_file(path).unwrap();
        found
    }

    #[test]
    fn kinds_of_programs() {
        const DYNAMIC: [u64; 4] = [PT_INTERP, PT_LOAD, PT_LOAD, PT_DYNAMIC];
        let [ours, small] = MACHINES;
        assert_eq!(of(&elf(2, ours, &DYNAMIC, "libc.so.6")), Program::Dynamic);
        assert_eq!(of(&elf(2, ours, &DYNAMIC, "libasan.so.8")), Program::Asan);
        assert_eq!(of(&elf(2, ours, &DYNAMIC, "libclang_rt.asan-x86_64.so")), Program::Asan);
        assert_eq!(of(&elf(2, ours, &[PT_LOAD, PT_DYNAMIC], "libasan.so.8")), Program::Static);
        assert_eq!(of(&elf(1, small, &[PT_LOAD], "")), Program::WordSize);
        assert_eq!(of(&elf(1, ours, &[PT_LOAD], "")), Program::WordSize, "x32");
        assert_eq!(of(&elf(2, ours + 1, &[], "")), Program::OtherArchitecture);
        assert_eq!(of(b"hello"), Program::Unknown);
        assert_eq!(of(b"#! /bin/sh -e\n"), Program::Script(b"/bin/sh".to_vec()));
        assert_eq!(of(b"#!"), Program::Script(vec![]));
        assert_eq!(look(&File::open("/proc/self/exe").unwrap()), Program::Dynamic);
    }

    #[test]
    fn files_cut_or_made_to_harm_are_understood_as_nothing() {
        let whole = elf(2, MACHINES[0], &[PT_INTERP, PT_LOAD, PT_DYNAMIC], "libasan.so.8");
        for cut in (0..whole.len()).step_by(37) {
            of(&whole[..cut]);
        }
        for at in [32, 56, 64 + 56 * 2 + 8, 1024 + 8, 1024 + 40] {
            let mut odd = whole.clone();
            odd[at..at + 8].fill(0xff);
            of(&odd);
        }
    }
}
