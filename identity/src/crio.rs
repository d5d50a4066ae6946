//! CRI-O, which writes all it knows into the spec's annotations.

use crate::image::as_id;
use crate::{cni, probes};
use porthole_registration::container::{Bind, Container, Known};
use serde_json::Value;
use std::collections::BTreeMap;

pub fn complete(c: &mut Container) -> Option<()> {
    let get = |name: &str| c.annotations.get(&format!("io.kubernetes.cri-o.{name}")).cloned().unwrap_or_default();
    let json = |name: &str| serde_json::from_str::<Value>(&get(name)).unwrap_or_default();
    let texts = |name: &str| serde_json::from_value::<BTreeMap<String, String>>(json(name)).unwrap_or_default();
    let sandbox = get("ContainerType") == "sandbox";
    let digest = |reference: &str| reference.split_once('@').map_or("", |(_, digest)| digest).to_owned();
    let name = match (sandbox, c.annotations.get("io.kubernetes.container.name")) {
        (false, Some(name)) => name.clone(),
        _ => c.annotations.get("io.kubernetes.pod.name").cloned().unwrap_or_default(),
    };
    let mut known = Known {
        found: true,
        labels: texts("Labels"),
        image_name: get("ImageName"),
        image_id: as_id(&get("ImageRef")).unwrap_or_default().to_owned(),
        image_digest: digest(&get("ImageRef")) + &digest(&get("ImageName")),
        mounts: volumes(&json("Volumes")),
        sandbox,
        ..Known::default()
    };
    probes::of_pod(&mut known, probes::annotation(&json("Annotations")), &name);
    let cni_result = json("CNIResult");
    if let Some(pod) = &mut c.pod {
        if sandbox {
            pod.labels = known.labels.clone();
        }
        pod.ip = get("IP.0");
        if pod.ip.is_empty() {
            pod.ip = cni::address(&cni_result);
        }
        if cni_result.is_object() {
            pod.cni = cni_result.to_string();
        }
    }
    c.privileged |= get("PrivilegedRuntime") == "true";
    c.image = match get("Image") {
        image if c.image.is_empty() => image,
        _ => std::mem::take(&mut c.image),
    };
    (c.name, c.engines) = (name, known);
    Some(())
}

fn volumes(all: &Value) -> Option<Vec<Bind>> {
    let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let each = all.as_array()?.iter().map(|v| Bind {
        source: text(v, "host_path"),
        destination: text(v, "container_path"),
        rw: !v.get("readonly").and_then(Value::as_bool).unwrap_or_default(),
        propagation: "private".into(),
        ..Bind::default()
    });
    Some(each.collect())
}
