//! How things look to a person: one line per event, tables, colours only where they help.

pub mod compact;
pub mod escape;
pub mod paint;
pub mod span;
pub mod table;
pub mod terminal;

use serde_json::{Map, Value};

/// The form in which events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One short line for people.
    #[default]
    Compact,
    /// One JSON object a line, for programs.
    Json,
}

/// A field of an event as text; numbers and truth values are spelled out, what is missing is empty.
pub(crate) fn text(event: &Map<String, Value>, key: &str) -> String {
    match event.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(s)) => s.clone(),
        Some(Value::Array(items)) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
