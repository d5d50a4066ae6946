//! Compares both views. Keys hold kind, process, result and what was asked: path and arguments of an exec; path,
//! flags and mode of an open; the address of a connect. So nothing matches by accident, and a call that was recorded
//! inexactly is both missed and extra.
//!
//! A call that was not recorded is excluded only by its place in the trace: the loader's, between a successful exec and
//! the agent's own ring of that image (`before`), or in an image that never opens a ring (`no_agent`). A fork's child
//! counts as its parent's image, so it is never excluded. Both are told apart, and a call there that *was* recorded is a
//! match. Told apart are also the failed tries of a search of `PATH` that was recorded as one exec, and calls of a vfork
//! child before its exec that are told as its parent's, whose memory it lives in.

use super::trace::{Call, after_string, quoted, strings};
use crate::events::{Event, Events};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds, in the order of the report.
pub const KINDS: [&str; 3] = ["exec", "open", "connect"];

/// Flags of an open that events have, but for `O_LARGEFILE`, which says nothing.
const FLAGS: [&str; 13] = [
    "O_RDONLY",
    "O_WRONLY",
    "O_RDWR",
    "O_CREAT",
    "O_EXCL",
    "O_TRUNC",
    "O_APPEND",
    "O_NONBLOCK",
    "O_SYNC",
    "O_DSYNC",
    "O_DIRECTORY",
    "O_CLOEXEC",
    "O_TMPFILE",
];

/// Bytes of joined arguments that are compared: the agent keeps 8 KiB and 512 arguments of an exec.
const ARGUMENTS: usize = 2000;

/// Figures of one kind.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Seen by both.
    pub matched: usize,
    /// Seen by the kernel alone.
    pub missed: Vec<String>,
    /// Recorded alone.
    pub extra: Vec<String>,
    /// The loader's, between an exec and the ring of its image.
    pub before: Vec<String>,
    /// Missed in an image that never opens a ring.
    pub no_agent: Vec<String>,
    /// Directories of `PATH` that an exec told by one record has looked into in vain.
    pub searched: Vec<String>,
    /// Of the matches, those that a vfork child made and that are told as its parent's.
    pub vforked: Vec<String>,
}

impl Figures {
    /// Adds those of another program.
    pub fn add(&mut self, other: Figures) {
        self.matched += other.matched;
        self.before.extend(other.before);
        self.no_agent.extend(other.no_agent);
        self.searched.extend(other.searched);
        self.vforked.extend(other.vforked);
        self.missed.extend(other.missed);
        self.extra.extend(other.extra);
    }

    /// Calls of the kernel that a record could tell, in percent.
    pub fn recall(&self) -> f64 {
        percent(self.matched, self.missed.len())
    }

    /// Records that tell a call of the kernel, in percent.
    pub fn precision(&self) -> f64 {
        percent(self.matched, self.extra.len())
    }
}

/// 100 where there is nothing.
fn percent(matched: usize, other: usize) -> f64 {
    if matched + other == 0 { 100.0 } else { 100.0 * matched as f64 / (matched + other) as f64 }
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
        // whatever else stands in it
        a if a.contains("sa_family=AF_UNSPEC") => "AF_UNSPEC".into(),
        a if a.contains("AF_INET6") => format!("[{}]:{port}", quoted(a)),
        a if a.contains("AF_INET") => format!("{}:{port}", quoted(a)),
        a if a.contains('"') => quoted(a),
        a => a.split("sa_family=").nth(1).map_or(String::new(), |f| f.split([',', '}']).next().unwrap_or("").into()),
    }
}

/// Flags and mode of an open in one spelling: sorted, the mode in octal where it has a meaning.
fn flags_and_mode(flags: &str, mode: &str) -> String {
    let flags: BTreeSet<&str> = flags.split('|').filter(|f| FLAGS.contains(f)).collect();
    let creates = flags.contains("O_CREAT") || flags.contains("O_TMPFILE");
    let mode = u32::from_str_radix(mode.trim_start_matches('0'), 8).unwrap_or(0);
    let flags: Vec<&str> = flags.into_iter().collect();
    if creates { format!("{} {mode:04o}", flags.join("|")) } else { flags.join("|") }
}

