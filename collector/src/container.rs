//! A registered container, as all stages share it.

use crate::event::{ContainerInfo, Mount};
use crate::loss::Counters;
use crate::status::ContainerView;
use porthole_registration::container::{Container as Registration, Engine, Injection};
use porthole_registration::layout::ContainerDir;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Records of one container that may be on their way through the stages: some ten milliseconds of work. What else it
/// has made stays in its rings, and others have their turn.
pub(crate) const SHARE: usize = 4096;

/// One registered container.
pub(crate) struct Container {
    /// Name of its directory.
    pub key: Arc<str>,
    pub dir: ContainerDir,
    pub registration: Registration,
    pub info: Arc<ContainerInfo>,
    pub counters: Counters,
    /// Records that were read from its rings and have not become events yet.
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

    pub fn view(&self) -> ContainerView {
        let (r, c) = (&self.registration, &self.counters);
        let pod = r.pod.clone().unwrap_or_default();
        let (injection, reason) = match &r.injection {
            Injection::Preload { .. } => ("preload", String::new()),
            Injection::None { reason } => ("none", reason.clone()),
        };
        ContainerView {
            id: self.info.id.to_string(),
            full_id: self.info.full_id.to_string(),
            name: self.info.name.to_string(),
            image: self.info.image.to_string(),
            engine: self.info.engine.to_string(),
            pod_name: pod.name,
            pod_namespace: pod.namespace,
            created_ns: r.created_ns,
            state: if self.deleted.load(Relaxed) { "deleted" } else { "running" }.into(),
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
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn info(r: &Registration, key: &str) -> ContainerInfo {
    let host = r.engine == Engine::Host;
    let id = if r.id.is_empty() { key } else { &r.id };
    let name = match (host, r.name.is_empty()) {
        (true, true) => "host",
        _ => &r.name,
    };
    let pod = r.pod.clone().unwrap_or_default();
    let image = Image::parse(&r.image);
    ContainerInfo {
        id: if host { "host" } else { short(id) }.into(),
        full_id: if host { "host" } else { id }.into(),
        name: name.into(),
        image: r.image.as_str().into(),
        image_repository: image.repository.into(),
        image_tag: image.tag.into(),
        image_digest: image.digest.into(),
        engine: engine_name(r.engine).into(),
        privileged: r.privileged,
        pod_name: pod.name.into(),
        pod_namespace: pod.namespace.into(),
        pod_uid: pod.uid.into(),
        pod_sandbox_id: pod.sandbox_id.into(),
        created_ns: r.created_ns,
        mounts: r.mounts.iter().filter_map(mount).collect(),
        shared: SHARED.into_iter().filter(|kind| !r.namespaces.iter().any(|n| n.r#type == *kind)).collect(),
    }
}

/// Kinds of namespaces that a container may share with the host.
const SHARED: [&str; 3] = ["pid", "network", "ipc"];

/// A mount that the container's user has asked for: a directory or file of the host.
fn mount(m: &porthole_registration::container::Mount) -> Option<Mount> {
    let option = |names: &[&str]| m.options.iter().find(|o| names.contains(&o.as_str()));
    if m.r#type != "bind" && option(&["bind", "rbind"]).is_none() {
        return None;
    }
    let read_only = option(&["ro"]).is_some();
    let propagation = option(&["shared", "rshared", "slave", "rslave", "private", "rprivate"]);
    Some(Mount {
        source: m.source.clone(),
        destination: m.destination.clone(),
        mode: if read_only { "ro" } else { "" }.into(),
        writable: !read_only,
        propagation: propagation.cloned().unwrap_or_default(),
    })
}

fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => "docker",
        Engine::BuildKit => "buildkit",
        Engine::Containerd => "containerd",
        Engine::Cri => "cri",
        Engine::Podman => "podman",
        Engine::Host => "host",
        Engine::Runc => "runc",
    }
}

/// Parts of an image reference: `repository[:tag][@digest]`; a colon before the last slash belongs to a port.
struct Image<'a> {
    repository: &'a str,
    tag: &'a str,
    digest: &'a str,
}

impl Image<'_> {
    fn parse(image: &str) -> Image<'_> {
        let (name, digest) = image.split_once('@').unwrap_or((image, ""));
        match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Image { repository, tag, digest },
            _ => Image { repository: name, tag: "", digest },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_come_apart() {
        for (image, want) in [
            ("busybox", ("busybox", "", "")),
            ("busybox:1.36", ("busybox", "1.36", "")),
            ("localhost:5000/a/b", ("localhost:5000/a/b", "", "")),
            ("localhost:5000/a/b:v1@sha256:00ff", ("localhost:5000/a/b", "v1", "sha256:00ff")),
            ("", ("", "", "")),
        ] {
            let i = Image::parse(image);
            assert_eq!((i.repository, i.tag, i.digest), want);
        }
    }

    #[test]
    fn a_host_session_is_named_host() {
        let r = Registration { engine: Engine::Host, id: "host".into(), ..Default::default() };
        let i = info(&r, "host-123");
        assert_eq!((&*i.id, &*i.full_id, &*i.name), ("host", "host", "host"));
        let r = Registration { id: "0123456789abcdef".into(), ..Default::default() };
        assert_eq!(&*info(&r, "x").id, "0123456789ab");
    }
}
