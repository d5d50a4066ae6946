//! Takes porthole's edits out of a bundle again, so that it works without porthole.

use crate::container::Container;
use crate::edits;
use crate::error::{Error, Result};
use crate::file;
use crate::layout::{CONTAINER_JSON, ContainerDir};
use crate::life;
use crate::preload_file;
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::path::Path;

/// Largest config.json that is edited. Real ones have some 20 KiB.
pub const CONFIG_LIMIT: u64 = 64 * 1024 * 1024;

/// Undoes the edits of a registered container: in its config.json, and the mount point in its root file system.
/// Doing it twice, or when there is nothing to undo (any more), is fine.
///
/// # Errors
/// The registration cannot be read, or the bundle cannot be written.
pub fn undo(dir: &ContainerDir) -> Result<()> {
    let bytes = match file::read(&dir.container_json(), CONFIG_LIMIT) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let container: Container = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new("understand", &dir.container_json(), io::Error::from(e)))?;
    if !container.mount_point_made.is_empty() {
        // Fails unless it is an empty directory, which is right.
        let _ = std::fs::remove_dir(&container.mount_point_made);
    }
    // Where it is gone, another container's mount over it is gone, too.
    if container.preload_file_made && !is_shared(dir, &container.rootfs) {
        preload_file::remove_made(Path::new(&container.rootfs));
    }
    if container.bundle.is_empty() {
        Ok(())
    } else {
        undo_config(dir, &Path::new(&container.bundle).join("config.json"))
    }
}

/// Whether another container lives in the same root file system.
fn is_shared(dir: &ContainerDir, rootfs: &str) -> bool {
    let others = dir.root().parent().and_then(|all| std::fs::read_dir(all).ok()).into_iter().flatten().flatten();
    let file = |other: std::fs::DirEntry| file::read(&other.path().join(CONTAINER_JSON), CONFIG_LIMIT).ok();
    let others = others.filter(|other| Some(other.file_name().as_os_str()) != dir.root().file_name()).filter_map(file);
    let mut containers = others.filter_map(|bytes| serde_json::from_slice::<Container>(&bytes).ok());
    containers.any(|other| other.rootfs == rootfs && life::is_alive(&other))
}

/// Undoes the edits that were made in `config` for the container of `dir`.
///
/// If nobody has changed the file since, it gets the very bytes it had; otherwise only porthole's parts are taken out.
///
/// # Errors
/// The bundle cannot be written. A file that is gone, or cannot be understood, is left alone.
pub fn undo_config(dir: &ContainerDir, config: &Path) -> Result<()> {
    let Ok(now) = file::read(config, CONFIG_LIMIT) else { return forget(dir) };
    let original = match file::read(&dir.config_written(), CONFIG_LIMIT) {
        Ok(written) if written == now => file::read(&dir.config_original(), CONFIG_LIMIT).ok(),
        _ => None,
    };
    if let Some(bytes) = original.or_else(|| without_edits(&now, &dir.share())) {
        file::replace(config, &bytes)?;
    }
    forget(dir)
}

/// `config` as it was before porthole edited it for `share`, in the file's own style; `None` if there is no edit in
/// it.
pub fn without_edits(config: &[u8], share: &Path) -> Option<Vec<u8>> {
    // Most files that are no longer ours do not even name the share.
    let name = share.to_str()?.as_bytes();
    config.windows(name.len()).any(|w| w == name).then_some(())?;
    let mut spec: Value = serde_json::from_slice(config).ok()?;
    if !edits::remove(&mut spec, share) {
        return None;
    }
    if !config.starts_with(b"{\n") {
        return serde_json::to_vec(&spec).ok();
    }
    // `runc spec` writes tabs, most others spaces: keep what the first line has.
    let indent: Vec<u8> = config[2..].iter().copied().take_while(|b| matches!(b, b' ' | b'\t')).take(8).collect();
    let mut text = Vec::with_capacity(config.len());
    let style = serde_json::ser::PrettyFormatter::with_indent(&indent);
    spec.serialize(&mut serde_json::Serializer::with_formatter(&mut text, style)).ok()?;
    text.push(b'\n');
    Some(text)
}

fn forget(dir: &ContainerDir) -> Result<()> {
    file::remove(&dir.config_written())?;
    file::remove(&dir.config_original())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::MOUNT_DEV;
    use serde_json::json;
    use std::fs;
    use std::path::PathBuf;

    fn edited(dir: &ContainerDir, user_mounts: &[Value]) -> Value {
        let mounts: Vec<Value> =
            user_mounts.iter().cloned().chain(edits::mounts(&dir.mnt(), &dir.rings(), MOUNT_DEV)).collect();
        json!({"mounts": mounts, "process": {"env": ["A=b", "LD_PRELOAD=/dev/porthole/libporthole.so"]}})
    }

    fn registered(name: &str) -> (PathBuf, ContainerDir, PathBuf) {
        let top = std::env::temp_dir().join(format!("porthole-undo-{name}-{}", std::process::id()));
        let dir = ContainerDir::new(&top, "c").unwrap();
        fs::create_dir_all(dir.root()).unwrap();
        fs::create_dir_all(top.join("rootfs/.porthole")).unwrap();
        let container = Container {
            bundle: top.to_string_lossy().into(),
            mount_point_made: top.join("rootfs/.porthole").to_string_lossy().into(),
            ..Container::default()
        };
        fs::write(dir.container_json(), serde_json::to_vec(&container).unwrap()).unwrap();
        let config = top.join("config.json");
        (top, dir, config)
    }

    #[test]
    fn an_unchanged_file_gets_its_very_bytes_back() {
        let (top, dir, config) = registered("bytes");
        let written = serde_json::to_vec(&edited(&dir, &[])).unwrap();
        fs::write(&config, &written).unwrap();
        fs::write(dir.config_written(), &written).unwrap();
        fs::write(dir.config_original(), "{ \"odd\" :1e0 }").unwrap();
        undo(&dir).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "{ \"odd\" :1e0 }");
        assert!(!top.join("rootfs/.porthole").exists() && !dir.config_original().exists());
        undo(&dir).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "{ \"odd\" :1e0 }");
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_file_that_someone_changed_loses_only_our_parts() {
        let (top, dir, config) = registered("parts");
        let user = json!({"destination": "/data", "source": "/srv", "type": "bind"});
        let text = serde_json::to_string_pretty(&edited(&dir, std::slice::from_ref(&user))).unwrap();
        fs::write(&config, text).unwrap();
        undo(&dir).unwrap();
        let text = fs::read_to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"mounts": [user], "process": {"env": ["A=b"]}})
        );
        assert!(text.starts_with("{\n  \"mounts\""), "{text}");
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn nothing_to_undo_is_fine() {
        let (top, dir, config) = registered("nothing");
        undo(&dir).unwrap();
        fs::write(&config, "not json").unwrap();
        undo(&dir).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "not json");
        undo(&ContainerDir::new(&top, "unknown").unwrap()).unwrap();
        fs::remove_dir_all(top).unwrap();
    }
}
