//! Output formats: text with fields in it.

use crate::event::{Event, Value};
use crate::function::Source;
use crate::parse;
use crate::resolve::{self, CompileError};
use crate::vocabulary::{Takes, Vocabulary};

/// What stands for a field without a value.
pub const MISSING: &str = "<NA>";

/// Most characters that a value is filled up to.
const WIDEST: usize = 1000;

/// A compiled format.
#[derive(Clone, Debug)]
pub struct Format {
    pieces: Vec<Piece>,
    /// A field without a value is [`MISSING`]; otherwise the whole line is.
    lenient: bool,
    fields: Vec<(String, Source)>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Source, Option<usize>),
}

impl Format {
    /// Compiles a format. One that starts with `*` prints [`MISSING`] for what has no value.
    ///
    /// # Errors
    /// When a `%` is not followed by a field or function that is known; there is no escape for it.
    pub fn new(text: &str, v: &Vocabulary) -> Result<Format, CompileError> {
        let lenient = text.starts_with('*');
        let mut format = Format { pieces: vec![], lenient, fields: vec![] };
        let mut at = usize::from(lenient);
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            let plain = rest.find('%').unwrap_or(rest.len());
            if plain > 0 {
                format.pieces.push(Piece::Text(rest[..plain].to_owned()));
                at += plain;
                continue;
            }
            let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
            let width = rest.get(1..1 + digits).filter(|d| !d.is_empty());
            let width = width.map(|d| d.parse().unwrap_or(WIDEST).min(WIDEST));
            let (source, len) = format.operand(&rest[1 + digits..], at, v)?;
            format.pieces.push(Piece::Value(source, width));
            at += 1 + digits + len;
        }
        Ok(format)
    }

    /// The field or function at the start of `rest`, and how long it is. Its fields are noted.
    fn operand(&mut self, rest: &str, at: usize, v: &Vocabulary) -> Result<(Source, usize), CompileError> {
        let moved = |e: CompileError| CompileError { at: at + 1 + e.at, ..e };
        if let Some((operand, len)) = parse::function(rest) {
            let operand = operand.map_err(|e| CompileError::new(at + 1 + e.at, e.what))?;
            let resolved = resolve::operand(&operand, v).map_err(moved)?;
            let mut names = vec![];
            operand.each_field(&mut |f| names.push(f.clone()));
            for field in names {
                let (asked, info, _) = resolve::field(&field, v).map_err(moved)?;
                printable(info, at)?;
                self.note(field.to_string(), Source::Field(asked));
            }
            return Ok((resolved.source, len));
        }
        let Some((field, len)) = longest_field(rest, v) else {
            let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "._".contains(*c)).collect();
            let unknown_field = word.contains('.');
            let what = match word.as_str() {
                "" => "a % is not followed by a field; there is no way to write one as itself".to_owned(),
                word => format!("there is no field {word}"),
            };
            return Err(CompileError { at, what, unknown_field });
        };
        let (asked, info, _) = resolve::field(&field, v).map_err(moved)?;
        printable(info, at)?;
        let source = Source::Field(asked);
        self.note(field.to_string(), source.clone());
        Ok((source, len))
    }

    fn note(&mut self, name: String, source: Source) {
        if !self.fields.iter().any(|(n, _)| *n == name) {
            self.fields.push((name, source));
        }
    }

    /// The line for an event; `None` if a value is missing and the format is not lenient.
    pub fn text<E: Event>(&self, event: &E) -> Option<String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out += text,
                Piece::Value(source, width) => {
                    let value = match source.value(event) {
                        Some(value) => value.text(),
                        None if self.lenient => MISSING.to_owned(),
                        None => return None,
                    };
                    match width {
                        Some(n) => out += &format!("{:<n$}", value.chars().take(*n).collect::<String>()),
                        None => out += &value,
                    }
                }
            }
        }
        Some(out)
    }

    /// Every field that is named in it, once, with its value.
    pub fn values<'a, E: Event>(&'a self, event: &'a E) -> impl Iterator<Item = (&'a str, Option<Value<'a>>)> {
        self.fields.iter().map(|(name, source)| (name.as_str(), source.value(event)))
    }

    /// Where the fields that it names come from.
    pub fn fields(&self) -> impl Iterator<Item = &Source> {
        self.fields.iter().map(|(_, source)| source)
    }
}

fn printable(info: &crate::vocabulary::Info, at: usize) -> Result<(), CompileError> {
    match info.filter_only {
        true => Err(CompileError::new(at, format!("{} is for conditions only", info.name))),
        false => Ok(()),
    }
}

/// The longest field name that the text starts with, with its argument where it takes one.
fn longest_field(rest: &str, v: &Vocabulary) -> Option<(crate::ast::Field, usize)> {
    let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"._".contains(b)).count();
    let dotted = |name: &str| {
        let base = ["evt.arg.", "evt.rawarg."].into_iter().find(|p| name.starts_with(p))?;
        let argument = &name[base.len()..];
        (!argument.is_empty() && !argument.contains('.') && v.field(&base[..base.len() - 1]).is_some()).then_some(())
    };
    let len = (1..=word).rev().find(|n| v.field(&rest[..*n]).is_some() || dotted(&rest[..*n]).is_some())?;
    let name = rest[..len].to_owned();
    let takes = v.field(&name).map_or(Takes::Nothing, |n| v.fields()[n].takes);
    if takes != Takes::Nothing
        && let Some((field, whole)) = parse::field(rest)
        && field.name == name
        && field.argument.is_some()
    {
        return Some((field, whole));
    }
    Some((crate::ast::Field { name, argument: None, at: 0 }, len))
}
