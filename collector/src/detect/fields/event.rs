//! `evt.*`, and what is ours of the event itself.

use super::{Get, Subject, Table, as_is, as_text, flag, number, own, own_text, text};
use crate::event::Value as Own;
use crate::{clock, json, tag};
use porthole_rules::event::{Asked, Value};
use std::fmt::Write;
use std::sync::OnceLock;
use std::time::Duration;

pub(super) const FIELDS: Table = &[
    ("evt.num", |s, _| Some(Value::Uint(s.event.num))),
    ("evt.time", |s, _| Some(clock::local_time(s.event.time_ns, true).into())),
    ("evt.time.s", |s, _| Some(clock::local_time(s.event.time_ns, false).into())),
    ("evt.time.iso8601", |s, _| Some(json::iso8601(Duration::from_nanos(s.event.time_ns)).into())),
    ("evt.datetime", |s, _| Some(clock::local_date(s.event.time_ns, true).into())),
    ("evt.datetime.s", |s, _| Some(clock::local_date(s.event.time_ns, false).into())),
    ("evt.rawtime", |s, _| Some(Value::Uint(s.event.time_ns))),
    ("evt.rawtime.s", |s, _| Some(Value::Uint(s.event.time_ns / 1_000_000_000))),
    ("evt.rawtime.ns", |s, _| Some(Value::Uint(s.event.time_ns % 1_000_000_000))),
    ("evt.outputtime", |s, _| Some(clock::local_time(s.event.time_ns, true).into())),
    ("evt.source", |_, _| text("syscall")),
    ("evt.is_async", |_, _| flag(false)),
    ("evt.hostname", |_, _| text(hostname())),
    ("evt.dir", |_, _| text("<")),
    ("evt.type", |s, _| text(s.event.evt_type)),
    ("syscall.type", |s, _| text(s.event.evt_type)),
    ("evt.category", |s, _| text(category(s.event.evt_type))),
    ("evt.args", |s, _| Some(arguments(s).into())),
    ("evt.info", |s, _| Some(arguments(s).into())),
    ("evt.arg", |s, asked| argument(s, asked).map(|(value, _)| value)),
    ("evt.rawarg", raw_argument),
    ("evt.res", |s, asked| match s.event.rawres {
        Some(res) => text(tag::errno::result(res)),
        None => own_text(s, asked),
    }),
    ("evt.rawres", |s, asked| s.event.rawres.map(Value::Int).or_else(|| own(s, asked))),
    ("evt.failed", |s, _| s.event.rawres.and_then(|res| flag(res < 0))),
    ("evt.count", |_, _| Some(Value::Uint(1))),
    ("evt.count.error", |s, _| Some(Value::Uint(s.event.rawres.is_some_and(|res| res < 0).into()))),
    ("evt.is_open_read", |s, _| s.opened().map(|o| Value::Bool(o.read))),
    ("evt.is_open_write", |s, _| s.opened().map(|o| Value::Bool(o.write))),
    ("evt.is_open_create", |s, _| s.opened().map(|o| Value::Bool(o.create))),
    ("evt.is_open_exec", |s, _| s.opened().map(|o| Value::Bool(o.create && is_executable(s)))),
    ("fs.path.name", |s, _| match s.opened() {
        Some(_) => text(s.text_of("fd.name")?),
        None => path(s, NAMES, true),
    }),
    ("fs.path.nameraw", |s, _| match s.opened() {
        Some(_) => text(s.text_of("fd.nameraw")?),
        None => path(s, NAMES, false),
    }),
    ("fs.path.source", |s, _| path(s, SOURCES, true)),
    ("fs.path.sourceraw", |s, _| path(s, SOURCES, false)),
    ("fs.path.target", |s, _| path(s, TARGETS, true)),
    ("fs.path.targetraw", |s, _| path(s, TARGETS, false)),
    ("porthole.source", |s, _| text(s.event.source.as_str())),
    ("porthole.identity", |s, _| text(s.event.identity.as_str())),
    ("porthole.session", |s, _| text(&s.event.session)),
    ("porthole.seq", |s, _| s.event.seq.and_then(number)),
    ("porthole.reason", own_text as Get),
    ("porthole.detail", own_text),
    ("porthole.path", own_text),
    ("porthole.call", own_text),
    ("porthole.count", own),
    ("porthole.exec", own),
];

/// Which of ours are numbers.
pub(super) const NUMBERS: [&str; 3] = ["porthole.seq", "porthole.count", "porthole.exec"];

/// Arguments that hold a path, by what it is for the call.
const NAMES: &[&str] = &["path", "name", "filename", "pathname", "dir", "new_root"];
const SOURCES: &[&str] = &["oldpath", "linkpath", "dev"];
const TARGETS: &[&str] = &["newpath", "target", "dir"];

/// The name of this machine, as alerts have it.
pub(crate) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        std::env::var("FALCO_HOSTNAME").ok().filter(|n| !n.is_empty()).unwrap_or_else(|| name.trim().to_owned())
    })
}

/// What an open is for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opened {
    read: bool,
    write: bool,
    create: bool,
}

