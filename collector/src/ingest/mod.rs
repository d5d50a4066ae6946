//! First stage: one thread that looks for containers, hellos, ring files and ends of processes, and reads the rings.
//!
//! It never *waits* for anything that an instrumented process does: waking a thread on another processor costs the
//! process that does it some 40 µs, a twentieth of starting a program. It sleeps by the clock and asks afterwards. Only
//! what the host itself does (a new container, the end of the collector) wakes it.
//!
//! It owns every descriptor that a container can influence. Nothing it does waits for a container: reads are
//! non-blocking, files are looked at before they are opened, and every count has a limit.

mod containers;
mod drain;
mod ends;
pub(crate) mod facts;
mod files;
pub(crate) mod hello;
pub(crate) mod kept;
mod memory;
pub(crate) mod message;
mod processes;
mod registrations;
pub(crate) mod ring;
mod sessions;
mod socket;
#[cfg(test)]
mod stage;
mod tamper;
mod turns;
pub(crate) mod users;

use crate::clock::{self, Clock};
use crate::container::Container;
use crate::error::Error;
use crate::loss::Counters;
use crate::pace::Feeder;
use crate::pipeline::Without;
use drain::{ACTIVE, Open};
use message::{Message, SessionId};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{InitFlags, Inotify, WatchDescriptor};
use nix::sys::time::TimeSpec;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rings of one container that are open at a time. Two descriptors each; the tmpfs bounds the files themselves.
const MAX_RINGS: usize = 4096;
/// Connections of one container whose hello has not come yet.
const MAX_CONNECTIONS: usize = 64;
/// Connections of one container per second; beyond, rings are found by inotify. Two processors start at most
/// some 4,000 processes per second.
const MAX_HELLOS_PER_SECOND: u32 = 5000;
/// How long a connection may take to say its hello: agents send it at once.
const HELLO_DEADLINE: Duration = Duration::from_millis(50);
/// How long a new ring file waits for the hello on the socket before it is taken without.
const RING_DEADLINE: Duration = Duration::from_millis(20);
/// Rings of a deleted container that still have writers are closed after this time.
const DELETED_DEADLINE: Duration = Duration::from_secs(2);
/// Longest sleep while there are containers: how late a hello after a quiet time is heard.
const ASK: Duration = Duration::from_millis(20);
/// How late a change is noticed that nothing announces.
const HOUSEKEEPING: Duration = Duration::from_millis(200);

/// What the stage is given.
pub(crate) struct Setup {
    pub state_dir: PathBuf,
    pub registry: Arc<Mutex<Vec<Arc<Container>>>>,
    /// Counters of what belongs to no container.
    pub totals: Arc<Counters>,
    pub without: Without,
    /// Sockets that outlive this process.
    pub kept: kept::Kept,
    pub stop: Arc<AtomicBool>,
    /// Readable when `stop` has been set.
    pub wake: OwnedFd,
    /// Grows as long as the stage lives.
    pub turns: Arc<AtomicU64>,
}

/// What an epoll event is about.
#[derive(Clone, Copy)]
enum Token {
    Inotify,
    Listener(u64),
    Connection(u64),
    Pidfd(u64),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Token::Inotify => 1,
            Token::Listener(n) => n << 3 | 2,
            Token::Connection(n) => n << 3 | 3,
            Token::Pidfd(n) => n << 3 | 4,
        }
    }

    fn unpack(word: u64) -> Token {
        match word & 7 {
            1 => Token::Inotify,
            2 => Token::Listener(word >> 3),
            3 => Token::Connection(word >> 3),
            _ => Token::Pidfd(word >> 3),
        }
    }
}

/// The stage's state; its methods are spread over this directory's files.
pub(crate) struct Ingest {
    setup: Setup,
    tx: Feeder<Message>,
    epoll: Epoll,
    /// What the host does in the registrations' directories.
    host: Inotify,
    /// What containers do in their `rings/`.
    inside: Inotify,
    watches: HashMap<(containers::Side, WatchDescriptor), (u64, containers::Watch)>,
    containers: HashMap<u64, containers::Watched>,
    keys: HashMap<String, u64>,
    /// Containers whose end was reported but whose directory may still be there.
    finished: HashMap<String, u64>,
    sessions: HashMap<SessionId, Open>,
    connections: HashMap<u64, sessions::Connection>,
    pidfds: HashMap<u64, (u64, u32)>,
    /// Rings by the time of their next look.
    due: BinaryHeap<Reverse<(Instant, SessionId)>>,
    /// Containers with rings that wait for their turn.
    behind: VecDeque<u64>,
    /// Ring files waiting for their hello.
    awaiting: BinaryHeap<Reverse<files::Awaiting>>,
    clock: Clock,
    /// This process's user namespace.
    host_users: Option<u64>,
    scratch: Vec<u8>,
    next_id: u64,
    housekept: Instant,
    anchored: Instant,
}

