//! What is to be done with a spec: JSON in, JSON out, no look at the machine.

pub mod dev;
pub mod preload;
pub mod seccomp;

use crate::elf::Target;
use porthole_registration::container::Inject;
use porthole_registration::edits;
use serde_json::Value;
use std::path::Path;

/// A decision about a container.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// The agent goes in.
    Inject {
        /// The edited spec.
        spec: Value,
        /// Where the share is mounted in the container.
        mount_point: &'static str,
        /// The agent's path in the container.
        library: String,
    },
    /// The agent stays out; why, in words.
    Leave(String),
}

/// Where a container's share lies on the host.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// What the container may read.
    pub mnt: &'a Path,
    /// What it may write.
    pub rings: &'a Path,
    /// What makes programs load the agent.
    pub inject: Inject,
}

/// Whether the spec has the shape that porthole's edits need. If not, the runtime will have something to say.
pub fn is_sound(spec: &Value) -> bool {
    let list = |at: &str| spec.pointer(at).is_none_or(|v| v.is_array() || v.is_null());
    let strings =
        |at: &str| list(at) && spec.pointer(at).and_then(Value::as_array).into_iter().flatten().all(Value::is_string);
    spec.get("process").is_some_and(Value::is_object)
        && spec.pointer("/root/path").is_some_and(Value::is_string)
        && list("/mounts")
        && strings("/process/env")
        && strings("/process/args")
}

/// Decides, and edits the spec accordingly. `target` is what the first program is; `root` is asked for the root file
/// system only if that matters.
pub fn plan(mut spec: Value, share: Share<'_>, target: Target, root: impl FnOnce() -> dev::Root) -> Plan {
    if let Some(obstacle) = seccomp::obstacle(spec.pointer("/linux/seccomp")) {
        return Plan::Leave(obstacle);
    }
    if let Some(objection) = target.objection {
        return Plan::Leave(format!("the first program {objection}"));
    }
    if !share.mnt.to_str().is_some_and(|path| path.starts_with('/')) {
        return Plan::Leave(format!("the state directory {} cannot be written in JSON", share.mnt.display()));
    }
    let mount_point = match dev::place(&spec, root) {
        Ok(place) => place,
        Err(reason) => return Plan::Leave(reason),
    };
    let library = edits::library_at(mount_point);
    let mounts = list(&mut spec, "mounts");
    mounts.extend(edits::mounts(share.mnt, share.rings, mount_point));
    if share.inject.by_file() {
        mounts.push(edits::preload_mount(share.mnt));
    }
    if share.inject.by_variable() {
        edits::add_preload(list(&mut spec["process"], "env"), &library);
    }
    Plan::Inject { spec, mount_point, library }
}

