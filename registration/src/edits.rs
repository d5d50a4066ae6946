//! porthole's edits in an OCI spec: how they are made, recognised and taken out again. Pure functions on JSON.

use crate::layout::{MOUNT_DEV, MOUNT_ROOT, PRELOAD_FILE, PRELOAD_NAME, RINGS};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PRELOAD: &str = "LD_PRELOAD=";

/// The `LD_PRELOAD` entry of an agent whose directory is mounted at `mount_point`.
pub fn library_at(mount_point: &str) -> String {
    format!("{mount_point}/{}", crate::layout::LIBRARY)
}

/// Adds the agent to a list of environment variables, behind whatever a user preloads.
///
/// A name may stand there more than once; the runtimes and the loaders take the last one, so that is where it goes.
pub fn add_preload(env: &mut Vec<Value>, library: &str) {
    remove_preload(env);
    let last = env.iter_mut().rev().find(|v| v.as_str().is_some_and(|v| v.starts_with(PRELOAD)));
    match last {
        Some(Value::String(entry)) => {
            entry.push(':');
            entry.push_str(library);
        }
        _ => env.push(Value::String(format!("{PRELOAD}{library}"))),
    }
}

/// Takes the agent out of a list of environment variables; a user's own entries stay as they were.
pub fn remove_preload(env: &mut Vec<Value>) {
    for library in [library_at(MOUNT_DEV), library_at(MOUNT_ROOT)] {
        env.retain_mut(|entry| {
            let Some(value) = entry.as_str().and_then(|e| e.strip_prefix(PRELOAD)) else { return true };
            if value == library {
                return false;
            }
            if value.split(':').any(|part| part == library) {
                let rest: Vec<&str> = value.split(':').filter(|part| *part != library).collect();
                *entry = Value::String(format!("{PRELOAD}{}", rest.join(":")));
            }
            true
        });
    }
}

/// The two mounts that show a container its share: what it may read, and in it what it may write.
pub fn mounts(share_mnt: &Path, share_rings: &Path, mount_point: &str) -> [Value; 2] {
    [
        json!({
            "destination": mount_point,
            "type": "bind",
            "source": share_mnt.to_string_lossy(),
            "options": ["bind", "private", "ro", "nosuid", "nodev"],
        }),
        json!({
            "destination": format!("{mount_point}/{RINGS}"),
            "type": "bind",
            "source": share_rings.to_string_lossy(),
            "options": ["bind", "private", "rw", "nosuid", "nodev", "noexec"],
        }),
    ]
}

/// The mount that shows a container the share's list of libraries to load.
pub fn preload_mount(share_mnt: &Path) -> Value {
    json!({
        "destination": PRELOAD_FILE,
        "type": "bind",
        "source": share_mnt.join(PRELOAD_NAME).to_string_lossy(),
        "options": ["bind", "private", "ro", "nosuid", "nodev", "noexec"],
    })
}

/// The share directories that porthole's mounts in this spec refer to, with no directory twice.
pub fn shares(spec: &Value) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in spec.get("mounts").and_then(Value::as_array).into_iter().flatten() {
        if let Some(share) = share_of(mount)
            && !found.iter().any(|f| f == share)
        {
            found.push(share.to_owned());
        }
    }
    found
}

/// Takes out the mounts that refer to `share`, and the agent's `LD_PRELOAD` entry if no other share is mounted. False
/// if there were none.
pub fn remove(spec: &mut Value, share: &Path) -> bool {
    let Some(mounts) = spec.get_mut("mounts").and_then(Value::as_array_mut) else { return false };
    let before = mounts.len();
    mounts.retain(|m| share_of(m) != Some(share));
    if mounts.len() == before {
        return false;
    }
    if shares(spec).is_empty()
        && let Some(env) = spec.pointer_mut("/process/env").and_then(Value::as_array_mut)
    {
        remove_preload(env);
    }
    true
}

