//! Events that a collector writes into a pipe, counted as they come and not kept: more than a file should hold.

use crate::collector::Collector;
use crate::scratch;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes that are read at a time, and how many times a second where the reader is slow.
const PIECE: usize = 64 * 1024;

/// What came of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Opens of its members ([`crate::registered::Registered::member`]).
    pub opens: u64,
    /// Records that the collector told to be lost.
    pub dropped: u64,
    /// Whether its start and its end were told.
    pub started: bool,
    /// See `started`.
    pub ended: bool,
}

/// The reading end.
#[derive(Debug)]
pub struct Stream {
    tallies: Arc<Mutex<HashMap<String, Tally>>>,
    /// Bytes a second; 0: as they come.
    rate: Arc<AtomicU64>,
}

impl Stream {
    /// A collector that writes into a pipe instead of a file, and the reader of that. Reading never ends by itself, but
    /// with the process: the pipe stays open for the next collector.
    pub fn start() -> (Collector, Stream) {
        let mut collector = Collector::stopped();
        scratch::fifo(&collector.events_file());
        let stream = Stream::read(&collector.events_file());
        collector.restart();
        (collector, stream)
    }

    fn read(fifo: &Path) -> Stream {
        let stream = Stream { tallies: Arc::default(), rate: Arc::default() };
        let (tallies, rate) = (stream.tallies.clone(), stream.rate.clone());
        // both ends: opening waits for nobody, and there is no end of file between two collectors
        let mut pipe = File::options().read(true).write(true).open(fifo).expect("an own pipe");
        std::thread::spawn(move || {
            let (mut buffer, mut rest) = (vec![0; PIECE], Vec::new());
            while let Ok(len) = pipe.read(&mut buffer) {
                rest.extend_from_slice(&buffer[..len]);
                let whole = rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                let text = String::from_utf8_lossy(&rest[..whole]);
                let mut tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
                text.lines().for_each(|line| count(&mut tallies, line));
                drop(tallies);
                rest.drain(..whole);
                if let Some(seconds) = Some(rate.load(Relaxed)).filter(|r| *r > 0).map(|r| len as f64 / r as f64) {
                    std::thread::sleep(Duration::from_secs_f64(seconds));
                }
            }
        });
        stream
    }

    /// From now on this many bytes a second are read; 0: as they come.
    pub fn slow_down(&self, rate: u64) {
        self.rate.store(rate, Relaxed);
    }

    /// What came of a container so far.
    pub fn of(&self, id: &str) -> Tally {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied().unwrap_or_default()
    }
}

/// A field's text or number: names are unique in a line, and nothing of ours needs escaping.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = &line[line.find(name)? + name.len()..];
    match value.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => value.split([',', '}']).next(),
    }
}

fn count(tallies: &mut HashMap<String, Tally>, line: &str) {
    let Some(id) = field(line, "\"container.full_id\":") else { return };
    let tally = match tallies.get_mut(id) {
        Some(tally) => tally,
        None => tallies.entry(id.to_owned()).or_default(),
    };
    match field(line, "\"evt.type\":") {
        Some("openat" | "open") => {
            let path = field(line, "\"fd.name\":").unwrap_or_default();
            let Some(rest) = path.strip_prefix("/crowd/") else { return };
            assert!(rest.strip_prefix(id).is_some_and(|r| r.starts_with('/')), "another container's open: {line}");
            tally.opens += 1;
        }
        Some("porthole.drop") => {
            tally.dropped += field(line, "\"porthole.count\":").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Some("container.start") => tally.started = true,
        Some("container.stop") => tally.ended = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_for_their_container() {
        let mut tallies = HashMap::new();
        let line = |rest: &str| format!("{{\"evt.type\":{rest},\"container.full_id\":\"a\"}}");
        count(&mut tallies, &line("\"openat\",\"fd.name\":\"/crowd/a/17\""));
        count(&mut tallies, &line("\"openat\",\"fd.name\":\"/etc/passwd\""));
        count(&mut tallies, &line("\"porthole.drop\",\"porthole.count\":12"));
        count(&mut tallies, &line("\"container.start\""));
        assert_eq!(tallies["a"], Tally { opens: 1, dropped: 12, started: true, ended: false });
    }
}
