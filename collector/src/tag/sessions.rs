//! Sessions: whose records a ring holds, and in which order they may be told.

use super::layers;
use super::places::Held;
use super::process::{self, Person};
use super::programs::Start;
use super::{Known, Tagger};
use crate::container::Container;
use crate::event::{Identity, Process, Source};
use crate::ingest::hello::Hello;
use crate::ingest::message::{Batch, Sender, Session, SessionId};
use crate::ingest::{facts, ring::Ring};
use crate::loss::Counters;
use crate::outputs::Output;
use crate::positions::Saved;
use porthole_common::limits::OVERFLOW_RING;
use porthole_common::record::Libc;
use porthole_common::ring::reader::Reader;
use porthole_registration::sites::Depth;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Pids that a container's records may name beside the rings' own and that are remembered: a ring's share of this.
const OTHERS_OF_CONTAINER: usize = 4096;
/// A ring's share, at least and at most.
const OTHERS_OF_RING: (usize, usize) = (4, 256);
/// Processes of one container that are told apart when they are counted.
const MAX_SEEN: usize = 100_000;

/// A session as this stage follows it.
pub(super) struct Tracked {
    pub container: Arc<Container>,
    pub ring: Arc<Ring>,
    pub hello: Hello,
    pub own: Person,
    /// Forked children that write into their parent's ring, by pid inside the container.
    pub others: HashMap<u32, Person>,
    pub source: Source,
    pub musl: bool,
    /// Children that write into it may be in another pid namespace than its owner: their numbers are others' there.
    pub elsewhere: bool,
    /// All processes of the container write into it: a record's pid is all there is.
    pub shared: bool,
    /// Records that wait until it is known which exec has started this program.
    pub(super) held: Option<Held>,
    /// `own` is lent to the record of this pid.
    pub(super) lent: Option<u32>,
    /// Execs of this ring that are not decided: its position must not pass them.
    pub undecided: usize,
    /// Position up to which everything has been told, once nothing is undecided.
    pub until: Option<Reader>,
    /// Execs whose batch is not read to its end.
    pub fresh: Vec<u64>,
    over: bool,
    /// The process has ended while records were held.
    pub(super) exited: Option<(u32, Option<i32>)>,
}

impl Tracked {
    /// How many pids beside its own this ring's records may name. Any number can be forged, and each costs memory.
    pub(super) fn room_for_others(&self) -> usize {
        let rings = self.container.counters.sessions_open.load(Relaxed).max(1) as usize;
        (OTHERS_OF_CONTAINER / rings).clamp(OTHERS_OF_RING.0, OTHERS_OF_RING.1)
    }
}

impl Tagger {
    /// A ring was opened, or the process behind an open one has become known.
    pub(super) fn opened(&mut self, session: Session) {
        let mut own = process::of_sender(&session.sender);
        if let Some(tracked) = self.sessions.get_mut(&session.id) {
            own.learnt_from(&tracked.own);
            tracked.own = own;
            self.complete(session.id);
            self.introduce(session.id);
            return self.seek_again(session.id);
        }
        let Some(followed) = self.containers.get_mut(&session.container.key) else { return };
        if session.sender.identity == Identity::Verified && followed.ns.is_none() {
            followed.ns = Some(own.process.ns);
        }
        let shared = session.ring.name == OVERFLOW_RING;
        let resumed = session.saved.is_some();
        if let Some(saved) = session.saved {
            own = Person::new(saved.process, saved.identity);
            own.start_ticks = saved.start_ticks;
        }
        let Session { id, container, ring, sender, .. } = session;
        let hello = sender.hello;
        let tracked = Tracked {
            container,
            ring,
            own,
            others: HashMap::new(),
            source: source(&hello),
            musl: hello.libc == Libc::Musl as u8,
            elsewhere: false,
            shared,
            held: None,
            lent: None,
            undecided: 0,
            until: None,
            fresh: vec![],
            over: false,
            exited: None,
            hello,
        };
        self.sessions.insert(id, tracked);
        if shared {
            return;
        }
        if resumed {
            return self.introduce(id);
        }
        self.complete(id);
        self.introduce(id);
        self.place(id, sender.time_ns);
        self.say_if_shallow(id, sender.time_ns);
    }

