//! `proc.*`, `thread.*`, `user.*`, `group.*`.

use super::{Subject, Table, flag, number, text};
use crate::event::{Process, Purpose};
use porthole_rules::event::{Asked, Value};

pub(super) const FIELDS: Table = &[
    ("proc.name", |s, _| text(&s.process()?.name)),
    ("proc.exe", |s, _| text(&s.process()?.exe)),
    ("proc.exepath", |s, _| text(executable(s.process()?))),
    ("proc.args", |s, asked| match (s.process()?, asked.index) {
        (p, _) if p.exe.is_empty() && p.args.is_empty() => None,
        (p, None) => Some((&*p.args).into()),
        (p, Some(n)) => text(p.args.split(' ').nth(n)?),
    }),
    ("proc.cmdline", |s, _| text(&s.process()?.cmdline)),
    ("proc.exeline", |s, _| s.process().map(|p| format!("{} {}", p.exe, p.args).trim_end().to_owned().into())),
    ("proc.cmdnargs", |s, _| s.process().map(|p| Value::Uint(words(&p.args).count() as u64))),
    ("proc.cmdlenargs", |s, _| s.process().map(|p| Value::Uint(words(&p.args).map(str::len).sum::<usize>() as u64))),
    ("proc.cwd", |s, _| text(&s.process()?.cwd)),
    ("proc.tty", |s, _| s.process()?.tty.map(|n| Value::Uint(n.into()))),
    ("proc.pid", |s, _| number(s.process()?.pid?)),
    ("proc.ppid", |s, _| number(s.process()?.ppid?)),
    ("proc.vpid", |s, _| number(s.process()?.vpid?)),
    ("thread.tid", |s, _| number(s.process()?.pid?)),
    ("thread.vtid", |s, _| number(s.process()?.vpid?)),
    ("proc.vpgid", |s, _| number(s.process()?.vpgid?)),
    ("proc.sid", |s, _| number(s.process()?.sid?)),
    ("proc.is_vpgid_leader", |s, _| s.process().and_then(|p| flag(p.vpgid? == p.vpid?))),
    ("proc.is_sid_leader", |s, _| s.process().and_then(|p| flag(p.sid? == p.vpid?))),
    ("proc.sname", |s, _| text(&leader(s.process()?, |p| p.sid)?.name)),
    ("proc.sid.exe", |s, _| text(&leader(s.process()?, |p| p.sid)?.exe)),
    ("proc.sid.exepath", |s, _| text(executable(leader(s.process()?, |p| p.sid)?))),
    ("proc.vpgid.name", |s, _| text(&leader(s.process()?, |p| p.vpgid)?.name)),
    ("proc.vpgid.exe", |s, _| text(&leader(s.process()?, |p| p.vpgid)?.exe)),
    ("proc.vpgid.exepath", |s, _| text(executable(leader(s.process()?, |p| p.vpgid)?))),
    ("proc.pname", |s, _| text(&parent(s)?.name)),
    ("proc.pexe", |s, _| text(&parent(s)?.exe)),
    ("proc.pexepath", |s, _| text(executable(parent(s)?))),
    ("proc.pcmdline", |s, _| text(&parent(s)?.cmdline)),
    ("proc.pvpid", |s, _| number(parent(s)?.vpid?)),
    ("proc.aname", |s, asked| of_ancestors(s, asked, |p| text(&p.name))),
    ("proc.aexe", |s, asked| of_ancestors(s, asked, |p| text(&p.exe))),
    ("proc.aexepath", |s, asked| of_ancestors(s, asked, |p| text(executable(p)))),
    ("proc.acmdline", |s, asked| of_ancestors(s, asked, |p| text(&p.cmdline))),
    ("proc.aargs", |s, asked| of_ancestors(s, asked, |p| text(&p.args))),
    ("proc.apid", |s, asked| of_ancestors(s, asked, |p| number(p.pid?))),
    ("proc.duration", |s, _| age(s, s.process()?)),
    ("proc.ppid.duration", |s, _| age(s, parent(s)?)),
    ("proc.pid.ts", |s, _| start(s.process()?)),
    ("proc.ppid.ts", |s, _| start(parent(s)?)),
    ("proc.is_exe_from_memfd", |s, _| text(&s.process()?.exepath).map(|_| Value::Bool(is_memfd(s)))),
    ("proc.is_exe_upper_layer", |s, _| s.process()?.upper_layer.and_then(flag)),
    ("proc.is_exe_lower_layer", |s, _| s.process()?.upper_layer.and_then(|upper| flag(!upper))),
    ("proc.is_container_healthcheck", |s, _| is_probe(s, Purpose::Health)),
    ("proc.is_container_liveness_probe", |s, _| is_probe(s, Purpose::Liveness)),
    ("proc.is_container_readiness_probe", |s, _| is_probe(s, Purpose::Readiness)),
    ("thread.cap_effective", |s, _| s.process()?.cap_effective.map(|c| capabilities(c).into())),
    ("thread.cap_permitted", |s, _| s.process()?.cap_permitted.map(|c| capabilities(c).into())),
    ("user.uid", |s, _| s.process()?.uid.map(|n| Value::Uint(n.into()))),
    ("user.name", |s, _| s.process().map(|p| user(p).into())),
    ("user.loginuid", |s, _| s.process().map(|p| Value::Int(login(p)))),
    ("user.loginname", |s, _| s.process().map(|p| if login(p) == 0 { "root" } else { NOBODY }.into())),
    ("group.gid", |s, _| s.process()?.gid.map(|n| Value::Uint(n.into()))),
    ("group.name", |s, _| s.process()?.gid.map(|n| if n == 0 { "root" } else { NOBODY }.into())),
];

