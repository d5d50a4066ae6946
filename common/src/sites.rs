//! The table of system call sites: where in a C library the host has found the instructions that open, execute and
//! connect, for agents that may patch them (depth `sites`).
//!
//! It lies in the control page, which the container cannot write. The agent believes none of it before it has compared
//! the bytes. Little endian, at [`OFFSET`] of the page: the number of objects (u32), then for each object
//!
//! | type | meaning |
//! |--|--|
//! | 20 bytes | GNU build-id of the object (SHA-1) |
//! | u32 | [`coverage`] |
//! | u32 | number of sites |
//! | n × u32 | address of each, from the object's load address |
//!
//! A site is seven bytes: `b8 <number> 0f 05` (`mov eax, number; syscall`) or `bf 9c ff ff ff 0f 05`
//! (`mov edi, AT_FDCWD; syscall`) behind `b8 <number> 48 89 fe` (`mov eax, number; mov rsi, rdi`), where `number` is one
//! of [`CALLS`], no jump leads into its last six bytes, and it lies in an executable segment. Or it is five bytes,
//! `e8 <distance>`: a call, for one of [`CALLS`], of the function through which glibc from 2.41 on makes all calls at
//! which a thread can be cancelled (six arguments, then the number on the stack; the result is -1 and `errno` is set, or
//! it is the kernel's). All sites of that kind call the same function.

/// Where the table starts in the control page.
pub const OFFSET: usize = 64;
/// Objects in a table at most: a C library, its loader, and before glibc 2.34 its thread library; for two C libraries.
pub const OBJECTS: usize = 6;
/// Bytes of a build-id.
pub const BUILD_ID: usize = 20;
/// Sites of all objects together at most: a stub in the agent for each.
pub const SITES: usize = 24;
/// Bytes of an object's head, before its addresses.
pub const OBJECT_HEAD: usize = BUILD_ID + 8;
/// Bytes of a table at most.
pub const TABLE: usize = 4 + OBJECTS * (OBJECT_HEAD + 4 * SITES);
const _: () = assert!(OFFSET + TABLE <= crate::control::SIZE);
/// Length of a site, of a system call's: a jump with a 32-bit distance fits.
pub const LENGTH: usize = 7;

/// Numbers of the system calls whose sites are in the table (x86-64): open, connect, execve, creat, openat, execveat,
/// openat2.
///
/// Each page of code that is patched costs every process some 3 µs. So the exported functions `execveat` and `fexecve`
/// are left out, which the library does not call itself and whose hooks tell, and so is every site of the loader that
/// executes: it is only used by `ld.so` as a command.
pub const CALLS: [u32; 7] = [2, 42, 59, 85, 257, 322, 437];

/// Which exported functions of the object end in sites of the table, each on all its ways. Agents that have patched the
/// object make no record of these calls in the function's own hook: the site tells.
pub mod coverage {
    /// `open`, `open64`, `openat`, `openat64`, `creat`, `creat64`.
    pub const OPEN: u32 = 1;
    /// `connect`.
    pub const CONNECT: u32 = 2;
    /// `execve`, and with it every function of the library that executes, but `execveat` and `fexecve`.
    pub const EXEC: u32 = 4;
    /// What opens inside the library (`fopen`, `opendir`, …): the functions behind its own calls.
    pub const INSIDE: u32 = 8;
    /// All: an object is patched only with all of these (the C library) or none (loader, thread library).
    pub const ALL: u32 = OPEN | CONNECT | EXEC | INSIDE;
}
