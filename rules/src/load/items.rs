//! What rules files hold, as it was collected: text, not yet compiled.

use crate::yaml::Position;
use std::collections::BTreeSet;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

impl Priority {
    /// All, the worst first.
    pub const ALL: [Priority; 8] = [
        Priority::Emergency,
        Priority::Alert,
        Priority::Critical,
        Priority::Error,
        Priority::Warning,
        Priority::Notice,
        Priority::Informational,
        Priority::Debug,
    ];

    /// As alerts have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Emergency => "Emergency",
            Priority::Alert => "Alert",
            Priority::Critical => "Critical",
            Priority::Error => "Error",
            Priority::Warning => "Warning",
            Priority::Notice => "Notice",
            Priority::Informational => "Informational",
            Priority::Debug => "Debug",
        }
    }

    /// By its name in any case; `INFO` is short for Informational.
    pub fn of(text: &str) -> Option<Priority> {
        if text.eq_ignore_ascii_case("info") {
            return Some(Priority::Informational);
        }
        Priority::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an item stands: which file, and where in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of the file, in the order of loading.
    pub file: usize,
    /// Where in it.
    pub at: Position,
}

/// A list.
#[derive(Clone, Debug)]
pub struct List {
    pub name: String,
    pub items: Vec<String>,
    pub place: Place,
    /// Number of its first definition among all lists.
    pub index: usize,
    /// How many lists there were when it was last changed: those it can name.
    pub sees: usize,
}

/// A macro.
#[derive(Clone, Debug)]
pub struct Macro {
    pub name: String,
    pub condition: String,
    pub place: Place,
    /// See [`List::index`].
    pub index: usize,
    /// See [`List::sees`].
    pub sees: usize,
}

/// Values that an exception compares with.
#[derive(Clone, Debug)]
pub enum Compared {
    /// One field with a list of values.
    One { field: String, comparison: String, values: Vec<String> },
    /// Several fields, row by row.
    Rows { fields: Vec<String>, comparisons: Vec<String>, rows: Vec<Vec<String>> },
}

/// An exception of a rule.
#[derive(Clone, Debug)]
pub struct Exception {
    pub name: String,
    pub compared: Compared,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub desc: String,
    pub condition: String,
    pub output: String,
    pub priority: Priority,
    pub source: String,
    pub enabled: bool,
    pub tags: BTreeSet<String>,
    pub exceptions: Vec<Exception>,
    pub warn_event_types: bool,
    pub skip_unknown: bool,
    pub place: Place,
    /// The event source is unknown: warned of, and never compiled.
    pub foreign: bool,
}

/// Everything collected so far, in the order of first definition.
#[derive(Clone, Debug, Default)]
pub struct Items {
    pub lists: Vec<List>,
    pub macros: Vec<Macro>,
    pub rules: Vec<Rule>,
}