/// What Falco says of a user without a name.
const NOBODY: &str = "<NA>";

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

fn parent<'a>(s: &Subject<'a>) -> Option<&'a Process> {
    s.process()?.parent.as_deref()
}

/// The path of the executable; the kernel shows one that is only in memory as a file in `/`.
fn executable(p: &Process) -> &str {
    if p.exepath.starts_with(MEMFD) { &p.exepath[1..] } else { &p.exepath }
}

const MEMFD: &str = "/memfd:";

fn is_memfd(s: &Subject) -> bool {
    s.process().is_some_and(|p| p.exepath.starts_with(MEMFD))
}

/// The process itself or an ancestor that leads its session or group.
fn leader(p: &Process, of: impl Fn(&Process) -> Option<u32>) -> Option<&Process> {
    let id = of(p)?;
    std::iter::once(p).chain(p.ancestors()).take_while(|a| of(a) == Some(id)).find(|a| a.vpid == Some(id))
}

/// One ancestor (0 = the process itself), or, without a number, all of them.
fn of_ancestors<'a>(
    s: &Subject<'a>,
    asked: &Asked,
    value: impl Fn(&'a Process) -> Option<Value<'a>>,
) -> Option<Value<'a>> {
    let process = s.process()?;
    match asked.index {
        Some(0) => value(process),
        Some(n) => value(process.ancestors().nth(n - 1)?),
        None => Some(Value::Any(process.ancestors().filter_map(value).collect::<Vec<_>>()))
            .filter(|all| !matches!(all, Value::Any(all) if all.is_empty())),
    }
}

fn is_probe(s: &Subject, wanted: Purpose) -> Option<Value<'static>> {
    flag(s.container().probes.of_process(s.process()?) == wanted)
}

fn age(s: &Subject, p: &Process) -> Option<Value<'static>> {
    (p.start_ns != 0).then(|| Value::Uint(s.event.time_ns.saturating_sub(p.start_ns)))
}

fn start(p: &Process) -> Option<Value<'static>> {
    (p.start_ns != 0).then_some(Value::Uint(p.start_ns))
}

fn user(p: &Process) -> &str {
    p.user.as_deref().unwrap_or(if p.uid == Some(0) { "root" } else { NOBODY })
}

/// Engines run without a login, and so do their containers, unless somebody logs in inside.
fn login(p: &Process) -> i64 {
    p.loginuid.filter(|uid| *uid != u32::MAX).map_or(-1, i64::from)
}

/// By their numbers.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

fn capabilities(set: u64) -> String {
    let names = CAPABILITIES.iter().enumerate().filter(|(n, _)| set >> n & 1 != 0);
    names.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}
