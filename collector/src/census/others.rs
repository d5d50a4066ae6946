//! Containers that nobody has registered: who they are, and why they came without porthole.
//!
//! Whoever started a container's first process stands beside it for as long as it lives: containerd's shim in the
//! container's bundle, conmon with the bundle and the runtime among its arguments. The bundle has the spec, and from
//! there on they are known as all others are.

use super::processes::{self, Process};
use crate::container::{self, Container};
use crate::event::{ContainerInfo, short};
use crate::ingest::facts;
use crate::loss::lock;
use crate::status::ContainerView;
use porthole_identity::cgroup::{Kind, Match};
use porthole_identity::{complete, spec, trusted};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Most containers that are told of.
const MAX_OTHERS: usize = 4096;
/// Largest spec, and largest of the small files beside it.
const SPEC_LIMIT: u64 = 8 << 20;
const SMALL: u64 = 64 << 10;
/// Name of the wrapper.
const WRAPPER: &str = "porthole-runc";

/// See the module.
pub(super) struct Others {
    since_ns: u64,
    known: Mutex<HashMap<String, Arc<Other>>>,
}

/// One of them.
struct Other {
    info: ContainerInfo,
    reason: String,
    /// Start of its first process, which tells it from a later one of its name.
    started_ns: u64,
}

/// Where a container was made, and by which runtime.
#[derive(Debug, Default, PartialEq, Eq)]
struct Made {
    bundle: PathBuf,
    /// Empty: not known.
    runtime: String,
}

impl Others {
    pub fn new(since_ns: u64) -> Others {
        Others { since_ns, known: Mutex::default() }
    }

    /// Who these are, with their processes.
    pub fn identify<'a, 'p: 'a>(
        &self,
        groups: impl Iterator<Item = &'a (Match, Vec<&'p Process>)>,
        registered: &[Arc<Container>],
    ) -> Vec<(ContainerView, &'a [&'p Process])> {
        let mut before = std::mem::take(&mut *lock(&self.known));
        let mut now = HashMap::new();
        let mut found = vec![];
        for (group, members) in groups.take(MAX_OTHERS) {
            let Some(first) = members.iter().min_by_key(|p| (p.stat.start_ticks, p.pid)) else { continue };
            let started_ns = processes::started_ns(first.stat.start_ticks);
            let same = |other: &Arc<Other>| other.started_ns.abs_diff(started_ns) < 1_000_000_000;
            let other = match before.remove(&group.full_id).filter(same) {
                Some(other) => other,
                None => match self.look(group, first, started_ns, registered) {
                    Some(other) => Arc::new(other),
                    None => continue,
                },
            };
            let view = ContainerView {
                state: "running".into(),
                injection: "none".into(),
                injection_reason: other.reason.clone(),
                ..ContainerView::of(&other.info)
            };
            now.insert(group.full_id.clone(), other);
            found.push((view, members.as_slice()));
        }
        *lock(&self.known) = now;
        found
    }

    fn look(&self, group: &Match, first: &Process, started_ns: u64, registered: &[Arc<Container>]) -> Option<Other> {
        let made = made(&facts::arguments(first.stat.ppid), &group.full_id, || {
            std::fs::read_link(format!("/proc/{}/cwd", first.stat.ppid)).ok()
        });
        // A path that looks like a namespace and an id may be any group of the host.
        let made = match (made, group.kind) {
            (None, Kind::Containerd | Kind::Bpm) => return None,
            (made, _) => made.unwrap_or_default(),
        };
        let spec = trusted::json(&made.bundle.join("config.json"), SPEC_LIMIT);
        let info = match &spec {
            Some(spec) => described(spec, &group.full_id, &made.bundle),
            None => ContainerInfo {
                id: short(&group.full_id).into(),
                full_id: group.full_id.as_str().into(),
                engine: group.kind.as_str().into(),
                ..ContainerInfo::default()
            },
        };
        let info = ContainerInfo { created_ns: started_ns, ..info };
        let within =
            registered.iter().any(|c| first.groups.contains(&*c.registration.id) && c.registration.id.len() == 64);
        let reason = reason(info.sandbox, within, &made.runtime, started_ns < self.since_ns);
        Some(Other { info, reason, started_ns })
    }
}

