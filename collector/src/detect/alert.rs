//! Alerts as Falco writes them: a line of text, or a JSON object.

use crate::{clock, json};
use porthole_rules::load::Priority;
use serde_json::{Map, Value};
use std::time::Duration;

/// A rule has been true for an event.
#[derive(Clone)]
pub(super) struct Alert<'a> {
    pub rule: &'a str,
    pub priority: Priority,
    pub source: &'a str,
    pub tags: &'a [String],
    pub hostname: &'a str,
    pub time_ns: u64,
    /// The rule's output.
    pub message: String,
    /// The fields that it names, and others that were asked for.
    pub values: Vec<(String, Value)>,
}

/// What alerts look like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // keys of the configuration
pub struct Style {
    pub json: bool,
    pub output: bool,
    pub message: bool,
    pub fields: bool,
    pub tags: bool,
    pub iso_8601: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { json: false, output: true, message: false, fields: true, tags: true, iso_8601: false }
    }
}

/// A line of an output, without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub text: String,
    /// 0 = the worst, as syslog counts.
    pub severity: u8,
}

impl Style {
    pub(super) fn line(&self, alert: Alert) -> Line {
        let severity = Priority::ALL.iter().position(|p| *p == alert.priority).unwrap_or_default() as u8;
        Line { severity, text: if self.json { self.object(alert) } else { escaped(&self.text(&alert)) } }
    }

    /// The time, the priority, the message.
    fn text(&self, alert: &Alert) -> String {
        let time = match self.iso_8601 {
            true => json::iso8601(Duration::from_nanos(alert.time_ns)),
            false => clock::local_time(alert.time_ns, true),
        };
        format!("{time}: {} {}", name(alert.priority), alert.message)
    }

    /// The object, its keys in alphabetical order.
    fn object(&self, mut alert: Alert) -> String {
        let mut all = Map::new();
        let mut put = |wanted: bool, key: &str, value: Value| {
            if wanted {
                all.insert(key.to_owned(), value);
            }
        };
        let output = self.text(&alert);
        let time = match self.iso_8601 {
            true => ("evt.time.iso8601", alert.time_ns.into()),
            false => ("evt.time", alert.time_ns.into()),
        };
        put(true, "hostname", alert.hostname.into());
        put(self.message, "message", alert.message.as_str().into());
        put(self.output, "output", output.into());
        alert.values.push((time.0.to_owned(), time.1));
        alert.values.sort_by(|a, b| a.0.cmp(&b.0));
        put(self.fields, "output_fields", Value::Object(alert.values.into_iter().collect()));
        put(true, "priority", name(alert.priority).into());
        put(true, "rule", alert.rule.into());
        put(true, "source", alert.source.into());
        put(self.tags, "tags", alert.tags.into());
        put(true, "time", json::time_text(Duration::from_nanos(alert.time_ns)).into());
        Value::Object(all).to_string()
    }
}

/// As alerts have it.
pub(super) fn name(priority: Priority) -> &'static str {
    priority.as_str()
}

/// As inside a JSON string: one alert is one line, and no terminal obeys what a container wrote.
fn escaped(text: &str) -> String {
    let mut out = vec![];
    json::string(&mut out, text);
    let inner = out.get(1..out.len().saturating_sub(1)).unwrap_or_default();
    String::from_utf8_lossy(inner).into_owned()
}
