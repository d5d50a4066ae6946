//! Descriptors that outlive the worker, by name.
//!
//! | name | what |
//! |--|--|
//! | `api` | the listening socket of the API |
//! | `program` | the pipe to the program of `program_output`; handed over when it is started, never kept |
//! | `agent.<created>.<inode>.<container>` | a container's listening socket: hellos wait in it while nobody accepts |

use crate::sys;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// The API's listening socket.
pub(crate) const API: &str = "api";
/// The pipe to the program of `program_output`.
pub(crate) const PROGRAM: &str = "program";
/// Start of the names of containers' sockets.
pub(crate) const AGENT: &str = "agent.";
/// Descriptors that are kept at most: a worker that goes mad must not take all.
const MAX: usize = 16_384;
/// The environment variable in which a supervisor names the list that it leaves to its successor.
pub(super) const HANDED_ON: &str = "PORTHOLE_HANDED_ON";
/// Variables that are about descriptors and mean the process that finds them only.
pub(super) const PASSED: [&str; 4] = [HANDED_ON, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

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

    /// Leaves everything open for the program that this process executes next. Which is which stands in the file that comes
    /// back (a line each, number and name): the environment has no room for thousands.
    pub fn hand_on(&self) -> io::Result<File> {
        let list = File::from(memfd_create(c"descriptors", MFdFlags::empty())?);
        let mut text = String::new();
        for (name, fd) in &self.0 {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
            let _ = writeln!(text, "{} {name}", fd.as_raw_fd()); // a String takes everything
        }
        list.write_all_at(text.as_bytes(), 0)?;
        Ok(list)
    }

    /// The program was not executed after all.
    pub fn take_back(&self) {
        for fd in self.0.values() {
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }

    /// What a predecessor has left. Called once, before any other descriptor is opened.
    pub fn handed_on() -> Store {
        let list = std::env::var(HANDED_ON).ok().and_then(|fd| sys::inherited_descriptor(fd.parse().ok()?));
        list.map_or_else(Store::default, |list| Store::listed(&File::from(list)))
    }

    /// What stands in a list.
    fn listed(mut list: &File) -> Store {
        let (mut store, mut text) = (Store::default(), String::new());
        if list.rewind().and_then(|()| list.read_to_string(&mut text)).is_err() {
            return store;
        }
        for (fd, name) in text.lines().filter_map(|line| line.split_once(' ')) {
            if let Some(fd) = fd.parse().ok().and_then(sys::inherited_descriptor) {
                store.keep(name.to_owned(), fd);
            }
        }
        store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_are_handed_on_than_a_variable_of_the_environment_holds() {
        let mut store = Store::default();
        for n in 0..400 {
            store.keep(format!("{AGENT}{n}.{}", "x".repeat(400)), File::open("/dev/null").unwrap().into());
        }
        let list = store.hand_on().unwrap();
        assert!(list.metadata().unwrap().len() > 128 << 10);
        let numbers = |store: &Store| store.iter().map(|(name, fd)| (name.clone(), fd.as_raw_fd())).collect::<Vec<_>>();
        let before = numbers(&store);
        std::mem::forget(store); // its successor is their owner
        assert_eq!(numbers(&Store::listed(&list)), before);
    }
}
