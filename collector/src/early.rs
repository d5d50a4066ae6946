//! What this process was started with, noted before Rust's runtime changes it.
//!
//! The runtime ignores SIGPIPE and opens `/dev/null` for standard streams that are closed. What `porthole run` starts
//! must find both as porthole itself found them (services of systemd, for one, are started with SIGPIPE ignored), and
//! `main` is too late to ask. This stands in the binary, not in the library, so that the linker never leaves it out.

#![allow(unsafe_code)]

use porthole_collector::cli::inherited;

// SAFETY: the section holds pointers to functions of this type, called once before main; this one makes three kinds
// of system calls and stores into an atomic.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    let mut seen = 0;
    for fd in 0..3 {
        // SAFETY: F_GETFD takes no pointer and changes nothing.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            seen |= 1 << fd;
        }
    }
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null pointer asks only; `old` is a sigaction to be filled, and zeroes are a valid one.
    let handler = unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), old.as_mut_ptr());
        old.assume_init().sa_sigaction
    };
    if handler == libc::SIG_IGN {
        seen |= inherited::SIGPIPE_IGNORED;
    }
    inherited::note(seen);
}
