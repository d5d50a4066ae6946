//! Events as they stand in an output file: JSON lines.

use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// One event; copies share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(pub Arc<Value>);

impl Event {
    /// Text of a field; empty when the event has none.
    pub fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// A number; `None` when the event has none.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.0.get(field).and_then(Value::as_i64)
    }

    /// `evt.type`.
    pub fn kind(&self) -> &str {
        self.text("evt.type")
    }

    /// Whether it is one of these types.
    pub fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.kind())
    }

    /// Whether the call succeeded.
    pub fn succeeded(&self) -> bool {
        self.number("evt.rawres").is_some_and(|n| n >= 0)
    }
}

/// System calls that an open is.
pub const OPENS: [&str; 4] = ["open", "openat", "openat2", "creat"];
/// System calls that an exec is.
pub const EXECS: [&str; 2] = ["execve", "execveat"];

/// A file that is still written: read on from where it was read before, because whoever waits for something looks often.
#[derive(Debug, Default)]
pub struct Growing {
    read: u64,
    events: Events,
}

impl Growing {
    /// What is complete by now: a last line without its end is left for later; a file that is not there yet is empty.
    ///
    /// # Panics
    /// If a line is no JSON object.
    pub fn so_far(&mut self, path: &Path) -> &Events {
        let mut text = vec![];
        if let Ok(mut file) = File::open(path) {
            if file.metadata().is_ok_and(|m| m.len() < self.read) {
                // another file
                *self = Growing::default();
            }
            let read = file.seek(SeekFrom::Start(self.read)).and_then(|_| file.read_to_end(&mut text));
            read.unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        }
        text.truncate(text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1));
        self.read += text.len() as u64;
        let name = format!("{} ({} bytes)", path.display(), self.read);
        self.events.0.extend(Events::parse(&String::from_utf8_lossy(&text), &name).0);
        &self.events
    }
}

/// All events of a file.
#[derive(Clone, Debug, Default)]
pub struct Events(pub Vec<Event>);

impl Events {
    /// Reads a file; each line must be a JSON object.
    ///
    /// # Panics
    /// If one is not.
    pub fn read(path: &Path) -> Events {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        Events::parse(&text, &path.display().to_string())
    }

    /// [`Growing::so_far`], once.
    pub fn so_far(path: &Path) -> Events {
        Growing::default().so_far(path).clone()
    }

    fn parse(text: &str, name: &str) -> Events {
        let line = |(n, line): (usize, &str)| {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}:{}: not JSON: {e}: {line:?}", n + 1));
            assert!(value.is_object(), "{name}:{}: no object: {line:?}", n + 1);
            Event(Arc::new(value))
        };
        Events(text.lines().enumerate().map(line).collect())
    }

    /// Those that a condition holds for.
    pub fn filter(&self, condition: impl Fn(&Event) -> bool) -> Events {
        Events(self.0.iter().filter(|e| condition(e)).cloned().collect())
    }

    /// Those of one container, by full id.
    pub fn of_container(&self, full_id: &str) -> Events {
        self.filter(|e| e.text("container.full_id") == full_id)
    }

    /// Opens of a path, resolved.
    pub fn opens(&self, path: &str) -> Events {
        self.filter(|e| e.is(&OPENS) && e.text("fd.name") == path)
    }

    /// Successful execs of an executable (its resolved path ends so).
    pub fn execs(&self, path: &str) -> Events {
        self.filter(|e| e.is(&EXECS) && e.succeeded() && e.text("proc.exepath").ends_with(path))
    }

    /// Connects whose name holds this text.
    pub fn connects(&self, to: &str) -> Events {
        self.filter(|e| e.kind() == "connect" && e.text("fd.name").contains(to))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only one.
    ///
    /// # Panics
    /// If there is none or more than one, with all of them.
    pub fn only(&self, what: &str) -> &Event {
        assert_eq!(self.0.len(), 1, "{what}: expected one event, got {}:\n{self}", self.0.len());
        &self.0[0]
    }

    /// The first.
    ///
    /// # Panics
    /// With `what` and all events `among` if there is none.
    pub fn first(&self, what: &str, among: &Events) -> &Event {
        self.0.first().unwrap_or_else(|| panic!("{what}: no such event among {}:\n{among}", among.len()))
    }

    /// Asserts that no two events have the same session and sequence number, and that the records of one process come
    /// in their order. (An exec waits for the news of its success, while other processes of the same ring go on.)
    ///
    /// # Panics
    /// If not.
    pub fn assert_once_and_in_order(&self) {
        let mut seen = HashSet::new();
        let mut processes: BTreeMap<(&str, Option<i64>), Vec<i64>> = BTreeMap::new();
        for event in &self.0 {
            let Some(seq) = event.number("porthole.seq") else { continue };
            let session = event.text("porthole.session");
            assert!(!session.is_empty(), "an event with a number and no session: {event:?}");
            assert!(seen.insert((session, seq)), "twice in the output: {session} {seq}: {event:?}");
            processes.entry((session, event.number("proc.vpid"))).or_default().push(seq);
        }
        for (process, numbers) in processes {
            assert!(numbers.is_sorted(), "{process:?} is out of order: {numbers:?}");
        }
    }
}

impl std::fmt::Display for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 60;
        for event in self.0.iter().take(SHOWN) {
            let e = |name| event.text(name);
            writeln!(
                f,
                "  {} {} {} {} | {} | {} | {}",
                event.kind(),
                event.number("evt.rawres").map_or(String::from("-"), |n| n.to_string()),
                e("fd.name"),
                e("evt.arg.filename"),
                e("proc.exepath"),
                e("proc.cmdline"),
                e("container.id")
            )?;
        }
        if self.0.len() > SHOWN {
            writeln!(f, "  … and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}