/// Ours is a mount at one of our places whose source is a directory of a share, or its list for the loader.
fn share_of(mount: &Value) -> Option<&Path> {
    let (destination, source) = (mount.get("destination")?.as_str()?, Path::new(mount.get("source")?.as_str()?));
    if destination == PRELOAD_FILE {
        let share = source.parent()?.parent()?;
        return (source.ends_with(Path::new("share/mnt").join(PRELOAD_NAME))).then_some(share);
    }
    let name = [MOUNT_DEV, MOUNT_ROOT].iter().find_map(|at| match destination.strip_prefix(at)? {
        "" => Some("mnt"),
        rest => (rest.strip_prefix('/')? == RINGS).then_some(RINGS),
    })?;
    let share = source.parent()?;
    (source.file_name()? == name && share.file_name()? == "share").then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(entries: &[&str]) -> Vec<Value> {
        entries.iter().map(|e| Value::from(*e)).collect()
    }

    #[test]
    fn the_agent_comes_last_in_the_entry_that_counts_and_goes_without_a_trace() {
        const LIB: &str = "/dev/porthole/libporthole.so";
        let table: [(&[&str], &[&str]); 6] = [
            (&[], &["LD_PRELOAD=/dev/porthole/libporthole.so"]),
            (&["A=b"], &["A=b", "LD_PRELOAD=/dev/porthole/libporthole.so"]),
            (&["LD_PRELOAD=/x.so", "A=b"], &["LD_PRELOAD=/x.so:/dev/porthole/libporthole.so", "A=b"]),
            (&["LD_PRELOAD=a b"], &["LD_PRELOAD=a b:/dev/porthole/libporthole.so"]),
            (&["LD_PRELOAD="], &["LD_PRELOAD=:/dev/porthole/libporthole.so"]),
            (
                &["LD_PRELOAD=1", "LD_PRELOAD=2", "LD_PRELOADX=3"],
                &["LD_PRELOAD=1", "LD_PRELOAD=2:/dev/porthole/libporthole.so", "LD_PRELOADX=3"],
            ),
        ];
        for (before, after) in table {
            let mut list = env(before);
            add_preload(&mut list, LIB);
            assert_eq!(list, env(after));
            add_preload(&mut list, LIB);
            assert_eq!(list, env(after), "a second time changes nothing");
            remove_preload(&mut list);
            assert_eq!(list, env(before));
        }
        let mut moved = env(&["LD_PRELOAD=/.porthole/libporthole.so:/x.so"]);
        add_preload(&mut moved, LIB);
        assert_eq!(moved, env(&["LD_PRELOAD=/x.so:/dev/porthole/libporthole.so"]));
    }

    #[test]
    fn only_mounts_of_the_named_share_are_taken_out() {
        let [a, b] = mounts(Path::new("/s/a/share/mnt"), Path::new("/s/a/share/rings"), MOUNT_DEV);
        let [c, d] = mounts(Path::new("/s/c/share/mnt"), Path::new("/s/c/share/rings"), MOUNT_ROOT);
        let user = json!({"destination": "/dev/porthole", "source": "/home/me/mnt", "type": "bind"});
        let list = json!({"destination": "/etc/ld.so.preload", "source": "/home/me/ld.so.preload", "type": "bind"});
        let mut spec = json!({
            "mounts": [user, a, b, preload_mount(Path::new("/s/a/share/mnt")), c, d, list],
            "process": {"env": ["LD_PRELOAD=/dev/porthole/libporthole.so"]},
        });
        assert_eq!(shares(&spec), [Path::new("/s/a/share"), Path::new("/s/c/share")]);
        assert!(remove(&mut spec, Path::new("/s/a/share")));
        assert_eq!(spec["process"]["env"].as_array().unwrap().len(), 1, "the other share still needs it");
        assert!(!remove(&mut spec, Path::new("/s/a/share")));
        assert!(remove(&mut spec, Path::new("/s/c/share")));
        assert_eq!(spec, json!({"mounts": [user, list], "process": {"env": []}}));
    }
}
