//! What an evaluator asks an event for.

use std::borrow::Cow;
use std::net::IpAddr;

/// A field's value in one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// True or false.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A number with a fraction.
    Double(f64),
    /// An address.
    Ip(IpAddr),
    /// The values of a field that has several.
    List(Vec<Value<'a>>),
    /// Several of which any one may fit: ancestors, the two ends of a connection.
    Any(Vec<Value<'a>>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

/// A field that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Its number in the vocabulary.
    pub number: usize,
    /// Its name there: `evt.arg` for `evt.arg.name`.
    pub name: String,
    /// Its argument: `name` for `evt.arg.name`, `2` for `proc.aname[2]`.
    pub argument: Option<String>,
    /// The argument as a number, where the field takes one.
    pub index: Option<usize>,
}

/// An event, as rules see it.
pub trait Event {
    /// The value of a field; `None` when it has none, which makes every check false.
    fn value(&self, field: &Asked) -> Option<Value<'_>>;
}

impl Value<'_> {
    /// As an output has it.
    pub fn text(&self) -> String {
        match self {
            Value::Text(t) => t.to_string(),
            Value::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(n) => n.to_string(),
            Value::Uint(n) => n.to_string(),
            Value::Double(d) => d.to_string(),
            Value::Ip(ip) => ip.to_string(),
            Value::List(all) => format!("({})", all.iter().map(Value::text).collect::<Vec<_>>().join(",")),
            Value::Any(all) => all.iter().map(Value::text).collect::<Vec<_>>().join(" "),
        }
    }
}
