//! An event: one record with everything that is known of its sender, in Falco's vocabulary.
//!
//! Fields have Falco's names everywhere (JSON, filters, rules); [`Event::each`] yields them in one fixed order.

mod container;
mod process;

use crate::json;
pub(crate) use container::short;
pub use container::{ContainerInfo, Labels, Mount, Part, Probes, Purpose};
pub use process::{ANCESTORS, Process};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text. Bytes of a container that are no UTF-8 are replaced, see [`text`].
    Text(Text),
    /// A number.
    Number(i64),
    /// True or false.
    Flag(bool),
}

/// Text of a value. Making an event is mostly making its texts, so what is the same for all events, or stands in another
/// text already, is not copied.
#[derive(Clone, Debug)]
pub enum Text {
    /// The same for all events.
    Fixed(&'static str),
    /// This event's own.
    Whole(Arc<str>),
    /// A part of another: from, to.
    Part(Arc<str>, u32, u32),
}

impl Text {
    /// `part` of `whole`, which it must be a slice of; a copy of it if it is none.
    pub fn part(whole: &Arc<str>, part: &str) -> Text {
        let from = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        let to = from.wrapping_add(part.len());
        match (u32::try_from(from), u32::try_from(to)) {
            (Ok(a), Ok(b)) if whole.get(from..to).is_some() => Text::Part(whole.clone(), a, b),
            _ => Text::Whole(part.into()),
        }
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Fixed(text) => text,
            Text::Whole(text) => text,
            Text::Part(text, from, to) => text.get(*from as usize..*to as usize).unwrap_or_default(),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        **self == **other
    }
}
impl Eq for Text {}

/// [`Value`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueRef<'a> {
    Text(&'a str),
    Number(i64),
    Flag(bool),
}

impl Value {
    /// The value, borrowed.
    pub fn borrow(&self) -> ValueRef<'_> {
        match self {
            Value::Text(t) => ValueRef::Text(t),
            Value::Number(n) => ValueRef::Number(*n),
            Value::Flag(f) => ValueRef::Flag(*f),
        }
    }
}

impl From<&'static str> for Value {
    fn from(s: &'static str) -> Self {
        Value::Text(Text::Fixed(s))
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Text(Text::Whole(s.into()))
    }
}
impl From<Arc<str>> for Value {
    fn from(s: Arc<str>) -> Self {
        Value::Text(Text::Whole(s))
    }
}
impl From<Text> for Value {
    fn from(t: Text) -> Self {
        Value::Text(t)
    }
}
impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Number(n)
    }
}

/// Text of bytes that a container wrote; what is no UTF-8 becomes U+FFFD.
pub fn text(bytes: &[u8]) -> String {
    lossy(bytes).into_owned()
}

/// [`text`], not copied where it is UTF-8.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Source {
    /// The agent's hooks of libc symbols.
    Symbols,
    /// The agent's patched call sites.
    Sites,
    /// The container's registration by its runtime.
    Runtime,
    /// The collector's own observation of the host.
    Host,
}

impl Source {
    /// As `porthole.source` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Symbols => "symbols",
            Source::Sites => "sites",
            Source::Runtime => "runtime",
            Source::Host => "host",
        }
    }
}

/// How well the process of an event is known (the container always is, by the directory its ring lies in).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// Only the record says so.
    Claimed,
    /// From a verified parent, or from the container.
    Inherited,
    /// The kernel said so.
    Verified,
}

impl Identity {
    /// As `porthole.identity` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Identity::Claimed => "claimed",
            Identity::Inherited => "inherited",
            Identity::Verified => "verified",
        }
    }
}

/// Inode numbers of a process's namespaces; `None` = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Namespaces {
    pub mnt: Option<u64>,
    pub pid: Option<u64>,
    pub net: Option<u64>,
    pub ipc: Option<u64>,
    pub uts: Option<u64>,
    pub user: Option<u64>,
    pub cgroup: Option<u64>,
    pub time: Option<u64>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Number of the event in this run of the collector, from 1.
    pub num: u64,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// System call, or one of our own types (`container.start`, `porthole.drop`, …).
    pub evt_type: &'static str,
    /// Result of a call: a value ≥ 0, or a negative errno.
    pub rawres: Option<i64>,
    /// `evt.arg.*`, `fd.*` and what else belongs to this type, in their order in the output.
    pub fields: Vec<(&'static str, Value)>,
    /// The process, unless the event is the container's.
    pub process: Option<Arc<Process>>,
    /// The container.
    pub container: Arc<ContainerInfo>,
    /// Where it comes from.
    pub source: Source,
    /// How well the process is known.
    pub identity: Identity,
    /// The session (ring) that the record came through, or what the event is about.
    pub session: Arc<str>,
    /// Sequence number in the session; `None` for what the collector says by itself.
    pub seq: Option<u32>,
}

