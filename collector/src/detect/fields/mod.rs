//! An event's values by the fields that rules and filters name: Falco's, and a few of our own.
//!
//! Each field that porthole supplies has a function in one of the tables below; every other one of Falco's is known by
//! its type and has no value.

mod container;
mod descriptor;
mod event;
mod process;

#[cfg(test)]
use crate::event::Mount;
use crate::event::{ContainerInfo, Event, Process, Value as Own};
use porthole_rules::event::{Asked, Event as Judged, Value};
use porthole_rules::vocabulary::{EventType, Info, Type, Vocabulary};
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;

pub(crate) use event::hostname;

/// How the value of a field is found in an event.
type Get = for<'a> fn(&Subject<'a>, &Asked) -> Option<Value<'a>>;

/// One group of fields.
type Table = &'static [(&'static str, Get)];

const TABLES: [Table; 4] = [event::FIELDS, process::FIELDS, descriptor::FIELDS, container::FIELDS];

/// Types of events that Falco does not have, with their arguments.
const EVENTS: [(&str, &[&str]); 16] = [
    ("container.start", &["exe", "args", "cwd", "uid", "tty"]),
    (
        "container.create",
        &[
            "exe",
            "args",
            "cwd",
            "uid",
            "tty",
            "privileged",
            "user",
            "capabilities",
            "host_namespaces",
            "sensitive_mounts",
            "ports",
            "labels",
        ],
    ),
    ("container.exec", &["exe", "args", "cwd", "uid", "tty", "purpose"]),
    ("container.pause", &[]),
    ("container.unpause", &[]),
    ("container.die", &["status", "ret", "sig", "core"]),
    ("container.oom", &["killed"]),
    ("container.stop", &[]),
    ("porthole.blindspot", &[]),
    ("porthole.bypass", &[]),
    ("porthole.drop", &[]),
    ("porthole.tamper", &[]),
    ("porthole.arguments", &["exe", "args", "filename"]),
    ("getaddrinfo", &["name", "addresses"]),
    ("gethostbyname", &["name", "addresses"]),
    ("dlopen", &["namespace", "filename", "flags"]),
];

/// Everything that rules can name, and where it comes from.
#[derive(Debug)]
pub struct Fields {
    /// The names.
    pub vocabulary: Vocabulary,
    /// By the fields' numbers.
    get: Vec<Option<Get>>,
    /// Values of `static.*`.
    statics: BTreeMap<String, String>,
}

impl Fields {
    /// Falco's fields and ours; `statics` are the configuration's own constants, named `static.NAME` in outputs.
    pub fn new(statics: &BTreeMap<String, String>) -> Fields {
        let mut vocabulary = Vocabulary::falco().clone();
        for (name, _) in event::FIELDS.iter().chain(container::FIELDS).filter(|(n, _)| is_own(n)) {
            let kind = if event::NUMBERS.contains(name) || name.starts_with("ns.") { Type::Int } else { Type::Text };
            vocabulary.add_field(Info::new(name, kind));
        }
        for (name, arguments) in EVENTS {
            let arguments = arguments.iter().map(|a| ((*a).to_owned(), Type::Text)).collect();
            vocabulary.add_event(EventType { name: name.to_owned(), arguments });
        }
        let statics: BTreeMap<_, _> = statics.iter().map(|(k, v)| (format!("static.{k}"), v.clone())).collect();
        statics.keys().for_each(|name| vocabulary.add_field(Info::new(name, Type::Text)));
        let mut get: Vec<Option<Get>> = vec![None; vocabulary.fields().len()];
        for (name, function) in TABLES.into_iter().flatten() {
            if let Some(n) = vocabulary.field(name) {
                get[n] = Some(*function);
            }
        }
        Fields { vocabulary, get, statics }
    }

    /// Whether porthole ever gives this field a value.
    pub fn supplies(&self, field: &Asked) -> bool {
        self.statics.contains_key(&field.name) || self.get.get(field.number).is_some_and(Option::is_some)
    }
}

/// Whether a field is one of ours that Falco does not have.
pub fn is_own(name: &str) -> bool {
    name.starts_with("porthole.") || name.starts_with("ns.")
}

