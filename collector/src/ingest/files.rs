//! Files in `rings/`: found by inotify and by looking, opened when their hello does not come over the socket.

use super::containers::Watched;
use super::hello::{Hello, valid_ring_name};
use super::message::Sender;
use super::registrations::Registered;
use super::{Ingest, MAX_RINGS, ring};
use crate::event::Identity;
use crate::loss::Refusal;
use porthole_common::limits::OVERFLOW_RING;
use std::time::{Duration, Instant};

/// A ring file that waits for its hello.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Awaiting {
    pub at: Instant,
    container: u64,
    name: String,
    tries: u32,
}

/// Looks at an unfinished ring file before it is taken for junk: the agent's process may be stopped meanwhile.
const TRIES: u32 = 20;

impl Ingest {
    /// Opens one file of `rings/`, unless there are too many.
    pub(super) fn open_ring(&mut self, container: u64, name: &str) -> Result<ring::Opened, Refusal> {
        let c = self.registered_mut(container).ok_or("no_container")?;
        if c.by_name.len() >= MAX_RINGS {
            c.overfull = true;
            return Err("too_many_rings");
        }
        let opened = ring::open(&c.rings, name, c.container.session_prefix())?;
        if c.closed.get(name) == Some(&opened.ring.inode) {
            return Err(ring::GONE);
        }
        Ok(opened)
    }

    /// A file appeared in `rings/`: its hello should follow on the socket.
    pub(super) fn await_ring(&mut self, container: u64, name: &str, wait: Duration) {
        let Some(c) = self.registered(container) else { return };
        if c.by_name.contains_key(name) {
            return;
        }
        if !valid_ring_name(name.as_bytes()) {
            return self.refuse(container, "ring_name");
        }
        if c.awaiting >= MAX_RINGS {
            c.container.counters.refuse("too_many_rings");
            if let Some(c) = self.registered_mut(container) {
                c.overfull = true;
            }
            return;
        }
        let at = Instant::now() + wait;
        self.push_awaiting(Awaiting { at, container, name: name.to_owned(), tries: 0 });
    }

    fn push_awaiting(&mut self, awaiting: Awaiting) {
        if let Some(c) = self.registered_mut(awaiting.container) {
            c.awaiting += 1;
            self.awaiting.push(std::cmp::Reverse(awaiting));
        }
    }

    pub(super) fn retry_awaiting(&mut self, now: Instant) {
        while self.awaiting.peek().is_some_and(|a| a.0.at <= now) {
            let Some(std::cmp::Reverse(a)) = self.awaiting.pop() else { return };
            self.take_unannounced(a);
        }
    }

    /// Opens every waiting ring at once, as far as it is ready.
    pub(super) fn awaiting_now(&mut self) {
        for std::cmp::Reverse(a) in std::mem::take(&mut self.awaiting).into_vec() {
            self.take_unannounced(a);
        }
    }

    /// The same of one container.
    pub(super) fn open_awaiting(&mut self, container: u64) {
        let all = std::mem::take(&mut self.awaiting).into_vec();
        let (its, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|a| a.0.container == container);
        self.awaiting = others.into();
        for std::cmp::Reverse(a) in its {
            self.take_unannounced(a);
        }
    }

    /// A ring without a hello on the socket: what its header page says is a claim.
    fn take_unannounced(&mut self, mut awaiting: Awaiting) {
        let (container, name) = (awaiting.container, awaiting.name.as_str());
        if let Some(c) = self.registered_mut(container) {
            c.awaiting = c.awaiting.saturating_sub(1);
        }
        if self.registered(container).is_none_or(|c| c.by_name.contains_key(name)) {
            return;
        }
        let shared_ring = name == OVERFLOW_RING;
        let opened = self.open_ring(container, name);
        let hello = match &opened {
            Ok(o) if shared_ring => Ok(Hello::decode(&o.hello).unwrap_or_default()),
            Ok(o) => Hello::decode(&o.hello).ok().filter(|h| h.ring == name).ok_or("hello_malformed"),
            Err(why) => Err(*why),
        };
        match (opened, hello) {
            (Ok(opened), Ok(hello)) => {
                let identity = if shared_ring { Identity::Claimed } else { Identity::Inherited };
                let time_ns = self.clock.time_of_day(hello.clock, hello.time, self.now_ns());
                let uid = Some(opened.ring.uid).filter(|_| !shared_ring);
                let sender = Sender { hello, pid: None, facts: None, uid, user: None, identity, time_ns };
                self.drain_relatives(container, &sender.hello, None);
                let _ = self.open_session(container, None, Some(opened.ring), sender, None);
            }
            (_, Err(why)) if why == ring::NOT_READY && awaiting.tries < TRIES => {
                awaiting.tries += 1;
                awaiting.at = Instant::now() + Duration::from_millis(20) * awaiting.tries.min(25);
                self.push_awaiting(awaiting);
            }
            (_, Err(ring::GONE)) => {}
            (_, Err(why)) => {
                self.refuse(container, why);
            }
            (Err(_), Ok(_)) => {}
        }
    }

    /// Whether ring files of this container still wait for their hello.
    pub(super) fn awaiting_of(&self, container: u64) -> bool {
        self.awaiting.iter().any(|a| a.0.container == container)
    }

    /// Every file in the container's `rings/` that is not open yet.
    pub(super) fn scan_rings(&mut self, container: u64) {
        let Some(c) = self.registered_mut(container) else { return };
        c.overfull = false;
        let Ok(entries) = std::fs::read_dir(c.container.dir.rings()) else { return };
        let known = |c: &Registered, name: &str| c.by_name.contains_key(name);
        let names: Vec<String> = entries
            .flatten()
            .take(4 * MAX_RINGS)
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| valid_ring_name(n.as_bytes()) && !known(c, n) && !c.closed.contains_key(n))
            .collect();
        let waiting: std::collections::HashSet<&str> =
            self.awaiting.iter().filter(|a| a.0.container == container).map(|a| a.0.name.as_str()).collect();
        let new: Vec<&String> = names.iter().filter(|n| !waiting.contains(n.as_str())).collect();
        let new: Vec<String> = new.into_iter().cloned().collect();
        for name in new {
            self.await_ring(container, &name, Duration::ZERO);
        }
    }

    /// Containers that had more ring files than may be looked at.
    pub(super) fn rescan_overfull(&mut self) {
        let overfull = |w: &Watched| w.shared.as_ref().is_some_and(|c| c.overfull);
        let ids: Vec<u64> = self.containers.iter().filter(|(_, w)| overfull(w)).map(|(id, _)| *id).collect();
        for id in ids {
            self.scan_rings(id);
        }
    }

    pub(super) fn rescan_rings(&mut self) {
        let ids: Vec<u64> = self.containers.keys().copied().collect();
        for id in ids {
            self.scan_rings(id);
        }
    }
}
