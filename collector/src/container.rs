//! A registered container, as all stages share it.

use crate::config::engines::{Engines, Static};
use crate::event::{ContainerInfo, Labels, Mount, Probes, short};
use crate::loss::Counters;
use crate::status::ContainerView;
use porthole_identity::image::Image;
use porthole_registration::container::{Container as Registration, Engine, Injection};
use porthole_registration::layout::ContainerDir;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Records of one container that may be on their way through the stages, until their events are written: some
/// milliseconds of work, and where an output is slow less than a second of its time. What else it has made stays in its
/// rings, and others have their turn.
pub(crate) const SHARE: usize = 1024;

/// One registered container.
pub(crate) struct Container {
    /// Name of its directory.
    pub key: Arc<str>,
    pub dir: ContainerDir,
    pub registration: Registration,
    pub info: Arc<ContainerInfo>,
    pub counters: Counters,
    /// Records that were read from its rings and whose events are not written yet.
    on_their_way: AtomicUsize,
    /// Whether its end has been seen.
    pub deleted: AtomicBool,
}

/// Records that count as on their way until this is dropped.
pub(crate) struct OnTheirWay(Arc<Container>, usize);

impl OnTheirWay {
    pub fn new(container: &Arc<Container>, records: usize) -> OnTheirWay {
        container.on_their_way.fetch_add(records, Relaxed);
        OnTheirWay(container.clone(), records)
    }
}

impl Drop for OnTheirWay {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(self.1, Relaxed);
    }
}

impl Container {
    pub fn new(key: &str, dir: ContainerDir, registration: Registration) -> Container {
        let info = Arc::new(info(&registration, key));
        Container {
            key: key.into(),
            dir,
            registration,
            info,
            counters: Counters::default(),
            on_their_way: AtomicUsize::new(0),
            deleted: AtomicBool::new(false),
        }
    }

    /// Start of its sessions' names: short, and different for every container directory.
    pub fn session_prefix(&self) -> &str {
        if self.is_host() { &self.key } else { short(&self.key) }
    }

    /// Whether it is no container but `porthole run`.
    pub fn is_host(&self) -> bool {
        self.registration.engine == Engine::Host
    }

    /// Whether so much of it is on its way that it must wait.
    pub fn has_its_share(&self) -> bool {
        self.on_their_way.load(Relaxed) >= SHARE
    }

    /// Whether even what belongs before something new of it must wait. A container that starts processes while it floods
    /// would have no bound otherwise.
    pub fn is_far_beyond(&self) -> bool {
        self.on_their_way.load(Relaxed) >= 4 * SHARE
    }

    pub fn view(&self) -> ContainerView {
        let (r, c) = (&self.registration, &self.counters);
        let (injection, reason) = match &r.injection {
            Injection::Preload { .. } => ("preload", String::new()),
            Injection::None { reason } => ("none", reason.clone()),
        };
        ContainerView {
            state: if self.deleted.load(Relaxed) { "deleted" } else { "running" }.into(),
            registered: true,
            injection: injection.into(),
            injection_reason: reason,
            processes: c.processes.load(Relaxed),
            execs: c.execs.load(Relaxed),
            files: c.files.load(Relaxed),
            connections: c.connections.load(Relaxed),
            records: c.received.load(Relaxed),
            record_ns: c.record_ns.load(Relaxed).checked_div(c.record_samples.load(Relaxed)).unwrap_or(0),
            record_samples: c.record_samples.load(Relaxed),
            lost: c.lost(),
            refused: c.refused(),
            sessions_open: c.sessions_open.load(Relaxed),
            sessions_total: c.sessions_total.load(Relaxed),
            ..ContainerView::of(&self.info)
        }
    }
}

impl ContainerView {
    /// Who it is.
    pub(crate) fn of(info: &ContainerInfo) -> ContainerView {
        ContainerView {
            id: info.id.to_string(),
            full_id: info.full_id.to_string(),
            name: info.name.to_string(),
            image: info.image.to_string(),
            engine: info.engine.to_string(),
            pod_name: info.pod_name.to_string(),
            pod_namespace: info.pod_namespace.to_string(),
            created_ns: info.created_ns,
            ..ContainerView::default()
        }
    }
}

/// Longest value of a label, unless the configuration says otherwise.
pub const LABEL_MAX_LEN: usize = 100;
static LABEL_MAX: AtomicUsize = AtomicUsize::new(LABEL_MAX_LEN);

/// Labels whose value is longer are left out, of containers that are taken in from now on.
pub fn set_label_max_len(longest: usize) {
    LABEL_MAX.store(longest, Relaxed);
}

static ENGINES: OnceLock<Engines> = OnceLock::new();

/// What is known of engines by configuration, for this process's life.
pub fn set_engines(engines: Engines) {
    // a second time nothing would change: the configuration is read once by each worker
    let _ = ENGINES.set(engines);
}

/// See [`set_engines`].
pub(crate) fn engines() -> &'static Engines {
    ENGINES.get_or_init(Engines::default)
}

/// What events say of a container that is registered like this.
pub(crate) fn info(r: &Registration, key: &str) -> ContainerInfo {
    let found = of_registration(r, key);
    match &engines().fixed {
        Some(fixed) => taken_for(found, fixed),
        None => found,
    }
}

