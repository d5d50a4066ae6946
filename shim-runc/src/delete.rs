//! `delete`: the bundle becomes what it was, and the collector learns of it.

use porthole_registration::layout::ContainerDir;
use porthole_registration::{life, registry};
use std::io;
use std::path::Path;

/// Prepares a `delete` of the container of `dir`, which lives below `runtime_root`. Engines call it twice, and for
/// containers that never were: both are fine.
pub fn prepare(dir: &ContainerDir, state: &Path, runtime_root: &Path, id: &str, force: bool) -> Vec<String> {
    let container = match registry::read(dir) {
        Ok(container) => container,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![e.to_string()],
    };
    // The runtime refuses to delete a running container without force; and one of the same name elsewhere is another.
    if Path::new(&container.runtime_root) != runtime_root || (!force && life::is_running(runtime_root, id)) {
        return Vec::new();
    }
    let message = registry::mark_deleted(dir).err().map(|e| format!("container {id}: {e}"));
    registry::prune(state);
    message.into_iter().collect()
}
