//! Puts containers into the registry and takes them out again.

use crate::container::{Container, Exec};
use crate::error::{Context, Error, Result};
use crate::layout::{COLLECTOR_LOCK, ContainerDir, containers};
use crate::{file, life, share, undo};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Largest container.json that is read.
const CONTAINER_LIMIT: u64 = 64 * 1024 * 1024;
/// Registrations of dead containers that are kept while no collector runs. One takes about 150 KiB of memory.
pub const DEAD_KEPT: usize = 64;
/// Records of processes added to one container that are kept, the newest ones.
pub const EXECS_KEPT: usize = 256;

/// How long a claim waits for whoever else is at work in the directory.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(2);

/// A directory that is being filled by this process: locked until this is dropped.
#[derive(Debug)]
pub struct Claim {
    dir: ContainerDir,
    _lock: Flock<File>,
}

/// Claims the directory of a container that is about to be made.
///
/// What a dead container of that name left behind is undone and removed. A running collector is given a moment to do
/// that, because it reads the last records first; it notices within a fifth of a second.
///
/// # Errors
/// Another container of that name lives or is being made, or the directory cannot be made.
pub fn claim(state: &Path, dir: ContainerDir) -> Result<Claim> {
    make_state(state)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let patient = Instant::now() < end;
        if let Some(lock) = try_claim(state, &dir, patient)? {
            file::make_dir(&dir.execs(), 0o700)?;
            return Ok(Claim { dir, _lock: lock });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes the state directory and the one of all containers, or accepts those that are there.
///
/// # Errors
/// One cannot be made, or is not this user's alone to write.
pub fn make_state(state: &Path) -> Result<()> {
    // Roots of user namespaces must be able to walk through, and nobody may list.
    file::make_own_dir(state, 0o711)?;
    file::make_own_dir(&containers(state), 0o711)
}

/// `None`: try again, which only the patient are told.
fn try_claim(state: &Path, dir: &ContainerDir, patient: bool) -> Result<Option<Flock<File>>> {
    let busy = |what| Error::new("register below", dir.root(), io::Error::new(io::ErrorKind::AlreadyExists, what));
    file::make_own_dir(dir.root(), 0o700)?;
    let file = match File::open(dir.root()) {
        Err(e) if patient && e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.context("open", dir.root())?,
    };
    let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) if patient => return Ok(None),
        Err((_, Errno::EWOULDBLOCK)) => return Err(busy("a container of that id is just being made or removed")),
        Err((_, e)) => return Err(Error::new("lock", dir.root(), e)),
    };
    // Who held the lock before may have removed the directory.
    let same = |now: fs::Metadata| lock.metadata().is_ok_and(|locked| locked.ino() == now.ino());
    if patient && !fs::metadata(dir.root()).is_ok_and(same) {
        return Ok(None);
    }
    match read(dir) {
        Ok(old) if !dir.deleted().exists() && life::is_alive(&old) => Err(busy("a container of that id lives already")),
        Ok(_) if patient && collector_runs(state) => Ok(None),
        // Even a registration that cannot be read is a dead one: it appears whole.
        _ => {
            clear(dir)?;
            // An earlier container may have let others walk through.
            fs::set_permissions(dir.root(), Permissions::from_mode(0o700)).context("set the mode of", dir.root())?;
            Ok(Some(lock))
        }
    }
}

impl Claim {
    /// The claimed directory.
    pub fn dir(&self) -> &ContainerDir {
        &self.dir
    }

    /// Announces the container.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish(&self, container: &Container) -> Result<()> {
        file::publish(&self.dir.container_json(), &json(container), 0o600)
    }

    /// Removes the directory; the bundle must have been undone.
    ///
    /// # Errors
    /// Something in it cannot be removed.
    pub fn abandon(self) -> Result<()> {
        share::remove(&self.dir)?;
        fs::remove_dir_all(self.dir.root()).context("remove", self.dir.root())
    }
}

/// What was registered.
///
/// # Errors
/// There is no such registration, or it cannot be understood.
pub fn read(dir: &ContainerDir) -> Result<Container> {
    let path = dir.container_json();
    serde_json::from_slice(&file::read(&path, CONTAINER_LIMIT)?)
        .map_err(|e| Error::new("understand", &path, io::Error::from(e)))
}

/// Records a process that is added to a container.
///
/// # Errors
/// The file cannot be written.
pub fn record_exec(dir: &ContainerDir, exec: &Exec) -> Result<()> {
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let mut names: Vec<String> = fs::read_dir(dir.execs()).context("list", &dir.execs())?.filter_map(name).collect();
    if names.len() >= EXECS_KEPT {
        names.sort_unstable();
        for old in &names[..=names.len() - EXECS_KEPT] {
            file::remove(&dir.execs().join(old))?;
        }
    }
    let path = dir.execs().join(format!("{:020}-{}.json", exec.time_ns, std::process::id()));
    file::publish(&path, &json(exec), 0o600)
}

/// Marks a container as deleted and undoes what was done to its bundle.
///
/// # Errors
/// One of the two failed; the other was tried all the same.
pub fn mark_deleted(dir: &ContainerDir) -> Result<()> {
    let undone = undo::undo(dir);
    file::publish(&dir.deleted(), b"", 0o600)?;
    undone
}

/// Undoes what was done for a container and removes all that is kept of it.
///
/// # Errors
/// Something cannot be undone or removed.
pub fn remove(dir: &ContainerDir) -> Result<()> {
    clear(dir)?;
    fs::remove_dir(dir.root()).context("remove", dir.root())
}

