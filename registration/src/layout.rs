//! Names and paths below the state directory.

use nix::unistd::geteuid;
use std::path::{Path, PathBuf};

/// Where everything lies unless the environment says otherwise.
pub const STATE_DIR: &str = "/run/porthole";
/// Environment variable with another state directory (tests, rootless use).
pub const STATE_DIR_ENV: &str = "PORTHOLE_STATE_DIR";
/// File name of the agent.
pub const LIBRARY: &str = "libporthole.so";
/// File name of the collector's socket beside the agent.
pub const SOCKET: &str = "sock";
/// Directory of the rings, beside `mnt` on the host and inside the mount in the container.
pub const RINGS: &str = "rings";
/// Where the share is mounted in a container whose `/dev` is a tmpfs.
pub const MOUNT_DEV: &str = "/dev/porthole";
/// Where it is mounted otherwise.
pub const MOUNT_ROOT: &str = "/.porthole";
/// The announcement, in a container's directory.
pub const CONTAINER_JSON: &str = "container.json";
/// The file that every program's loader reads, in a container.
pub const PRELOAD_FILE: &str = "/etc/ld.so.preload";
/// File name of what is mounted over it, beside the agent.
pub const PRELOAD_NAME: &str = "ld.so.preload";
/// File below the state directory that a running collector holds a lock (flock) on.
pub const COLLECTOR_LOCK: &str = "collector.lock";
/// The same of its worker.
pub const WORKER_LOCK: &str = "worker.lock";
/// The API socket below the state directory.
pub const API_SOCKET: &str = "api.sock";

/// The state directory of commands: `PORTHOLE_STATE_DIR`, else [`default_state_dir`].
pub fn state_dir() -> PathBuf {
    std::env::var_os(STATE_DIR_ENV).filter(|v| !v.is_empty()).map_or_else(default_state_dir, PathBuf::from)
}

/// [`STATE_DIR`], unless this is a user who is root in a namespace of their own only (`podman unshare`): there is
/// nothing in it that they may see or make.
pub fn default_state_dir() -> PathBuf {
    let own = || own_runtime_dir(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    let own = if geteuid().is_root() { own() } else { None };
    own.map_or_else(|| STATE_DIR.into(), |dir| dir.join("porthole"))
}

/// `XDG_RUNTIME_DIR`, which is given, where it is this user's instead of `/run`: they are not root, or only in a user
/// namespace, as podman and docker have them who run without privileges. (Root of a whole system that lives in such a
/// namespace owns `/run` like any other root, and has this directory by its usual name if at all.)
pub fn own_runtime_dir(dir: Option<PathBuf>) -> Option<PathBuf> {
    let dir = dir.filter(|dir| !dir.as_os_str().is_empty())?;
    let root = geteuid().is_root()
        && (dir == Path::new("/run/user/0")
            || std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_root_outside(&map)));
    (!root).then_some(dir)
}

/// Whether user 0 of a namespace with this `uid_map` is the outer namespace's.
fn is_root_outside(map: &str) -> bool {
    map.lines().any(|line| line.split_whitespace().map(str::parse).take(2).eq([Ok(0u32), Ok(0)]))
}

/// Paths of one registered container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerDir {
    root: PathBuf,
}

impl ContainerDir {
    /// The directory of container `id` below `state`; `None` if the id is none that a runtime accepts (runc:
    /// `[A-Za-z0-9_+.-]+`) or is longer than a file name may be.
    pub fn new(state: &Path, id: &str) -> Option<ContainerDir> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b"_+.-".contains(&b);
        let valid = !id.is_empty() && id.len() <= 200 && id.bytes().all(ok) && id != "." && id != "..";
        valid.then(|| ContainerDir { root: containers(state).join(id) })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The announcement.
    pub fn container_json(&self) -> PathBuf {
        self.root.join(CONTAINER_JSON)
    }
    /// The bundle's config.json before porthole's edits.
    pub fn config_original(&self) -> PathBuf {
        self.root.join("config.original")
    }
    /// The same after them.
    pub fn config_written(&self) -> PathBuf {
        self.root.join("config.written")
    }
    /// Processes added from outside.
    pub fn execs(&self) -> PathBuf {
        self.root.join("execs")
    }
    /// The mark that the runtime has deleted the container.
    pub fn deleted(&self) -> PathBuf {
        self.root.join("deleted")
    }
    /// The container's tmpfs.
    pub fn share(&self) -> PathBuf {
        self.root.join("share")
    }
    /// What the container sees read-only.
    pub fn mnt(&self) -> PathBuf {
        self.share().join("mnt")
    }
    /// The container's copy of the agent.
    pub fn library(&self) -> PathBuf {
        self.mnt().join(LIBRARY)
    }
    /// The collector's socket.
    pub fn socket(&self) -> PathBuf {
        self.mnt().join(SOCKET)
    }
    /// What is mounted over [`PRELOAD_FILE`].
    pub fn preload_file(&self) -> PathBuf {
        self.mnt().join(PRELOAD_NAME)
    }
    /// The rings.
    pub fn rings(&self) -> PathBuf {
        self.share().join(RINGS)
    }
}

/// The directory of all registered containers.
pub fn containers(state: &Path) -> PathBuf {
    state.join("containers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_the_directory() {
        for bad in ["", ".", "..", "a/b", "/a", "a\0", "a b", "ü", &"x".repeat(201)] {
            assert_eq!(ContainerDir::new(Path::new("/s"), bad), None, "{bad:?}");
        }
        let dir = ContainerDir::new(Path::new("/s"), "a.b_c-1+").unwrap();
        assert_eq!(dir.library(), Path::new("/s/containers/a.b_c-1+/share/mnt/libporthole.so"));
    }

    #[test]
    fn root_is_told_from_root_of_a_namespace() {
        assert!(is_root_outside("         0          0 4294967295\n"));
        assert!(!is_root_outside("         0       1000          1\n         1     100000      65536\n"));
        assert!(!is_root_outside("") && !is_root_outside("0 1\n0\n"));
        assert_eq!(own_runtime_dir(None), None);
        assert_eq!(own_runtime_dir(Some(PathBuf::new())), None);
    }

    #[test]
    fn the_socket_of_a_docker_container_fits_an_address() {
        let dir = ContainerDir::new(Path::new(STATE_DIR), &"f".repeat(64)).unwrap();
        assert!(dir.socket().as_os_str().len() < 108);
    }
}
