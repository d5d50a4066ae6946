//! Sessions: a hello on the socket becomes an open ring with an identity. (Rings that nobody announces: `files.rs`.)

use super::drain::Open;
use super::facts;
use super::hello::Hello;
use super::message::{Message, Sender, Session, SessionId};
use super::registrations::refill;
use super::socket::{self, Packet, Peer};
use super::{HELLO_DEADLINE, Ingest, MAX_CONNECTIONS, MAX_RINGS, Token, ring};
use crate::event::Identity;
use crate::loss::{Counters, Refusal};
use crate::positions::{Position, Resumed};
use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use porthole_common::limits::OVERFLOW_RING;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// An accepted connection whose hello has not come.
pub(super) struct Connection {
    pub container: u64,
    fd: OwnedFd,
    deadline: Instant,
}

impl Ingest {
    pub(super) fn accept(&mut self, container: u64) {
        // A bounded number per turn: the rings of others are read in between.
        for _ in 0..MAX_CONNECTIONS {
            let Some(c) = self.registered(container) else { return };
            let Some(Ok(fd)) = c.listener.as_ref().map(sys::accept) else { return };
            let now = Instant::now();
            let Some(c) = self.registered_mut(container) else { return };
            if !refill(&mut c.hellos, now) {
                self.refuse(container, "hello_rate");
                continue;
            }
            match socket::receive(&fd) {
                Packet::Hello(bytes) => self.hello(container, &fd, &bytes),
                Packet::Nothing => self.refuse(container, "no_hello"),
                Packet::Bad => self.refuse(container, "hello_malformed"),
                Packet::Later if c.connections >= MAX_CONNECTIONS => self.refuse(container, "connections"),
                Packet::Later => {
                    c.connections += 1;
                    let id = self.id();
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Connection(id).pack());
                    let _ = self.epoll.add(&fd, event);
                    self.connections.insert(id, Connection { container, fd, deadline: now + HELLO_DEADLINE });
                }
            }
        }
    }

    pub(super) fn hear(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let packet = socket::receive(&connection.fd);
        if let Packet::Later = packet {
            return;
        }
        let Some(Connection { container, fd, .. }) = self.connections.remove(&id) else { return };
        let Some(c) = self.registered_mut(container) else { return };
        c.connections = c.connections.saturating_sub(1);
        match packet {
            Packet::Hello(bytes) => self.hello(container, &fd, &bytes),
            Packet::Nothing => self.refuse(container, "no_hello"),
            _ => self.refuse(container, "hello_malformed"),
        }
    }

    pub(super) fn drop_late_connections(&mut self, now: Instant) {
        let late: Vec<u64> = self.connections.iter().filter(|(_, c)| c.deadline <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some(connection) = self.connections.remove(&id) else { continue };
            if let Some(c) = self.registered_mut(connection.container) {
                c.connections = c.connections.saturating_sub(1);
                c.container.counters.refuse("hello_late");
            }
        }
    }

    /// A hello came over the socket.
    fn hello(&mut self, container: u64, connection: &OwnedFd, bytes: &[u8]) {
        let announced = match (socket::peer(connection, self.setup.without), Hello::decode(bytes)) {
            (None, _) => Err("no_peer"),
            (_, Err(_)) => Err("hello_malformed"),
            (Some(peer), Ok(hello)) if hello.ring.is_empty() || hello.ring == OVERFLOW_RING => {
                self.ringless(container, hello, peer)
            }
            (Some(peer), Ok(hello)) => self.announce(container, hello, bytes, peer),
        };
        if let Err(why) = announced {
            self.refuse(container, why);
        }
    }

    fn announce(&mut self, container: u64, hello: Hello, bytes: &[u8], peer: Peer) -> Result<(), Refusal> {
        let seen = facts::look(peer.pid);
        let parent = seen.as_ref().map_or(0, |s| s.stat.ppid);
        // What the process, its parent and the ring it wrote to before have said so far comes first.
        self.drain_relatives(container, &hello, Some((peer.pid, parent)));
        let known = self.registered(container).and_then(|c| c.by_name.get(&hello.ring).copied());
        if let Some(session) = known.and_then(|id| self.sessions.get(&id)) {
            return match session.pid {
                Some(pid) if pid == peer.pid => Ok(()),
                Some(_) => Err("hello_owner"),
                None if session.ring.uid != peer.uid => Err("hello_owner"),
                None => {
                    let (sender, pidfd) = self.identify(container, hello, peer, seen.as_ref())?;
                    self.open_session(container, known, None, sender, pidfd)
                }
            };
        }
        let opened = self.open_ring(container, &hello.ring)?;
        if opened.ring.uid != peer.uid {
            return Err("hello_owner");
        }
        if opened.hello != bytes {
            return Err("hello_differs");
        }
        let (sender, pidfd) = self.identify(container, hello, peer, seen.as_ref())?;
        self.open_session(container, None, Some(opened.ring), sender, pidfd)
    }

    /// A process without a ring of its own.
    fn ringless(&mut self, container: u64, hello: Hello, peer: Peer) -> Result<(), Refusal> {
        let seen = facts::look(peer.pid);
        let parent = seen.as_ref().map_or(0, |s| s.stat.ppid);
        self.drain_relatives(container, &hello, Some((peer.pid, parent)));
        let (sender, pidfd) = self.identify(container, hello, peer, seen.as_ref())?;
        let c = self.registered(container).ok_or("no_container")?;
        let session = c.by_name.get(OVERFLOW_RING).copied().filter(|_| !sender.hello.ring.is_empty());
        let shared = c.container.clone();
        if let (Some(pid), Some(facts)) = (sender.pid, &sender.facts) {
            self.watch_process(container, pid, Some(facts.stat.start_ticks), pidfd, None, false);
        }
        self.send(Message::Ringless { container: shared, shared: session, sender: Box::new(sender) });
        Ok(())
    }

    /// Asks the kernel who the peer is. `seen`: its first answer; `None` when the process has been reaped.
    fn identify(
        &mut self,
        container: u64,
        hello: Hello,
        peer: Peer,
        seen: Option<&facts::Seen>,
    ) -> Result<(Sender, Option<OwnedFd>), Refusal> {
        let wanted = facts::Wanted {
            cwd: hello.cwd.is_empty(),
            arguments: hello.truncated() || hello.forked(),
            login: hello.ppid == 0,
            host_users: self.host_users,
        };
        let facts = seen.map(|seen| facts::read_all(peer.pid, seen, peer.uid, &wanted));
        // A process that is being reaped has 0 there.
        let known = |f: &&facts::Facts| !f.ns_pids.is_empty() && !f.ns_pids.contains(&0);
        if facts.as_ref().filter(known).is_some_and(|f| !f.ns_pids.contains(&hello.pid)) {
            return Err("hello_pid");
        }
        // Still the same process after all was read? Then the number was not given to another one meanwhile.
        let same = match &peer.pidfd {
            Some(fd) => !readable(fd),
            None => facts.as_ref().is_some_and(|f| {
                facts::stat(peer.pid).is_some_and(|s| s.start_ticks == f.stat.start_ticks && s.state != b'Z')
            }),
        };
        let complete = facts.as_ref().is_some_and(|f| f.ns.mnt.is_some());
        let identity = if same && complete { Identity::Verified } else { Identity::Inherited };
        if let Some(seen) = seen.filter(|_| identity == Identity::Verified)
            && facts::is_of_another(seen, &self.registered(container).ok_or("no_container")?.container)
        {
            self.refuse(container, "cgroup");
        }
        let time_ns = self.clock.time_of_day(hello.clock, hello.time, self.now_ns());
        let c = self.registered_mut(container).ok_or("no_container")?;
        let inner_uid = facts.as_ref().map_or(hello.euid, |f| f.inner_uid);
        let user = c.users.name(inner_uid, Instant::now());
        let (pid, uid) = (Some(peer.pid), Some(peer.uid));
        Ok((Sender { hello, pid, facts, uid, user, identity, time_ns }, peer.pidfd))
    }

    /// Opens the session of a ring, or tells more of one that is open.
    pub(super) fn open_session(
        &mut self,
        container: u64,
        known: Option<SessionId>,
        ring: Option<ring::Ring>,
        sender: Sender,
        mut pidfd: Option<OwnedFd>,
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        let id = match known {
            Some(id) => id,
            None => self.id(),
        };
        let c = self.registered_mut(container).ok_or("no_container")?;
        let shared = c.container.clone();
        let mut saved = None;
        if let Some(mut ring) = ring {
            let (root, left) = (shared.dir.root(), c.left.remove(&ring.name));
            let (position, resumed) = if left {
                Position::open(root, &ring.name, ring.inode)
            } else {
                (Position::new(root, &ring.name, ring.inode), Resumed::default())
            };
            ring.keep_position(position);
            saved = resumed.saved;
            c.by_name.insert(ring.name.clone(), id);
            c.by_vpid.insert(sender.hello.pid, id);
            Counters::count(&shared.counters.sessions_open);
            Counters::count(&shared.counters.sessions_total);
            let clock = sender.hello.clock;
            let mut open = Open::new(container, shared.clone(), Arc::new(ring), resumed.reader, clock, now);
            open.vpid = sender.hello.pid;
            self.sessions.insert(id, open);
        }
        // A process that an earlier collector has verified is the same if it was started at the same time.
        let of_saved = saved.as_ref().and_then(|s| Some((s.process.pid?, s.start_ticks?)));
        let alive = of_saved.filter(|(pid, start)| facts::stat(*pid).is_some_and(|s| s.start_ticks == *start));
        let mut watch = sender.pid.map(|pid| (pid, sender.facts.as_ref().map(|f| f.stat.start_ticks)));
        if let (None, Some((pid, start))) = (watch, alive) {
            watch = Some((pid, Some(start)));
            pidfd = if self.setup.without.pidfd { None } else { sys::pidfd_open(pid).ok() };
        }
        let open = self.sessions.get_mut(&id).ok_or("no_container")?;
        open.pid = open.pid.or(watch.map(|w| w.0));
        let ring = open.ring.clone();
        let forked = sender.hello.forked();
        self.send(Message::Opened(Box::new(Session { id, container: shared.clone(), ring, sender, saved })));
        if let Some((pid, start)) = watch {
            self.watch_process(container, pid, start, pidfd, Some(id), forked);
        } else {
            if let Some((pid, _)) = of_saved {
                // It has ended while no collector ran: its last words come first.
                self.drain(id, now);
                self.send(Message::Exited { container: shared, pid, status: None });
            }
            // Nobody will tell of its end, which may be long ago. Left to be asked later, the rings of the dead would
            // pile up where a collector never lives that long.
            self.check_over(id, now);
        }
        self.look_soon(id, now);
        Ok(())
    }

    /// Drains what a new session's events may follow from, even where the container has its share: the same process's
    /// ring before an exec, its parent's, and the one a forked child wrote to. `of_kernel`: its pid and its parent's on
    /// the host, where the kernel has told them.
    pub(super) fn drain_relatives(&mut self, container: u64, hello: &Hello, of_kernel: Option<(u32, u32)>) {
        let now = Instant::now();
        let Some(c) = self.registered(container).filter(|c| !c.container.is_far_beyond()) else { return };
        let of_host = <[u32; 2]>::from(of_kernel.unwrap_or_default());
        let mut ids: Vec<SessionId> =
            of_host.iter().filter_map(|p| c.processes.get(p)).flat_map(|p| p.sessions.iter().copied()).collect();
        ids.extend([hello.pid, hello.ppid].iter().filter_map(|vpid| c.by_vpid.get(vpid)));
        ids.extend(c.by_name.get(&hello.parent_ring));
        ids.extend(c.by_name.get(OVERFLOW_RING));
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            self.drain(id, now);
        }
    }

    /// The session is closed: nothing of it is kept here.
    pub(super) fn forget_session(&mut self, id: SessionId) -> Option<Open> {
        let open = self.sessions.remove(&id)?;
        if let Some(c) = self.registered_mut(open.container) {
            c.by_name.remove(&open.ring.name);
            if c.by_vpid.get(&open.vpid) == Some(&id) {
                c.by_vpid.remove(&open.vpid);
            }
            if c.closed.len() >= 4 * MAX_RINGS {
                // Removals that inotify did not tell, because there were too many.
                let rings = c.container.dir.rings();
                c.closed.retain(|name, _| rings.join(name).symlink_metadata().is_ok());
            }
            c.closed.insert(open.ring.name.clone(), open.ring.inode);
            if let Some(p) = open.pid.and_then(|pid| c.processes.get_mut(&pid)) {
                p.sessions.retain(|s| *s != id);
            }
            c.container.counters.sessions_open.fetch_sub(1, Relaxed);
        }
        Some(open)
    }
}

fn readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::stage::Stage;

    #[test]
    fn a_ring_that_is_found_without_its_process_is_closed_at_the_first_look() {
        let mut stage = Stage::new("without-process");
        let container = stage.register();
        for name in ["left", "written"] {
            stage.make_ring(container, name);
        }
        let dir = stage.ingest.registered(container).unwrap().container.dir.rings();
        let _writer = std::fs::OpenOptions::new().read(true).write(true).open(dir.join("written")).unwrap();
        for name in ["left", "written"] {
            let ring = stage.ingest.open_ring(container, name).unwrap().ring;
            let identity = Identity::Inherited;
            let hello = Hello::default();
            let sender = Sender { hello, pid: None, facts: None, uid: None, user: None, identity, time_ns: 0 };
            stage.ingest.open_session(container, None, Some(ring), sender, None).unwrap();
        }
        stage.ingest.drain_due(Instant::now());
        let open: Vec<&str> = stage.ingest.sessions.values().map(|open| &*open.ring.name).collect();
        assert_eq!(open, ["written"]);
    }
}
