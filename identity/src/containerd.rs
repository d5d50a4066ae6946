//! containerd: its database, with what Kubernetes' interface and nerdctl keep there.

use crate::bolt::{Bucket, Database, Snapshot};
use crate::image::as_id;
use crate::values::{bind, flag, list, map, port, str_at, text};
use crate::{cni, probes};
use porthole_registration::container::{Bind, Container, Engine, Known, Port};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Labels that containerd's own services write: they are not the container's.
const OWN: [&str; 2] = ["io.cri-containerd.", "containerd.io/"];

/// What the database says of a container.
#[derive(Default)]
struct Record {
    labels: BTreeMap<String, String>,
    image: String,
    digest: String,
    image_id: String,
    /// What Kubernetes' interface has kept of the container, and of its pod's sandbox.
    cri: Value,
    sandbox: Value,
}

pub fn complete(c: &mut Container) -> Option<()> {
    let (database, namespace) = database(c)?;
    let sandbox_id = c.pod.as_ref().map(|pod| pod.sandbox_id.clone()).unwrap_or_default();
    let record = Database::open(&database)?.read(|db| record(db, namespace.as_bytes(), &c.id, &sandbox_id))?;
    if c.engine == Engine::Cri {
        of_cri(c, record)
    } else {
        of_containerd(c, record)
    }
    Some(())
}

/// The bundle is `<state>/io.containerd.runtime.v2.task/<namespace>/<id>`; its `work` links to the same below
/// containerd's directory. The overlay's directories lie there, too.
fn database(c: &Container) -> Option<(PathBuf, String)> {
    let bundle = Path::new(&c.bundle);
    let namespace = bundle.parent()?.file_name()?.to_str()?.to_owned();
    let work = std::fs::read_link(bundle.join("work")).ok();
    let of_work = work.as_deref().and_then(|work| work.ancestors().nth(3));
    let of_overlay = c.overlay.as_ref().and_then(|overlay| {
        let dirs = Path::new(&overlay.upper).ancestors();
        dirs.into_iter().find_map(|dir| {
            let name = dir.file_name()?.to_str()?;
            name.starts_with("io.containerd.snapshotter.").then(|| dir.parent())?
        })
    });
    let files = of_work.into_iter().chain(of_overlay).map(|root| root.join("io.containerd.metadata.v1.bolt/meta.db"));
    files.into_iter().find(|file| file.exists()).map(|file| (file, namespace))
}

fn record(db: &Snapshot<'_>, namespace: &[u8], id: &str, sandbox: &str) -> Option<Record> {
    let top = db.bucket(&[b"v1", namespace])?;
    let containers = db.inner(&top, b"containers")?;
    let container = db.inner(&containers, id.as_bytes())?;
    let mut record = Record {
        labels: labels(db, &container),
        image: db.text(&container, b"image"),
        cri: extension(db, &container, b"io.cri-containerd.container.metadata"),
        sandbox: extension(db, &container, b"io.cri-containerd.sandbox.metadata"),
        ..Record::default()
    };
    if record.sandbox.is_null() && !sandbox.is_empty() {
        let of_pod = db.inner(&containers, sandbox.as_bytes());
        record.sandbox = of_pod.map(|s| extension(db, &s, b"io.cri-containerd.sandbox.metadata")).unwrap_or_default();
    }
    let image = db.inner(&top, b"images").and_then(|images| db.inner(&images, record.image.as_bytes()));
    if let Some(target) = image.and_then(|image| db.inner(&image, b"target")) {
        record.digest = db.text(&target, b"digest");
        record.image_id = image_id(db, &top, &record.digest).unwrap_or_default();
    }
    Some(record)
}

