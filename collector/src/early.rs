//! What this process was started with, noted before Rust's runtime changes it.
//!
//! The runtime ignores SIGPIPE and opens `/dev/null` for standard streams that are closed, and threads change what glibc
//! does with its own signals. What `porthole run` starts must find all of it as porthole itself found it (services of
//! systemd, for one, are started with SIGPIPE ignored), and `main` is too late to ask. This stands in the binary, not
//! in the library, so that the linker never leaves it out.

#![allow(unsafe_code)]

use porthole_collector::cli::inherited;

// SAFETY: the section holds pointers to functions of this type, called once before main; this one makes two kinds of
// system calls and stores into atomics.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    let mut ignored = 0;
    for signal in 1..=inherited::SIGNALS {
        let mut action = inherited::KernelAction::default();
        let (none, size) = (std::ptr::null::<inherited::KernelAction>(), inherited::SIGNALS as usize / 8);
        // SAFETY: no new action; the old one is written to a buffer that is at least as large as the kernel's.
        let done = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, none, &raw mut action, size) };
        if done == 0 && action.0[0] == libc::SIG_IGN {
            ignored |= 1 << (signal - 1);
        }
    }
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    let closed = (0..3).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } == -1);
    inherited::note(ignored, closed.fold(0, |seen, fd| seen | 1 << fd));
}
