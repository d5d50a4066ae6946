//! Names of a container's users, from the `/etc/passwd` of its root file system.

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest passwd that is read, and the most users kept of it.
const MAX_BYTES: u64 = 1 << 20;
const MAX_USERS: usize = 10_000;
/// How often a changed file is noticed.
const AGAIN: Duration = Duration::from_secs(2);

/// The users of one container.
pub(crate) struct Users {
    root: PathBuf,
    names: HashMap<u32, Arc<str>>,
    read_at: Option<Instant>,
    version: (u64, i64, i64),
}

impl Users {
    /// Users of the file system at `root`, a path on the host.
    pub fn new(root: &Path) -> Users {
        Users { root: root.to_owned(), names: HashMap::new(), read_at: None, version: (0, 0, 0) }
    }

    /// The name of a user by its number inside the container.
    pub fn name(&mut self, uid: u32, now: Instant) -> Option<Arc<str>> {
        if self.read_at.is_none_or(|at| now.duration_since(at) >= AGAIN) {
            self.read_at = Some(now);
            self.refresh();
        }
        self.names.get(&uid).cloned()
    }

    /// The container may have made a symbolic link, a pipe or a mount of `/etc/passwd`: it is looked up inside the
    /// root, on the root's own file system, and only a regular file is read. Nothing here can wait for the container.
    fn refresh(&mut self) {
        let Ok(root) = nix::fcntl::open(&self.root, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) else { return };
        let how = |flags| {
            let resolve =
                ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve)
        };
        let Ok(handle) = openat2(root.as_fd(), "etc/passwd", how(OFlag::O_PATH)) else { return };
        let Ok(stat) = fstat(&handle) else { return };
        let version = (stat.st_ino, stat.st_mtime, stat.st_mtime_nsec);
        let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        if !regular || version == self.version {
            return;
        }
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle));
        let Ok(file) = nix::fcntl::openat(
            AT_FDCWD,
            path.as_str(),
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) else {
            return;
        };
        let mut bytes = vec![];
        if File::from(file).take(MAX_BYTES).read_to_end(&mut bytes).is_ok() {
            self.version = version;
            self.names = parse(&bytes);
        }
    }
}

pub(crate) fn parse(passwd: &[u8]) -> HashMap<u32, Arc<str>> {
    let text = String::from_utf8_lossy(passwd);
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|u| u.parse().ok())) else { continue };
        if names.len() < MAX_USERS && !name.is_empty() {
            names.entry(uid).or_insert_with(|| Arc::from(name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let names = parse(b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad\n:x:5:5\nwww:x:33:33:::\nx:y:z:\n");
        assert_eq!(names.get(&0).map(|n| &**n), Some("root"));
        assert_eq!(names.get(&33).map(|n| &**n), Some("www"));
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_link_out_of_the_root_is_not_followed() {
        let root = std::env::temp_dir().join(format!("porthole-users-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("etc/passwd")).unwrap();
        assert_eq!(Users::new(&root).name(0, Instant::now()), None);
        std::fs::remove_file(root.join("etc/passwd")).unwrap();
        std::fs::write(root.join("etc/passwd"), "inner:x:0:0").unwrap();
        assert_eq!(Users::new(&root).name(0, Instant::now()).as_deref(), Some("inner"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
