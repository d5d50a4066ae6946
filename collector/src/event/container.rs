//! What events say of a container: one value, made once and shared by all its events. What a field needs is prepared
//! here, so that telling it costs no work for each event.

use super::{Process, ValueRef, text_field};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Characters of a short id.
pub(crate) const SHORT: usize = 12;

/// Everything known of a container. Empty texts are unknown.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ContainerInfo {
    /// First 12 characters of the id; `host` outside any container.
    pub id: Arc<str>,
    pub full_id: Arc<str>,
    pub name: Arc<str>,
    /// As configured.
    pub image: Arc<str>,
    /// Hexadecimal, without `sha256:`.
    pub image_id: Arc<str>,
    pub image_repository: Arc<str>,
    pub image_tag: Arc<str>,
    /// `sha256:…`.
    pub image_digest: Arc<str>,
    /// `container.type`.
    pub engine: Arc<str>,
    pub privileged: bool,
    /// User as configured.
    pub user: Arc<str>,
    pub ip: Arc<str>,
    pub cni: Arc<str>,
    pub labels: Labels,
    pub mounts: Vec<Mount>,
    /// All mounts as one text.
    pub mounts_text: Arc<str>,
    pub ports: Vec<porthole_registration::container::Port>,
    /// Whether it only holds the namespaces of its pod.
    pub sandbox: bool,
    /// Kinds of namespaces that are the host's.
    pub shared: Vec<&'static str>,
    pub pod_name: Arc<str>,
    pub pod_namespace: Arc<str>,
    pub pod_uid: Arc<str>,
    pub pod_sandbox_id: Arc<str>,
    pub pod_labels: Labels,
    pub pod_ip: Arc<str>,
    pub pod_cni: Arc<str>,
    /// Commands by which its engine asks how it is.
    pub probes: Probes,
    /// When it was made, nanoseconds since the epoch.
    pub created_ns: u64,
    /// When its first process started; 0 = not yet.
    pub started_ns: Arc<AtomicU64>,
}

/// Labels by name, and all of them as one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Labels {
    pub by_name: BTreeMap<String, String>,
    pub text: Arc<str>,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Mount {
    pub source: String,
    pub destination: String,
    pub mode: String,
    pub writable: bool,
    pub propagation: String,
    /// All of it.
    pub text: String,
}

/// Program and arguments of what asks a container how it is; empty = nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Probes {
    pub health: Vec<String>,
    pub liveness: Vec<String>,
    pub readiness: Vec<String>,
}

/// Why a process was added to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Purpose {
    Health,
    Liveness,
    Readiness,
    /// Somebody wanted it.
    User,
}

impl Purpose {
    /// As `evt.arg.purpose` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Health => "healthcheck",
            Purpose::Liveness => "liveness_probe",
            Purpose::Readiness => "readiness_probe",
            Purpose::User => "user",
        }
    }
}

impl Probes {
    fn purpose(&self, is: impl Fn(&[String]) -> bool) -> Purpose {
        let all = [
            (&self.health, Purpose::Health),
            (&self.liveness, Purpose::Liveness),
            (&self.readiness, Purpose::Readiness),
        ];
        let found = all.into_iter().find(|(command, _)| !command.is_empty() && is(command));
        found.map_or(Purpose::User, |(_, purpose)| purpose)
    }

    /// Why the engine adds a process with these arguments.
    pub fn of_added(&self, argv: &[String]) -> Purpose {
        self.purpose(|command| command == argv)
    }

    /// Why a process is there: it, or one that it descends from, came into the container from outside, and by which
    /// command. `User`: by none of the probes, or it is of the container's own program.
    pub fn of_process(&self, process: &Process) -> Purpose {
        let line = || std::iter::once(process).chain(process.ancestors());
        if line().any(|p| p.vpid == Some(1)) {
            return Purpose::User;
        }
        self.purpose(|command| {
            let Some((exe, args)) = command.split_first() else { return false };
            let args = args.join(" ");
            line().any(|p| *p.exe == **exe && *p.args == *args)
        })
    }
}