    /// Where depth `sites` was asked for, a program without it is told.
    fn say_if_shallow(&mut self, id: SessionId, time_ns: u64) {
        let Some(t) = self.sessions.get(&id) else { return };
        let r = &t.container.registration;
        let told = r.shortfalls.iter().any(|s| s.reason == SYMBOLS_ONLY);
        if r.depth != Depth::Sites || told || t.source == Source::Sites || t.hello.forked() {
            return;
        }
        let why = match t.musl {
            true => "the system calls of musl are not patched",
            false => "its C library is not the one of the root file system, or its memory may not be changed",
        };
        let (container, session, own) = (t.container.clone(), t.ring.session.clone(), t.own.clone());
        let more = vec![("porthole.detail", why.into())];
        self.blind(&container, SYMBOLS_ONLY, (session, None), time_ns, own, more);
    }

    /// A process without a ring of its own: its exec is told at once; its records, if any, come through the shared
    /// ring.
    pub(super) fn ringless(&mut self, container: &Arc<Container>, shared: Option<SessionId>, sender: &Sender) {
        let mut own = self.related(&container.key, process::of_sender(sender), None, &sender.hello);
        layers::note(container, &mut own);
        let session = shared.and_then(|id| self.sessions.get(&id)).map(|t| t.ring.session.clone());
        let session = session.unwrap_or_else(|| container.session_prefix().into());
        self.acquaint(container, &own, &session);
        let own = match self.start_of(&container.key, None, &sender.hello, &own) {
            Some(started) => started,
            None => {
                let entry = sender.hello.ppid == 0;
                let start = Start { session: session.clone(), source: source(&sender.hello), own: own.clone() };
                self.tell_start(container, start, &sender.hello, sender.time_ns, entry);
                if !entry {
                    self.remember(&container.key, None, &sender.hello, &own, sender.time_ns);
                }
                own
            }
        };
        self.acquaint(container, &own, &session);
        if let Some(t) = shared.and_then(|id| self.sessions.get_mut(&id)) {
            if t.others.len() < t.room_for_others() {
                // Whoever writes a record into the shared ring may name any pid.
                let mut claimed = own;
                claimed.identity = Some(Identity::Claimed);
                t.others.insert(sender.hello.pid, claimed);
            }
            return;
        }
        self.blind(container, "no_ring", (session, None), sender.time_ns, own, vec![]);
    }

    /// Adds to a session's process what its parent and its container tell.
    fn complete(&mut self, id: SessionId) {
        let before = self.before_fork(id);
        let Some(t) = self.sessions.get(&id) else { return };
        let mut own = self.related(&t.container.key, t.own.clone(), before.as_ref(), &t.hello);
        if before.is_none() {
            layers::note(&t.container, &mut own);
        }
        if let Some(t) = self.sessions.get_mut(&id) {
            t.own = own;
        }
    }

