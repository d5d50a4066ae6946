//! Last stage: writes events out, and only then lets go of what they were made from.

mod repeated;
mod writer;

use crate::cleanup;
use crate::container::{Container, OnTheirWay};
use crate::event::Event;
use crate::ingest::ring::Ring;
use crate::owed::{self, Owed};
use crate::pace;
use crate::pipeline::Publish;
use crate::positions::{Saved, YOUNG};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use porthole_common::ring::reader::Reader;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use writer::Writer;

/// What the tag stage hands on, in order.
pub(crate) enum Output {
    Event(Arc<Event>),
    /// The records of one look at a ring have become events; those before this are written when it is dropped.
    Told(OnTheirWay),
    /// Everything of this ring before the position has been handed on.
    Release(Arc<Ring>, Reader),
    /// What a restarted collector must know of a session.
    Save(Arc<Ring>, Box<Saved>),
    /// Losses that are counted and not told yet.
    Owe(Arc<Container>, Vec<Owed>),
    /// The ring is over.
    Remove(Arc<Ring>),
    /// The container has been announced.
    Started(Arc<Container>),
    /// A file of `execs/` has become an event.
    Consumed(PathBuf),
    /// Nothing of the container is left to be told.
    Gone(Arc<Container>),
}

/// Batches that are taken together, and how much of them is written before what it was made from is let go: where an
/// output is slow, rings have room again in the time of so many events.
const BATCHES: usize = 64;
const PIECE: usize = 1024;

/// Rings that grow up within this time do so at once.
const TOGETHER: Duration = Duration::from_millis(20);

/// Runs until the tag stage has gone away.
pub(crate) fn run(rx: &Receiver<Vec<Output>>, mut writers: Vec<Writer>, hub: Option<&Arc<dyn Publish>>) {
    let mut young: VecDeque<(Instant, Arc<Ring>)> = VecDeque::new();
    loop {
        let mut batch = match pace::receive(rx, young.front().map(|y| y.0 + TOGETHER)) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) => vec![],
            Err(RecvTimeoutError::Disconnected) => break,
        };
        batch.extend(rx.try_iter().take(BATCHES).flatten());
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(PIECE));
            let events = || {
                batch.iter().filter_map(|o| match o {
                    Output::Event(event) => Some(event),
                    _ => None,
                })
            };
            for writer in &mut writers {
                writer.write(events());
            }
            if let Some(hub) = hub {
                events().for_each(|event| hub.publish(event));
            }
            let now = Instant::now();
            for output in batch {
                if let Output::Save(ring, _) = &output {
                    young.push_back((now + YOUNG, ring.clone()));
                }
                settle(output);
            }
            batch = rest;
        }
        let now = Instant::now();
        while young.front().is_some_and(|y| y.0 <= now) {
            if let Some((_, ring)) = young.pop_front() {
                ring.position().grow_up();
            }
        }
    }
    // What the next collector must know of the rings that it will find.
    young.iter().for_each(|(_, ring)| ring.position().grow_up());
}

/// The events before this have been written: acts accordingly.
fn settle(output: Output) {
    match output {
        Output::Event(_) => {}
        Output::Told(share) => drop(share),
        Output::Release(ring, reader) => ring.release(reader),
        Output::Save(ring, saved) => ring.position().save(*saved),
        Output::Owe(container, owed) => {
            // no room on the host: a collector that is killed now loses a number, and nothing else
            let _ = owed::store(&container.dir, &owed);
        }
        Output::Remove(ring) => ring.remove(),
        Output::Started(container) => cleanup::mark_started(&container.dir),
        Output::Consumed(file) => {
            let _ = std::fs::remove_file(file);
        }
        Output::Gone(container) => cleanup::remove(&container),
    }
}