impl Labels {
    /// Without those whose value is longer than `longest` (they are left out, not cut). The text leaves out what the
    /// engines' own tools have added.
    pub fn new(all: &BTreeMap<String, String>, longest: usize) -> Labels {
        let by_name: BTreeMap<_, _> =
            all.iter().filter(|(_, v)| v.len() <= longest).map(|(k, v)| (k.clone(), v.clone())).collect();
        let own = by_name.iter().filter(|(k, _)| !k.starts_with("annotation.") && !k.starts_with("io.kubernetes."));
        let texts: Vec<String> =
            own.map(|(name, value)| if value.is_empty() { name.clone() } else { format!("{name}:{value}") }).collect();
        Labels { text: texts.join(", ").into(), by_name }
    }
}

impl Mount {
    /// A mount with its text.
    pub fn new(source: &str, destination: &str, mode: &str, writable: bool, propagation: &str) -> Mount {
        Mount {
            source: source.into(),
            destination: destination.into(),
            mode: mode.into(),
            writable,
            propagation: propagation.into(),
            text: format!("{source}:{destination}:{mode}:{writable}:{propagation}"),
        }
    }
}

/// Part of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Part {
    All,
    Source,
    Destination,
    Mode,
    Writable,
    Propagation,
}

impl ContainerInfo {
    /// What stands for everything outside containers.
    pub fn is_host(&self) -> bool {
        &*self.id == "host"
    }

    /// Whether it has no namespace of its own of this kind.
    pub fn shares(&self, namespace: &str) -> bool {
        self.shared.contains(&namespace)
    }

    /// When its first process started, if it has.
    pub fn started(&self) -> Option<u64> {
        Some(self.started_ns.load(Relaxed)).filter(|ns| *ns > 0)
    }

    /// Its address, or its pod's.
    pub fn address(&self) -> &str {
        if self.ip.is_empty() { &self.pod_ip } else { &self.ip }
    }

    /// One of the fields `container.…` and `k8s.…`, by its name and its argument (`container.mount.dest`, `/etc*`), for
    /// an event at this time. `None`: it has no value. `container.…` of the host are its id, name and type only.
    pub fn value(&self, name: &str, argument: Option<&str>, time_ns: u64) -> Option<ValueRef<'_>> {
        match name {
            "container.id" => return of(&self.id),
            "container.full_id" => return of(&self.full_id),
            "container.name" => return of(&self.name),
            "container.type" => return of(&self.engine),
            _ if self.is_host() => return None,
            _ => {}
        }
        match name {
            "container.image" => of(&self.image),
            "container.image.id" => of(&self.image_id),
            "container.image.repository" => of(&self.image_repository),
            "container.image.tag" => of(&self.image_tag),
            "container.image.digest" => of(&self.image_digest),
            "container.privileged" => Some(ValueRef::Flag(self.privileged)),
            "container.host_pid" => Some(ValueRef::Flag(self.shares("pid"))),
            "container.host_network" => Some(ValueRef::Flag(self.shares("network"))),
            "container.host_ipc" => Some(ValueRef::Flag(self.shares("ipc"))),
            "container.ip" => of(self.address()),
            "container.cni.json" => of(if self.cni.is_empty() { &self.pod_cni } else { &self.cni }),
            "container.start_ts" => self.started().map(|ns| ValueRef::Number(ns as i64)),
            "container.duration" => self.started().map(|ns| ValueRef::Number(time_ns.saturating_sub(ns) as i64)),
            "container.mounts" => of(&self.mounts_text),
            "container.mount" => self.mount(Part::All, argument?),
            "container.mount.source" => self.mount(Part::Source, argument?),
            "container.mount.dest" => self.mount(Part::Destination, argument?),
            "container.mount.mode" => self.mount(Part::Mode, argument?),
            "container.mount.rdwr" => self.mount(Part::Writable, argument?),
            "container.mount.propagation" => self.mount(Part::Propagation, argument?),
            "container.label" => self.labels.by_name.get(argument?).map(|v| ValueRef::Text(v)),
            "container.labels" => of(&self.labels.text),
            "k8s.pod.name" => of(&self.pod_name),
            "k8s.ns.name" => of(&self.pod_namespace),
            "k8s.pod.id" | "k8s.pod.uid" => of(&self.pod_uid),
            "k8s.pod.sandbox_id" => of(short(&self.pod_sandbox_id)),
            "k8s.pod.full_sandbox_id" => of(&self.pod_sandbox_id),
            "k8s.pod.label" => self.pod_labels.by_name.get(argument?).map(|v| ValueRef::Text(v)),
            "k8s.pod.labels" => of(&self.pod_labels.text),
            "k8s.pod.ip" => of(&self.pod_ip),
            "k8s.pod.cni.json" => of(&self.pod_cni),
            // what is left is deprecated, and never has a value
            _ => None,
        }
    }

    /// Part of the first mount that an argument means: its number, or a pattern of its source (for the source: of its
    /// destination). Where none fits, a text says so: rules compare with it.
    pub fn mount(&self, part: Part, which: &str) -> Option<ValueRef<'_>> {
        let fits = |m: &&Mount| {
            let name = if part == Part::Source { &m.destination } else { &m.source };
            porthole_rules::glob::matches(which.as_bytes(), name.as_bytes())
        };
        let found = match which.parse::<usize>() {
            Ok(number) => self.mounts.get(number),
            Err(_) => self.mounts.iter().find(fits),
        };
        Some(ValueRef::Text(match (found, part) {
            (None, Part::All) => "none",
            (None, _) => "N/A",
            (Some(m), Part::All) => &m.text,
            (Some(m), Part::Source) => &m.source,
            (Some(m), Part::Destination) => &m.destination,
            (Some(m), Part::Mode) => &m.mode,
            (Some(m), Part::Writable) if m.writable => "true",
            (Some(_), Part::Writable) => "false",
            (Some(m), Part::Propagation) => &m.propagation,
        }))
    }

    /// The fields that every event carries.
    pub(super) fn each<'a>(&'a self, f: &mut dyn FnMut(&'static str, ValueRef<'a>)) {
        text_field(f, "container.id", &self.id);
        text_field(f, "container.full_id", &self.full_id);
        text_field(f, "container.name", &self.name);
        text_field(f, "container.type", &self.engine);
        text_field(f, "container.image", &self.image);
        text_field(f, "container.image.repository", &self.image_repository);
        text_field(f, "container.image.tag", &self.image_tag);
        text_field(f, "container.image.digest", &self.image_digest);
        if !self.is_host() {
            f("container.privileged", ValueRef::Flag(self.privileged));
        }
        text_field(f, "k8s.pod.name", &self.pod_name);
        text_field(f, "k8s.ns.name", &self.pod_namespace);
        text_field(f, "k8s.pod.uid", &self.pod_uid);
        text_field(f, "k8s.pod.sandbox_id", short(&self.pod_sandbox_id));
    }
}

