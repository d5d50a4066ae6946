//! Splits words into options, their values, and the rest, by the rules of Go's flag package.

use super::flags::{Flag, Value};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One word of a command line.
pub enum Word<'a> {
    /// Long name, and the value if there is one.
    Option(&'static str, Option<OsString>),
    /// Anything that is no option.
    Plain(&'a OsStr),
    /// An option that is not in the list, or lacks its value.
    Unknown,
    /// There are no more.
    End,
}

/// The words of a command line, options with their values.
pub struct Words<'a> {
    flags: &'static [Flag],
    /// What has not been looked at.
    pub rest: &'a [OsString],
    /// The first plain word ends the options; otherwise they may stand behind it too, as runc's `create ID -b B`.
    in_order: bool,
    ended: bool,
}

impl<'a> Words<'a> {
    /// `in_order`: the first word that is no option ends them.
    pub fn new(flags: &'static [Flag], rest: &'a [OsString], in_order: bool) -> Words<'a> {
        Words { flags, rest, in_order, ended: false }
    }

    /// The next word.
    pub fn next(&mut self) -> Word<'a> {
        let Some((word, rest)) = self.rest.split_first() else { return Word::End };
        self.rest = rest;
        let bytes = word.as_bytes();
        if self.ended || !bytes.starts_with(b"-") || bytes == b"-" {
            self.ended |= self.in_order;
            return Word::Plain(word);
        }
        if bytes == b"--" {
            self.ended = true;
            return self.next();
        }
        let body = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
        let (name, mut value) = match body.iter().position(|b| *b == b'=') {
            Some(at) => (&body[..at], Some(OsString::from_vec(body[at + 1..].to_vec()))),
            None => (body, None),
        };
        let found = self
            .flags
            .iter()
            .find(|(long, short, _)| long.as_bytes() == name || (!short.is_empty() && short.as_bytes() == name));
        let Some((long, _, takes)) = found else { return Word::Unknown };
        let next = || self.rest.split_first();
        match takes {
            Value::Yes if value.is_none() => match next() {
                Some((word, rest)) => (value, self.rest) = (Some(word.clone()), rest),
                None => return Word::Unknown,
            },
            Value::Truth if value.is_none() => {
                if let Some((word, rest)) = next()
                    && ["true", "false", "auto"].iter().any(|t| word == t)
                {
                    (value, self.rest) = (Some(word.clone()), rest);
                }
            }
            _ => {}
        }
        Word::Option(long, value)
    }
}
