//! The functions that conditions and outputs apply to fields.

use crate::ast::Function;
use crate::event::{Asked, Event, Value};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

/// Something that has a value in an event, with its fields found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A field.
    Field(Asked),
    /// A constant.
    Text(String),
    /// Several.
    List(Vec<Source>),
    /// A function of others.
    Function(Function, Vec<Source>, Option<String>),
}

impl Source {
    /// Its value in an event.
    pub fn value<'a, E: Event>(&'a self, event: &'a E) -> Option<Value<'a>> {
        match self {
            Source::Field(field) => event.value(field),
            Source::Text(text) => Some(text.as_str().into()),
            Source::List(all) => all.iter().map(|s| s.value(event)).collect::<Option<Vec<_>>>().map(Value::List),
            Source::Function(function, arguments, selector) => {
                let values = arguments.iter().map(|a| a.value(event)).collect::<Option<Vec<_>>>()?;
                apply(*function, values, selector.as_deref())
            }
        }
    }

    /// Calls `f` with every field in it.
    pub fn each_field<'a>(&'a self, f: &mut dyn FnMut(&'a Asked)) {
        match self {
            Source::Field(field) => f(field),
            Source::Text(_) => {}
            Source::List(all) | Source::Function(_, all, _) => all.iter().for_each(|s| s.each_field(f)),
        }
    }
}

fn apply<'a>(function: Function, mut values: Vec<Value<'a>>, selector: Option<&str>) -> Option<Value<'a>> {
    match function {
        Function::Join => {
            let rest = values.split_off(1.min(values.len()));
            let parts: Vec<String> = flat(rest).iter().map(Value::text).collect();
            Some(parts.join(&values.first()?.text()).into())
        }
        Function::Concat => Some(values.iter().map(Value::text).collect::<String>().into()),
        Function::Getopt => {
            let options = values.get(1)?.text();
            let words: Vec<String> = flat(vec![values.into_iter().next()?]).iter().map(Value::text).collect();
            option(&words, &options, selector?).map(Into::into)
        }
        Function::Len => Some(Value::Uint(match values.first()? {
            Value::List(all) | Value::Any(all) => all.len(),
            Value::Bytes(b) => b.len(),
            other => other.text().len(),
        } as u64)),
        Function::Tolower | Function::Toupper | Function::B64 | Function::Basename => {
            each(values.into_iter().next()?, function)
        }
    }
}

/// A function of one text, applied to each of several.
fn each(value: Value<'_>, function: Function) -> Option<Value<'_>> {
    let many = |all: Vec<_>| all.into_iter().map(|v| each(v, function)).collect::<Option<Vec<_>>>();
    match value {
        Value::List(all) => many(all).map(Value::List),
        Value::Any(all) => many(all).map(Value::Any),
        Value::Text(text) => of_text(function, text),
        Value::Bytes(bytes) => of_text(function, Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())),
        _ => None,
    }
}

fn of_text(function: Function, text: Cow<'_, str>) -> Option<Value<'_>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    Some(match function {
        Function::Tolower => text.to_ascii_lowercase().into(),
        Function::Toupper => text.to_ascii_uppercase().into(),
        Function::B64 => String::from_utf8_lossy(&LENIENT.decode(text.as_bytes()).ok()?).into_owned().into(),
        _ => match text {
            Cow::Borrowed(t) => t.rsplit('/').next().unwrap_or(t).into(),
            Cow::Owned(t) => t.rsplit('/').next().unwrap_or(&t).to_owned().into(),
        },
    })
}

fn flat(values: Vec<Value<'_>>) -> Vec<Value<'_>> {
    let mut out = vec![];
    for value in values {
        match value {
            Value::List(all) | Value::Any(all) => out.extend(flat(all)),
            other => out.push(other),
        }
    }
    out
}

/// The value of a short option among words, as getopt(3) finds it; empty for one that takes none.
fn option(words: &[String], options: &str, wanted: &str) -> Option<String> {
    let wanted = wanted.chars().next()?;
    let takes = |c: char| options.split_once(c).is_some_and(|(_, rest)| rest.starts_with(':'));
    let mut found = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) else { continue };
        if letters == "-" {
            break;
        }
        let mut rest = letters.chars();
        while let Some(c) = rest.next() {
            if c == ':' || !options.contains(c) {
                continue;
            }
            let value = match takes(c) {
                false => String::new(),
                true if rest.as_str().is_empty() => words.next().cloned().unwrap_or_default(),
                true => std::mem::replace(&mut rest, "".chars()).as_str().to_owned(),
            };
            if c == wanted {
                found = Some(value);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_as_getopt_finds_them() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let find = |text: &str, wanted: &str| option(&words(text), "nt:", wanted);
        assert_eq!(find("-n -t v x", "t").as_deref(), Some("v"));
        assert_eq!(find("-ntv", "t").as_deref(), Some("v"));
        assert_eq!(find("-n", "n").as_deref(), Some(""));
        assert_eq!((find("x -z", "t"), find("-- -t v", "t")), (None, None));
    }
}
