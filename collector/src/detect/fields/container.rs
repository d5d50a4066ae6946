//! `container.*`, `k8s.*`, and namespaces.

use super::{Subject, Table, flag, number, text};
use crate::event::Mount;
use porthole_rules::event::{Asked, Value};
use porthole_rules::glob;

pub(super) const FIELDS: Table = &[
    ("container.id", |s, _| text(&s.container().id)),
    ("container.full_id", |s, _| text(&s.container().full_id)),
    ("container.name", |s, _| text(&s.container().name)),
    ("container.type", |s, _| text(&s.container().engine)),
    ("container.image", |s, _| text(&s.container().image)),
    ("container.image.repository", |s, _| text(&s.container().image_repository)),
    ("container.image.tag", |s, _| text(&s.container().image_tag)),
    ("container.image.digest", |s, _| text(&s.container().image_digest)),
    ("container.privileged", |s, _| inside(s).and_then(|()| flag(s.container().privileged))),
    ("container.host_pid", |s, _| inside(s).and_then(|()| flag(s.container().shares("pid")))),
    ("container.host_network", |s, _| inside(s).and_then(|()| flag(s.container().shares("network")))),
    ("container.host_ipc", |s, _| inside(s).and_then(|()| flag(s.container().shares("ipc")))),
    ("container.start_ts", |s, _| inside(s).and_then(|()| since(s))),
    ("container.duration", |s, _| {
        inside(s).map(|()| Value::Uint(s.event.time_ns.saturating_sub(s.container().created_ns)))
    }),
    ("container.mounts", |s, _| {
        inside(s).map(|()| s.container().mounts.iter().map(shown).collect::<Vec<_>>().join(",").into())
    }),
    ("container.mount", |s, asked| mount(s, asked, |m| shown(m).into())),
    ("container.mount.source", |s, asked| mount(s, asked, |m| (&*m.source).into())),
    ("container.mount.dest", |s, asked| mount(s, asked, |m| (&*m.destination).into())),
    ("container.mount.mode", |s, asked| mount(s, asked, |m| (&*m.mode).into())),
    ("container.mount.rdwr", |s, asked| mount(s, asked, |m| if m.writable { "true" } else { "false" }.into())),
    ("container.mount.propagation", |s, asked| mount(s, asked, |m| (&*m.propagation).into())),
    ("k8s.pod.name", |s, _| text(&s.container().pod_name)),
    ("k8s.ns.name", |s, _| text(&s.container().pod_namespace)),
    ("k8s.pod.id", |s, _| text(&s.container().pod_uid)),
    ("k8s.pod.uid", |s, _| text(&s.container().pod_uid)),
    ("k8s.pod.sandbox_id", |s, _| text(s.container().pod_sandbox_id.get(..12)?)),
    ("k8s.pod.full_sandbox_id", |s, _| text(&s.container().pod_sandbox_id)),
    ("ns.mnt", |s, _| inode(s.process()?.ns.mnt)),
    ("ns.pid", |s, _| inode(s.process()?.ns.pid)),
    ("ns.net", |s, _| inode(s.process()?.ns.net)),
    ("ns.ipc", |s, _| inode(s.process()?.ns.ipc)),
    ("ns.uts", |s, _| inode(s.process()?.ns.uts)),
    ("ns.user", |s, _| inode(s.process()?.ns.user)),
    ("ns.cgroup", |s, _| inode(s.process()?.ns.cgroup)),
    ("ns.time", |s, _| inode(s.process()?.ns.time)),
];

fn inside(s: &Subject) -> Option<()> {
    (*s.container().id != *"host").then_some(())
}

fn since(s: &Subject) -> Option<Value<'static>> {
    (s.container().created_ns != 0).then_some(Value::Uint(s.container().created_ns))
}

fn inode(n: Option<u64>) -> Option<Value<'static>> {
    number(i64::try_from(n?).ok()?)
}

/// As Falco's `container.mounts` has it.
fn shown(m: &Mount) -> String {
    format!("{}:{}:{}:{}:{}", m.source, m.destination, m.mode, m.writable, m.propagation)
}

/// A mount by its number, or by a pattern of its source (for `container.mount.source`: of its destination). `N/A` when
/// there is none: then rules that look for a dangerous one know that there is none.
fn mount<'a>(s: &Subject<'a>, asked: &Asked, value: impl Fn(&'a Mount) -> Value<'a>) -> Option<Value<'a>> {
    inside(s)?;
    let mounts = &s.container().mounts;
    let wanted = asked.argument.as_deref()?;
    let by_destination = asked.name == "container.mount.source";
    let fits = |m: &Mount| {
        let text = if by_destination { &m.destination } else { &m.source };
        glob::matches(wanted.as_bytes(), text.as_bytes())
    };
    let found = match wanted.parse::<usize>() {
        Ok(n) => mounts.get(n),
        Err(_) => mounts.iter().find(|m| fits(m)),
    };
    Some(found.map_or("N/A".into(), value))
}