/// The list of this name, made if it is missing or null.
fn list<'a>(object: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    let value = &mut object[name];
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    let Value::Array(list) = value else { unreachable!("made above") };
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned(spec: Value, name: &'static str) -> Plan {
        planned_by(Inject::Env, spec, name)
    }

    fn planned_by(inject: Inject, spec: Value, name: &'static str) -> Plan {
        let objection = (name == "other-architecture").then_some("is of another architecture");
        let (mnt, rings) = (Path::new("/run/p/c/share/mnt"), Path::new("/run/p/c/share/rings"));
        plan(spec, Share { mnt, rings, inject }, Target { name, objection }, || dev::Root::ReadOnly)
    }

    #[test]
    fn the_loaders_list_is_mounted_and_the_variable_only_where_it_is_asked_for() {
        let bare = json!({"process": {"args": ["x"], "env": ["A=b"]}, "root": {"path": "r"}, "mounts": [
            {"destination": "/dev", "type": "tmpfs"}]});
        for (inject, mounts, variables) in [(Inject::Env, 3, 2), (Inject::File, 4, 1), (Inject::Both, 4, 2)] {
            let Plan::Inject { mut spec, .. } = planned_by(inject, bare.clone(), "dynamic") else { panic!() };
            let count = |at: &str| spec.pointer(at).and_then(Value::as_array).unwrap().len();
            assert_eq!((count("/mounts"), count("/process/env")), (mounts, variables), "{inject:?}");
            assert!(edits::remove(&mut spec, Path::new("/run/p/c/share")));
            assert_eq!(spec, bare, "{inject:?}");
        }
    }

    #[test]
    fn every_engine_gets_two_mounts_and_a_variable_and_loses_nothing() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oci-samples");
        let Ok(files) = std::fs::read_dir(&samples) else { return println!("SKIP: no {}", samples.display()) };
        let mut seen = 0;
        for path in files.map(|f| f.unwrap().path()) {
            let text = std::fs::read_to_string(&path).unwrap();
            let spec: Value = serde_json::from_str(&text).unwrap();
            let again: Value = serde_json::from_slice(&serde_json::to_vec(&spec).unwrap()).unwrap();
            assert_eq!(numbers(&text), numbers(&again.to_string()), "{}", path.display());
            if !is_sound(&spec) {
                continue;
            }
            seen += 1;
            let Plan::Inject { spec: mut edited, mount_point, library } = planned(spec.clone(), "dynamic") else {
                panic!("{} is not injected", path.display())
            };
            assert_eq!((mount_point, &*library), ("/dev/porthole", "/dev/porthole/libporthole.so"));
            assert_eq!(edited["mounts"].as_array().unwrap().len(), spec["mounts"].as_array().unwrap().len() + 2);
            assert!(edited["process"]["env"].as_array().unwrap().contains(&json!(format!("LD_PRELOAD={library}"))));
            assert!(edits::remove(&mut edited, Path::new("/run/p/c/share")));
            assert_eq!(edited, spec, "{}", path.display());
            let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&edited), keys(&spec), "the order of keys is kept");
        }
        assert!(seen >= 8, "{seen} specs");
    }

    /// Every number of a JSON text, as it is written.
    fn numbers(text: &str) -> Vec<String> {
        let (mut found, mut quoted, mut escaped, mut number) = (Vec::new(), false, false, String::new());
        for c in text.chars() {
            if !quoted && (c.is_ascii_digit() || "+-.".contains(c) || (c == 'e' && !number.is_empty())) {
                number.push(c);
            } else if !number.is_empty() {
                found.push(std::mem::take(&mut number));
            }
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
        }
        found
    }

    #[test]
    fn numbers_of_all_sizes_survive() {
        let text = r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":1.5,"d":-1,"e":0.1}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn what_is_missing_is_made_and_what_forbids_is_said() {
        let bare = json!({"process": {"args": ["x"], "env": null}, "root": {"path": "r"}, "mounts": [
            {"destination": "/dev", "type": "tmpfs"}], "vendor": {"x": 1}});
        assert!(is_sound(&bare));
        let Plan::Inject { spec, .. } = planned(bare.clone(), "static") else { panic!() };
        assert_eq!(spec["process"]["env"], json!(["LD_PRELOAD=/dev/porthole/libporthole.so"]));
        assert_eq!(spec["vendor"], json!({"x": 1}));
        assert!(matches!(planned(bare.clone(), "other-architecture"), Plan::Leave(r) if r.contains("architecture")));
        let mut killed = bare.clone();
        killed["linux"] = json!({"seccomp": {"defaultAction": "SCMP_ACT_KILL"}});
        assert!(matches!(planned(killed, "dynamic"), Plan::Leave(r) if r.contains("seccomp")));
        let mut nowhere = bare;
        nowhere["mounts"] = json!(null);
        assert!(is_sound(&nowhere));
        assert!(matches!(planned(nowhere, "dynamic"), Plan::Leave(r) if r.contains("cannot be written")));
    }

    #[test]
    fn specs_that_no_runtime_takes_are_not_touched() {
        for text in [
            "1",
            "[]",
            "{}",
            r#"{"process": null}"#,
            r#"{"process": {}, "root": null}"#,
            r#"{"process": {"env": [1]}, "root": {"path": "r"}}"#,
            r#"{"process": {"args": "x"}, "root": {"path": "r"}}"#,
            r#"{"process": {}, "root": {"path": "r"}, "mounts": {}}"#,
        ] {
            assert!(!is_sound(&serde_json::from_str(text).unwrap()), "{text}");
        }
    }
}
