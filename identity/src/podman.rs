//! Podman: its database of containers, and the lists of its storage.

use crate::bolt::{Database, Snapshot};
use crate::image::{Image, as_id};
use crate::values::{bind, flag, list, map, port, str_at, text, words};
use crate::{cni, probes, trusted};
use porthole_registration::container::{Bind, Container, Known, Port};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Largest list of containers or images.
const LIST_LIMIT: u64 = 32 << 20;

pub fn complete(c: &mut Container) -> Option<()> {
    let privileged = c.annotations.get("io.podman.annotations.privileged");
    c.privileged |= privileged.is_some_and(|p| p.eq_ignore_ascii_case("true"));
    let root = storage(c)?;
    let storage = of_storage(&root, &c.id);
    let (config, state) = of_database(&root, &c.id).unwrap_or_default();
    if storage.is_none() && config.is_null() {
        return None;
    }
    let storage = storage.unwrap_or_default();
    let first = |of_config: &str, of_storage: &str| match str_at(&config, of_config) {
        "" => text(&storage, of_storage),
        text => text.to_owned(),
    };
    c.name = first("/name", "/name");
    c.image = first("/rootfsImageName", "/image-name");
    c.privileged |= flag(&config, "/privileged");
    let id = first("/rootfsImageID", "/image-id");
    let (name, digest) = image(&root, &id);
    let address = address(&state);
    c.engines = Known {
        found: true,
        labels: map(&config, "/labels"),
        image_name: if as_id(&c.image).is_some() || Image::parse(&c.image).tag.is_empty() {
            name
        } else {
            String::new()
        },
        image_id: id,
        image_digest: digest,
        user: text(&config, "/user"),
        entrypoint: words(&config, "/entrypoint"),
        mounts: (!config.is_null()).then(|| mounts(&config, c)),
        ports: ports(&config),
        ip: address,
        sandbox: flag(&config, "/isInfra") || flag(&config, "/isServiceContainer"),
        healthcheck: probes::healthcheck(&words(&config, "/healthcheck/Test")),
        ..Known::default()
    };
    Some(())
}

/// `<storage>/overlay-containers/<id>/userdata` is the bundle, `<storage>/overlay/<layer>/merged` the root.
fn storage(c: &Container) -> Option<PathBuf> {
    let of_bundle = Path::new(&c.bundle).ancestors().nth(3);
    let of_root = Path::new(&c.rootfs).ancestors().nth(3);
    let mut places = of_bundle.into_iter().chain(of_root);
    places.find(|p| lists(p, "containers").any(|list| list.exists())).map(Path::to_path_buf)
}

/// A list has a part of its own for what goes away with the machine's start.
fn lists(root: &Path, of: &str) -> impl Iterator<Item = PathBuf> {
    let dir = root.join(format!("overlay-{of}"));
    [dir.join(format!("{of}.json")), dir.join(format!("volatile-{of}.json"))].into_iter()
}

fn of_storage(root: &Path, id: &str) -> Option<Value> {
    lists(root, "containers").find_map(|list_of| {
        let all = trusted::json(&list_of, LIST_LIMIT)?;
        let found = list(&all, "").find(|c| str_at(c, "/id") == id)?;
        serde_json::from_str(str_at(found, "/metadata")).ok()
    })
}

/// Configuration and state in podman's own database. (Of podman 4; since 5 it is SQLite's, which is not read.)
fn of_database(root: &Path, id: &str) -> Option<(Value, Value)> {
    let database = Database::open(&root.join("libpod/bolt_state.db"))?;
    database.read(|db: &Snapshot<'_>| {
        let container = db.bucket(&[b"ctr", id.as_bytes()])?;
        let json = |name: &[u8]| serde_json::from_slice::<Value>(&db.value(&container, name)?).ok();
        let config = json(b"config").filter(|config| str_at(config, "/id") == id)?;
        Some((config, json(b"state").unwrap_or_default()))
    })
}

/// A name and the digest of an image.
fn image(root: &Path, id: &str) -> (String, String) {
    let found = lists(root, "images").find_map(|list_of| {
        let all = trusted::json(&list_of, LIST_LIMIT)?;
        list(&all, "").find(|i| !id.is_empty() && str_at(i, "/id") == id).cloned()
    });
    let found = found.unwrap_or_default();
    (words(&found, "/names").into_iter().next().unwrap_or_default(), text(&found, "/digest"))
}

/// Those that were asked for, as `podman inspect` lists them.
fn mounts(config: &Value, c: &Container) -> Vec<Bind> {
    let asked = words(config, "/userVolumes");
    let named = list(config, "/namedVolumes").map(|v| text(v, "/dest"));
    let asked: Vec<String> = asked.into_iter().chain(named).collect();
    let those = c.mounts.iter().filter(|m| m.r#type == "bind" && asked.contains(&m.destination));
    let mut those: Vec<Bind> = those.map(|m| Bind { mode: String::new(), ..bind(m) }).collect();
    // podman's own order is any, and rules count them
    those.sort_by(|a, b| a.destination.cmp(&b.destination));
    those
}

fn ports(config: &Value) -> Vec<Port> {
    let of = |p: &Value, names: [&str; 2]| names.iter().find_map(|n| port(p, n));
    let each = |p: &Value| -> Option<Vec<Port>> {
        let protocol = Some(str_at(p, "/protocol")).filter(|p| !p.is_empty()).unwrap_or("tcp");
        let (host, container) = (of(p, ["/host_port", "/hostPort"]), of(p, ["/container_port", "/containerPort"])?);
        let (first, host_ip) = (host.unwrap_or(container), text(p, "/host_ip") + str_at(p, "/hostIP"));
        let one = |n: u16| {
            let (host_port, container_port) = (first.checked_add(n)?, container.checked_add(n)?);
            Some(Port { host_ip: host_ip.clone(), host_port, container_port, protocol: protocol.to_owned() })
        };
        Some((0..port(p, "/range").unwrap_or(1).min(1024)).filter_map(one).collect())
    };
    let all = list(config, "/newPortMappings").chain(list(config, "/portMappings"));
    all.filter_map(each).flatten().take(1024).collect()
}

/// The first address of its first network, where that is made before the container.
fn address(state: &Value) -> String {
    let networks = state.pointer("/networkStatus").and_then(Value::as_object).into_iter().flatten();
    let interfaces = networks.filter_map(|(_, n)| n.get("interfaces").or(n.get("Interfaces"))?.as_object());
    let subnets = interfaces.flatten().flat_map(|(_, i)| list(i, "/subnets"));
    subnets.map(|s| cni::without_length(str_at(s, "/ipnet"))).find(|ip| ip.contains('.')).unwrap_or_default().to_owned()
}
