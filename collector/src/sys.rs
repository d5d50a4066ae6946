//! The few system calls that have no safe wrapper.
#![allow(unsafe_code)]

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Accepts a connection; the socket is non-blocking and closed on exec.
pub(crate) fn accept(listener: &OwnedFd) -> nix::Result<OwnedFd> {
    use nix::sys::socket::{SockFlag, accept4};
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends bytes and a descriptor.
pub(crate) fn send_descriptor(socket: &impl AsFd, bytes: &[u8], fd: BorrowedFd, flags: MsgFlags) -> nix::Result<()> {
    let (fds, data) = ([fd.as_raw_fd()], [io::IoSlice::new(bytes)]);
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &data, &[ControlMessage::ScmRights(&fds)], flags, None).map(drop)
}

/// Receives bytes, and a descriptor if one comes with them and there is room for it. More than one are closed.
pub(crate) fn receive_descriptor(
    socket: &impl AsFd,
    bytes: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut room = nix::cmsg_space!([RawFd; 4]);
    let mut data = [io::IoSliceMut::new(bytes)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut data, Some(&mut room), flags)?;
    let mut received = vec![];
    // A descriptor for which this process has no room has not come along.
    for control in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just made these descriptors for us; nobody else knows them.
            received.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, received.into_iter().next()))
}

/// Takes a descriptor that this process was started with; `None` if it is not open. It is closed on exec from now on.
/// To be called once for each number, before this process opens descriptors of its own.
pub(crate) fn inherited_descriptor(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl with numbers; a number that is not open is an error.
    let open = number > 2 && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// A pidfd of a process.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether nobody has the file open or mapped for writing: a read lease can be taken. `file` must be open for reading
/// only, and this process must not have it open for writing. The lease is given back at once.
pub(crate) fn no_writers(file: &File) -> bool {
    let fd = file.as_raw_fd();
    // SAFETY: fcntl with numbers on a descriptor that lives as long as the call.
    let leased = unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } == 0;
    if leased {
        // SAFETY: as above.
        unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    }
    leased
}

/// Lets two signals pass that would kill: the one that the kernel sends to a lease's holder when a writer comes, and the
/// one for a file that outgrows the limit (the write then fails). Handlers that do nothing, since a program that this
/// process executes would inherit that they are ignored, but does not inherit handlers.
pub(crate) fn survive_signals() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGIO, Signal::SIGXFSZ] {
        // SAFETY: the handler does nothing, which is safe at any moment.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Date and time of this machine's time zone: year, month, day, hour, minute, second.
pub(crate) fn local(seconds: i64) -> [i32; 6] {
    // SAFETY: all zeros are a valid `tm` (its pointer may be null).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values of their types; the function is the one that threads may call.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) };
    [tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec]
}

/// The time stamp counter; `None` where the architecture has none that programs can read.
pub(crate) fn time_stamp_counter() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has it. (A process may forbid it to itself; the collector does not.)
    return Some(unsafe { core::arch::x86_64::_rdtsc() });
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// `struct pidfd_info` up to the exit code (Linux 6.15).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// Wait status of a process that has been reaped, where the kernel tells (6.15).
pub(crate) fn exit_status(pidfd: &impl AsFd) -> Option<i32> {
    /// `_IOWR(0xFF, 11, struct pidfd_info)`
    const PIDFD_GET_INFO: libc::c_ulong = 0xc000_0000 | (size_of::<PidfdInfo>() as libc::c_ulong) << 16 | 0xff0b;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..Default::default() };
    // SAFETY: the kernel writes at most the 64 bytes that the request's number names; `info` has them.
    let done = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), PIDFD_GET_INFO, &mut info) };
    (done == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_keeps_the_lease_away() {
        let path = std::env::temp_dir().join(format!("porthole-lease-{}", std::process::id()));
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!no_writers(&reader));
        drop(writer);
        assert!(no_writers(&reader));
        assert!(no_writers(&reader), "the lease was given back");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_exit_status_is_known_after_reaping() {
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "exit 7"]).spawn().unwrap();
        let pidfd = pidfd_open(child.id());
        child.wait().unwrap();
        if let Some(status) = pidfd.ok().and_then(|fd| exit_status(&fd)) {
            assert_eq!(status, 7 << 8);
        }
    }
}
