//! Errors and warnings of rules files, with Falco's codes.

use crate::yaml::Position;
use std::fmt::{self, Display, Formatter};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $what:literal;)*) => {
        /// What kind of a problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Code {
            $($name,)*
        }

        impl Code {
            /// Falco's name of it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }

            /// In words.
            pub fn what(self) -> &'static str {
                match self {
                    $(Code::$name => $what,)*
                }
            }
        }
    };
}

codes! {
    FileRead = "LOAD_ERR_FILE_READ", "File read error";
    YamlParse = "LOAD_ERR_YAML_PARSE", "YAML parse error";
    YamlValidate = "LOAD_ERR_YAML_VALIDATE", "Error validating the structure of the file";
    CompileCondition = "LOAD_ERR_COMPILE_CONDITION", "Error compiling a condition";
    CompileOutput = "LOAD_ERR_COMPILE_OUTPUT", "Error compiling an output";
    Validate = "LOAD_ERR_VALIDATE", "Error validating a rule, macro or list";
    UnknownSource = "LOAD_UNKNOWN_SOURCE", "Unknown event source";
    NoEventType = "LOAD_NO_EVTTYPE", "Condition has no event-type restriction";
    UnknownFilter = "LOAD_UNKNOWN_FILTER", "Unknown field or event-type in condition or output";
    UnusedMacro = "LOAD_UNUSED_MACRO", "Unused macro";
    UnusedList = "LOAD_UNUSED_LIST", "Unused list";
    UnknownItem = "LOAD_UNKNOWN_ITEM", "Unknown item";
    DeprecatedItem = "LOAD_DEPRECATED_ITEM", "Deprecated item";
    AppendNoValues = "LOAD_APPEND_NO_VALUES", "Appending an exception without values";
    ExceptionNameNotUnique = "LOAD_EXCEPTION_NAME_NOT_UNIQUE", "Several exceptions of one rule have the same name";
    InvalidMacroName = "LOAD_INVALID_MACRO_NAME", "Invalid macro name";
    InvalidListName = "LOAD_INVALID_LIST_NAME", "Invalid list name";
    SuspiciousCondition = "LOAD_COMPILE_CONDITION", "Condition that is most likely not meant so";
    UnknownKey = "LOAD_UNKNOWN_KEY", "Unknown key";
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// What is wrong, and what to do.
    pub message: String,
    /// `rule`, `macro`, `list`, …
    pub item: &'static str,
    /// Its name, where it has one.
    pub name: String,
    /// Where it stands in its file.
    pub at: Position,
    /// The condition or output that it is about, and the byte in it.
    pub inside: Option<Box<(String, usize)>>,
}

impl Problem {
    /// The place inside the condition with a caret below it; empty if it is about no condition.
    pub fn snippet(&self) -> String {
        self.inside.as_deref().map_or_else(String::new, |(text, at)| caret(text, *at))
    }
}

/// The line of a text that a byte of it stands in, of which not too much, with a caret below the byte.
pub fn caret(text: &str, at: usize) -> String {
    let at = (0..=at.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
    // the line that it is on, of which not too much
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
    let before: Vec<char> = text[start..at].chars().collect();
    let skipped = before.len().saturating_sub(60);
    let shown: String = before[skipped..].iter().collect();
    let after: String = text[at..end].chars().take(40).collect();
    let dots = if skipped > 0 { "..." } else { "" };
    let column = dots.len() + before.len() - skipped;
    format!("{dots}{shown}{after}\n{}^", " ".repeat(column))
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.at;
        write!(
            f,
            "line {line}, column {column}: {} {:?}: {} ({})",
            self.item,
            self.name,
            self.message,
            self.code.as_str()
        )?;
        match self.snippet() {
            text if text.is_empty() => Ok(()),
            text => text.lines().try_for_each(|line| write!(f, "\n    {line}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_place() {
        let problem = |text: &str, at| Problem {
            code: Code::CompileCondition,
            message: "m".into(),
            item: "rule",
            name: "r".into(),
            at: Position::default(),
            inside: Some(Box::new((text.into(), at))),
        };
        assert_eq!(problem("a.b = c\nand x.y = ü1", 12).snippet(), "and x.y = ü1\n    ^");
        let long = problem(&format!("{}here{}", "x".repeat(100), "y".repeat(100)), 100).snippet();
        let caret = long.lines().nth(1).unwrap().len() - 1;
        assert!(long.lines().next().unwrap()[caret..].starts_with("here"), "{long}");
        assert!(long.lines().next().unwrap().len() < 120);
        assert_eq!(problem("", 7).snippet(), "\n^");
    }
}