    /// A process with what its parent and its container tell of it, where the kernel did not; and its hello, where
    /// nobody else does.
    fn related(&self, container: &str, mut own: Person, before: Option<&Person>, hello: &Hello) -> Person {
        let Some(followed) = self.containers.get(container) else { return own };
        if let Some(before) = before {
            own.forked_from(before);
        }
        // Its own number is another one than the host's, where the container has the host's numbers.
        let hosts = self.host_pids.is_some() && followed.ns.is_some_and(|ns| ns.pid == self.host_pids);
        let process = Arc::make_mut(&mut own.process);
        let elsewhere = hosts && process.pid.is_some_and(|pid| pid != hello.pid);
        if process.ns.mnt.is_none() {
            let parent = process.ppid.and_then(|p| followed.known.get(&p)).map(|k| k.process.ns);
            process.ns = parent.or(hello.namespaces).or(followed.ns).unwrap_or_default();
            if elsewhere && hello.namespaces.is_none() {
                process.ns.pid = None;
            }
        }
        if process.ppid.is_none() && hello.ppid != 0 {
            let on_host = process.ns.pid.is_some() && process.ns.pid == self.host_pids;
            let inside =
                || followed.known.iter().find(|(_, k)| k.process.vpid == Some(hello.ppid)).map(|(pid, _)| *pid);
            process.ppid = if on_host { Some(hello.ppid) } else { inside() };
        }
        match process.ppid.map(|p| (p, followed.known.get(&p))) {
            Some((_, Some(parent))) => {
                process.parent = Some(Process::as_parent(&parent.process));
                process.loginuid = process.loginuid.or(parent.process.loginuid);
            }
            Some((pid, None)) if pid != 0 && process.parent.is_none() => process.parent = facts::outsider(pid),
            _ => {}
        }
        own
    }

    /// The process of a forked session as its parent's ring knew it.
    fn before_fork(&mut self, id: SessionId) -> Option<Person> {
        let t = self.sessions.get(&id).filter(|t| t.hello.forked())?;
        let (key, ring, pid) = (t.container.key.clone(), t.hello.parent_ring.clone(), t.hello.pid);
        let parent = self.sessions.values_mut().find(|p| p.container.key == key && p.ring.name == ring)?;
        parent.others.remove(&pid).or_else(|| Some(parent.own.child(pid, None)))
    }

    /// Makes the session's process findable.
    pub(super) fn introduce(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get(&id) else { return };
        let (container, own, session) = (t.container.clone(), t.own.clone(), t.ring.session.clone());
        self.acquaint(&container, &own, &session);
    }

    fn acquaint(&mut self, container: &Arc<Container>, own: &Person, session: &Arc<str>) {
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        if let Some(pid) = own.process.pid {
            let known = Known {
                session: session.clone(),
                process: own.process.clone(),
                identity: own.identity(),
                exit_status: own.exit_status,
            };
            followed.known.insert(pid, known);
        }
        if followed.seen.len() < MAX_SEEN && own.process.vpid.is_some_and(|vpid| followed.seen.insert(vpid)) {
            Counters::count(&container.counters.processes);
        }
    }

    /// Keeps the process's description beside the ring's position.
    pub(super) fn save(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get(&id) else { return };
        let saved =
            Saved { identity: t.own.identity(), start_ticks: t.own.start_ticks, process: (*t.own.process).clone() };
        self.out.push(Output::Save(t.ring.clone(), Box::new(saved)));
    }

    /// Records of a ring.
    pub(super) fn batch(&mut self, mut batch: Batch) {
        let Some(t) = self.sessions.get_mut(&batch.session) else { return };
        match &mut t.held {
            Some(held) => {
                // It may wait for records of the same container.
                batch.share = None;
                held.batches.push_back(batch);
            }
            None => self.records(batch),
        }
    }

    pub(super) fn over(&mut self, id: SessionId) {
        if let Some(t) = self.sessions.get_mut(&id) {
            t.over = true;
        }
        self.finish(id);
    }

    /// Releases what has been told; closes the session if it is over and nothing of it is open.
    pub(super) fn finish(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get_mut(&id) else { return };
        if t.undecided > 0 || t.held.is_some() {
            return;
        }
        if let Some(until) = t.until.take() {
            self.out.push(Output::Release(t.ring.clone(), until));
        }
        if t.over {
            self.out.push(Output::Remove(t.ring.clone()));
            self.sessions.remove(&id);
        }
    }
}

/// Reason of a program that runs at a lesser depth than was asked for.
const SYMBOLS_ONLY: &str = "symbols_only";

fn source(hello: &Hello) -> Source {
    if hello.depth == 2 { Source::Sites } else { Source::Symbols }
}
