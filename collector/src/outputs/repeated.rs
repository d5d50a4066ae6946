//! What an earlier run of the collector has written already.
//!
//! A ring's position is stored after its events have been written. A collector that is killed in between leaves
//! events in the file whose records are still in the ring: the restarted one reads the end of the file and leaves
//! these out.

use crate::event::{Event, Value};
use crate::tag::execs::EXEC;
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of the file's end that are read: far more than all rings of a machine hold.
const TAIL: u64 = 32 << 20;

/// Events by what names them: session, sequence, type.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    seen: HashSet<(Box<str>, Option<u32>, Box<str>)>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "porthole.session", borrow)]
    session: std::borrow::Cow<'a, str>,
    #[serde(rename = "porthole.seq")]
    seq: Option<u32>,
    #[serde(rename = "porthole.exec")]
    exec: Option<u32>,
    #[serde(rename = "evt.type", borrow)]
    evt_type: std::borrow::Cow<'a, str>,
}

impl Repeated {
    /// Reads the end of an event file; also tells where its last whole line ends.
    pub fn read(file: &File) -> io::Result<(Repeated, u64)> {
        let len = file.metadata()?.len();
        let from = len.saturating_sub(TAIL);
        let mut bytes = vec![0u8; (len - from) as usize];
        file.read_exact_at(&mut bytes, from)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut seen = HashSet::new();
        for line in bytes[..whole].split(|b| *b == b'\n') {
            if let Ok(l) = serde_json::from_slice::<Line>(line) {
                seen.insert((l.session.into(), l.seq.or(l.exec), l.evt_type.into()));
            }
        }
        let whole = if whole == 0 && from > 0 { len } else { from + whole as u64 };
        Ok((Repeated { seen }, whole))
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
        self.seen.remove(&((&*event.session).into(), event.seq.or_else(exec), event.evt_type.into()))
    }
}
