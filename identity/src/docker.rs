//! Docker: `<data-root>/containers/<id>/`, and the names of its images.

use crate::image::{Image, as_id};
use crate::values::{flag, list, map, port, str_at, text, words};
use crate::{probes, trusted};
use porthole_registration::container::{Bind, Container, Known, Port};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Largest file of a container.
const CONTAINER_LIMIT: u64 = 4 << 20;
/// Largest list of images.
const IMAGES_LIMIT: u64 = 16 << 20;

/// Where docker mounts files of a container's own directory.
const OWN_FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

pub fn complete(c: &mut Container) -> Option<()> {
    let root = data_root(c)?;
    let dir = root.join("containers").join(&c.id);
    let config = trusted::json(&dir.join("config.v2.json"), CONTAINER_LIMIT)?;
    if str_at(&config, "/ID") != c.id {
        return None;
    }
    let host = trusted::json(&dir.join("hostconfig.json"), CONTAINER_LIMIT).unwrap_or_default();
    c.name = str_at(&config, "/Name").trim_start_matches('/').to_owned();
    c.image = text(&config, "/Config/Image");
    c.privileged |= flag(&host, "/Privileged");
    let id = str_at(&config, "/Image");
    let mut known = Known {
        found: true,
        labels: map(&config, "/Config/Labels"),
        image_id: as_id(id).unwrap_or_default().to_owned(),
        user: text(&config, "/Config/User"),
        entrypoint: words(&config, "/Config/Entrypoint"),
        mounts: Some(mounts(&config)),
        ports: ports(&host),
        ip: address(&config),
        sandbox: c.name.contains("k8s_POD"),
        healthcheck: probes::healthcheck(&words(&config, "/Config/Healthcheck/Test")),
        ..Known::default()
    };
    probes::of_pod(&mut known, None, "");
    let driver = str_at(&config, "/Driver");
    if !driver.is_empty() && !driver.contains('/') {
        let names = root.join("image").join(driver).join("repositories.json");
        (known.image_name, known.image_digest) = names_of(&names, id, &c.image);
    }
    if known.sandbox || known.labels.contains_key("io.kubernetes.pod.name") {
        pod(c, &known);
    }
    c.engines = known;
    Some(())
}

/// The daemon's directory: it shows in what it mounts over files of its own, and in the root file system.
fn data_root(c: &Container) -> Option<PathBuf> {
    let is_id = c.id.len() == 64 && c.id.bytes().all(|b| b.is_ascii_hexdigit());
    let mounts = c.mounts.iter().filter(|m| OWN_FILES.contains(&m.destination.as_str()));
    // A container that shares another's network has the other's files.
    let of_mounts =
        mounts.filter_map(|m| Path::new(&m.source).parent()?.parent()?.to_str()?.strip_suffix("/containers"));
    let of_root = Path::new(&c.rootfs).ancestors().nth(3).and_then(Path::to_str);
    let mut roots = of_mounts.chain(of_root);
    let root = roots.find(|root| is_id && Path::new(root).join("containers").join(&c.id).is_dir())?;
    Some(root.into())
}

fn mounts(config: &Value) -> Vec<Bind> {
    let points = config.pointer("/MountPoints").and_then(Value::as_object).into_iter().flatten();
    let mut all: Vec<Bind> = points
        .map(|(_, m)| Bind {
            source: text(m, "/Source"),
            destination: text(m, "/Destination"),
            mode: text(m, "/Relabel"),
            rw: flag(m, "/RW"),
            propagation: text(m, "/Propagation"),
        })
        .collect();
    all.sort_by(|a, b| a.destination.cmp(&b.destination));
    all
}

/// Ports as they were asked for. (What a host's free port becomes is known later.)
fn ports(host: &Value) -> Vec<Port> {
    let bindings = host.pointer("/PortBindings").and_then(Value::as_object).into_iter().flatten();
    let each = bindings.flat_map(|(name, to)| {
        let (number, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
        let container_port = number.parse().unwrap_or(0);
        list(to, "").map(move |to| Port {
            host_ip: text(to, "/HostIp"),
            host_port: port(to, "/HostPort").unwrap_or(0),
            container_port,
            protocol: protocol.to_owned(),
        })
    });
    each.filter(|p| p.container_port > 0).collect()
}

fn address(config: &Value) -> String {
    let networks = config.pointer("/NetworkSettings/Networks").and_then(Value::as_object).into_iter().flatten();
    networks.map(|(_, n)| text(n, "/IPAddress")).find(|ip| !ip.is_empty()).unwrap_or_default()
}

/// A name with a tag, and the digest, of the image with this id; those that the container was made from if there are
/// several. The name is empty where `image` has all of it already.
fn names_of(file: &Path, id: &str, image: &str) -> (String, String) {
    #[derive(Default, serde::Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Names {
        repositories: HashMap<String, HashMap<String, String>>,
    }
    let names: Names =
        trusted::read(file, IMAGES_LIMIT).and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let wanted = Image::parse(image).repository;
    let mut all: Vec<(&str, &str)> = names
        .repositories
        .iter()
        .flat_map(|(repository, refs)| refs.iter().map(move |(name, of)| (repository.as_str(), name.as_str(), of)))
        .filter(|(_, _, of)| *of == id)
        .map(|(repository, name, _)| (repository, name))
        .collect();
    all.sort_by_key(|(repository, name)| (*repository != wanted, *name));
    let digest = all.iter().find_map(|(_, name)| name.split_once('@')).map_or("", |(_, digest)| digest);
    let tagged = all.iter().find(|(_, name)| !name.contains('@')).or(all.first()).map_or("", |(_, name)| name);
    let complete = as_id(image).is_none() && !Image::parse(image).tag.is_empty();
    let name = if complete { "" } else { tagged };
    (name.to_owned(), digest.to_owned())
}

