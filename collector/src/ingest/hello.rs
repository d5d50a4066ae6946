//! A session's announcement, decoded and copied out of the container's bytes.

use crate::event::{Namespaces, text};
use porthole_common::limits;
use porthole_common::msgpack::Malformed;
use porthole_common::record::{Hello as Wire, NAMESPACES, Record, hello_flags};

/// What a hello says. Every field is a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub ring: String,
    pub pid: u32,
    pub ppid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub uid: u32,
    pub euid: u32,
    pub egid: u32,
    /// Effective capabilities.
    pub cap_effective: u64,
    pub libc: u8,
    pub depth: u8,
    pub clock: u8,
    pub flags: u32,
    pub time: u64,
    pub execfn: String,
    pub cwd: String,
    pub parent_ring: String,
    pub argv: Vec<String>,
    /// How many arguments there were.
    pub argc: u32,
    /// Namespaces, where the process told them.
    pub namespaces: Option<Namespaces>,
}

impl Hello {
    /// Decodes the bytes of a packet or of a ring's header page.
    pub fn decode(bytes: &[u8]) -> Result<Hello, Malformed> {
        match Record::decode(bytes)? {
            Record::Hello(h) => Ok(Hello::from(h)),
            _ => Err(Malformed::Kind),
        }
    }

    /// Whether the process is a forked child with the program of its parent.
    pub fn forked(&self) -> bool {
        self.flags & hello_flags::FORKED != 0
    }

    /// Whether the program has more, or longer, arguments than a hello has room for.
    pub fn truncated(&self) -> bool {
        let bytes: usize = self.argv.iter().map(String::len).sum();
        self.argc as usize > self.argv.len() || bytes + 16 >= limits::HELLO_ARGV
    }

    /// Whether the program makes system calls of its own, as Go's do.
    pub fn go(&self) -> bool {
        self.flags & hello_flags::GO != 0
    }

    /// Whether the process has announced itself before.
    pub fn again(&self) -> bool {
        self.flags & hello_flags::AGAIN != 0
    }
}

impl From<Wire<'_>> for Hello {
    fn from(h: Wire<'_>) -> Self {
        Hello {
            ring: text(h.ring),
            pid: h.pid,
            ppid: h.ppid,
            pgid: h.pgid,
            sid: h.sid,
            uid: h.uid,
            euid: h.euid,
            egid: h.egid,
            cap_effective: h.cap_effective,
            libc: h.libc,
            depth: h.depth,
            clock: h.clock,
            flags: h.flags,
            time: h.time,
            execfn: text(h.execfn),
            cwd: text(h.cwd),
            parent_ring: text(h.parent_ring),
            argv: h.argv.iter().map(text).collect(),
            argc: h.argc,
            namespaces: namespaces(h.namespaces),
        }
    }
}

/// In the order of [`NAMESPACES`]; zeros say nothing.
fn namespaces(told: [u64; NAMESPACES.len()]) -> Option<Namespaces> {
    let [mnt, pid, net, ipc, uts, user, cgroup, time] = told.map(|inode| Some(inode).filter(|i| *i != 0));
    Some(Namespaces { mnt, pid, net, ipc, uts, user, cgroup, time }).filter(|ns| *ns != Namespaces::default())
}

/// Whether a file name is one that agents give their rings.
pub(crate) fn valid_ring_name(name: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_digit() || b.is_ascii_lowercase() || *b == b'-';
    !name.is_empty() && name.len() <= limits::RING_NAME && name.iter().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_names_are_plain() {
        for good in ["a", "0-9-z", "overflow", &"x".repeat(40)] {
            assert!(valid_ring_name(good.as_bytes()));
        }
        for bad in ["", ".", "..", "a/b", "A", "a.b", "a\0", &"x".repeat(41)] {
            assert!(!valid_ring_name(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn other_records_are_no_hello() {
        assert!(Hello::decode(&[]).is_err());
        assert!(Hello::decode(&[0x93, 8, 60, 0]).is_err());
    }
}
