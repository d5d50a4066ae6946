//! A spec is as long as its author likes; what is kept of it is not. The collector reads no registration of more than
//! 8 MiB, and says name and image in every event: a container must neither become invisible by a long spec nor fill the
//! host's disks by a long name.

use crate::container::{Container, Known, Process};
use std::collections::BTreeMap;

/// Longest text. Paths have at most as many bytes.
const TEXT: usize = 4096;
/// Longest name, image, host name or name of a pod.
const NAME: usize = 1024;
/// All arguments together, all mounts together.
const LIST: usize = 128 * 1024;
/// All annotations together, names and values: what Kubernetes allows.
const ANNOTATIONS: usize = 256 * 1024;
/// All labels of a container together, and all of its pod.
const LABELS: usize = 64 * 1024;
/// The result of a network's plugins; Falco cuts it there, too.
const CNI: usize = 4096;
/// Namespaces and capabilities: there are 8 and 41 kinds.
const KINDS: usize = 64;

/// Cuts what is longer than anything needs. With every byte escaped, the rest fits into 8 MiB of JSON.
pub fn container(c: &mut Container) {
    for name in [&mut c.name, &mut c.image, &mut c.hostname] {
        text(name, NAME);
    }
    for path in [&mut c.bundle, &mut c.rootfs, &mut c.cgroups_path] {
        text(path, TEXT);
    }
    if let Some(pod) = &mut c.pod {
        for name in [&mut pod.name, &mut pod.namespace, &mut pod.uid, &mut pod.sandbox_id] {
            text(name, NAME);
        }
        text(&mut pod.ip, NAME);
        text(&mut pod.cni, CNI);
        labels(&mut pod.labels);
    }
    known(&mut c.engines);
    let mut left = ANNOTATIONS;
    c.annotations.retain(|name, value| take(&mut left, name.len() + value.len()));
    list(&mut c.mounts, LIST, |m| {
        let options: usize = m.options.iter().map(|o| o.len() + 3).sum();
        m.source.len() + m.destination.len() + m.r#type.len() + options
    });
    c.namespaces.truncate(KINDS);
    c.namespaces.iter_mut().for_each(|n| {
        text(&mut n.r#type, NAME / 8);
        text(&mut n.path, NAME);
    });
    process(&mut c.process);
}

fn known(k: &mut Known) {
    labels(&mut k.labels);
    for name in [&mut k.image_name, &mut k.image_id, &mut k.image_digest, &mut k.user, &mut k.ip] {
        text(name, NAME);
    }
    text(&mut k.cni, CNI);
    for words in [&mut k.entrypoint, &mut k.healthcheck, &mut k.liveness_probe, &mut k.readiness_probe] {
        list(words, LABELS / 4, String::len);
    }
    if let Some(mounts) = &mut k.mounts {
        list(mounts, LABELS, |m| m.source.len() + m.destination.len() + m.mode.len() + m.propagation.len());
    }
    list(&mut k.ports, LABELS / 4, |p| p.host_ip.len() + p.protocol.len());
}

fn labels(labels: &mut BTreeMap<String, String>) {
    let mut left = LABELS;
    labels.retain(|name, value| take(&mut left, name.len() + value.len()));
}

/// The same for a process that is added.
pub fn process(p: &mut Process) {
    text(&mut p.cwd, TEXT);
    list(&mut p.args, LIST, String::len);
    p.capabilities.truncate(KINDS);
    p.capabilities.iter_mut().for_each(|c| text(c, NAME / 8));
}

fn text(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// Keeps the first ones, as many as fit.
fn list<T>(list: &mut Vec<T>, most: usize, size: impl Fn(&T) -> usize) {
    let mut left = most;
    let fit = list.iter().take_while(|value| take(&mut left, size(value))).count();
    list.truncate(fit);
}

fn take(left: &mut usize, size: usize) -> bool {
    // Quotes, commas and names of fields take room too.
    let rest = left.checked_sub(size + 16);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{Bind, Mount, Namespace, Overlay, Pod, Port};

    #[test]
    fn the_longest_spec_is_one_that_the_collector_reads() {
        let long = || "\u{1}".repeat(300_000);
        let mut c = Container {
            id: "x".repeat(200),
            name: long(),
            image: long(),
            hostname: "ü".repeat(4000),
            cgroups_path: long(),
            pod: Some(Pod { name: long(), namespace: long(), uid: long(), sandbox_id: long(), ..Pod::default() }),
            annotations: (0..1000).map(|n| (format!("\u{1}{n}"), "\u{1}".repeat(n * 10))).collect(),
            mounts: vec![Mount { source: "\u{1}".repeat(900), ..Mount::default() }; 10_000],
            namespaces: vec![Namespace { r#type: long(), path: long() }; 100],
            overlay: Some(Overlay { upper: "/u".into(), lower: vec!["/l".into(); 500] }),
            ..Container::default()
        };
        let labels = c.annotations.clone();
        if let Some(pod) = &mut c.pod {
            (pod.labels, pod.cni, pod.ip) = (labels.clone(), long(), long());
        }
        c.engines = Known {
            labels,
            cni: long(),
            user: long(),
            healthcheck: vec!["\u{1}".repeat(100); 10_000],
            mounts: Some(vec![Bind { source: "\u{1}".repeat(900), ..Bind::default() }; 10_000]),
            ports: vec![Port { host_ip: "\u{1}".repeat(100), ..Port::default() }; 10_000],
            ..Known::default()
        };
        c.process.args = vec!["\u{1}".repeat(100); 100_000];
        c.process.cwd = long();
        c.process.capabilities = vec![long(); 100];
        container(&mut c);
        let json = serde_json::to_vec(&c).unwrap();
        assert!(json.len() < 8 << 20, "{}", json.len());
        assert!(
            c.name.len() == NAME && c.hostname.len() == NAME && c.process.args.len() > 1000 && c.mounts.len() > 100
        );
        assert!(c.annotations.values().map(String::len).sum::<usize>() > ANNOTATIONS / 2);
        let before = c.clone();
        container(&mut c);
        assert_eq!(c, before);
    }
}