/// What is remembered between the questions about one event.
#[derive(Debug, Default)]
pub struct Memo {
    epoch: Cell<u32>,
    /// Where in the event's own fields a field stands, by its number, if it was asked for in this epoch.
    places: Vec<Cell<(u32, u16)>>,
}

impl Memo {
    /// For these fields.
    pub fn new(fields: &Fields) -> Memo {
        Memo { epoch: Cell::new(0), places: vec![Cell::new((0, NOWHERE)); fields.get.len()] }
    }
}

const NOWHERE: u16 = u16::MAX;

/// An event as rules see it.
pub struct Subject<'a> {
    event: &'a Event,
    fields: &'a Fields,
    memo: &'a Memo,
    opened: OnceCell<Option<event::Opened>>,
}

impl<'a> Subject<'a> {
    /// `memo` may be used for one event after the other.
    pub fn new(event: &'a Event, fields: &'a Fields, memo: &'a Memo) -> Subject<'a> {
        memo.epoch.set(memo.epoch.get().wrapping_add(1));
        Subject { event, fields, memo, opened: OnceCell::new() }
    }

    /// What is opened for what, if anything is.
    fn opened(&self) -> Option<event::Opened> {
        *self.opened.get_or_init(|| event::opened(self))
    }

    fn process(&self) -> Option<&'a Process> {
        self.event.process.as_deref()
    }

    fn container(&self) -> &'a ContainerInfo {
        &self.event.container
    }

    /// One of the event's own fields. Few are asked for once only.
    fn own(&self, asked: &Asked) -> Option<&'a Own> {
        let cell = self.memo.places.get(asked.number)?;
        let (epoch, mut place) = cell.get();
        if epoch != self.memo.epoch.get() {
            let found = self.event.fields.iter().position(|(name, _)| *name == asked.name);
            place = found.map_or(NOWHERE, |n| n as u16);
            cell.set((self.memo.epoch.get(), place));
        }
        self.event.fields.get(usize::from(place)).map(|(_, value)| value)
    }

    /// One of the event's own fields by its name.
    fn named(&self, name: &str) -> Option<&'a Own> {
        self.event.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    fn text_of(&self, name: &str) -> Option<&'a str> {
        match self.named(name)? {
            Own::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `evt.arg.NAME`.
    fn argument(&self, name: &str) -> Option<&'a Own> {
        let is = |n: &str| n.strip_prefix("evt.arg.") == Some(name);
        self.event.fields.iter().find(|(n, _)| is(n)).map(|(_, value)| value)
    }
}

impl Judged for Subject<'_> {
    fn value(&self, field: &Asked) -> Option<Value<'_>> {
        match self.fields.get.get(field.number)? {
            Some(get) => get(self, field),
            None => self.fields.statics.get(&field.name).map(|text| text.as_str().into()),
        }
    }
}

/// A text that is there.
fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then(|| text.into())
}

fn number(n: impl Into<i64>) -> Option<Value<'static>> {
    Some(Value::Int(n.into()))
}

fn flag(on: bool) -> Option<Value<'static>> {
    Some(Value::Bool(on))
}

/// As a text field has it.
fn as_text(value: &Own) -> Value<'_> {
    match value {
        Own::Text(text) => (&**text).into(),
        Own::Number(n) => n.to_string().into(),
        Own::Flag(b) => Value::Text(if *b { "true" } else { "false" }.into()),
    }
}

/// As a field of any other kind has it.
fn as_is(value: &Own) -> Value<'_> {
    match value {
        Own::Text(text) => (&**text).into(),
        Own::Number(n) => Value::Int(*n),
        Own::Flag(b) => Value::Bool(*b),
    }
}

/// The event's own field as a text.
fn own_text<'a>(s: &Subject<'a>, asked: &Asked) -> Option<Value<'a>> {
    s.own(asked).map(as_text)
}

/// The event's own field.
fn own<'a>(s: &Subject<'a>, asked: &Asked) -> Option<Value<'a>> {
    s.own(asked).map(as_is)
}

#[cfg(test)]
mod tests;
