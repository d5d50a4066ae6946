//! Where in a container the share can be mounted without leaving a trace.

use porthole_registration::layout::{MOUNT_DEV, MOUNT_ROOT};
use serde_json::Value;

/// What there is at [`MOUNT_ROOT`] in a root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Nothing, and a directory can be made.
    Free,
    /// An empty directory.
    EmptyDirectory,
    /// Something else.
    Taken,
    /// Nothing, and none can be made.
    ReadOnly,
}

/// The directory in the container for the share; the reason if there is none.
///
/// `/dev` where it is a tmpfs of the container: that is gone with it, and works with a read-only root. Else a
/// directory in the root, which has to be made there. Never below a `/dev` that belongs to the host.
///
/// # Errors
/// Why there is no such place.
pub fn place(spec: &Value, root: impl FnOnce() -> Root) -> Result<&'static str, String> {
    let mounts: Vec<(String, bool)> = spec
        .get("mounts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|m| Some((clean(m.get("destination")?.as_str()?), is_tmpfs(m))))
        .collect();
    let taken = |place| mounts.iter().any(|(at, _)| covers(place, at) || at == place);
    // The later mount hides the earlier one.
    let dev = mounts.iter().rev().find(|(at, _)| covers(at, "/dev"));
    if let Some((_, true)) = dev {
        return if taken(MOUNT_DEV) {
            Err(format!("a mount of the container's own is at {MOUNT_DEV}"))
        } else {
            Ok(MOUNT_DEV)
        };
    }
    let dev_is = if dev.is_some() { "/dev is not a tmpfs" } else { "nothing is mounted on /dev" };
    if taken(MOUNT_ROOT) || mounts.iter().any(|(at, _)| at == "/") {
        return Err(format!("{dev_is}, and a mount of the container's own is at {MOUNT_ROOT} or /"));
    }
    if spec.pointer("/root/readonly").and_then(Value::as_bool).unwrap_or(false) {
        return Err(format!("{dev_is}, and the root file system is to be read-only"));
    }
    match root() {
        Root::Free | Root::EmptyDirectory => Ok(MOUNT_ROOT),
        Root::Taken => Err(format!("{dev_is}, and the root file system has something at {MOUNT_ROOT}")),
        Root::ReadOnly => Err(format!("{dev_is}, and the root file system cannot be written")),
    }
}

/// A destination as the runtimes understand it: absolute, without `.`, `..` and double slashes.
pub fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether a mount at `at` hides `path` (both clean).
pub fn covers(at: &str, path: &str) -> bool {
    at == "/" || path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_tmpfs(mount: &Value) -> bool {
    let options = mount.get("options").and_then(Value::as_array).into_iter().flatten();
    let bound = options.filter_map(Value::as_str).any(|o| o == "bind" || o == "rbind");
    !bound && mount.get("type").and_then(Value::as_str) == Some("tmpfs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(mounts: &[(&str, &str)]) -> Value {
        let mounts: Vec<Value> = mounts
            .iter()
            .map(|(at, kind)| match *kind {
                "bind" => json!({"destination": at, "type": "none", "source": "/x", "options": ["rbind"]}),
                "tmpfs,bind" => json!({"destination": at, "type": "tmpfs", "source": "/x", "options": ["bind"]}),
                kind => json!({"destination": at, "type": kind, "source": kind}),
            })
            .collect();
        json!({"mounts": mounts, "root": {"path": "rootfs"}})
    }

    #[test]
    fn where_the_share_goes() {
        let dev = Ok(MOUNT_DEV);
        let root = Ok(MOUNT_ROOT);
        type Case = (&'static [(&'static str, &'static str)], Root, Result<&'static str, &'static str>);
        let table: [Case; 17] = [
            (&[("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts")], Root::ReadOnly, dev),
            (&[("dev/", "tmpfs")], Root::ReadOnly, dev),
            (&[("//dev/.", "tmpfs")], Root::ReadOnly, dev),
            (&[("/dev", "bind"), ("/dev", "tmpfs")], Root::ReadOnly, dev),
            (&[("/", "bind"), ("/dev", "tmpfs")], Root::ReadOnly, dev),
            (&[("/dev", "tmpfs"), ("/dev/portholes", "bind")], Root::ReadOnly, dev),
            (&[("/dev", "tmpfs"), ("/dev", "bind")], Root::Free, root),
            (&[("/dev", "tmpfs,bind")], Root::Free, root),
            (&[], Root::Free, root),
            (&[("/dev", "devtmpfs")], Root::EmptyDirectory, root),
            (&[("/dev", "tmpfs"), ("/", "bind")], Root::Free, Err("/dev is not a tmpfs, and a mount")),
            (&[("/dev", "bind")], Root::Taken, Err("/dev is not a tmpfs, and the root file system has something")),
            (&[], Root::ReadOnly, Err("nothing is mounted on /dev, and the root file system cannot be written")),
            (&[("/dev", "tmpfs"), ("/dev/porthole", "bind")], Root::Free, Err("a mount of the container's own")),
            (&[("/dev", "tmpfs"), ("/dev/porthole/rings", "tmpfs")], Root::Free, Err("a mount of the container's own")),
            (&[("/.porthole/x", "bind")], Root::Free, Err("nothing is mounted on /dev, and a mount")),
            (&[("/x/../.porthole", "bind")], Root::Free, Err("nothing is mounted on /dev, and a mount")),
        ];
        for (mounts, root, expected) in table {
            match (place(&spec(mounts), || root), expected) {
                (Err(reason), Err(start)) => assert!(reason.starts_with(start), "{mounts:?}: {reason}"),
                (got, expected) => assert_eq!(got, expected.map_err(String::from), "{mounts:?}"),
            }
        }
    }

    #[test]
    fn a_read_only_root_gets_no_directory() {
        let mut spec = spec(&[("/dev", "bind")]);
        spec["root"]["readonly"] = json!(true);
        assert!(place(&spec, || Root::Free).unwrap_err().contains("read-only"));
        spec["mounts"] = json!([{"destination": "/dev", "type": "tmpfs"}]);
        assert_eq!(place(&spec, || Root::Free), Ok(MOUNT_DEV));
    }
}
