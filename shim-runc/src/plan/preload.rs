//! Whether `/etc/ld.so.preload` of a container is one of its root file system, and so can be mounted over.

use super::dev::{clean, covers};
use porthole_registration::layout::PRELOAD_FILE;
use porthole_registration::preload_file::Range;
use serde_json::Value;

/// What of the container's own mounts is in the way: the runtime would make the mount point in a volume, perhaps a
/// directory of the host, where it stays.
pub fn obstacle(spec: &Value) -> Option<String> {
    let mounts = spec.get("mounts").and_then(Value::as_array).into_iter().flatten();
    let over =
        mounts.filter_map(|m| Some(clean(m.get("destination")?.as_str()?))).find(|at| covers(at, PRELOAD_FILE))?;
    Some(format!("a mount of the container's own is at {over}"))
}

/// The ids on the host that a user namespace of the spec has, if there is one.
pub fn ranges(spec: &Value, at: &str) -> Option<Vec<Range>> {
    let mappings = spec.pointer(at)?.as_array().filter(|list| !list.is_empty())?;
    let number = |m: &Value, key: &str| u32::try_from(m.get(key)?.as_u64()?).ok();
    Some(mappings.iter().filter_map(|m| Some((number(m, "hostID")?, number(m, "size")?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_mounts_above_the_file_are_in_the_way() {
        let with = |at: &str| obstacle(&json!({"mounts": [{"destination": "/proc"}, {"destination": at}]}));
        for at in ["/etc", "etc/", "/", "/etc/ld.so.preload", "/etc/../etc/./ld.so.preload"] {
            assert!(with(at).is_some_and(|reason| reason.contains("own is at /")), "{at}");
        }
        for at in ["/etc/hosts", "/etc/ld.so.preload.d", "/et", "/dev"] {
            assert_eq!(with(at), None, "{at}");
        }
        assert_eq!(obstacle(&json!({})), None);
    }

    #[test]
    fn a_user_namespace_is_known_by_its_mappings() {
        let spec = json!({"linux": {"uidMappings": [
            {"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}, {"x": 1}],
            "gidMappings": []}});
        assert_eq!(ranges(&spec, "/linux/uidMappings"), Some(vec![(1000, 1), (100_000, 65_536)]));
        assert_eq!((ranges(&spec, "/linux/gidMappings"), ranges(&json!({}), "/linux/uidMappings")), (None, None));
    }
}