fn described(spec: &Value, id: &str, bundle: &Path) -> ContainerInfo {
    let mut registration = spec::describe(id, &bundle.to_string_lossy(), spec);
    let root = spec.pointer("/root/path").and_then(Value::as_str).unwrap_or_default();
    registration.rootfs = bundle.join(root).to_string_lossy().into_owned();
    complete(&mut registration);
    container::info(&registration, id)
}

/// By the arguments of the first process's parent, and its working directory.
fn made(parent: &[String], id: &str, cwd: impl Fn() -> Option<PathBuf>) -> Option<Made> {
    let name = parent.first()?.rsplit('/').next()?;
    let after = |names: [&str; 2]| {
        let at = parent.iter().position(|word| names.contains(&word.as_str()))?;
        parent.get(at + 1).cloned()
    };
    if name.starts_with("containerd-shim") {
        // one shim has all containers of a pod, and stands in the bundle of the first
        let bundle = cwd()?.parent()?.join(id);
        let runtime = trusted::read(&bundle.join("runtime"), SMALL).map(|bytes| crate::event::text(&bytes));
        let runtime = runtime.unwrap_or_default().trim().to_owned();
        return bundle.is_dir().then_some(Made { bundle, runtime });
    }
    if name == "conmon" && after(["-c", "--cid"]).as_deref() == Some(id) {
        let bundle = after(["-b", "--bundle"])?.into();
        return Some(Made { bundle, runtime: after(["-r", "--runtime"]).unwrap_or_default() });
    }
    None
}

/// Why nothing is seen of it.
fn reason(sandbox: bool, within: bool, runtime: &str, earlier: bool) -> String {
    let name = runtime.rsplit('/').next().unwrap_or_default();
    let by = if name.is_empty() { String::new() } else { format!(", by {name}") };
    match (sandbox, within) {
        (true, _) => "pod sandbox".into(),
        (_, true) => format!("nested: started inside a container{by}"),
        _ if earlier => format!("started before porthole{by}"),
        _ if name == WRAPPER => "its registration is gone".into(),
        _ if name.is_empty() => "not started by porthole-runc".into(),
        _ => format!("other runtime: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conmon_tells_bundle_and_runtime_of_its_own_container_only() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let conmon = words("/usr/bin/conmon --api-version 1 -c abc -u abc -r /usr/bin/crun -b /st/abc/userdata -n x");
        let want = Made { bundle: "/st/abc/userdata".into(), runtime: "/usr/bin/crun".into() };
        assert_eq!(made(&conmon, "abc", || None), Some(want));
        assert_eq!(made(&conmon, "abd", || None), None);
        for other in ["conmon -c abc", "conmon -c", "sh -c abc -b /x", "containerd-shim-runc-v2"] {
            assert_eq!(made(&words(other), "abc", || None), None, "{other}");
        }
        assert_eq!(made(&[], "abc", || None), None);
    }

    #[test]
    fn a_shim_stands_in_a_bundle_beside_those_of_its_pod() {
        let root = std::env::temp_dir().join(format!("porthole-shim-{}", std::process::id()));
        std::fs::create_dir_all(root.join("other")).unwrap();
        std::fs::write(root.join("other/runtime"), "/usr/sbin/runc\n").unwrap();
        let shim = vec!["/usr/bin/containerd-shim-runc-v2".to_owned()];
        let found = made(&shim, "other", || Some(root.join("sandbox"))).unwrap();
        assert_eq!((found.bundle, &*found.runtime), (root.join("other"), "/usr/sbin/runc"));
        assert_eq!(made(&shim, "none", || Some(root.join("sandbox"))), None);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_reason_is_the_nearest_one() {
        let runc = "/usr/bin/runc";
        assert_eq!(reason(true, false, runc, true), "pod sandbox");
        assert_eq!(reason(false, true, "", false), "nested: started inside a container");
        assert_eq!(reason(false, false, runc, true), "started before porthole, by runc");
        assert_eq!(reason(false, false, runc, false), "other runtime: runc");
        assert_eq!(reason(false, false, "", false), "not started by porthole-runc");
        assert_eq!(reason(false, false, "/x/porthole-runc", false), "its registration is gone");
    }
}
