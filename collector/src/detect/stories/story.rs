//! A story, as it is kept and shown.

use super::super::alert::{Alert, Style};
use super::super::filter::Filter;
use crate::event::{Event, Process};
use crate::json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Number of an alert: twelve hexadecimal digits. Those of consecutive alerts differ in the first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Id(pub u64);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Id, Self::Error> {
        u64::from_str_radix(&text, 16).map(Id)
    }
}

/// Largest story; earlier records are left out of one that would be larger.
const LARGEST: usize = 256 << 10;
/// Most programs that are listed below an alert's process.
pub const CHILDREN: usize = 50;
/// Characters of a text of a process.
const TEXT: usize = 1024;

/// What judging knows of an alert: nothing is formatted yet but the alert itself.
#[derive(Debug)]
pub(super) struct Draft {
    id: Id,
    alert: String,
    pub event: Arc<Event>,
    before: Vec<Arc<Event>>,
}

/// A program that an alert's process, or one below it, has started since.
#[derive(Debug)]
pub struct Child {
    pub(super) time_ns: u64,
    pub(super) process: Arc<Process>,
}

/// See the module. Events have the form that `porthole events` gives them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Story {
    pub id: String,
    /// When, RFC 3339.
    pub time: String,
    pub container: Container,
    pub rule: String,
    pub priority: String,
    /// The alert, as outputs have it with `json_output`.
    pub alert: Map<String, Value>,
    /// The event that has fired the rule.
    pub event: Map<String, Value>,
    /// Whose it is.
    pub process: Member,
    /// Its parent, that one's parent, and so on: to the container's first process and the runtime that has started that.
    pub ancestors: Vec<Member>,
    /// Programs that were started below it since.
    pub children: Vec<Member>,
    /// What was done before, first of all by these processes, oldest first.
    pub before: Vec<Map<String, Value>>,
}

/// A container, for a story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Container {
    pub id: String,
    pub full_id: String,
    pub name: String,
    pub image: String,
    pub engine: String,
    pub pod_name: String,
    pub pod_namespace: String,
}

/// A process of a tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Member {
    pub pid: Option<u32>,
    pub vpid: Option<u32>,
    /// The parent's pid on the host.
    pub ppid: Option<u32>,
    pub name: String,
    pub cmdline: String,
    pub exepath: String,
    pub uid: Option<u32>,
    pub user: String,
    /// When a child was started, RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
}

impl Member {
    fn of(p: &Process) -> Member {
        let cut = |text: &str| text.chars().take(TEXT).collect::<String>();
        Member {
            pid: p.pid,
            vpid: p.vpid,
            ppid: p.ppid,
            name: cut(&p.name),
            cmdline: cut(&p.cmdline),
            exepath: cut(&p.exepath),
            uid: p.uid,
            user: cut(p.user.as_deref().unwrap_or("")),
            time: String::new(),
        }
    }
}

impl From<Child> for Member {
    fn from(child: Child) -> Member {
        Member { time: json::time_text(Duration::from_nanos(child.time_ns)), ..Member::of(&child.process) }
    }
}

impl Draft {
    pub fn new(id: Id, alert: &Alert<'_>, event: Arc<Event>, before: Vec<Arc<Event>>) -> Draft {
        let style = Style { json: true, message: true, ..Style::default() };
        Draft { id, alert: style.line(alert.clone()).text, event, before }
    }

    pub fn finish(&self) -> Story {
        let (event, c) = (&self.event, &self.event.container);
        let alert: Map<String, Value> = serde_json::from_str(&self.alert).unwrap_or_default();
        let text = |key: &str| alert.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut story = Story {
            id: self.id.to_string(),
            time: event.time_text(),
            container: Container {
                id: c.id.to_string(),
                full_id: c.full_id.to_string(),
                name: c.name.to_string(),
                image: c.image.to_string(),
                engine: c.engine.to_string(),
                pod_name: c.pod_name.to_string(),
                pod_namespace: c.pod_namespace.to_string(),
            },
            rule: text("rule"),
            priority: text("priority"),
            event: event.to_json(),
            process: event.process.as_deref().map(Member::of).unwrap_or_default(),
            ancestors: event.process.iter().flat_map(|p| p.ancestors()).take(64).map(Member::of).collect(),
            children: vec![],
            before: self.before.iter().map(|e| e.to_json()).collect(),
            alert,
        };
        while story.size() > LARGEST && !story.before.is_empty() {
            story.before.remove(0);
        }
        story
    }
}

impl Story {
    /// What conditions can ask for where the event itself is gone: its own fields, the alert's, the ancestors.
    pub fn holds(&self, filter: &Filter) -> bool {
        let mut line = Map::new();
        type Of = fn(&Member) -> Value;
        let all: [(&str, Of); 4] = [
            ("proc.aname", |m| m.name.as_str().into()),
            ("proc.acmdline", |m| m.cmdline.as_str().into()),
            ("proc.aexepath", |m| m.exepath.as_str().into()),
            ("proc.apid", |m| m.pid.into()),
        ];
        for (name, of) in all {
            let values: Vec<Value> = self.ancestors.iter().map(of).collect();
            for (n, value) in values.iter().enumerate() {
                line.insert(format!("{name}[{}]", n + 1), value.clone());
            }
            line.insert(name.to_owned(), values.into());
        }
        let none = Map::new();
        let named = self.alert.get("output_fields").and_then(Value::as_object).unwrap_or(&none);
        filter.holds_for(&[&self.event, &line, named])
    }

    /// Without what fills it: for a list.
    pub fn short(&self) -> Story {
        let (ancestors, children, before, event) = (vec![], vec![], vec![], Map::new());
        Story { ancestors, children, before, event, ..self.clone() }
    }

    /// As a line of a file.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What it takes, about.
    pub fn size(&self) -> usize {
        self.line().len()
    }
}
