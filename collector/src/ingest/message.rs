//! What ingest hands to the tag stage.

use super::facts::Facts;
use super::hello::Hello;
use super::ring::Ring;
use crate::container::{Container, OnTheirWay};
use crate::event::Identity;
use crate::loss::Reason;
use crate::positions::Saved;
use porthole_common::ring::reader::Reader;
use porthole_registration::container::Exec;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Number of an open ring, never used twice in a run.
pub(crate) type SessionId = u64;

/// One message.
pub(crate) enum Message {
    /// A container was registered (or found at start).
    Registered(Arc<Container>),
    /// The engine adds a process to a container.
    ExecAdded { container: Arc<Container>, file: PathBuf, exec: Exec },
    /// A ring was opened, or the process behind an open one has become known.
    Opened(Box<Session>),
    /// A process has no ring of its own: it writes into the one that all share, or not at all.
    Ringless { container: Arc<Container>, shared: Option<SessionId>, sender: Box<Sender> },
    /// Records of a ring.
    Records(Batch),
    /// A ring has no writer any more and is drained.
    Over(SessionId),
    /// A process that announced itself has ended.
    Exited { container: Arc<Container>, pid: u32, status: Option<i32> },
    /// The kernel has killed so many of its processes, because it had no memory left; and so many in all.
    Starved { container: Arc<Container>, killed: u64, all: u64 },
    /// Something that only an attacker, or a bug, does.
    Tampered { container: Arc<Container>, session: Arc<str>, what: &'static str },
    /// The runtime has deleted the container, and its rings are over.
    Deleted(Arc<Container>),
}

/// A ring that was opened.
pub(crate) struct Session {
    pub id: SessionId,
    pub container: Arc<Container>,
    pub ring: Arc<Ring>,
    pub sender: Sender,
    /// From an earlier run of the collector.
    pub saved: Option<Saved>,
}

/// Who has announced itself.
pub(crate) struct Sender {
    pub hello: Hello,
    /// Process on the host, and what the kernel says of it as far as it still lived.
    pub pid: Option<u32>,
    pub facts: Option<Facts>,
    /// As the host sees it.
    pub uid: Option<u32>,
    pub user: Option<Arc<str>>,
    pub identity: Identity,
    /// Time of the session's start.
    pub time_ns: u64,
}

/// Records of one ring, in order.
pub(crate) struct Batch {
    pub session: SessionId,
    pub items: Vec<Item>,
    pub bytes: Vec<u8>,
    /// The ring's reader behind the last of them.
    pub until: Reader,
    /// There is more in the ring that was there at the same time.
    pub cut: bool,
    /// Counts them as the container's share.
    pub share: Option<OnTheirWay>,
}

/// One record, or some that are missing.
pub(crate) enum Item {
    Record { sequence: u32, pid: u32, time_ns: u64, payload: Range<usize> },
    Lost { sequence: u32, count: u32, reason: Reason },
}