fn of(text: &str) -> Option<ValueRef<'_>> {
    (!text.is_empty()).then_some(ValueRef::Text(text))
}

/// The first characters of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(info: &'a ContainerInfo, name: &str, argument: Option<&str>) -> Option<&'a str> {
        match info.value(name, argument, 100)? {
            ValueRef::Text(text) => Some(text),
            other => panic!("{name}: {other:?}"),
        }
    }

    fn sample() -> ContainerInfo {
        let labels = [("team", "x"), ("io.kubernetes.pod.name", "p"), ("annotation.a", "b"), ("empty", "")];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        ContainerInfo {
            id: "0123456789ab".into(),
            full_id: "0123456789abcdef".into(),
            labels: Labels::new(&labels, 100),
            mounts: vec![
                Mount::new("/etc", "/hostetc", "ro", false, "rprivate"),
                Mount::new("/v", "/data", "", true, ""),
            ],
            pod_sandbox_id: "fedcba9876543210".into(),
            shared: vec!["network"],
            ..ContainerInfo::default()
        }
    }

    #[test]
    fn mounts_are_found_by_number_and_pattern() {
        let info = sample();
        for (name, argument, want) in [
            ("container.mount", "0", "/etc:/hostetc:ro:false:rprivate"),
            ("container.mount", "/v", "/v:/data::true:"),
            ("container.mount", "/e?c", "/etc:/hostetc:ro:false:rprivate"),
            ("container.mount", "etc", "none"),
            ("container.mount", "2", "none"),
            ("container.mount.dest", "/etc", "/hostetc"),
            ("container.mount.dest", "/proc*", "N/A"),
            ("container.mount.source", "/hostetc", "/etc"),
            ("container.mount.source", "/etc", "N/A"),
            ("container.mount.mode", "/etc", "ro"),
            ("container.mount.rdwr", "/etc", "false"),
            ("container.mount.rdwr", "1", "true"),
            ("container.mount.propagation", "/*", "rprivate"),
        ] {
            assert_eq!(text(&info, name, Some(argument)), Some(want), "{name}[{argument}]");
        }
        assert_eq!(info.value("container.mount", None, 0), None);
    }

    #[test]
    fn labels_are_listed_without_the_engines_own() {
        let info = sample();
        assert_eq!(text(&info, "container.labels", None), Some("empty, team:x"));
        assert_eq!(text(&info, "container.label", Some("io.kubernetes.pod.name")), Some("p"));
        assert_eq!(text(&info, "container.label", Some("nosuch")), None);
        assert!(Labels::new(&[("a".into(), "xy".into())].into(), 1).by_name.is_empty());
    }

    #[test]
    fn values_have_the_types_that_rules_know_and_the_host_has_few() {
        let info = sample();
        assert_eq!(info.value("container.host_network", None, 0), Some(ValueRef::Flag(true)));
        assert_eq!(info.value("container.host_pid", None, 0), Some(ValueRef::Flag(false)));
        assert_eq!(info.value("container.duration", None, 100), None);
        info.started_ns.store(40, Relaxed);
        assert_eq!(info.value("container.duration", None, 100), Some(ValueRef::Number(60)));
        assert_eq!(text(&info, "k8s.pod.sandbox_id", None), Some("fedcba987654"));
        assert_eq!(text(&info, "k8s.pod.full_sandbox_id", None), Some("fedcba9876543210"));
        assert_eq!(text(&info, "k8s.deployment.name", None), None);
        let host = ContainerInfo { id: "host".into(), name: "host".into(), ..ContainerInfo::default() };
        assert_eq!(text(&host, "container.name", None), Some("host"));
        assert_eq!(host.value("container.privileged", None, 0), None);
    }

    #[test]
    fn a_probe_is_what_comes_from_outside_by_its_command() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let probes = Probes { health: words("/h"), liveness: words("/bin/sh -c x"), ..Probes::default() };
        assert_eq!(probes.of_added(&words("/h")), Purpose::Health);
        assert_eq!(probes.of_added(&words("/h 1")), Purpose::User);
        assert_eq!(Probes::default().of_added(&[]), Purpose::User);
        let process = |exe: &str, args: &str, vpid, parent: Option<&Process>| Process {
            exe: exe.into(),
            args: args.into(),
            vpid: Some(vpid),
            parent: parent.cloned().map(Arc::new),
            ..Process::default()
        };
        let shell = process("/bin/sh", "-c x", 20, None);
        assert_eq!(probes.of_process(&shell), Purpose::Liveness);
        assert_eq!(probes.of_process(&process("cat", "", 21, Some(&shell))), Purpose::Liveness);
        assert_eq!(probes.of_process(&process("/h", "", 22, None)), Purpose::Health);
        let init = process("/init", "", 1, None);
        assert_eq!(probes.of_process(&process("/h", "", 23, Some(&init))), Purpose::User);
    }

    #[test]
    fn every_field_of_the_family_is_known() {
        let sample = ContainerInfo { labels: Labels::new(&[("0".into(), "v".into())].into(), 9), ..sample() };
        sample.started_ns.store(1, Relaxed);
        let all = porthole_rules::vocabulary::Vocabulary::falco().fields().iter();
        let ours = all.filter(|f| f.name.starts_with("container.") || f.name.starts_with("k8s."));
        let (mut count, mut typed) = (0, 0);
        for field in ours {
            count += 1;
            let value = sample.value(&field.name, Some("0"), 9);
            let fits = match value {
                None => true,
                Some(ValueRef::Text(_)) => field.kind == porthole_rules::vocabulary::Type::Text,
                Some(ValueRef::Flag(_)) => field.kind == porthole_rules::vocabulary::Type::Bool,
                Some(ValueRef::Number(_)) => field.kind.is_number(),
            };
            assert!(fits, "{}: {value:?}", field.name);
            assert!(!field.deprecated || value.is_none(), "{}", field.name);
            typed += usize::from(value.is_some());
        }
        assert!(count > 50 && typed >= 17, "{count} fields, {typed} with a value");
    }
}
