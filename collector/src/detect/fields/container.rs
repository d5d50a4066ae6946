//! `container.*`, `k8s.*`, and namespaces.

use super::{Subject, Table, number, text};
use crate::event::ValueRef;
use porthole_rules::event::{Asked, Value};

pub(super) const FIELDS: Table = &[
    ("container.id", |s, _| text(&s.container().id)),
    ("container.full_id", |s, _| text(&s.container().full_id)),
    ("container.name", |s, _| text(&s.container().name)),
    ("container.type", |s, _| text(&s.container().engine)),
    ("container.image", |s, _| text(&s.container().image)),
    ("container.image.repository", |s, _| text(&s.container().image_repository)),
    ("container.image.tag", |s, _| text(&s.container().image_tag)),
    ("container.image.digest", |s, _| text(&s.container().image_digest)),
    ("container.image.id", by_name),
    ("container.privileged", by_name),
    ("container.host_pid", by_name),
    ("container.host_network", by_name),
    ("container.host_ipc", by_name),
    ("container.ip", by_name),
    ("container.cni.json", by_name),
    ("container.start_ts", by_name),
    ("container.duration", by_name),
    ("container.mounts", by_name),
    ("container.mount", by_name),
    ("container.mount.source", by_name),
    ("container.mount.dest", by_name),
    ("container.mount.mode", by_name),
    ("container.mount.rdwr", by_name),
    ("container.mount.propagation", by_name),
    ("container.label", by_name),
    ("container.labels", by_name),
    ("k8s.pod.name", |s, _| text(&s.container().pod_name)),
    ("k8s.ns.name", |s, _| text(&s.container().pod_namespace)),
    ("k8s.pod.id", by_name),
    ("k8s.pod.uid", by_name),
    ("k8s.pod.sandbox_id", by_name),
    ("k8s.pod.full_sandbox_id", by_name),
    ("k8s.pod.label", by_name),
    ("k8s.pod.labels", by_name),
    ("k8s.pod.ip", by_name),
    ("k8s.pod.cni.json", by_name),
    ("ns.mnt", |s, _| inode(s.process()?.ns.mnt)),
    ("ns.pid", |s, _| inode(s.process()?.ns.pid)),
    ("ns.net", |s, _| inode(s.process()?.ns.net)),
    ("ns.ipc", |s, _| inode(s.process()?.ns.ipc)),
    ("ns.uts", |s, _| inode(s.process()?.ns.uts)),
    ("ns.user", |s, _| inode(s.process()?.ns.user)),
    ("ns.cgroup", |s, _| inode(s.process()?.ns.cgroup)),
    ("ns.time", |s, _| inode(s.process()?.ns.time)),
];

/// As the container says it; times are as large as rules know them.
fn by_name<'a>(s: &Subject<'a>, asked: &Asked) -> Option<Value<'a>> {
    Some(match s.container().value(&asked.name, asked.argument.as_deref(), s.event.time_ns)? {
        ValueRef::Text(text) => text.into(),
        ValueRef::Flag(flag) => Value::Bool(flag),
        ValueRef::Number(n) => Value::Uint(n.unsigned_abs()),
    })
}

fn inode(n: Option<u64>) -> Option<Value<'static>> {
    number(i64::try_from(n?).ok()?)
}
