//! `libporthole.so`, the agent: it lives inside every process of a container, between the program and its C library.
//!
//! # The in-process contract
//!
//! The program must run as if we were not there. So, after initialisation, the agent
//!
//! * allocates nothing, takes no lock, starts no thread, holds no descriptor, installs no signal handler;
//! * never panics (the panic handler is a trap that no path reaches: every access is checked or masked);
//! * uses about 2 KiB of stack at most (the session of a forked child, which is an initialisation, some 2.5 KiB);
//! * makes no system call of its own on the hot path (open, connect), and none at all once the process has installed
//!   a seccomp filter;
//! * leaves `errno` as the real function set it, and never calls a libc function that could take a lock;
//! * passes every call through unchanged; what it cannot record it counts.
//!
//! Initialisation itself makes about a dozen system calls, none of which can block or raise a signal (see
//! [`session`]). Whatever fails there, the process runs on without being recorded.
//!
//! One file serves glibc (any version) and musl: it needs no library and no symbol version, and finds what it wants in
//! the objects that are loaded after it (see [`next`]).
//!
//! The modules in the order a record travels: [`hooks`] → [`capture`] → [`emit`] → [`ring`]; [`init`], [`session`] and
//! [`start`] run once before; [`exec`] decides what an executed program inherits.
#![no_std]
#![deny(missing_docs)]
#![cfg_attr(not(porthole_agent), allow(dead_code))]

mod asm;
mod capture;
mod clock;
mod control;
mod emit;
mod exec;
mod hooks;
mod init;
mod next;
mod process;
mod record;
mod ring;
mod sandbox;
mod session;
mod sites;
mod start;
mod sys;

/// Never reached: the agent has no operation that can panic. If it were, a trap is the only honest answer, because
/// there is nothing to unwind to and nothing may be written.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    sys::trap()
}
