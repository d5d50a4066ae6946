//! Events as lines on a stream, by a thread of its own, so that a slow reader does not slow the collector down.

use crate::api::body;
use crate::detect::filter::Filter;
use crate::error::Error;
use crate::event::Event;
use crate::format::{Format, compact, paint::Ink, paint::Paint};
use crate::hub::{Hub, Item, Subscription};
use std::io::{self, Write};
use std::thread::JoinHandle;

/// Events that the stream may lag behind.
const QUEUE: usize = 64 << 10;
/// Bytes that are written at once.
const BATCH: usize = 64 << 10;

/// A running printer.
pub struct Printer(JoinHandle<io::Result<()>>);

/// Prints every event of the hub that `filter` is true for, from now on, until the hub is closed. `failed` is called when the stream fails.
pub fn start(
    hub: &Hub,
    filter: Option<Filter>,
    format: Format,
    paint: Paint,
    stream: impl Write + Send + 'static,
    failed: impl FnOnce(&io::Error) + Send + 'static,
) -> Result<Printer, Error> {
    let subscription = hub.subscribe(0, QUEUE, move |event: &Event| filter.as_ref().is_none_or(|f| f.holds(event)));
    let (_, subscription) = subscription.ok_or_else(|| Error::new("cannot print events: too many readers"))?;
    let work = move || print(subscription, format, paint, stream).inspect_err(failed);
    let thread = std::thread::Builder::new().name("printer".into()).spawn(work);
    thread.map(Printer).map_err(|e| Error::new(format!("cannot start a thread: {e}")))
}

impl Printer {
    /// Waits for the last line; the hub must have been closed.
    pub fn finish(self) -> io::Result<()> {
        self.0.join().unwrap_or(Ok(()))
    }
}

fn print(mut events: Subscription, format: Format, paint: Paint, mut stream: impl Write) -> io::Result<()> {
    let mut out = Vec::with_capacity(BATCH);
    while let Some(item) = events.next_blocking() {
        line(&item, format, paint, &mut out);
        while out.len() < BATCH {
            let Some(item) = events.try_next() else { break };
            line(&item, format, paint, &mut out);
        }
        stream.write_all(&out)?;
        stream.flush()?;
        out.clear();
    }
    Ok(())
}

fn line(item: &Item, format: Format, paint: Paint, out: &mut Vec<u8>) {
    match (format, item) {
        (Format::Json, item) => body::write_line(item, out),
        (Format::Compact, Item::Event(event)) => {
            out.extend_from_slice(compact::line(&event.to_json(), paint).as_bytes());
            out.push(b'\n');
        }
        (Format::Compact, Item::Lost(count)) => {
            let text = format!("… {count} events not shown: the output was too slow");
            out.extend_from_slice(paint.ink(Ink::Yellow, text).as_bytes());
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_printed_in_both_forms() {
        let mut out = vec![];
        line(&Item::Lost(3), Format::Compact, Paint::OFF, &mut out);
        line(&Item::Lost(3), Format::Json, Paint::OFF, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("… 3 events not shown") && text.ends_with("}\n"), "{text}");
    }
}
