//! Containers: found by inotify or at start, watched, and let go when the runtime has deleted them.

use super::message::{Message, SessionId};
use super::processes::Process;
use super::users::Users;
use super::{DELETED_DEADLINE, Ingest, MAX_HELLOS_PER_SECOND, RING_DEADLINE, Token, socket};
use crate::container::Container;
use crate::error::Error;
use crate::loss::lock;
use nix::fcntl::{OFlag, open};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::inotify::{AddWatchFlags, Inotify, WatchDescriptor};
use nix::sys::stat::Mode;
use porthole_registration::container::{Container as Registration, Exec};
use porthole_registration::layout::{self, ContainerDir};
use porthole_registration::life;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Largest file of a registration. The host writes them, from specs whose size engines bound.
const REGISTRATION_MAX: u64 = 4 << 20;
/// Ended containers that the status still shows.
const KEEP_ENDED: usize = 100;
/// Names of exec files that are remembered; they are removed when they have been told.
const KEEP_EXECS: usize = 1024;

/// Whose doings a watch is about. The host's may wake us; a container's processes would pay for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Host,
    Inside,
}

/// Which directory a watch is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// All containers.
    State,
    /// One container's directory, not registered yet or to be deleted.
    Container,
    Execs,
    Rings,
}

/// A container as this stage knows it.
pub(super) struct Watched {
    pub key: String,
    pub shared: Option<Registered>,
    watches: Vec<(Side, WatchDescriptor)>,
    ending: Option<Instant>,
    /// The version of its announcement that could not be read: it is neither read nor complained about again.
    unreadable: Option<Version>,
    /// Whether its runtime has been seen to know it: one that is forgotten later is dead, although nobody said so.
    alive_seen: bool,
}

/// What tells one content of a file from another: inode, time of the last change (s, ns), length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version(u64, i64, i64, u64);

impl Version {
    fn of(path: &Path) -> Option<Version> {
        let m = path.symlink_metadata().ok()?;
        Some(Version(m.ino(), m.mtime(), m.mtime_nsec(), m.len()))
    }
}

/// What comes with the registration.
pub(super) struct Registered {
    pub container: Arc<Container>,
    pub rings: Arc<OwnedFd>,
    pub listener: Option<OwnedFd>,
    pub users: Users,
    pub by_name: HashMap<String, SessionId>,
    pub processes: HashMap<u32, Process>,
    /// Connections accepted whose hello has not come.
    pub connections: usize,
    /// Tokens left in this second.
    pub hellos: (Instant, u32),
    /// Rings that are over and not removed yet (the outputs do that), by name: inode numbers.
    pub closed: HashMap<String, u64>,
    /// Names of the files of `execs/` that have been read: one may be seen by the scan and by its watch.
    pub execs: HashSet<String>,
    /// Ring files that wait for their hello.
    pub awaiting: usize,
    /// More ring files than are opened: look again.
    pub overfull: bool,
}

impl Watched {
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }
}

impl Ingest {
    /// Watches the directory of all containers.
    pub(super) fn watch_state(&mut self) -> Result<(), Error> {
        let path = layout::containers(&self.setup.state_dir);
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        let wd = self.host.add_watch(&path, flags).map_err(|e| Error::io("watch", &path, e))?;
        self.watches.insert((Side::Host, wd), (0, Watch::State));
        Ok(())
    }

