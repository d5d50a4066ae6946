//! Second stage: makes events of records. Who did it, in which container, to what.

mod address;
mod arguments;
mod called;
mod created;
pub mod errno;
pub(crate) mod execs;
mod flags;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod hosts;
mod index;
mod layers;
mod lifecycle;
mod losses;
mod newcomers;
pub(crate) mod paths;
mod pending;
mod people;
mod places;
mod process;
mod programs;
mod records;
mod sessions;
mod sight;
mod sockets;

use crate::container::Container;
use crate::event::{Event, Identity, Namespaces, Process, Source, Value};
use crate::ingest::facts;
use crate::ingest::message::{Message, SessionId};
use crate::outputs::Output;
use crate::pace::{self, Feeder};
use crossbeam_channel::{Receiver, RecvTimeoutError, TrySendError};
use index::Deadlines;
use newcomers::Newcomers;
use pending::Waiting;
use porthole_registration::container::Process as Started;
use sessions::Tracked;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Outputs gathered before they are handed on.
const BATCH: usize = 1024;
/// Outputs that wait here while the queue of the next stage is full. Small ones would fill that queue in a moment, and
/// the stages before would stand still; what one container has on its way is bounded by its share.
const WAITING: usize = 16 * BATCH;
/// When a full queue is tried again.
const AGAIN: Duration = Duration::from_micros(500);

/// A container as this stage follows it.
pub(crate) struct Followed {
    pub container: Arc<Container>,
    /// Since when its processes have been listened to.
    since_ns: u64,
    /// Processes that the kernel has named, by their pid on the host.
    known: HashMap<u32, Known>,
    /// Distinct pids inside the container, to count processes.
    seen: HashSet<u32>,
    /// Namespaces of its first verified process.
    ns: Option<Namespaces>,
    /// Execs whose program is not known yet, and programs whose exec is not.
    pending: Waiting,
    newcomers: Newcomers,
    /// Processes that the engine has added and whose hello has not come.
    added: Vec<Started>,
    /// Host names that its processes have looked up.
    hosts: hosts::Hosts,
    losses: losses::Losses,
    tampering: lifecycle::Tampering,
    entered: bool,
    /// The end of its first process has been told.
    died: bool,
}

/// A process that the kernel has named, also when no session of it is open.
struct Known {
    session: Arc<str>,
    process: Arc<Process>,
    identity: Identity,
    exit_status: Option<i32>,
}

/// The stage.
pub(crate) struct Tagger {
    containers: HashMap<Arc<str>, Followed>,
    sessions: HashMap<SessionId, Tracked>,
    deadlines: Deadlines,
    /// Number of the last exec or program that waits.
    number: u64,
    /// The host's own pid namespace: a container in it shares the host's numbers.
    host_pids: Option<u64>,
    events: Arc<AtomicU64>,
    /// Nothing comes any more: what is waited for is decided by what is known.
    ending: bool,
    out: Vec<Output>,
    /// The next stage's queue was full when it was tried last.
    full: bool,
    tx: Feeder<Vec<Output>>,
}

/// What a new event is made of, beside its container.
struct Draft {
    evt_type: &'static str,
    time_ns: u64,
    rawres: Option<i64>,
    fields: Vec<(&'static str, Value)>,
    source: Source,
    identity: Identity,
    process: Option<Arc<Process>>,
    session: Arc<str>,
    seq: Option<u32>,
}

impl Tagger {
    pub fn new(tx: Feeder<Vec<Output>>, events: Arc<AtomicU64>) -> Tagger {
        Tagger {
            containers: HashMap::new(),
            sessions: HashMap::new(),
            deadlines: Deadlines::default(),
            number: 0,
            host_pids: facts::namespaces(std::process::id()).pid,
            events,
            ending: false,
            out: vec![],
            full: false,
            tx,
        }
    }

    /// Runs until ingest has gone away; then nothing waits any longer for what may still come.
    pub fn run(mut self, rx: &Receiver<Message>) {
        loop {
            let now = Instant::now();
            let deadline = match (self.out.is_empty(), self.full) {
                (true, _) => self.deadlines.next(),
                (false, full) => Some(if full { now + AGAIN } else { now }),
            };
            let message = pace::receive(rx, deadline);
            match message {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.expire(Some(Instant::now()));
            if self.out.len() >= BATCH {
                self.flush();
            }
        }
        self.ending = true;
        self.expire(None);
        self.flush();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Registered(container) => self.registered(container),
            Message::ExecAdded { container, file, exec } => self.exec_added(&container, file, exec),
            Message::Opened(session) => self.opened(*session),
            Message::Ringless { container, shared, sender } => self.ringless(&container, shared, &sender),
            Message::Records(batch) => self.batch(batch),
            Message::Over(id) => self.over(id),
            Message::Exited { container, pid, status } => self.exited(&container, pid, status),
            Message::Starved { container, killed, all } => self.starved(&container, killed, all),
            Message::Tampered { container, session, what } => self.tampered(&container, session, what),
            Message::Deleted(container) => self.deleted(&container),
        }
    }

    fn flush(&mut self) {
        self.full = false;
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        if out.len() >= WAITING || self.ending {
            self.tx.send(out);
        } else if let Err(TrySendError::Full(out)) = self.tx.offer(out) {
            self.out = out;
            self.full = true;
        }
        self.tx.call();
    }

    fn emit(&mut self, container: &Arc<Container>, draft: Draft) {
        let num = self.events.fetch_add(1, Relaxed) + 1;
        let Draft { evt_type, time_ns, rawres, fields, source, identity, process, session, seq } = draft;
        let container = container.info.clone();
        let event =
            Event { num, time_ns, evt_type, rawres, fields, process, container, source, identity, session, seq };
        self.out.push(Output::Event(Arc::new(event)));
    }
}