impl Ingest {
    /// Prepares the stage; nothing of a container is touched yet.
    pub fn new(setup: Setup, tx: Feeder<Message>) -> Result<Ingest, Error> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |e: nix::Error| Error::new(format!("cannot make {what}: {e}"))
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("an epoll instance"))?;
        let inotify = || {
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
                .map_err(failed("an inotify instance (fs.inotify.max_user_instances reached?)"))
        };
        let (host, inside) = (inotify()?, inotify()?);
        let readable = |token: Token| EpollEvent::new(EpollFlags::EPOLLIN, token.pack());
        epoll.add(inside.as_fd(), readable(Token::Inotify)).map_err(failed("an inotify watch"))?;
        let now = Instant::now();
        Ok(Ingest {
            setup,
            tx,
            epoll,
            host,
            inside,
            watches: HashMap::new(),
            containers: HashMap::new(),
            keys: HashMap::new(),
            finished: HashMap::new(),
            sessions: HashMap::new(),
            connections: HashMap::new(),
            pidfds: HashMap::new(),
            due: BinaryHeap::new(),
            behind: VecDeque::new(),
            awaiting: BinaryHeap::new(),
            clock: Clock::start(),
            host_users: facts::namespaces(std::process::id()).user,
            scratch: vec![0; porthole_common::limits::RING_DATA_MAX],
            next_id: 1,
            housekept: now,
            anchored: now,
        })
    }

    /// Runs until told to stop, then drains what there is.
    pub fn run(mut self) {
        if let Err(e) = self.watch_state() {
            eprintln!("porthole: {e}");
        }
        self.scan();
        self.setup.kept.forget_rest();
        while !self.setup.stop.load(Relaxed) {
            self.turn(None);
        }
        self.finish();
    }

    /// Waits for the next thing to do (at most `longest`), and does what is due.
    fn turn(&mut self, longest: Option<Duration>) {
        self.pulse();
        let now = Instant::now();
        let next = [self.due.peek().map(|d| d.0.0), self.awaiting.peek().map(|a| a.0.at), self.behind_due(now)];
        let until_next = next.into_iter().flatten().map(|at| at.saturating_duration_since(now)).min();
        let idle = if self.containers.is_empty() { HOUSEKEEPING } else { ASK };
        // What is due soon waits for what is due soon after.
        let wait = until_next.map_or(idle, |left| if left.is_zero() { left } else { left.max(ACTIVE) });
        let timeout = wait.min(longest.unwrap_or(idle)).min(idle);
        let wakers = [self.setup.wake.as_fd(), self.host.as_fd()];
        let mut fds = wakers.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        if ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None).unwrap_or(0) > 0 {
            self.read_inotify(containers::Side::Host);
        }
        self.dispatch();
        let now = Instant::now();
        self.retry_awaiting(now);
        self.drain_due(now);
        if now.duration_since(self.housekept) >= HOUSEKEEPING || self.containers.values().any(|c| c.is_ending()) {
            self.housekept = now;
            self.housekeep(now);
        }
        if now.duration_since(self.anchored) >= Duration::from_secs(1) {
            self.anchored = now;
            self.clock.anchor();
            self.look_at_memory();
            // A directory that is used again for another container of the same name is not made anew.
            self.scan();
            self.rescan_overfull();
        }
        self.tx.call();
    }

    fn dispatch(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..count] {
            match Token::unpack(event.data()) {
                Token::Inotify => self.read_inotify(containers::Side::Inside),
                Token::Listener(container) => self.accept(container),
                Token::Connection(connection) => self.hear(connection),
                Token::Pidfd(id) => self.process_ended(id),
            }
        }
    }

    /// What time alone brings: late connections, processes without pidfd, containers that end.
    fn housekeep(&mut self, now: Instant) {
        self.drop_late_connections(now);
        self.look_after_processes();
        self.look_after_containers(now);
    }

    /// The last look at everything: accepts what waits, opens every ring, drains until nothing comes any more.
    fn finish(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        for _ in 0..3 {
            self.turn(Some(Duration::ZERO));
        }
        self.rescan_rings();
        while Instant::now() < deadline {
            self.turn(Some(Duration::from_millis(1)));
            self.awaiting_now();
            let ids: Vec<u64> = self.containers.keys().copied().collect();
            ids.into_iter().for_each(|id| self.tell_ends(id));
            if !self.drain_all() && self.connections.is_empty() {
                break;
            }
        }
    }

    /// It lives: said by each turn, and while the next stage is behind.
    fn pulse(&self) {
        self.setup.turns.fetch_add(1, Relaxed);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Hands a message on; waits while the next stage is behind (the rings hold what comes meanwhile).
    fn send(&self, message: Message) {
        self.tx.send_waiting(message, || self.pulse());
    }

    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }
}
