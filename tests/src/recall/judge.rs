//! Compares both views. Keys hold kind, process, path or address, and result, so that nothing matches by accident.
//!
//! A call that was not recorded is excluded only by its place in the trace: between a successful exec and the agent's
//! own ring of that image (`before`), or in an image that never opens a ring (`no agent`). A fork's child counts as its
//! parent's image, so it is never excluded. Both are counted apart, and a call there that *was* recorded is a match.

use super::trace::{Call, quoted};
use crate::events::Events;
use std::collections::BTreeMap;

/// Kinds, in the order of the report.
pub const KINDS: [&str; 3] = ["exec", "open", "connect"];

/// Figures of one kind.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Seen by both.
    pub matched: usize,
    /// Seen by the kernel alone.
    pub missed: Vec<String>,
    /// Recorded alone.
    pub extra: Vec<String>,
    /// Missed between an exec and the ring of its image.
    pub before: usize,
    /// Missed in an image that never opens a ring.
    pub no_agent: usize,
}

fn kind(name: &str) -> Option<&'static str> {
    match name {
        "execve" | "execveat" => Some("exec"),
        "open" | "openat" | "openat2" | "creat" | "open_by_handle_at" => Some("open"),
        "connect" => Some("connect"),
        _ => None,
    }
}

/// `127.0.0.1:9`, `[::1]:9`-like text or a path, of what strace prints for an address.
fn address(args: &str) -> String {
    let port = args.split("_port=htons(").nth(1).and_then(|t| t.split(')').next()).unwrap_or("");
    match args {
        a if a.contains("AF_INET6") => format!("[{}]:{port}", quoted(a)),
        a if a.contains("AF_INET") => format!("{}:{port}", quoted(a)),
        a => quoted(a),
    }
}

/// Where in the life of a program's image a call was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between the exec and the agent's ring.
    BeforeRing,
    /// In an image that never opens a ring.
    NoRing,
    /// Where the agent is.
    Watched,
}

/// Compares a trace with events of the same execution; `own` is what the agent's own paths contain.
pub fn judge(calls: &[Call], events: &Events, own: &str) -> BTreeMap<&'static str, Figures> {
    let mut figures: BTreeMap<_, Figures> = KINDS.iter().map(|k| (*k, Figures::default())).collect();
    let mut recorded: BTreeMap<(&str, i64, String, String), usize> = BTreeMap::new();
    // strace's own calls are no part of its trace
    let traced: std::collections::BTreeSet<i64> = calls.iter().map(|c| c.pid).collect();
    for event in &events.0 {
        let (Some(kind), Some(pid)) = (kind(event.kind()), event.number("proc.pid")) else { continue };
        let what = match kind {
            // recorded as resolved: back to what a relative path was, which an absolute path below it then misses
            "exec" => {
                let path = event.text("evt.arg.filename");
                path.strip_prefix(event.text("proc.cwd")).unwrap_or(path)
            }
            "open" => event.text("fd.nameraw"),
            _ => event.text("evt.arg.addr"),
        };
        if traced.contains(&pid) {
            *recorded.entry((kind, pid, what.to_owned(), event.text("evt.res").to_owned())).or_default() += 1;
        }
    }
    let mut seen = vec![];
    for (n, call) in calls.iter().enumerate() {
        let Some(kind) = kind(&call.name) else { continue };
        let what = if kind == "connect" { address(&call.args) } else { quoted(&call.args) };
        let what = if kind == "exec" { what.strip_prefix("./").map_or(what.clone(), str::to_owned) } else { what };
        let mut later = calls[n + 1..].iter().filter(|c| c.pid == call.pid);
        // The look at the target that the agent takes before each exec, and for a script at its interpreter: these
        // flags, and the exec or the next look follows at once.
        let looks = |c: &Call| c.args.ends_with("O_RDONLY|O_NOCTTY|O_NONBLOCK|O_CLOEXEC");
        let look = kind == "open"
            && looks(call)
            && later.clone().next().is_some_and(|c| c.name.starts_with("execve") || looks(c));
        if look || what.contains(own) {
            continue;
        }
        let started = |c: &Call| c.name.starts_with("execve") && c.result == "SUCCESS";
        let ring = |c: &Call| c.name == "openat" && c.args.contains(own) && c.args.contains("/rings/");
        let after_exec = calls[..n].iter().rev().filter(|c| c.pid == call.pid).find(|c| started(c) || ring(c));
        let place = match after_exec {
            Some(c) if started(c) && later.find(|c| started(c) || ring(c)).is_some_and(ring) => Place::BeforeRing,
            Some(c) if started(c) => Place::NoRing,
            _ => Place::Watched,
        };
        seen.push((place, kind, call, what));
    }
    // The same file may be opened before the agent runs and again after: the record is that of the second.
    seen.sort_by_key(|(place, ..)| *place != Place::Watched);
    for (place, kind, call, what) in seen {
        let figure = figures.entry(kind).or_default();
        let key = (kind, call.pid, what.clone(), call.result.clone());
        if let Some(left) = recorded.get_mut(&key).filter(|n| **n > 0) {
            *left -= 1;
            figure.matched += 1;
            continue;
        }
        match place {
            Place::BeforeRing => figure.before += 1,
            Place::NoRing => figure.no_agent += 1,
            Place::Watched => figure.missed.push(format!("{} {what} {}", call.name, call.result)),
        }
    }
    for ((kind, _, what, result), left) in recorded {
        let extra = std::iter::repeat_n(format!("{kind} {what} {result}"), left);
        figures.entry(kind).or_default().extra.extend(extra);
    }
    figures
}
