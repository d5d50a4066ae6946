//! A state directory for one run: registration, the agent's copy, rings; removed at the end.

use super::target;
use crate::cli::complain;
use crate::cli::summary::count;
use crate::error::Error;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid, geteuid, mkdtemp};
use porthole_registration::container::{Container, Engine, Inject, Injection, Process, Shortfall, VERSION};
use porthole_registration::layout::{self, ContainerDir};
use porthole_registration::registry::{self, Claim};
use porthole_registration::share::{self, Agent, View, Walkers};
use porthole_registration::sites::Depth;
use porthole_registration::{file, life};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The container's id; events of it say `host`.
const ID: &str = "host";
/// Start of the directories' names.
const PREFIX: &str = "run-";
/// How long the command waits for the collector's socket; its ring is found without it, too.
const SOCKET_WAIT: Duration = Duration::from_secs(1);

/// See the module.
pub struct Place {
    root: PathBuf,
    dir: ContainerDir,
    claim: Option<Claim>,
    /// Held as long as this process lives: whoever can take it may remove the directory.
    _lock: Option<Flock<File>>,
}

impl Place {
    /// Makes the directory and registers the command in it.
    pub fn make(base: Option<&Path>, agent: &Agent, command: &[OsString], depth: Depth) -> Result<Place, Error> {
        let root = make_root(base)?;
        let lock = File::open(&root).ok().and_then(|f| Flock::lock(f, FlockArg::LockSharedNonblock).ok());
        let dir = ContainerDir::new(&root, ID).ok_or_else(|| Error::new("no valid container id"))?;
        let mut place = Place { root, dir, claim: None, _lock: lock };
        place.register(agent, command, depth).map_err(|e| Error::new(e.to_string()))?;
        Ok(place)
    }

    fn register(
        &mut self,
        agent: &Agent,
        command: &[OsString],
        depth: Depth,
    ) -> porthole_registration::error::Result<()> {
        let claim = self.claim.insert(registry::claim(&self.root, self.dir.clone())?);
        // without privilege it is a plain directory, which does as well for programs of one's own
        share::let_through(&self.dir, Walkers::All)?; // the command may go on as another user
        let _unbounded = share::make(&self.dir, agent, 0, View::Host)?;
        let shallow = agent.shallow().filter(|_| depth == Depth::Sites);
        let shallow = shallow.map(|why| Shortfall { reason: "symbols_only".into(), detail: why.into() });
        let shortfalls = shallow.into_iter().collect();
        claim.publish(&Container { depth, shortfalls, ..announcement(&self.dir, command) })
    }

    /// The collector's state directory.
    pub fn state_dir(&self) -> &Path {
        &self.root
    }

    /// The agent's copy.
    pub fn library(&self) -> PathBuf {
        self.dir.library()
    }

    /// Waits for the collector's socket, so that even the first process is known from the kernel.
    pub fn wait_for_socket(&self) {
        let start = Instant::now();
        while !self.dir.socket().exists() && start.elapsed() < SOCKET_WAIT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many processes still have the agent in them.
    pub fn survivors(&self) -> u64 {
        users(&self.dir.library())
    }

    /// Tells of processes that outlive the command.
    pub fn say_who_stays(&self, survivors: u64) {
        if survivors > 0 {
            complain(&format!(
                "{} of the command still run; what they do from now on is not recorded\n\
                 they keep {}, which the next `porthole run` removes when they have ended",
                count(survivors, "process", "processes"),
                self.root.display()
            ));
        }
    }

    /// Leaves the directory to the processes that still need it: their loader would complain of a library that is gone.
    pub fn leave(&mut self) {
        self.root = PathBuf::new();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.root.as_os_str().is_empty() {
            self.claim = None;
            if let Err(e) = clear(&self.root) {
                complain(&format!("{e}; please remove {}", self.root.display()));
            }
        }
    }
}

/// A new directory: below the one asked for, else where programs of this user keep such things.
fn make_root(base: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(base) = base {
        let base = std::path::absolute(base).map_err(|e| Error::io("use", base, e))?;
        return below(&base);
    }
    let usual = match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if geteuid().is_root() => Some(layout::default_state_dir()),
        Some(dir) if Path::new(&dir).is_absolute() => Some(Path::new(&dir).join("porthole")),
        _ => None,
    };
    if let Some(Ok(root)) = usual.as_deref().map(below) {
        return Ok(root);
    }
    let template = std::env::temp_dir().join("porthole-XXXXXX");
    let root = mkdtemp(&template).map_err(|e| Error::io("create a directory like", &template, e))?;
    check(&root).inspect_err(|_| drop(fs::remove_dir(&root)))?;
    open_to_users(root)
}

/// Lets everybody walk through, whatever the umask: a command may go on as another user, whose loader needs the agent.
fn open_to_users(root: PathBuf) -> Result<PathBuf, Error> {
    let set = fs::set_permissions(&root, fs::Permissions::from_mode(0o711));
    set.map_err(|e| Error::io("set the mode of", &root, e))?;
    Ok(root)
}

