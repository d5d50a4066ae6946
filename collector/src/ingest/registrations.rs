//! Taking a container in: its announcement, its socket, its rings, the processes that the engine adds.

use super::containers::{Side, Watch};
use super::memory::Memory;
use super::message::{Message, SessionId};
use super::processes::{Ended, Process};
use super::users::Users;
use super::{Ingest, MAX_HELLOS_PER_SECOND, Token, tamper};
use crate::cleanup;
use crate::container::Container;
use crate::loss::lock;
use crate::positions::Position;
use nix::fcntl::{OFlag, open};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::inotify::AddWatchFlags;
use nix::sys::stat::Mode;
use porthole_registration::container::{Container as Registration, Exec};
use porthole_registration::layout::ContainerDir;
use porthole_registration::life;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Largest file of a registration. The host writes them, from specs whose size engines bound.
const REGISTRATION_MAX: u64 = 8 << 20;
/// Ended containers that the status still shows.
const KEEP_ENDED: usize = 100;
/// Names of exec files that are remembered; they are removed when they have been told.
const KEEP_EXECS: usize = 1024;

/// What tells one content of a file from another: inode, time of the last change (s, ns), length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Version(u64, i64, i64, u64);

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
    /// The name by which the supervisor keeps it.
    pub kept: Option<String>,
    pub users: Users,
    /// Rings whose position an earlier collector has kept.
    pub left: HashSet<String>,
    pub by_name: HashMap<String, SessionId>,
    /// The last session of each process, by its own word.
    pub by_vpid: HashMap<u32, SessionId>,
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
    /// Rings that wait until fewer of the container's records are on their way.
    pub behind: VecDeque<SessionId>,
    /// Ends of processes whose last words wait likewise.
    pub ended: VecDeque<Ended>,
    /// What the kernel kills for want of memory.
    pub memory: Memory,
}

impl Ingest {
    /// Takes a container in if its announcement is there and has not been read.
    pub(super) fn register(&mut self, id: u64) {
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
                // It may still be made: looked for again, complained about once.
                let Some(watched) = self.containers.get_mut(&id) else { return };
                if !std::mem::replace(&mut watched.incomplete, true) {
                    self.setup.totals.refuse("registration_incomplete");
                    eprintln!("porthole: container {key} is not watched: no directory for its rings: {e}");
                }
                return;
            }
        };
        let listener = open(&dir.mnt(), flags, Mode::empty()).map_err(std::io::Error::from);
        let created_ns = registration.created_ns;
        let (listener, kept) = match listener.and_then(|mnt| self.setup.kept.listen(&key, created_ns, &mnt)) {
            Ok((listener, name)) => (Some(listener), Some(name)),
            Err(e) => {
                self.setup.totals.refuse("no_socket");
                eprintln!("porthole: container {key} cannot announce processes (rings are read all the same): {e}");
                (None, None)
            }
        };
        if let Some(l) = &listener {
            let _ = self.epoll.add(l, EpollEvent::new(EpollFlags::EPOLLIN, Token::Listener(id).pack()));
        }
        let ended = dir.deleted().exists();
        let root = if registration.rootfs.is_empty() { "/" } else { &registration.rootfs };
        let users = Users::new(Path::new(root));
        let left = Position::left(dir.root());
        let container = Arc::new(Container::new(&key, dir, registration));
        self.remember(&container);
        let watches = [
            (container.dir.execs(), Watch::Execs, AddWatchFlags::IN_MOVED_TO),
            (container.dir.rings(), Watch::Rings, tamper::OF_RINGS),
            (container.dir.mnt(), Watch::Mnt, tamper::OF_MNT),
        ];
        for (path, watch, flags) in watches {
            let side = if watch == Watch::Execs { Side::Host } else { Side::Inside };
            let flags = flags | AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DONT_FOLLOW;
            if let Ok(wd) = self.inotify(side).add_watch(&path, flags) {
                self.watches.insert((side, wd), (id, watch));
                if let Some(w) = self.containers.get_mut(&id) {
                    w.watches.push((side, wd));
                }
            }
        }
        self.send(Message::Registered(container.clone()));
        if let Some(watched) = self.containers.get_mut(&id) {
            watched.alive_seen = life::is_alive(&container.registration);
            let memory = Memory::new(cleanup::is_started(&container.dir));
            watched.shared = Some(Registered {
                container,
                rings,
                listener,
                kept,
                users,
                left,
                by_name: HashMap::new(),
                by_vpid: HashMap::new(),
                processes: HashMap::new(),
                connections: 0,
                hellos: (Instant::now(), MAX_HELLOS_PER_SECOND),
                closed: HashMap::new(),
                execs: HashSet::new(),
                awaiting: 0,
                overfull: false,
                behind: VecDeque::new(),
                ended: VecDeque::new(),
                memory,
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
            self.setup.totals.absorb(&registry.remove(oldest).counters);
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

    pub(super) fn exec_added(&mut self, id: u64, name: &str) {
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
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> std::io::Result<T> {
    let read = porthole_registration::file::read(path, REGISTRATION_MAX);
    let bytes = read.map_err(|e| std::io::Error::new(e.kind(), e))?;
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
mod tests {
    use super::*;
    use crate::ingest::stage::Stage;

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

    #[test]
    fn a_directory_that_is_missing_is_complained_about_once_and_taken_when_it_comes() {
        let mut stage = Stage::new("incomplete");
        let rings = ContainerDir::new(&stage.ingest.setup.state_dir, "c").unwrap().rings();
        fs::remove_dir(&rings).unwrap();
        stage.announce("{}");
        for _ in 0..3 {
            stage.ingest.scan();
        }
        assert_eq!(stage.ingest.setup.totals.refused()["registration_incomplete"], 1);
        fs::create_dir(&rings).unwrap();
        stage.ingest.scan();
        assert!(matches!(stage.messages.try_recv(), Ok(Message::Registered(_))));
    }
}
