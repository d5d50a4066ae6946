//! Containers' sockets that outlive this process: the supervisor holds them, and with them the hellos of the time when
//! nobody accepts.

use super::socket;
use crate::supervisor::control::{Control, Word};
use crate::supervisor::store::AGENT;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// See the module. Without a supervisor it holds nothing.
#[derive(Default)]
pub(crate) struct Kept {
    /// What a worker before this one has left, by name.
    pub sockets: HashMap<String, OwnedFd>,
    pub control: Option<Arc<Control>>,
}

impl Kept {
    /// The socket of a container: the one that was kept, where its file still lies in `mnt`, else a new one. Also the
    /// name that it is kept by.
    pub fn listen(&mut self, key: &str, created_ns: u64, mnt: &OwnedFd) -> io::Result<(OwnedFd, String)> {
        let name = |inode: u64| format!("{AGENT}{created_ns}.{inode}.{key}");
        if let Some(inode) = socket::lies_in(mnt)
            && let Some(listener) = self.sockets.remove(&name(inode))
        {
            return Ok((listener, name(inode)));
        }
        let (listener, inode) = socket::listen_in(mnt)?;
        self.say(|| Ok(Word::Keep(name(inode), listener.try_clone()?)));
        Ok((listener, name(inode)))
    }

    /// The container is gone.
    pub fn forget(&self, name: String) {
        self.say(|| Ok(Word::Forget(name)));
    }

    /// All containers have been looked at: whose sockets are left are gone.
    pub fn forget_rest(&mut self) {
        for (name, _) in std::mem::take(&mut self.sockets) {
            self.forget(name);
        }
    }

    /// A supervisor that does not listen now keeps this socket not: hellos of a later gap come from the rings.
    fn say(&self, word: impl FnOnce() -> io::Result<Word>) {
        if let Some(control) = &self.control {
            let _ = word().and_then(|word| control.say(&word));
        }
    }
}