fn below(base: &Path) -> Result<PathBuf, Error> {
    check(&base.join(format!("{PREFIX}{}-9", u32::MAX)))?;
    if let Some(parent) = base.parent() {
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
    }
    file::make_dir(base, 0o711).map_err(|e| Error::new(e.to_string()))?;
    sweep(base);
    // a number more where a dead one of the same pid is still in use
    for n in 0..10 {
        let root = base.join(format!("{PREFIX}{}-{n}", std::process::id()));
        match fs::DirBuilder::new().mode(0o711).create(&root) {
            Ok(()) => return open_to_users(root),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create", &root, e)),
        }
    }
    Err(Error::new(format!("{} is full of old runs; please remove {PREFIX}*", base.display())))
}

/// Whether the paths below `root` fit into a socket's address and into LD_PRELOAD.
fn check(root: &Path) -> Result<(), Error> {
    let dir = ContainerDir::new(root, ID).ok_or_else(|| Error::new("no valid container id"))?;
    let bytes = root.as_os_str().as_bytes();
    if dir.socket().as_os_str().len() >= 108 {
        return Err(Error::new(format!(
            "the path {} is too long for a socket; use another --state-dir",
            root.display()
        )));
    }
    if bytes.iter().any(|b| b.is_ascii_whitespace() || b":;$".contains(b)) {
        let why = "LD_PRELOAD cannot hold a path with blanks, colons, semicolons or dollar signs";
        return Err(Error::new(format!("cannot use {}: {why}; use another --state-dir", root.display())));
    }
    Ok(())
}

/// Removes what earlier runs left behind that nobody uses any more.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let root = entry.path();
        let own = entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == geteuid().as_raw());
        let ours = own && entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Some(dir) = ContainerDir::new(&root, ID).filter(|_| ours) else { continue };
        let lock = File::open(&root).map(|f| Flock::lock(f, FlockArg::LockExclusiveNonblock));
        if let Ok(Ok(_lock)) = lock
            && users(&dir.library()) == 0
        {
            let _ = clear(&root);
        }
    }
}

fn clear(root: &Path) -> Result<(), Error> {
    if let Some(dir) = ContainerDir::new(root, ID) {
        share::remove(&dir).map_err(|e| Error::new(e.to_string()))?;
    }
    fs::remove_dir_all(root).map_err(|e| Error::io("remove", root, e))
}

/// How many processes have mapped this library, as far as we may look.
fn users(library: &Path) -> u64 {
    let name = library.as_os_str().as_bytes();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter(|e| e.file_name().as_bytes().iter().all(u8::is_ascii_digit));
    let maps = |path: PathBuf| fs::read(path.join("maps")).unwrap_or_default();
    let uses = |maps: Vec<u8>| maps.split(|b| *b == b'\n').any(|line| line.ends_with(name));
    pids.filter(|e| uses(maps(e.path()))).count() as u64
}

fn announcement(dir: &ContainerDir, command: &[OsString]) -> Container {
    let cwd = std::env::current_dir().unwrap_or_default();
    let pid = std::process::id();
    Container {
        version: VERSION,
        id: ID.into(),
        engine: Engine::Host,
        name: ID.into(),
        created_ns: registry::now_ns(),
        rootfs: "/".into(),
        process: Process {
            args: command.iter().map(|a| a.to_string_lossy().into_owned()).collect(),
            cwd: cwd.to_string_lossy().into_owned(),
            uid: Uid::current().as_raw(),
            gid: Gid::current().as_raw(),
            terminal: std::io::stdin().is_terminal(),
            target: command.first().map_or("", |name| target::of(name).name()).into(),
            ..Process::default()
        },
        runtime_pid: pid,
        runtime_start: life::start_time(pid),
        injection: Injection::Preload { library: dir.library().to_string_lossy().into_owned(), inject: Inject::Env },
        verb: "run".into(),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_work_are_used() {
        assert!(check(Path::new("/run/porthole/run-1234-0")).is_ok());
        for bad in ["/a b", "/a:b", "/a$b", "/a;b", "/a\tb"] {
            assert!(check(Path::new(bad)).unwrap_err().to_string().contains("LD_PRELOAD"), "{bad}");
        }
        assert!(check(&Path::new("/").join("x".repeat(90))).unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn dead_runs_are_swept_and_living_ones_stay() {
        let base = std::env::temp_dir().join(format!("porthole-sweep-{}", std::process::id()));
        for name in ["run-1-0", "run-2-0", "containers"] {
            fs::create_dir_all(base.join(name).join("x")).unwrap();
        }
        let held = Flock::lock(File::open(base.join("run-2-0")).unwrap(), FlockArg::LockSharedNonblock).unwrap();
        sweep(&base);
        assert!(!base.join("run-1-0").exists() && base.join("run-2-0").exists() && base.join("containers").exists());
        drop(held);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_library_in_use_is_seen() {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.lines().find(|l| l.ends_with(".so.6")).and_then(|l| l.split_whitespace().last()).unwrap();
        assert!(users(Path::new(libc)) >= 1);
        assert_eq!(users(Path::new("/no/such/library.so")), 0);
    }
}
