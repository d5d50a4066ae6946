//! The socket on which a container's processes announce themselves.

use crate::sys;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, recv, socket, sockopt,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use porthole_common::limits;
use porthole_registration::layout::SOCKET;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

/// Listens in a container's `mnt/`, given as a directory descriptor (its path may be too long for an address). The
/// directory may have been written to by a privileged container: nothing there is followed. Also the socket's inode number.
pub(crate) fn listen_in(directory: &OwnedFd) -> io::Result<(OwnedFd, u64)> {
    let _ = unlinkat(directory.as_fd(), SOCKET, UnlinkatFlags::NoRemoveDir);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()).as_str())?;
    bind(listener.as_raw_fd(), &address)?;
    // bind() makes the file with the umask taken off; every user of the container may connect.
    let made = openat(directory.as_fd(), SOCKET, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = fstat(&made)?;
    if !is_socket(&stat) {
        return Err(io::Error::other("the socket was replaced while it was being made"));
    }
    fs::set_permissions(format!("/proc/self/fd/{}", made.as_raw_fd()), fs::Permissions::from_mode(0o666))?;
    listen(&listener, Backlog::new(1024)?)?;
    Ok((listener, stat.st_ino))
}

fn is_socket(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK
}

/// Inode number of the socket that lies in a container's `mnt/`, if there is one.
pub(crate) fn lies_in(directory: &OwnedFd) -> Option<u64> {
    let stat = fstatat(directory.as_fd(), SOCKET, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    is_socket(&stat).then_some(stat.st_ino)
}

/// Who is at the other end, by the kernel's word.
pub(crate) struct Peer {
    pub pid: u32,
    pub uid: u32,
    pub pidfd: Option<OwnedFd>,
}

/// The peer of an accepted connection. The pidfd comes with the connection where the kernel has that (6.5), else it
/// is opened by number; the caller must check that the process is still the same one.
pub(crate) fn peer(connection: &OwnedFd, without: crate::pipeline::Without) -> Option<Peer> {
    let credentials = getsockopt(connection, sockopt::PeerCredentials).ok()?;
    let pid = u32::try_from(credentials.pid()).ok().filter(|p| *p != 0)?;
    let with_connection = if without.peerpidfd { None } else { getsockopt(connection, sockopt::PeerPidfd).ok() };
    let pidfd = match with_connection {
        Some(fd) => Some(fd),
        None if without.pidfd => None,
        None => sys::pidfd_open(pid).ok(),
    };
    Some(Peer { pid, uid: credentials.uid(), pidfd })
}

/// What a connection holds.
pub(crate) enum Packet {
    Hello(Vec<u8>),
    /// Nothing yet.
    Later,
    /// Nothing, and nothing will come: whoever connected was killed before it could say anything.
    Nothing,
    /// Too long.
    Bad,
}

/// Reads the one packet of a connection, without waiting.
pub(crate) fn receive(connection: &OwnedFd) -> Packet {
    let mut bytes = vec![0u8; limits::HELLO];
    match recv(connection.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
        Ok(n) if (1..=bytes.len()).contains(&n) => {
            bytes.truncate(n);
            Packet::Hello(bytes)
        }
        Ok(0) => Packet::Nothing,
        Ok(_) => Packet::Bad,
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Packet::Later,
        Err(_) => Packet::Nothing,
    }
}
