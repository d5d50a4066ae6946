//! The service manager: told what the collector does, asked to keep its descriptors, and the source of those it kept.
//!
//! A few lines of text to a socket that the environment names (sd_notify(3)); nothing happens where there is none.

use super::store::Store;
use crate::sys;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Variables that mean the supervisor, and its successor.
pub(super) const MANAGED: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// See the module.
pub(crate) struct Notify {
    socket: Option<OwnedFd>,
    /// How often it wants to hear from us.
    pub watchdog: Option<Duration>,
}

impl Notify {
    /// From the environment.
    pub fn from_env() -> Notify {
        let address = std::env::var("NOTIFY_SOCKET").ok().filter(|a| !a.is_empty());
        let of_us = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let every = std::env::var("WATCHDOG_USEC").ok().and_then(|us| us.parse().ok()).filter(|us| *us > 0);
        Notify {
            socket: address.and_then(|address| open(&address).ok()),
            watchdog: every.filter(|_| of_us).map(|us: u64| Duration::from_micros(us / 2)),
        }
    }

    /// Says how it goes. Who does not listen is not waited for.
    pub fn say(&self, state: &str) {
        if let Some(socket) = &self.socket {
            let _ = send(socket.as_raw_fd(), state.as_bytes(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
        }
    }

    /// Has a descriptor kept for the time when this process is gone.
    pub fn keep(&self, name: &str, fd: &OwnedFd) {
        if let Some(socket) = &self.socket {
            let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            let _ = sys::send_descriptor(socket, text.as_bytes(), fd.as_fd(), flags);
        }
    }

    pub fn forget(&self, name: &str) {
        self.say(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }
}

fn open(address: &str) -> nix::Result<OwnedFd> {
    let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let address = match address.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(address)?,
    };
    connect(fd.as_raw_fd(), &address)?;
    Ok(fd)
}

/// Descriptors that the manager passes (sd_listen_fds(3)): sockets that it has opened for us, and what it has kept.
/// Called once, before any other descriptor is opened.
pub(crate) fn passed() -> Store {
    let mut store = Store::default();
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if var("LISTEN_PID") != std::process::id().to_string() {
        return store;
    }
    let count: i32 = var("LISTEN_FDS").parse().unwrap_or(0);
    let names = var("LISTEN_FDNAMES");
    let mut names = names.split(':');
    for fd in (3..).take(usize::try_from(count).unwrap_or(0)) {
        let name = names.next().filter(|n| !n.is_empty()).unwrap_or("unknown");
        if let Some(fd) = sys::inherited_descriptor(fd) {
            store.keep(name.to_owned(), fd);
        }
    }
    store
}