impl Event {
    /// Calls `f` with every field that has a value, in the order of the JSON output.
    pub fn each<'a>(&'a self, f: &mut dyn FnMut(&'static str, ValueRef<'a>)) {
        use ValueRef::{Number, Text};
        f("evt.num", Number(self.num as i64));
        f("evt.type", Text(self.evt_type));
        if let Some(res) = self.rawres {
            f("evt.res", Text(crate::tag::errno::result(res)));
            f("evt.rawres", Number(res));
        }
        for (name, value) in &self.fields {
            f(name, value.borrow());
        }
        if let Some(p) = &self.process {
            p.each(f);
        }
        self.container.each(f);
        if let Some(p) = &self.process {
            p.ns.each(f);
        }
        f("porthole.source", Text(self.source.as_str()));
        f("porthole.identity", Text(self.identity.as_str()));
        text_field(f, "porthole.session", &self.session);
        if let Some(seq) = self.seq {
            f("porthole.seq", Number(i64::from(seq)));
        }
    }

    /// The value of one field by its Falco name; `None` when the event has none. (`time` is not a field: see
    /// [`Event::time_ns`] and [`Event::time_text`].)
    pub fn get(&self, field: &str) -> Option<ValueRef<'_>> {
        let mut found = None;
        self.each(&mut |name, value| {
            if name == field {
                found = Some(value);
            }
        });
        found
    }

    /// RFC 3339 in UTC with nanoseconds.
    pub fn time_text(&self) -> String {
        json::time_text(Duration::from_nanos(self.time_ns))
    }

    /// Appends the event's JSON object, without a newline, to `out`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        json::open(out, &self.time_text());
        self.each(&mut |name, value| json::field(out, name, value));
        out.push(b'}');
    }

    /// The same object as a value.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut map = serde_json::Map::new();
        map.insert("time".into(), self.time_text().into());
        self.each(&mut |name, value| {
            let value = match value {
                ValueRef::Text(t) => t.into(),
                ValueRef::Number(n) => n.into(),
                ValueRef::Flag(b) => b.into(),
            };
            map.insert(name.into(), value);
        });
        map
    }
}

fn text_field<'a>(f: &mut dyn FnMut(&'static str, ValueRef<'a>), name: &'static str, value: &'a str) {
    if !value.is_empty() {
        f(name, ValueRef::Text(value));
    }
}

fn number_field<'a>(f: &mut dyn FnMut(&'static str, ValueRef<'a>), name: &'static str, value: Option<impl Into<u64>>) {
    if let Some(n) = value {
        f(name, ValueRef::Number(n.into() as i64));
    }
}

impl Namespaces {
    fn each<'a>(&'a self, f: &mut dyn FnMut(&'static str, ValueRef<'a>)) {
        number_field(f, "ns.mnt", self.mnt);
        number_field(f, "ns.pid", self.pid);
        number_field(f, "ns.net", self.net);
        number_field(f, "ns.ipc", self.ipc);
        number_field(f, "ns.uts", self.uts);
        number_field(f, "ns.user", self.user);
        number_field(f, "ns.cgroup", self.cgroup);
        number_field(f, "ns.time", self.time);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event with a value for most fields.
    pub(crate) fn sample() -> Event {
        let process = Process {
            pid: Some(4711),
            vpid: Some(7),
            ppid: Some(4700),
            name: "cat".into(),
            exe: "cat".into(),
            exepath: "/bin/cat".into(),
            args: "/etc/pass\"wd".into(),
            cmdline: "cat /etc/pass\"wd".into(),
            cwd: "/".into(),
            tty: Some(0),
            parent: Some(Arc::new(Process { name: "sh".into(), cmdline: "sh".into(), ..Default::default() })),
            uid: Some(0),
            user: Some("root".into()),
            ns: Namespaces { mnt: Some(4_026_531_841), pid: Some(2), ..Default::default() },
            ..Default::default()
        };
        let container = ContainerInfo {
            id: "0123456789ab".into(),
            full_id: "0123456789abcdef".into(),
            name: "web".into(),
            image: "nginx:1".into(),
            ..Default::default()
        };
        Event {
            num: 1,
            time_ns: 1_795_399_199_000_000_001,
            evt_type: "openat",
            rawres: Some(-2),
            fields: vec![("evt.arg.name", "/etc/pass\"wd".into()), ("fd.num", Value::Number(-1))],
            process: Some(Arc::new(process)),
            container: Arc::new(container),
            source: Source::Symbols,
            identity: Identity::Verified,
            session: "0123456789ab/r.5".into(),
            seq: Some(3),
        }
    }

    #[test]
    fn the_line_is_the_object_with_its_keys_in_order() {
        let event = sample();
        let mut line = vec![];
        event.write_json(&mut line);
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&line).unwrap();
        assert_eq!(read, event.to_json());
        let keys: Vec<&str> = read.keys().map(String::as_str).collect();
        assert_eq!(keys[..5], ["time", "evt.num", "evt.type", "evt.res", "evt.rawres"]);
        assert_eq!(keys[keys.len() - 2..], ["porthole.session", "porthole.seq"]);
        assert_eq!(read["evt.res"], "ENOENT");
        assert_eq!(read["ns.mnt"], 4_026_531_841_u64);
        assert!(!read.contains_key("k8s.pod.name") && !read.contains_key("ns.net"));
    }

    #[test]
    fn fields_are_found_by_name() {
        let event = sample();
        assert_eq!(event.get("proc.name"), Some(ValueRef::Text("cat")));
        assert_eq!(event.get("fd.num"), Some(ValueRef::Number(-1)));
        assert_eq!(event.get("proc.sname"), None);
    }
}