/// The pod of a container that cri-dockerd made.
fn pod(c: &mut Container, known: &Known) {
    let label = |name: &str| known.labels.get(name).cloned().unwrap_or_default();
    let pod = c.pod.get_or_insert_default();
    pod.name = label("io.kubernetes.pod.name");
    pod.namespace = label("io.kubernetes.pod.namespace");
    pod.uid = label("io.kubernetes.pod.uid");
    pod.sandbox_id = label("io.kubernetes.sandbox.id");
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_registration::container::{Engine, Mount};
    use std::fs;

    const ID: &str = "bfdf337795d09507533028f3f7078c343a1407c15f2403d250e9123fba11ef82";

    fn data(name: &str) -> (PathBuf, Container) {
        let root = std::env::temp_dir().join(format!("porthole-docker-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("containers").join(ID)).unwrap();
        fs::create_dir_all(root.join("image/overlay2")).unwrap();
        let hosts = root.join("containers").join(ID).join("hosts").to_string_lossy().into_owned();
        let mount = Mount { source: hosts, destination: "/etc/hosts".into(), ..Mount::default() };
        let container =
            Container { id: ID.into(), engine: Engine::Docker, mounts: vec![mount], ..Container::default() };
        (root, container)
    }

    #[test]
    fn a_container_is_known_by_its_directory() {
        let (root, mut c) = data("known");
        let dir = root.join("containers").join(ID);
        let config = r#"{"ID":"ID","Name":"/web","Driver":"overlay2","Image":"sha256:00ff00ff00ff","Config":{
            "Image":"00ff00ff00ff","User":"12:13","Labels":{"a":"b","n":1},"Entrypoint":["/e"],
            "Healthcheck":{"Test":["CMD","/h"]}},"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}},
            "MountPoints":{"/y":{"Source":"/x","Destination":"/y","RW":true,"Relabel":"z","Propagation":"rprivate"}}}"#;
        fs::write(dir.join("config.v2.json"), config.replace("\"ID\":\"ID\"", &format!("\"ID\":\"{ID}\""))).unwrap();
        let host = r#"{"Privileged":true,"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}],"x":[{}]}}"#;
        fs::write(dir.join("hostconfig.json"), host).unwrap();
        let names =
            r#"{"Repositories":{"r/bb":{"r/bb:1":"sha256:00ff00ff00ff","r/bb@sha256:dd":"sha256:00ff00ff00ff"}}}"#;
        fs::write(root.join("image/overlay2/repositories.json"), names).unwrap();
        complete(&mut c).unwrap();
        let k = &c.engines;
        assert_eq!(
            (&*c.name, &*c.image, &*k.image_name, &*k.image_digest),
            ("web", "00ff00ff00ff", "r/bb:1", "sha256:dd")
        );
        assert_eq!((&*k.image_id, &*k.user, k.labels.len(), c.privileged), ("00ff00ff00ff", "12:13", 1, true));
        assert_eq!(
            (&*k.ip, &k.healthcheck[..], &k.entrypoint[..]),
            ("172.17.0.2", &["/h".into()][..], &["/e".into()][..])
        );
        assert_eq!((k.ports.len(), k.ports[0].host_port, k.ports[0].container_port), (1, 8080, 80));
        let bind = &k.mounts.as_ref().unwrap()[0];
        assert_eq!((&*bind.source, &*bind.mode, bind.rw), ("/x", "z", true));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn files_of_another_container_and_broken_ones_say_nothing() {
        let (root, c) = data("wrong");
        let file = root.join("containers").join(ID).join("config.v2.json");
        for text in ["", "{", "[]", "{}", r#"{"ID":"x","Name":"/web"}"#, r#"{"ID":1}"#] {
            fs::write(&file, text).unwrap();
            let mut other = c.clone();
            assert_eq!(complete(&mut other), None, "{text}");
            assert_eq!(other, c, "{text}");
        }
        let mut odd = c.clone();
        odd.id = "../../../etc".into();
        assert_eq!(complete(&mut odd), None);
        fs::remove_dir_all(root).unwrap();
    }
}
