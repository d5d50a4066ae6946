//! What is left on the host of a container that is gone.

use crate::container::Container;
use nix::fcntl::{Flock, FlockArg};
use porthole_registration::layout::ContainerDir;
use porthole_registration::registry;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;

/// Name of the mark beside `container.json`: the container's start has been told.
const STARTED: &str = "started";

/// Whether an earlier run of the collector has told the container's start.
pub(crate) fn is_started(dir: &ContainerDir) -> bool {
    dir.root().join(STARTED).exists()
}

/// Remembers that it has been told.
pub(crate) fn mark_started(dir: &ContainerDir) {
    let path = dir.root().join(STARTED);
    let _ = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
}

/// Undoes what was done for the container and removes its directory, unless another container of that id is being
/// registered there by now.
pub(crate) fn remove(container: &Container) {
    let dir = &container.dir;
    let Ok(file) = File::open(dir.root()) else { return };
    let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return };
    if registry::read(dir).is_ok_and(|r| r.created_ns != container.registration.created_ns) {
        return;
    }
    if let Err(e) = registry::remove(dir) {
        eprintln!("porthole: what container {} has left cannot be removed: {e}", container.key);
    }
}
