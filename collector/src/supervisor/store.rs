//! Descriptors that outlive the worker, by name.
//!
//! | name | what |
//! |--|--|
//! | `api` | the listening socket of the API |
//! | `agent.<created>.<inode>.<container>` | a container's listening socket: hellos wait in it while nobody accepts |

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;

/// The API's listening socket.
pub(crate) const API: &str = "api";
/// Start of the names of containers' sockets.
pub(crate) const AGENT: &str = "agent.";
/// Descriptors that are kept at most: a worker that goes mad must not take all.
const MAX: usize = 16_384;
/// Where a supervisor that executes its successor names what it leaves open: `fd=name:fd=name`.
const HANDED_ON: &str = "PORTHOLE_HANDED_ON";

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Store(BTreeMap<String, OwnedFd>);

impl Store {
    /// Keeps a descriptor; `false` when there are too many.
    pub fn keep(&mut self, name: String, fd: OwnedFd) -> bool {
        let room = self.0.len() < MAX || self.0.contains_key(&name);
        if room {
            self.0.insert(name, fd);
        }
        room
    }

    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub fn get(&self, name: &str) -> Option<&OwnedFd> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &OwnedFd)> {
        self.0.iter()
    }

    pub fn extend(&mut self, other: Store) {
        self.0.extend(other.0);
    }

    /// Leaves everything open for the program that this process executes next; the environment variable to set.
    pub fn hand_on(&self) -> (&'static str, String) {
        let leave = |(name, fd): (&String, &OwnedFd)| {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).ok().map(|_| format!("{}={name}", fd.as_raw_fd()))
        };
        (HANDED_ON, self.0.iter().filter_map(leave).collect::<Vec<_>>().join(":"))
    }

    /// The program was not executed after all.
    pub fn take_back(&self) {
        for fd in self.0.values() {
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }

    /// What a predecessor has left. Called once, before any other descriptor is opened.
    pub fn handed_on() -> Store {
        let mut store = Store::default();
        for entry in std::env::var(HANDED_ON).unwrap_or_default().split(':') {
            let Some((fd, name)) = entry.split_once('=') else { continue };
            if let Some(fd) = fd.parse().ok().and_then(sys::inherited_descriptor) {
                store.keep(name.to_owned(), fd);
            }
        }
        store
    }

    /// Environment variables that only the supervisor is meant by.
    pub fn private_environment() -> [&'static str; 7] {
        [HANDED_ON, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]
    }
}
