//! What is left on the host of a container that is gone.

use crate::container::Container;
use nix::mount::{MntFlags, umount2};
use porthole_registration::layout::ContainerDir;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

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

/// Unmounts the container's tmpfs and removes its directory. First it is moved aside, so that a container that is
/// created again under the same id finds the name free and loses nothing of its own.
pub(crate) fn remove(container: &Container) {
    let dir = &container.dir;
    let aside = aside(dir, container.registration.created_ns);
    if let Err(e) = fs::rename(dir.root(), &aside) {
        if e.kind() != std::io::ErrorKind::NotFound {
            eprintln!("porthole: cannot remove {}: {e}", dir.root().display());
        }
        return;
    }
    let share = aside.join("share");
    // Not mounted where the registration was made without a tmpfs; everything else shows in the removal.
    let _ = umount2(&share, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    if let Err(e) = fs::remove_dir_all(&aside) {
        eprintln!("porthole: cannot remove {}: {e}", aside.display());
    }
}

/// No container can have this name: a comma is not allowed in ids.
fn aside(dir: &ContainerDir, created_ns: u64) -> PathBuf {
    let name = dir.root().file_name().unwrap_or_default().to_string_lossy().into_owned();
    dir.root().with_file_name(format!("{name},{created_ns}"))
}
