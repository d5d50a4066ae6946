//! `container.json` and the files below `execs/`.

use crate::sites::Depth;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of these files.
pub const VERSION: u32 = 1;

/// What porthole knows of a container when it is created, before its first process runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// [`VERSION`] of the writer. Readers ignore keys they do not know.
    pub version: u32,
    /// Full id as the runtime was given it; `host` for `porthole run`.
    pub id: String,
    /// Which engine made it, as far as the spec tells.
    pub engine: Engine,
    /// Name, image and so on where the spec or its annotations carry them; empty = not known (yet).
    pub name: String,
    /// Image as configured.
    pub image: String,
    /// What its engine knows of it and the spec does not say.
    pub engines: Known,
    /// Kubernetes pod, where annotations tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Time of registration, nanoseconds since the epoch.
    pub created_ns: u64,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root file system on the host.
    pub rootfs: String,
    /// Overlay directories of the root, where it is an overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Overlay>,
    /// Host name inside.
    pub hostname: String,
    /// The spec's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The spec's mounts (without porthole's own).
    pub mounts: Vec<Mount>,
    /// All capabilities and no confinement of devices, as far as the spec tells.
    pub privileged: bool,
    /// The first process.
    pub process: Process,
    /// cgroup path of the spec.
    pub cgroups_path: String,
    /// Namespaces of the spec; a type that is missing is shared with the host.
    pub namespaces: Vec<Namespace>,
    /// Memory limit in bytes, 0 = none.
    pub memory_limit: u64,
    /// The runtime that was executed, and its `--root`.
    pub runtime: String,
    /// See `runtime`.
    pub runtime_root: String,
    /// Whether and how the agent was put into it.
    pub injection: Injection,
    /// How deep the agent was asked to look.
    pub depth: Depth,
    /// What could not be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<Shortfall>,
    /// Verb that made it: `create`, `run` or `restore` (`run` is followed by no `delete`).
    pub verb: String,
    /// Process of the runtime, in the pid namespace of who registered it: of `create` until the container is made, of
    /// `run` until it ends.
    pub runtime_pid: u32,
    /// Start time of `runtime_pid` (`/proc/<pid>/stat`, field 22), so that the number cannot be mistaken for another.
    pub runtime_start: u64,
    /// Directory on the host that the runtime makes as mount point in the root file system and that is removed again
    /// when the edits are undone; empty = none.
    pub mount_point_made: String,
    /// Whether the runtime makes an empty `/etc/ld.so.preload` as mount point in the root file system, which is removed
    /// again when the edits are undone.
    pub preload_file_made: bool,
}

/// Container engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Engine {
    Docker,
    BuildKit,
    Containerd,
    /// Kubernetes' interface to containerd.
    Cri,
    CriO,
    Podman,
    /// No runtime: hooks of its configuration.
    Lxc,
    /// `porthole run`: no container.
    Host,
    /// The runtime by itself, or an engine that leaves no trace in the spec.
    #[default]
    #[serde(other)]
    Runc,
}

/// Identity of a Kubernetes pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub sandbox_id: String,
    pub labels: BTreeMap<String, String>,
    pub ip: String,
    /// The result of its network's plugins, as JSON.
    pub cni: String,
}

/// What the engine has written down of a container: labels, the image's other names, what a person asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// Whether its record was found at all.
    pub found: bool,
    /// Labels of the container and its image.
    pub labels: BTreeMap<String, String>,
    /// Name with registry and tag, where `image` is an id.
    pub image_name: String,
    /// Hexadecimal, without `sha256:`.
    pub image_id: String,
    /// `sha256:…` of the image's manifest.
    pub image_digest: String,
    /// User as configured.
    pub user: String,
    /// Entrypoint as configured.
    pub entrypoint: Vec<String>,
    /// Mounts that were asked for; `None`: those of the spec are all that is known.
    pub mounts: Option<Vec<Bind>>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Address, where it is known before the container starts.
    pub ip: String,
    /// The result of its network's plugins, as JSON.
    pub cni: String,
    /// Whether it does nothing but hold the namespaces of a pod.
    pub sandbox: bool,
    /// Program and arguments of the engine's health check; empty = none.
    pub healthcheck: Vec<String>,
    /// The same of Kubernetes' liveness probe.
    pub liveness_probe: Vec<String>,
    /// The same of its readiness probe.
    pub readiness_probe: Vec<String>,
}

/// A mount as the engine lists it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Bind {
    pub source: String,
    pub destination: String,
    pub mode: String,
    pub rw: bool,
    pub propagation: String,
}

/// A published port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Port {
    pub host_ip: String,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: String,
}

/// Directories of an overlay root.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Overlay {
    pub upper: String,
    pub lower: Vec<String>,
}

/// One mount of the spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Mount {
    pub source: String,
    pub destination: String,
    pub r#type: String,
    pub options: Vec<String>,
}

/// One namespace of the spec; empty path = a new one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Namespace {
    pub r#type: String,
    pub path: String,
}

/// A process that the engine starts: the entrypoint, or an `exec` from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Process {
    pub args: Vec<String>,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub terminal: bool,
    pub no_new_privileges: bool,
    /// Bounding set, `CAP_…`.
    pub capabilities: Vec<String>,
    /// What the executable is, from a look into the root file system: `dynamic`, `static`, `script`, `setuid`, `asan`,
    /// `word-size`, `other-architecture`, `unknown`.
    pub target: String,
}

/// Whether the agent was put into a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Injection {
    /// Yes.
    Preload {
        /// The agent's path inside the container.
        library: String,
        /// What names it to the loader.
        #[serde(default)]
        inject: Inject,
    },
    /// No; the container is a blind spot.
    None {
        /// Why, in words.
        reason: String,
    },
}

/// What makes a program's loader load the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inject {
    /// The variable `LD_PRELOAD`.
    #[default]
    Env,
    /// The file `/etc/ld.so.preload`.
    File,
    /// Both.
    Both,
}

impl Inject {
    /// Whether the variable does.
    pub fn by_variable(self) -> bool {
        self != Inject::File
    }

    /// Whether the file does; set-user-id programs obey it, too.
    pub fn by_file(self) -> bool {
        self != Inject::Env
    }
}

/// Something that was asked for and could not be had; the container runs with less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shortfall {
    /// What there is instead: `symbols_only`, `env_only`.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
}

impl Default for Injection {
    fn default() -> Self {
        Injection::None { reason: String::new() }
    }
}

/// One file below `execs/`: a process that the engine adds to a running container, or another thing that it does to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// See [`VERSION`].
    pub version: u32,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Empty: a process is added; `pause`, `resume`: all of them stop and go on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verb: String,
    /// What is executed.
    pub process: Process,
    /// Whether the agent's entry was added to its environment; the reason if not.
    pub injected: bool,
    /// See `injected`; empty when it was.
    pub reason: String,
}
