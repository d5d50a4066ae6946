//! What an earlier run of the collector has written already.
//!
//! A ring's position is stored after its events have been written. A collector that is killed in between leaves
//! events in the file whose records are still in the ring: the restarted one reads the end of the file and leaves
//! these out.

use crate::event::{Event, Value, ValueRef};
use crate::json::time_text;
use crate::tag::execs::{EXEC, PROGRAM};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Bytes of the file's end that are read: far more than all rings of a machine hold.
const TAIL: u64 = 32 << 20;

/// A program that has been told may be told in another way by the next collector: by its exec's record or by its hello,
/// whichever is left. Both are about this much apart at most.
const APART: Duration = Duration::from_secs(3);

/// Events by what names them: session, sequence, type.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    seen: HashSet<(Box<str>, Option<u32>, Box<str>)>,
    /// Programs by their sessions.
    programs: HashSet<Box<str>>,
    /// Programs of which either record or hello was known alone, by container and pid there: when, and which of the two.
    halves: HashMap<(Box<str>, i64), Halves>,
}

/// See [`Repeated::halves`].
type Halves = Vec<(Box<str>, Half)>;

/// What was known of a program when it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Record,
    Hello,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "porthole.session", borrow)]
    session: Cow<'a, str>,
    #[serde(rename = "porthole.seq")]
    seq: Option<u32>,
    #[serde(rename = "porthole.exec")]
    exec: Option<u32>,
    #[serde(rename = "evt.type", borrow)]
    evt_type: Cow<'a, str>,
    #[serde(rename = "evt.rawres")]
    rawres: Option<i64>,
    #[serde(rename = "porthole.program", borrow, default)]
    program: Option<Cow<'a, str>>,
    #[serde(rename = "container.full_id", borrow, default)]
    container: Cow<'a, str>,
    #[serde(rename = "proc.vpid")]
    vpid: Option<i64>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// The same of an event and of a line: a successful exec.
fn is_start(evt_type: &str, rawres: Option<i64>) -> bool {
    matches!(evt_type, "execve" | "execveat") && rawres == Some(0)
}

impl Repeated {
    /// Reads the end of an event file; also tells where its last whole line ends.
    pub fn read(file: &File) -> io::Result<(Repeated, u64)> {
        let len = file.metadata()?.len();
        let from = len.saturating_sub(TAIL);
        let mut bytes = vec![0u8; (len - from) as usize];
        file.read_exact_at(&mut bytes, from)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut repeated = Repeated::default();
        for line in bytes[..whole].split(|b| *b == b'\n') {
            if let Ok(l) = serde_json::from_slice::<Line>(line) {
                repeated.add(l);
            }
        }
        let whole = if whole == 0 && from > 0 { len } else { from + whole as u64 };
        Ok((repeated, whole))
    }

    fn add(&mut self, line: Line) {
        if is_start(&line.evt_type, line.rawres) {
            let half = match (line.seq, &line.program) {
                (None, _) => Some(Half::Hello),
                (Some(_), None) => Some(Half::Record),
                (Some(_), Some(_)) => None,
            };
            if half == Some(Half::Hello) {
                self.programs.insert((*line.session).into());
            }
            self.programs.extend(line.program.map(Box::from));
            if let (Some(half), Some(vpid)) = (half, line.vpid) {
                self.halves.entry((line.container.into(), vpid)).or_default().push((line.time.into(), half));
            }
        }
        self.seen.insert((line.session.into(), line.seq.or(line.exec), line.evt_type.into()));
    }

    /// Whether this event is in the file. Each is asked for once: what is found is forgotten.
    pub fn contains(&mut self, event: &Event) -> bool {
        if self.seen.is_empty() {
            return false;
        }
        let exec = || match event.fields.iter().find(|(name, _)| *name == EXEC)?.1 {
            Value::Number(n) => u32::try_from(n).ok(),
            _ => None,
        };
        let named = self.seen.remove(&((&*event.session).into(), event.seq.or_else(exec), event.evt_type.into()));
        named || is_start(event.evt_type, event.rawres) && self.contains_program(event)
    }

    /// Whether the program that this exec has started is in the file, told in another way.
    fn contains_program(&mut self, event: &Event) -> bool {
        let program = event.fields.iter().find(|(name, _)| *name == PROGRAM).map(|(_, value)| value.borrow());
        let session = match (event.seq, program) {
            (None, _) => Some(&*event.session),
            (_, Some(ValueRef::Text(session))) => Some(session),
            _ => None,
        };
        if session.is_some_and(|session| self.programs.remove(session)) {
            return true;
        }
        if event.seq.is_some() && session.is_some() {
            return false;
        }
        let Some(vpid) = event.process.as_ref().and_then(|p| p.vpid) else { return false };
        let Some(halves) = self.halves.get_mut(&((&*event.container.full_id).into(), vpid.into())) else {
            return false;
        };
        let time = Duration::from_nanos(event.time_ns);
        // A record comes before its program's hello.
        let (other, from, to) = match event.seq {
            None => (Half::Record, time.saturating_sub(APART), time),
            Some(_) => (Half::Hello, time, time + APART),
        };
        let (from, to) = (time_text(from), time_text(to));
        let near = |(at, half): &(Box<str>, Half)| *half == other && **at >= *from && **at <= *to;
        let found = halves.iter().position(near);
        found.map(|at| halves.remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SECOND: u64 = 1_000_000_000;

    fn start(session: &str, seq: Option<u32>, time_s: u64, program: Option<&str>) -> Event {
        let mut event = crate::event::tests::sample();
        (event.evt_type, event.rawres, event.seq) = ("execve", Some(0), seq);
        (event.session, event.time_ns) = (session.into(), 1_700_000_000 * SECOND + time_s * SECOND);
        event.fields = program.map(|p| (PROGRAM, p.to_owned().into())).into_iter().collect();
        let process = event.process.as_mut().unwrap();
        Arc::make_mut(process).vpid = Some(7);
        event
    }

    fn told(events: &[Event]) -> Repeated {
        let mut repeated = Repeated::default();
        for event in events {
            let mut line = vec![];
            event.write_json(&mut line);
            repeated.add(serde_json::from_slice(&line).unwrap());
        }
        repeated
    }

    #[test]
    fn a_program_is_recognised_however_it_was_told() {
        let (whole, hello) = (start("c/r.1", Some(3), 10, Some("c/r.2")), start("c/r.2", None, 11, None));
        let record = start("c/r.1", Some(3), 10, None);
        for (before, after) in
            [(&whole, &hello), (&hello, &whole), (&record, &hello), (&hello, &record), (&record, &whole)]
        {
            let mut repeated = told(std::slice::from_ref(before));
            assert!(repeated.contains(after), "{before:?} {after:?}");
            assert!(!repeated.contains(after), "once");
        }
    }

    #[test]
    fn another_program_is_not() {
        let record = start("c/r.1", Some(3), 10, None);
        let mut failed = start("c/r.2", None, 11, None);
        failed.rawres = Some(-2);
        for after in [
            start("c/r.2", None, 9, None),
            start("c/r.2", None, 60, None),
            start("c/r.1", Some(4), 11, None),
            start("c/r.1", Some(4), 10, Some("c/r.9")),
            failed,
        ] {
            assert!(!told(std::slice::from_ref(&record)).contains(&after), "{after:?}");
        }
    }
}