/// What `creat` asks for by its name.
const CREAT: &str = "O_WRONLY|O_CREAT|O_TRUNC";

fn arguments<'a>(argv: impl Iterator<Item = &'a str>) -> String {
    let joined: String = argv.collect::<Vec<_>>().join(" ");
    joined.trim_end().chars().take(ARGUMENTS).collect()
}

/// What a call asked for.
fn asked(kind: &str, call: &Call) -> String {
    let rest = after_string(&call.args);
    let mut words = rest.split(", ");
    match (kind, call.name.as_str()) {
        ("exec", _) => {
            // the environment is an address and a number
            format!("{} [{}]", quoted(&call.args), arguments(strings(rest).iter().map(String::as_str)))
        }
        ("connect", _) => address(&call.args),
        (_, "creat") => format!("{} {}", quoted(&call.args), flags_and_mode(CREAT, words.next().unwrap_or(""))),
        (_, "openat2") => {
            let field = |name: &str| rest.split(name).nth(1).map_or("", |t| t.split([',', '}']).next().unwrap_or(""));
            format!("{} {}", quoted(&call.args), flags_and_mode(field("flags="), field("mode=")))
        }
        _ => {
            let flags = words.next().unwrap_or("");
            format!("{} {}", quoted(&call.args), flags_and_mode(flags, words.next().unwrap_or("")))
        }
    }
}

/// What a record says that was asked for.
fn recorded(kind: &str, event: &Event) -> String {
    match kind {
        "exec" => {
            let given = event.text("evt.rawarg.filename");
            let path = if given.is_empty() { event.text("evt.arg.filename") } else { given };
            let argv = [event.text("evt.arg.exe"), event.text("evt.arg.args")];
            format!("{path} [{}]", arguments(argv.into_iter()))
        }
        "open" => {
            let flags = if event.kind() == "creat" { CREAT } else { event.text("evt.arg.flags") };
            format!("{} {}", event.text("fd.nameraw"), flags_and_mode(flags, event.text("evt.arg.mode")))
        }
        _ => event.text("evt.arg.addr").to_owned(),
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
    let mut left = Left::new();
    // strace's own calls are no part of its trace
    let traced: BTreeSet<i64> = calls.iter().map(|c| c.pid).collect();
    for event in &events.0 {
        let Some(kind) = kind(event.kind()) else { continue };
        // A ring whose hello was not heard has only its own word for the process, as the container numbers it. A record
        // of no process matches nothing, and so it is extra.
        let pid = event.number("proc.pid").or_else(|| event.number("proc.vpid")).unwrap_or(0);
        if pid == 0 || traced.contains(&pid) {
            *left.entry((kind, pid, recorded(kind, event), event.text("evt.res").to_owned())).or_default() += 1;
        }
    }
    let parents = vfork_parents(calls);
    let mut seen = vec![];
    for (n, call) in calls.iter().enumerate() {
        let Some(kind) = kind(&call.name) else { continue };
        let mut later = calls[n + 1..].iter().filter(|c| c.pid == call.pid);
        let look = kind == "open" && looks(call) && later.clone().next().is_some_and(|c| looks(c) || starts(c));
        if look || call.args.contains(own) {
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
        let parent = parents.get(&call.pid).filter(|_| after_exec.is_none()).copied();
        seen.push(Seen { place, kind, call, asked: asked(kind, call), parent });
    }
    // The same file may be opened before the agent runs and again after: the record is that of the second.
    seen.sort_by_key(|s| s.place != Place::Watched);
    let mut missed = vec![];
    for s in seen {
        let figure = figures.entry(s.kind).or_default();
        let mut take = |pid| {
            let left = left.get_mut(&(s.kind, pid, s.asked.clone(), s.call.result.clone())).filter(|n| **n > 0);
            left.map(|n| *n -= 1).is_some()
        };
        if take(s.call.pid) {
            figure.matched += 1;
        } else if s.parent.is_some_and(take) {
            figure.matched += 1;
            figure.vforked.push(s.told());
        } else {
            match s.place {
                Place::BeforeRing if s.loads() => figure.before.push(s.told()),
                Place::NoRing => figure.no_agent.push(s.told()),
                Place::BeforeRing | Place::Watched => missed.push(s),
            }
        }
    }
    left.retain(|_, n| *n > 0);
    for s in missed {
        let figure = figures.entry(s.kind).or_default();
        match searched(&s, calls, &mut left) {
            Some(true) => figure.matched += 1,
            Some(false) => figure.searched.push(s.told()),
            None => figure.missed.push(s.told()),
        }
    }
    for ((kind, pid, what, result), left) in left {
        let extra = std::iter::repeat_n(format!("{kind} {what} {result} of process {pid}"), left);
        figures.entry(kind).or_default().extra.extend(extra);
    }
    figures
}

/// What the kernel saw, and where.
struct Seen<'a> {
    place: Place,
    kind: &'static str,
    call: &'a Call,
    asked: String,
    /// Of a vfork child that has not executed anything yet.
    parent: Option<i64>,
}

impl Seen<'_> {
    fn told(&self) -> String {
        // which events do not tell
        let path = if self.call.args.contains("O_PATH") { "(O_PATH)" } else { "" };
        format!("{}{path} {} {}", self.call.name, self.asked, self.call.result)
    }

    /// Whether it is the loader's search of a library, in its caches and at the places where one may be.
    fn loads(&self) -> bool {
        let path = quoted(&self.call.args);
        let name = path.rsplit('/').next().unwrap_or("");
        self.kind == "open" && self.asked.contains("O_RDONLY") && (name.contains(".so") || name.starts_with("ld-musl-"))
    }
}