fn labels(db: &Snapshot<'_>, of: &Bucket) -> BTreeMap<String, String> {
    let pairs = db.inner(of, b"labels").map(|labels| db.pairs(&labels)).unwrap_or_default();
    let text = |bytes| String::from_utf8(bytes).ok();
    pairs.into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

/// An extension is a typed message; these are JSON inside, which is found by its first brace: the type's name, which
/// stands before it, has none.
fn extension(db: &Snapshot<'_>, container: &Bucket, name: &[u8]) -> Value {
    let value = db.inner(container, b"extensions").and_then(|all| db.value(&all, name)).unwrap_or_default();
    let start = value.iter().position(|b| *b == b'{').unwrap_or(value.len());
    let mut values = serde_json::Deserializer::from_slice(&value[start..]).into_iter::<Value>();
    values.next().and_then(Result::ok).and_then(|mut v| Some(v.get_mut("Metadata")?.take())).unwrap_or_default()
}

/// The id of an image is the digest of its configuration, which its manifest refers to; a list of manifests refers to
/// them, and the one for this machine is the one whose configuration is here.
fn image_id(db: &Snapshot<'_>, top: &Bucket, digest: &str) -> Option<String> {
    const CONFIG: &str = "containerd.io/gc.ref.content.config";
    let blobs = db.inner(&db.inner(top, b"content")?, b"blob")?;
    let refs = |digest: &str| db.inner(&blobs, digest.as_bytes()).map(|blob| labels(db, &blob));
    let own = refs(digest)?;
    let of_list = || {
        let manifests = own.iter().filter(|(name, _)| name.starts_with("containerd.io/gc.ref.content.m."));
        let configs = manifests.filter_map(|(_, manifest)| refs(manifest)?.get(CONFIG).cloned());
        configs.into_iter().find(|config| db.inner(&blobs, config.as_bytes()).is_some())
    };
    let id = own.get(CONFIG).cloned().or_else(of_list)?;
    as_id(&id).map(str::to_owned)
}

/// A container of `ctr` or nerdctl.
fn of_containerd(c: &mut Container, record: Record) {
    let label = |name: &str| record.labels.get(name).cloned().unwrap_or_default();
    let ports: Value = serde_json::from_str(&label("nerdctl/ports")).unwrap_or_default();
    let network = cni::kept(&format!("{}-{}", label("nerdctl/namespace"), c.id)).or_else(|| cni::kept(&c.id));
    c.name = Some(label("nerdctl/name")).filter(|n| !n.is_empty()).unwrap_or_else(|| c.id.clone());
    c.image = record.image;
    c.engines = Known {
        found: true,
        image_id: record.image_id,
        image_digest: record.digest,
        mounts: Some(c.mounts.iter().map(bind).collect()),
        ports: list(&ports, "")
            .filter_map(|p| published(p, ["/HostIP", "/HostPort", "/ContainerPort", "/Protocol"]))
            .collect(),
        ip: network.as_ref().map(cni::address).unwrap_or_default(),
        cni: network.map(|n| n.to_string()).unwrap_or_default(),
        labels: own_labels(record.labels),
        ..Known::default()
    };
}

/// A container or sandbox of Kubernetes' interface.
fn of_cri(c: &mut Container, record: Record) {
    let (cri, pod) = (&record.cri, &record.sandbox);
    let sandbox = c.annotations.get("io.kubernetes.cri.container-type").is_some_and(|kind| kind == "sandbox");
    let own = if sandbox { pod } else { cri };
    if c.image.is_empty() {
        // no annotation says what a sandbox is made of
        c.image.clone_from(&record.image);
    }
    let mut known = Known {
        found: true,
        labels: map(own, "/Config/labels"),
        image_name: Some(record.image).filter(|name| as_id(name).is_none()).unwrap_or_default(),
        image_id: as_id(str_at(cri, "/ImageRef")).unwrap_or(&record.image_id).to_owned(),
        image_digest: record.digest,
        entrypoint: crate::values::words(cri, "/Config/command"),
        mounts: Some(list(cri, "/Config/mounts").map(mount).collect()),
        sandbox,
        ..Known::default()
    };
    if known.labels.is_empty() {
        known.labels = own_labels(record.labels);
    }
    let at = "/Config/linux/security_context";
    c.privileged |= flag(own, &format!("{at}/privileged"));
    known.user = text(own, &format!("{at}/run_as_username"));
    if known.user.is_empty() {
        known.user = own.pointer(&format!("{at}/run_as_user/value")).map(Value::to_string).unwrap_or_default();
    }
    c.name = Some(text(own, "/Config/metadata/name")).filter(|n| !n.is_empty()).unwrap_or(std::mem::take(&mut c.name));
    probes::of_pod(&mut known, pod.pointer("/Config/annotations").and_then(probes::annotation), &c.name);
    let names = ["/host_ip", "/host_port", "/container_port", "/protocol"];
    known.ports = list(pod, "/Config/port_mappings").filter_map(|p| published(p, names)).collect();
    if let Some(of_pod) = &mut c.pod {
        of_pod.labels = map(pod, "/Config/labels");
        of_pod.ip = text(pod, "/IP");
        let network = pod.get("CNIResult").filter(|r| r.is_object()).cloned();
        if let Some(network) = network.or_else(|| cni::kept(&of_pod.sandbox_id)) {
            if of_pod.ip.is_empty() {
                of_pod.ip = cni::address(&network);
            }
            of_pod.cni = network.to_string();
        }
    }
    c.engines = known;
}

fn own_labels(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().filter(|(name, _)| !OWN.iter().any(|own| name.starts_with(own))).collect()
}

fn published(p: &Value, [ip, host, container, protocol]: [&str; 4]) -> Option<Port> {
    let protocol = match str_at(p, protocol) {
        "" => "tcp".into(),
        protocol => protocol.to_ascii_lowercase(),
    };
    let (host_port, container_port) = (port(p, host).unwrap_or(0), port(p, container)?);
    Some(Port { host_ip: text(p, ip), host_port, container_port, protocol })
}

fn mount(m: &Value) -> Bind {
    let propagation = match m.get("propagation").and_then(Value::as_u64) {
        Some(1) => "rslave",
        Some(2) => "rshared",
        _ => "private",
    };
    Bind {
        source: text(m, "/host_path"),
        destination: text(m, "/container_path"),
        rw: !flag(m, "/readonly"),
        propagation: propagation.into(),
        ..Bind::default()
    }
}