/// Removes the oldest dead containers if there are more than [`DEAD_KEPT`] and no collector that would do it. What
/// cannot be removed is left for the next time.
///
/// Costs one directory listing as long as there are few registrations, live ones included.
pub fn prune(state: &Path) {
    let Ok(entries) = fs::read_dir(containers(state)) else { return };
    let dirs: Vec<ContainerDir> =
        entries.flatten().filter_map(|e| ContainerDir::new(state, e.file_name().to_str()?)).collect();
    if dirs.len() <= DEAD_KEPT || collector_runs(state) {
        return;
    }
    let mut dead: Vec<(SystemTime, ContainerDir)> = dirs
        .into_iter()
        .filter(|dir| dir.deleted().exists() || read(dir).is_ok_and(|c| !life::is_alive(&c)))
        .filter_map(|dir| Some((fs::metadata(dir.container_json()).ok()?.modified().ok()?, dir)))
        .collect();
    dead.sort_by_key(|(time, _)| *time);
    let excess = dead.len().saturating_sub(DEAD_KEPT);
    for (_, dir) in &dead[..excess] {
        let lock = File::open(dir.root()).map(|f| Flock::lock(f, FlockArg::LockExclusiveNonblock));
        if let Ok(Ok(_lock)) = lock {
            let _ = remove(dir);
        }
    }
}

/// Whether a collector holds its lock on this state directory.
pub fn collector_runs(state: &Path) -> bool {
    let Ok(file) = File::open(state.join(COLLECTOR_LOCK)) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

/// Nanoseconds since the epoch.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Undoes and removes everything in a container's directory.
fn clear(dir: &ContainerDir) -> Result<()> {
    // A bundle that is gone or read-only must not keep the rest.
    let _ = undo::undo(dir);
    share::remove(dir)?;
    for entry in fs::read_dir(dir.root()).context("list", dir.root())? {
        let path = entry.context("list", dir.root())?.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.context("remove", &path)?;
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // These types have string keys and no failing serialisers.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn state(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("porthole-registry-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn dir(state: &Path, id: &str) -> ContainerDir {
        ContainerDir::new(state, id).unwrap()
    }

    #[test]
    fn an_id_is_claimed_by_one_and_again_after_its_death() {
        let state = state("claim");
        let first = claim(&state, dir(&state, "c")).unwrap();
        assert!(claim(&state, dir(&state, "c")).unwrap_err().to_string().contains("just being made or removed"));
        let me = std::process::id();
        let mut container =
            Container { id: "c".into(), runtime_pid: me, runtime_start: life::start_time(me), ..Container::default() };
        first.publish(&container).unwrap();
        assert_eq!(read(first.dir()).unwrap(), container);
        drop(first);
        assert!(claim(&state, dir(&state, "c")).unwrap_err().to_string().contains("lives already"));

        container.runtime_start = 1;
        file::publish(&dir(&state, "c").container_json(), &json(&container), 0o600).unwrap();
        let second = claim(&state, dir(&state, "c")).unwrap();
        assert!(!second.dir().container_json().exists());
        second.abandon().unwrap();
        assert!(!dir(&state, "c").root().exists());
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn a_running_collector_is_given_time_to_read_the_last_records() {
        let state = state("patience");
        claim(&state, dir(&state, "c")).unwrap().publish(&Container::default()).unwrap();
        fs::write(state.join(COLLECTOR_LOCK), "").unwrap();
        let collector = Flock::lock(File::open(state.join(COLLECTOR_LOCK)).unwrap(), FlockArg::LockExclusive).unwrap();
        let started = Instant::now();
        let pause = Duration::from_millis(30);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(pause);
                assert!(dir(&state, "c").container_json().exists(), "left alone until then");
                let _lock = Flock::lock(File::open(dir(&state, "c").root()).unwrap(), FlockArg::LockExclusive).unwrap();
                remove(&dir(&state, "c")).unwrap();
            });
            let claim = claim(&state, dir(&state, "c")).unwrap();
            assert!(started.elapsed() >= pause && claim.dir().execs().exists());
            claim.publish(&Container::default()).unwrap();
        });
        // one that does not clean up is not waited for in vain
        claim(&state, dir(&state, "c")).unwrap().abandon().unwrap();
        drop(collector);
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn the_oldest_dead_go_unless_a_collector_runs() {
        let state = state("prune");
        for n in 0..DEAD_KEPT + 3 {
            let claim = claim(&state, dir(&state, &format!("c{n}"))).unwrap();
            claim.publish(&Container::default()).unwrap();
            let time = UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            File::open(claim.dir().container_json()).unwrap().set_modified(time).unwrap();
        }
        fs::write(state.join(COLLECTOR_LOCK), "").unwrap();
        let lock = Flock::lock(File::open(state.join(COLLECTOR_LOCK)).unwrap(), FlockArg::LockExclusive).unwrap();
        prune(&state);
        assert_eq!(fs::read_dir(containers(&state)).unwrap().count(), DEAD_KEPT + 3);
        drop(lock);
        prune(&state);
        let gone = |n: usize| !dir(&state, &format!("c{n}")).root().exists();
        assert!(gone(0) && gone(1) && gone(2) && !gone(3));
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn the_records_of_execs_are_bounded() {
        let state = state("execs");
        let claim = claim(&state, dir(&state, "c")).unwrap();
        for n in 0..EXECS_KEPT as u64 + 5 {
            record_exec(claim.dir(), &Exec { time_ns: n, ..Exec::default() }).unwrap();
        }
        let execs = claim.dir().execs();
        assert_eq!(fs::read_dir(&execs).unwrap().count(), EXECS_KEPT);
        let me = std::process::id();
        assert!(execs.join(format!("{:020}-{me}.json", EXECS_KEPT + 4)).exists());
        fs::remove_dir_all(state).unwrap();
    }
}