/// Of an open's flags; for creat those that it stands for.
pub(super) fn opened(s: &Subject) -> Option<Opened> {
    let flags = match s.event.evt_type {
        "open" | "openat" | "openat2" => s.text_of("evt.arg.flags")?,
        "creat" => "O_TRUNC|O_CREAT|O_WRONLY",
        _ => return None,
    };
    let mut opened = Opened::default();
    for flag in flags.split('|') {
        opened.read |= matches!(flag, "O_RDONLY" | "O_RDWR");
        opened.write |= matches!(flag, "O_WRONLY" | "O_RDWR");
        opened.create |= matches!(flag, "O_CREAT" | "O_TMPFILE");
    }
    Some(opened)
}

/// Whether the mode of an open that makes a file has a bit of execution.
fn is_executable(s: &Subject) -> bool {
    let mode = s.text_of("evt.arg.mode").and_then(|m| u32::from_str_radix(m, 8).ok());
    mode.is_some_and(|m| m & 0o111 != 0)
}

/// A path among the arguments, as it was given or made absolute.
fn path<'a>(s: &Subject<'a>, names: &[&str], absolute: bool) -> Option<Value<'a>> {
    let found = names.iter().find_map(|name| match s.argument(name)? {
        Own::Text(text) => Some(&**text),
        _ => None,
    })?;
    if !absolute || found.starts_with('/') {
        return text(found);
    }
    Some(tag::paths::resolve(&s.process()?.cwd, found).into())
}

/// An argument's name: as it was asked for, or by its place in Falco's table.
fn argument_name<'n>(s: &Subject<'n>, asked: &'n Asked) -> Option<&'n str> {
    match asked.index {
        None => asked.argument.as_deref(),
        Some(n) => {
            let kind = s.fields.vocabulary.event(s.event.evt_type)?;
            s.fields.vocabulary.events().get(kind)?.arguments.get(n).map(|(name, _)| name.as_str())
        }
    }
}

/// An argument as text; whether the event has it under this name.
fn argument<'a>(s: &Subject<'a>, asked: &Asked) -> Option<(Value<'a>, bool)> {
    let name = argument_name(s, asked)?;
    if let Some(value) = s.argument(name) {
        let shown = match (name, value) {
            ("uid" | "euid" | "ruid" | "suid", Own::Number(uid)) => user(s, *uid).into(),
            _ => as_text(value),
        };
        return Some((shown, true));
    }
    let found = match name {
        "res" => text(tag::errno::result(s.event.rawres?)),
        "tuple" => text(s.text_of("fd.name")?),
        "pid" | "tid" => Some(s.process()?.pid?.to_string().into()),
        "comm" => text(&s.process()?.name),
        "cwd" => text(&s.process()?.cwd),
        _ => None,
    };
    found.map(|value| (value, false))
}

/// A user's name, as far as it is at hand.
fn user<'a>(s: &Subject<'a>, uid: i64) -> &'a str {
    let own = s.process().filter(|p| p.uid.map(i64::from) == Some(uid)).and_then(|p| p.user.as_deref());
    own.unwrap_or(if uid == 0 { "root" } else { "<NA>" })
}

fn raw_argument<'a>(s: &Subject<'a>, asked: &Asked) -> Option<Value<'a>> {
    let name = argument_name(s, asked)?;
    let raw = || {
        let is = |n: &str| n.strip_prefix("evt.rawarg.") == Some(name);
        s.event.fields.iter().find(|(n, _)| is(n)).map(|(_, value)| value)
    };
    match name {
        "res" => s.event.rawres.map(Value::Int),
        _ => raw().or_else(|| s.argument(name)).map(as_is),
    }
}

/// All arguments, `name=value` each.
fn arguments(s: &Subject) -> String {
    let mut out = String::new();
    let res = s.event.rawres.map(|res| ("res", Value::from(tag::errno::result(res))));
    let named =
        s.event.fields.iter().filter_map(|(name, value)| Some((name.strip_prefix("evt.arg.")?, as_text(value))));
    for (name, value) in res.into_iter().chain(named) {
        let blank = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{blank}{name}={}", value.text()); // a String takes everything
    }
    out
}

/// What a call is about, in Falco's words.
fn category(evt_type: &str) -> &'static str {
    match evt_type {
        "open" | "openat" | "openat2" | "creat" | "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat"
        | "rmdir" | "mkdir" | "mkdirat" | "link" | "linkat" | "symlink" | "symlinkat" | "chmod" | "fchmod"
        | "fchmodat" | "chown" | "fchown" | "lchown" | "fchownat" | "mount" | "umount" | "umount2" | "truncate"
        | "ftruncate" | "mknod" | "mknodat" | "chdir" | "fchdir" | "chroot" | "pivot_root" => "file",
        "connect" | "socket" | "bind" | "listen" | "accept" | "accept4" | "sendto" | "sendmsg" | "sendmmsg"
        | "recvfrom" | "recvmsg" | "recvmmsg" | "socketpair" | "getaddrinfo" | "gethostbyname" => "net",
        "execve" | "execveat" | "clone" | "fork" | "vfork" | "procexit" | "prctl" | "setns" | "unshare" | "ptrace" => {
            "process"
        }
        "setuid" | "setgid" | "setresuid" | "setresgid" | "setreuid" | "setregid" | "setgroups" | "capset" => "user",
        "kill" | "tgkill" | "pidfd_send_signal" => "signal",
        "memfd_create" => "memory",
        "init_module" | "finit_module" | "delete_module" | "bpf" => "system",
        _ => "other",
    }
}