    /// Looks at every directory of a container.
    pub(super) fn scan(&mut self) {
        let Ok(entries) = fs::read_dir(layout::containers(&self.setup.state_dir)) else { return };
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str() {
                self.appear(name);
            }
        }
    }

    fn inotify(&self, side: Side) -> &Inotify {
        match side {
            Side::Host => &self.host,
            Side::Inside => &self.inside,
        }
    }

    pub(super) fn read_inotify(&mut self, side: Side) {
        let Ok(events) = self.inotify(side).read_events() else { return };
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                self.setup.totals.refuse("inotify_overflow");
                self.scan();
                self.rescan_rings();
                continue;
            }
            let Some(&(id, watch)) = self.watches.get(&(side, event.wd)) else { continue };
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.watches.remove(&(side, event.wd));
                continue;
            }
            let Some(name) = event.name.as_deref().and_then(|n| n.to_str()) else { continue };
            match watch {
                Watch::State => self.appear(name),
                Watch::Container if name == "container.json" => self.register(id),
                Watch::Container if name == "deleted" => self.end(id),
                Watch::Container => {}
                Watch::Execs => self.exec_added(id, name),
                Watch::Rings if event.mask.contains(AddWatchFlags::IN_DELETE) => {
                    if let Some(c) = self.registered_mut(id) {
                        c.closed.remove(name);
                    }
                }
                Watch::Rings => self.await_ring(id, name, RING_DEADLINE),
            }
        }
    }

    /// A directory below `containers/`. Its announcement may be there already, or come later.
    fn appear(&mut self, key: &str) {
        let Some(dir) = ContainerDir::new(&self.setup.state_dir, key) else { return };
        if let Some(&id) = self.keys.get(key) {
            return self.register(id);
        }
        let flags = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        let Ok(wd) = self.host.add_watch(dir.root(), flags) else { return };
        let id = self.id();
        self.watches.insert((Side::Host, wd), (id, Watch::Container));
        let watched = Watched {
            key: key.to_owned(),
            shared: None,
            watches: vec![(Side::Host, wd)],
            ending: None,
            unreadable: None,
            alive_seen: false,
        };
        self.containers.insert(id, watched);
        self.keys.insert(key.to_owned(), id);
        self.register(id);
    }

    /// Takes a container in if its announcement is there and has not been read.
    fn register(&mut self, id: u64) {
        let Some(watched) = self.containers.get(&id).filter(|w| w.shared.is_none()) else { return };
        let key = watched.key.clone();
        let Some(dir) = ContainerDir::new(&self.setup.state_dir, &key) else { return };
        // Asked before it is read: what is written meanwhile is another version.
        let version = Version::of(&dir.container_json());
        if version.is_some() && version == watched.unreadable {
            return;
        }
        let registration: Registration = match read_json(&dir.container_json()) {
            Ok(r) => r,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
            Err(e) => {
                self.setup.totals.refuse("registration_unreadable");
                eprintln!("porthole: container {key} is not watched: its registration cannot be read: {e}");
                if let Some(watched) = self.containers.get_mut(&id) {
                    watched.unreadable = version;
                }
                return;
            }
        };
        if self.finished.get(&key) == Some(&registration.created_ns) {
            return;
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let rings = match open(&dir.rings(), flags, Mode::empty()) {
            Ok(fd) => Arc::new(fd),
            Err(e) => {
                self.setup.totals.refuse("registration_incomplete");
                eprintln!("porthole: container {key} is not watched: no directory for its rings: {e}");
                return;
            }
        };
        let listener = open(&dir.mnt(), flags, Mode::empty()).map_err(std::io::Error::from);
        let listener = match listener.and_then(|mnt| socket::listen_in(&mnt)) {
            Ok(l) => Some(l),
            Err(e) => {
                self.setup.totals.refuse("no_socket");
                eprintln!("porthole: container {key} cannot announce processes (rings are read all the same): {e}");
                None
            }
        };
        if let Some(l) = &listener {
            let _ = self.epoll.add(l, EpollEvent::new(EpollFlags::EPOLLIN, Token::Listener(id).pack()));
        }
        let ended = dir.deleted().exists();
        let root = if registration.rootfs.is_empty() { "/" } else { &registration.rootfs };
        let users = Users::new(Path::new(root));
        let container = Arc::new(Container::new(&key, dir, registration));
        self.remember(&container);
        let watches = [
            (container.dir.execs(), Watch::Execs, AddWatchFlags::IN_MOVED_TO),
            (
                container.dir.rings(),
                Watch::Rings,
                AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE,
            ),
        ];
        for (path, watch, flags) in watches {
            let side = if watch == Watch::Rings { Side::Inside } else { Side::Host };
            if let Ok(wd) = self.inotify(side).add_watch(&path, flags | AddWatchFlags::IN_ONLYDIR) {
                self.watches.insert((side, wd), (id, watch));
                if let Some(w) = self.containers.get_mut(&id) {
                    w.watches.push((side, wd));
                }
            }
        }
        self.send(Message::Registered(container.clone()));
        if let Some(watched) = self.containers.get_mut(&id) {
            watched.alive_seen = life::is_alive(&container.registration);
            watched.shared = Some(Registered {
                container,
                rings,
                listener,
                users,
                by_name: HashMap::new(),
                processes: HashMap::new(),
                connections: 0,
                hellos: (Instant::now(), MAX_HELLOS_PER_SECOND),
                closed: HashMap::new(),
                execs: HashSet::new(),
                awaiting: 0,
                overfull: false,
            });
        }
        self.scan_execs(id);
        self.scan_rings(id);
        if ended {
            self.end(id);
        }
    }

    fn remember(&self, container: &Arc<Container>) {
        let mut registry = lock(&self.setup.registry);
        let ended = registry.iter().filter(|c| c.deleted.load(Relaxed)).count();
        if ended > KEEP_ENDED
            && let Some(oldest) = registry.iter().position(|c| c.deleted.load(Relaxed))
        {
            registry.remove(oldest);
        }
        registry.push(container.clone());
    }

    fn scan_execs(&mut self, id: u64) {
        let Some(c) = self.registered(id) else { return };
        let Ok(entries) = fs::read_dir(c.container.dir.execs()) else { return };
        let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            self.exec_added(id, &name);
        }
    }

    fn exec_added(&mut self, id: u64, name: &str) {
        let Some(c) = self.registered_mut(id) else { return };
        if !name.ends_with(".json") || name.starts_with('.') || c.execs.contains(name) {
            return;
        }
        if c.execs.len() >= KEEP_EXECS {
            c.execs.clear();
        }
        c.execs.insert(name.to_owned());
        let (container, file) = (c.container.clone(), c.container.dir.execs().join(name));
        match read_json::<Exec>(&file) {
            Ok(exec) => self.send(Message::ExecAdded { container, file, exec }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => container.counters.refuse("exec_unreadable"),
        }
    }

    /// The container is to go as soon as its rings are over.
    fn end(&mut self, id: u64) {
        if let Some(w) = self.containers.get_mut(&id).filter(|w| w.shared.is_some() && w.ending.is_none()) {
            w.ending = Some(Instant::now());
        }
    }

    /// Ends containers that are over, and those whose runtime has forgotten them without a `delete` (`run`).
    pub(super) fn look_after_containers(&mut self, now: Instant) {
        let ids: Vec<u64> = self.containers.keys().copied().collect();
        for id in ids {
            let Some(w) = self.containers.get_mut(&id) else { continue };
            let Some(c) = &w.shared else {
                if !self.setup.state_dir.join("containers").join(&w.key).exists() {
                    self.forget(id);
                }
                continue;
            };
            if w.ending.is_none() && !c.container.is_host() {
                let alive = life::is_alive(&c.container.registration);
                if (w.alive_seen && !alive) || life::is_dead(&c.container.registration) {
                    w.ending = Some(now);
                }
                w.alive_seen |= alive;
            }
            let Some(since) = self.containers.get(&id).and_then(|w| w.ending) else { continue };
            let late = now.duration_since(since) > DELETED_DEADLINE;
            self.scan_rings(id);
            if self.close_rings(id, late) {
                self.let_go(id);
            }
        }
    }

    fn let_go(&mut self, id: u64) {
        let Some(c) = self.registered(id).map(|c| c.container.clone()) else { return };
        self.finished.insert(c.key.to_string(), c.registration.created_ns);
        if self.finished.len() > 10_000 {
            self.finished.clear();
        }
        self.send(Message::Deleted(c));
        self.forget(id);
    }

    fn forget(&mut self, id: u64) {
        let Some(w) = self.containers.remove(&id) else { return };
        self.keys.remove(&w.key);
        for (side, wd) in w.watches {
            self.watches.remove(&(side, wd));
            let _ = self.inotify(side).rm_watch(wd);
        }
        if let Some(c) = w.shared {
            self.connections.retain(|_, connection| connection.container != id);
            for process in c.processes.into_values() {
                self.pidfds.remove(&process.token);
            }
        }
    }

    pub(super) fn registered(&self, id: u64) -> Option<&Registered> {
        self.containers.get(&id)?.shared.as_ref()
    }

    pub(super) fn registered_mut(&mut self, id: u64) -> Option<&mut Registered> {
        self.containers.get_mut(&id)?.shared.as_mut()
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> std::io::Result<T> {
    let mut bytes = vec![];
    fs::File::open(path)?.take(REGISTRATION_MAX).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(std::io::Error::other)
}

/// Whether a second has passed since the tokens were filled up.
pub(super) fn refill(hellos: &mut (Instant, u32), now: Instant) -> bool {
    if now.duration_since(hellos.0) >= Duration::from_secs(1) {
        *hellos = (now, MAX_HELLOS_PER_SECOND);
    }
    let left = hellos.1 > 0;
    hellos.1 = hellos.1.saturating_sub(1);
    left
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ingest::drain::Open;
    use crate::ingest::{Setup, ring};
    use crate::loss::Counters;
    use crate::pipeline::Without;
    use crossbeam_channel::Receiver;
    use porthole_common::{limits, ring as layout_of};
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;

    /// A stage with one container, `c`, in a state directory of its own; it goes with the value.
    pub struct Stage {
        pub ingest: Ingest,
        pub messages: Receiver<Message>,
        state: PathBuf,
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.state);
        }
    }

    impl Stage {
        pub fn new(name: &str) -> Stage {
            let state = std::env::temp_dir().join(format!("porthole-stage-{name}-{}", std::process::id()));
            let dir = ContainerDir::new(&state, "c").unwrap();
            for path in [dir.execs(), dir.mnt(), dir.rings()] {
                fs::create_dir_all(path).unwrap();
            }
            let setup = Setup {
                state_dir: state.clone(),
                registry: Arc::default(),
                totals: Arc::new(Counters::default()),
                without: Without::default(),
                stop: Arc::default(),
                wake: nix::unistd::pipe().unwrap().0,
            };
            let (tx, messages) = crossbeam_channel::unbounded();
            Stage { ingest: Ingest::new(setup, tx).unwrap(), messages, state }
        }

        fn announce(&self, text: &str) {
            fs::write(layout::containers(&self.state).join("c/container.json"), text).unwrap();
        }

        /// Registers the container; its number.
        pub fn register(&mut self) -> u64 {
            self.announce("{}");
            self.ingest.scan();
            *self.ingest.keys.get("c").unwrap()
        }

        /// Opens an empty ring of the container.
        pub fn open(&mut self, container: u64, name: &str, now: Instant) -> SessionId {
            let c = self.ingest.registered(container).unwrap();
            let file = fs::File::create(c.container.dir.rings().join(name)).unwrap();
            let data_len = limits::RING_DATA_MIN;
            file.set_len((limits::RING_HEADER + data_len) as u64).unwrap();
            file.write_all_at(&layout_of::MAGIC, 0).unwrap();
            let words = [
                (layout_of::VERSION_OFFSET, u32::from(porthole_common::WIRE_VERSION)),
                (layout_of::DATA_LEN_OFFSET, data_len as u32),
                (layout_of::HELLO_LEN_OFFSET, 1),
            ];
            for (at, word) in words {
                file.write_all_at(&word.to_le_bytes(), at as u64).unwrap();
            }
            let opened = ring::open(&c.rings, name, "c").unwrap();
            let shared = c.container.clone();
            let id = self.ingest.id();
            let open = Open::new(container, shared, Arc::new(opened.ring), Default::default(), 0, now);
            self.ingest.sessions.insert(id, open);
            id
        }
    }

    #[test]
    fn an_unreadable_registration_is_complained_about_once_per_version() {
        let mut stage = Stage::new("unreadable");
        let refused = |stage: &Stage| stage.ingest.setup.totals.refused()["registration_unreadable"];
        stage.ingest.watch_state().unwrap();
        stage.announce("{\"version\":");
        for _ in 0..3 {
            stage.ingest.scan();
        }
        assert_eq!(refused(&stage), 1);
        stage.announce("no JSON either");
        for _ in 0..3 {
            stage.ingest.scan();
        }
        assert_eq!(refused(&stage), 2);
        stage.register();
        assert!(matches!(stage.messages.try_recv(), Ok(Message::Registered(_))), "a good version is taken");
        assert_eq!(refused(&stage), 2);
    }
}
