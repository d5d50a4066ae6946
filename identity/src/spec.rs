//! Who a container is, as far as its spec tells: what no engine has to be asked for.

use porthole_registration::bounds;
use porthole_registration::container::{Container, Engine, Mount, Namespace, Pod, Process};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Capabilities up to Linux 4.18; a container with as many has all that its engine knows.
const ALL_CAPABILITIES: usize = 38;

/// Everything that the spec says. What comes from elsewhere (paths on the host, injection, runtime) is left empty.
pub fn describe(id: &str, bundle: &str, spec: &Value) -> Container {
    let annotations: BTreeMap<String, String> = spec
        .get("annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let mounts: Vec<Mount> = each(spec.get("mounts"));
    let cgroups_path = text(spec, "/linux/cgroupsPath");
    let process = spec.get("process").map(process).unwrap_or_default();
    let first = |names: &[&str]| names.iter().find_map(|n| annotations.get(*n)).cloned().unwrap_or_default();
    let pod = Pod {
        name: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        uid: first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        sandbox_id: first(&["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"]),
        ..Pod::default()
    };
    let engine = engine(id, bundle, &text(spec, "/root/path"), &cgroups_path, &annotations, &mounts);
    let mut container = Container {
        version: porthole_registration::container::VERSION,
        id: id.to_owned(),
        engine,
        name: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        // Anybody who may run containers can annotate them; only Kubernetes' interfaces mean a pod by it.
        pod: (matches!(engine, Engine::Cri | Engine::CriO) && pod != Pod::default()).then_some(pod),
        bundle: bundle.to_owned(),
        hostname: text(spec, "/hostname"),
        privileged: privileged(spec, &process),
        process,
        cgroups_path,
        namespaces: each::<Namespace>(spec.pointer("/linux/namespaces")),
        memory_limit: spec.pointer("/linux/resources/memory/limit").and_then(Value::as_u64).unwrap_or(0),
        annotations,
        mounts,
        ..Container::default()
    };
    bounds::container(&mut container);
    container
}

/// A process object of a spec, or of a `--process` file.
pub fn process(value: &Value) -> Process {
    let number = |at: &str| value.pointer(at).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let flag = |at: &str| value.pointer(at).and_then(Value::as_bool).unwrap_or(false);
    let mut process = Process {
        args: each(value.get("args")),
        cwd: text(value, "/cwd"),
        uid: number("/user/uid").unwrap_or(0),
        gid: number("/user/gid").unwrap_or(0),
        terminal: flag("/terminal"),
        no_new_privileges: flag("/noNewPrivileges"),
        capabilities: each(value.pointer("/capabilities/bounding")),
        target: String::new(),
    };
    bounds::process(&mut process);
    process
}

/// The environment of a process object.
pub fn environment(process: &Value) -> impl Iterator<Item = &str> {
    process.get("env").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn engine(
    id: &str,
    bundle: &str,
    root: &str,
    cgroups_path: &str,
    annotations: &BTreeMap<String, String>,
    mounts: &[Mount],
) -> Engine {
    let has = |name: &str| annotations.contains_key(name);
    // What containerd names its directories after is no container's choice.
    let namespace = bundle.split_once("/io.containerd.runtime.").and_then(|(_, rest)| rest.split('/').nth(1));
    if namespace == Some("moby") {
        Engine::Docker
    } else if annotations.get("io.container.manager").is_some_and(|m| m == "libpod") || id.starts_with("buildah-") {
        Engine::Podman
    } else if namespace.is_some_and(|name| name != "k8s.io") {
        Engine::Containerd
    } else if has("io.kubernetes.cri-o.ContainerType") {
        Engine::CriO
    } else if has("io.kubernetes.cri.container-type") {
        Engine::Cri
    } else if root.contains("/buildkit/executor/") || cgroups_path.contains("/buildkit/") {
        Engine::BuildKit
    } else if mounts.iter().any(|m| m.source.contains(&format!("/containers/{id}/"))) {
        Engine::Docker
    } else if bundle.contains("/io.containerd.runtime.") {
        Engine::Containerd
    } else {
        Engine::Runc
    }
}

/// All capabilities, and the last rule for devices allows them all.
fn privileged(spec: &Value, process: &Process) -> bool {
    let rules = spec.pointer("/linux/resources/devices").and_then(Value::as_array);
    let all_devices = rules.and_then(|rules| rules.last()).is_some_and(|rule| {
        let any = |key: &str| rule.get(key).is_none_or(|v| v.is_null() || v == "a" || v == -1);
        rule.get("allow") == Some(&Value::Bool(true)) && any("type") && any("major") && any("minor")
    });
    all_devices && process.capabilities.len() >= ALL_CAPABILITIES
}

/// The elements of a list that have the expected form.
fn each<T: DeserializeOwned>(list: Option<&Value>) -> Vec<T> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(|v| T::deserialize(v).ok()).collect()
}

fn text(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn the_samples_of_every_engine_are_recognised() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oci-samples");
        if !samples.is_dir() {
            return println!("SKIP: no {}", samples.display());
        }
        let docker = "bfdf337795d09507533028f3f7078c343a1407c15f2403d250e9123fba11ef82";
        let table = [
            ("docker", docker, "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/x", Engine::Docker),
            ("docker", docker, "/x", Engine::Docker),
            ("docker-buildkit-run", "x", "/var/lib/docker/buildkit/executor/x", Engine::BuildKit),
            ("containerd-ctr", "c2", "/run/containerd/io.containerd.runtime.v2.task/default/c2", Engine::Containerd),
            ("containerd-cri-container", "x", "/run/containerd/io.containerd.runtime.v2.task/k8s.io/x", Engine::Cri),
            ("containerd-cri-sandbox", "x", "/x", Engine::Cri),
            ("podman-root", "x", "/x", Engine::Podman),
            ("podman-rootless", "x", "/x", Engine::Podman),
            ("podman-build", "buildah-buildah3040140123", "/x", Engine::Podman),
        ];
        for (name, id, bundle, engine) in table {
            let bytes = std::fs::read(samples.join(format!("{name}-config.json"))).unwrap();
            let spec: Value = serde_json::from_slice(&bytes).unwrap();
            let container = describe(id, bundle, &spec);
            assert_eq!(container.engine, engine, "{name}");
            assert_eq!(container.mounts.len(), spec["mounts"].as_array().unwrap().len(), "{name}");
            assert!(!container.process.args.is_empty() && !container.namespaces.is_empty(), "{name}");
            assert!(!container.privileged, "{name}");
            if name == "containerd-cri-container" {
                let pod = container.pod.unwrap();
                assert_eq!((&*pod.name, &*pod.namespace), ("web-0", "prod"));
                assert!(pod.uid.starts_with("08deb4d8") && pod.sandbox_id.starts_with("3e720e32"));
                assert_eq!((&*container.name, container.memory_limit), ("app", 134_217_728));
                assert!(container.image.ends_with("library/bb:demo"));
            }
        }
    }

    #[test]
    fn odd_values_are_left_out() {
        let spec = json!({
            "annotations": {"a": 1, "b": "c"}, "mounts": [1, {"destination": "/x"}, {"options": 5}], "hostname": 7,
            "process": {"args": ["x", 1], "user": {"uid": -1, "gid": 5}},
            "linux": {"resources": {"memory": {"limit": -1}}},
        });
        let container = describe("i", "/b", &spec);
        assert_eq!((container.annotations.len(), container.mounts.len(), container.memory_limit), (1, 1, 0));
        assert_eq!((container.process.args.len(), container.process.uid, container.process.gid), (1, 0, 5));
        assert_eq!((container.engine, container.pod), (Engine::Runc, None));
    }

    #[test]
    fn privileged_needs_capabilities_and_devices() {
        let capabilities: Vec<String> = (0..ALL_CAPABILITIES).map(|n| format!("CAP_{n}")).collect();
        let spec = |rule: Value| {
            json!({"process": {"capabilities": {"bounding": capabilities}},
                "linux": {"resources": {"devices": [{"allow": false}, rule]}}})
        };
        assert!(describe("i", "/b", &spec(json!({"allow": true, "access": "rwm"}))).privileged);
        assert!(!describe("i", "/b", &spec(json!({"allow": true, "type": "c", "access": "rwm"}))).privileged);
        assert!(!describe("i", "/b", &spec(json!({"allow": false, "access": "rwm"}))).privileged);
        assert!(!describe("i", "/b", &json!({})).privileged);
    }
}