/// Records by kind, process, what was asked and result, as many as have not been found in the trace.
type Left = BTreeMap<(&'static str, i64, String, String), usize>;

/// The look at the target that the agent takes before each exec, and for a script at its interpreter: these flags, and
/// the exec, the child that executes or the next look follows at once.
fn looks(call: &Call) -> bool {
    call.args.ends_with("O_RDONLY|O_NOCTTY|O_NONBLOCK|O_CLOEXEC")
}

fn starts(call: &Call) -> bool {
    call.name.starts_with("execve") || call.name.starts_with("clone") || call.name == "vfork"
}

/// Which process each vfork child shares its memory with.
fn vfork_parents(calls: &[Call]) -> BTreeMap<i64, i64> {
    let vforks = calls.iter().filter(|c| c.name == "vfork" || c.args.contains("CLONE_VFORK"));
    vforks.filter_map(|c| Some((c.made?, c.pid))).collect()
}

/// Whether a failed exec is part of a search of `PATH` of which there is one record: of its success, or with the name
/// that was searched for and the error of the last try (then `true`, and the record is taken), or of its caller that
/// has spawned it.
fn searched(s: &Seen, calls: &[Call], left: &mut Left) -> Option<bool> {
    if s.kind != "exec" || s.call.result == "SUCCESS" {
        return None;
    }
    let (path, argv) = s.asked.split_once(" [")?;
    let name = path.rsplit('/').next()?;
    for pid in [Some(s.call.pid), s.parent].into_iter().flatten() {
        for path in [path, name] {
            let key = ("exec", pid, format!("{path} [{argv}"), s.call.result.clone());
            if let Some(left) = left.get_mut(&key).filter(|n| **n > 0) {
                *left -= 1;
                return Some(true);
            }
        }
    }
    let of_the_search = |c: &&Call| {
        let other = asked("exec", c);
        let found = other.split_once(" [").is_some_and(|(p, a)| a == argv && p.rsplit('/').next() == Some(name));
        c.pid == s.call.pid && c.name == "execve" && !std::ptr::eq(*c, s.call) && found
    };
    calls.iter().find(of_the_search).map(|_| false)
}