/// What a container says that is taken for another one.
fn taken_for(info: ContainerInfo, fixed: &Static) -> ContainerInfo {
    let image = Image::parse(&fixed.image);
    ContainerInfo {
        id: fixed.id.as_str().into(),
        full_id: fixed.id.as_str().into(),
        name: fixed.name.as_str().into(),
        image: fixed.image.as_str().into(),
        image_id: Arc::default(),
        image_repository: image.repository.into(),
        image_tag: image.tag.into(),
        image_digest: image.digest.into(),
        engine: "static".into(),
        ..info
    }
}

fn of_registration(r: &Registration, key: &str) -> ContainerInfo {
    let host = r.engine == Engine::Host;
    let id = if r.id.is_empty() { key } else { &r.id };
    let name = match (host, r.name.is_empty()) {
        (true, true) => "host",
        _ => &r.name,
    };
    let (known, pod) = (&r.engines, r.pod.clone().unwrap_or_default());
    // The image's parts are those of the name that the engine has for it, where it was asked for by less.
    let (asked, named) = (Image::parse(&r.image), Image::parse(&known.image_name));
    let (repository, tag) =
        if known.image_name.is_empty() { (asked.repository, asked.tag) } else { (named.repository, named.tag) };
    let digest = [&*known.image_digest, asked.digest, named.digest].into_iter().find(|d| !d.is_empty());
    let mounts: Vec<Mount> = match &known.mounts {
        Some(all) => all.iter().map(mount).collect(),
        None => r.mounts.iter().map(|m| mount(&porthole_identity::bind(m))).collect(),
    };
    let texts: Vec<&str> = mounts.iter().map(|m| m.text.as_str()).collect();
    ContainerInfo {
        // names of LXC are whole
        id: if host {
            "host"
        } else if r.engine == Engine::Lxc {
            id
        } else {
            short(id)
        }
        .into(),
        full_id: if host { "host" } else { id }.into(),
        name: name.into(),
        image: r.image.as_str().into(),
        image_id: known.image_id.as_str().into(),
        image_repository: repository.into(),
        image_tag: tag.into(),
        image_digest: digest.unwrap_or_default().into(),
        engine: engine_name(r.engine).into(),
        privileged: r.privileged,
        user: known.user.as_str().into(),
        ip: known.ip.as_str().into(),
        cni: known.cni.as_str().into(),
        labels: Labels::new(&labels(r), LABEL_MAX.load(Relaxed)),
        mounts_text: texts.join(",").into(),
        mounts,
        ports: known.ports.clone(),
        sandbox: known.sandbox,
        shared: SHARED.into_iter().filter(|kind| !r.namespaces.iter().any(|n| n.r#type == *kind)).collect(),
        pod_labels: Labels::new(&pod.labels, LABEL_MAX.load(Relaxed)),
        pod_name: pod.name.into(),
        pod_namespace: pod.namespace.into(),
        pod_uid: pod.uid.into(),
        pod_sandbox_id: pod.sandbox_id.into(),
        pod_ip: pod.ip.into(),
        pod_cni: pod.cni.into(),
        probes: Probes {
            health: known.healthcheck.clone(),
            liveness: known.liveness_probe.clone(),
            readiness: known.readiness_probe.clone(),
        },
        created_ns: r.created_ns,
        ..ContainerInfo::default()
    }
}

/// Kinds of namespaces that a container may share with the host.
const SHARED: [&str; 3] = ["pid", "network", "ipc"];

/// Its labels. Those of a pod are there by the names that Kubernetes' docker of old gave them.
fn labels(r: &Registration) -> BTreeMap<String, String> {
    let mut all = r.engines.labels.clone();
    for pod in r.pod.iter() {
        let own = [
            ("sandbox.id", &pod.sandbox_id),
            ("pod.uid", &pod.uid),
            ("pod.name", &pod.name),
            ("pod.namespace", &pod.namespace),
        ];
        for (name, value) in own.into_iter().filter(|(_, value)| !value.is_empty()) {
            all.entry(format!("io.kubernetes.{name}")).or_insert_with(|| value.clone());
        }
    }
    all
}

fn mount(b: &porthole_registration::container::Bind) -> Mount {
    Mount::new(&b.source, &b.destination, &b.mode, b.rw, &b.propagation)
}

/// `container.type`: Falco's names, and for what has none there, our own.
fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => "docker",
        Engine::BuildKit => "buildkit",
        Engine::Containerd | Engine::Cri => "containerd",
        Engine::CriO => "cri-o",
        Engine::Podman => "podman",
        Engine::Lxc => "lxc",
        Engine::Host => "host",
        Engine::Runc => "runc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_session_is_named_host() {
        let r = Registration { engine: Engine::Host, id: "host".into(), ..Default::default() };
        let i = info(&r, "host-123");
        assert_eq!((&*i.id, &*i.full_id, &*i.name), ("host", "host", "host"));
        let r = Registration { id: "0123456789abcdef".into(), ..Default::default() };
        assert_eq!(&*info(&r, "x").id, "0123456789ab");
        let fixed = Static { id: "task-1".into(), name: "n".into(), image: "r/a:2".into() };
        let taken = taken_for(info(&r, "x"), &fixed);
        let image = (&*taken.image, &*taken.image_repository, &*taken.image_tag);
        assert_eq!((&*taken.id, &*taken.engine, image), ("task-1", "static", ("r/a:2", "r/a", "2")));
    }
}
