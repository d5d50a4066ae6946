//! The story of an alert: who did it, from which process on, what that started, and what was done just before.
//!
//! Judging notes each event (a few of each container) and, for an alert, hands on what there is: references to events, no
//! text. All else is work of a thread of its own with a bounded queue ([`archive`]); stories that it is too slow for are
//! lost and counted, alerts and events never wait for it.

pub mod archive;
mod recent;
pub mod story;

use super::alert::Alert;
use crate::error::Error;
use crate::event::Event;
use crate::loss::lock;
use crate::status::OutputStatus;
use archive::{Archive, Item};
use crossbeam_channel::{Sender, bounded};
use recent::Recent;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use story::Draft;

/// Stories that the thread may lag behind.
const QUEUE: usize = 256;

/// `alert_stories` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Most stories that are kept.
    pub keep: usize,
    /// Most bytes of them, in memory; and of the files, by which they survive a restart.
    pub bytes: usize,
    /// Records before an alert.
    pub records: usize,
    /// Where the files lie; `None`: nowhere.
    pub dir: Option<PathBuf>,
}

/// Stories that are kept, unless the configuration says otherwise.
pub const KEEP: usize = 1000;
/// Bytes of them.
pub const BYTES: usize = 16 << 20;
/// Records before an alert.
pub const RECORDS: usize = 20;

/// See the module.
pub(super) struct Stories {
    recent: Mutex<Recent>,
    archive: Arc<Archive>,
    running: Mutex<Option<(Sender<Item>, JoinHandle<()>)>>,
}

impl Stories {
    /// Reads what an earlier worker has kept.
    pub fn start(plan: &Plan) -> Result<Stories, Error> {
        let archive = Arc::new(Archive::open(plan));
        let (queue, items) = bounded(QUEUE);
        let of_thread = archive.clone();
        let thread = std::thread::Builder::new().name("stories".into()).spawn(move || of_thread.run(&items));
        let thread = thread.map_err(|e| Error::new(format!("cannot start a thread for alerts: {e}")))?;
        let recent = Mutex::new(Recent::new(plan.records));
        Ok(Stories { recent, archive, running: Mutex::new(Some((queue, thread))) })
    }

    /// An event that was judged.
    pub fn note(&self, event: &Arc<Event>) {
        if let Some((id, child)) = lock(&self.recent).note(event) {
            self.send(Item::Child(id, child));
        }
    }

    /// An alert of an event that is not noted yet.
    pub fn tell(&self, alert: &Alert<'_>, event: &Arc<Event>) {
        let id = self.archive.new_id();
        let before = lock(&self.recent).story(id, event);
        self.send(Item::Story(Box::new(Draft::new(id, alert, event.clone(), before))));
    }

    fn send(&self, item: Item) {
        if let Some((queue, _)) = &*lock(&self.running)
            && let Err(e) = queue.try_send(item)
            && matches!(e.into_inner(), Item::Story(_))
        {
            self.archive.lose();
        }
    }

    /// What is kept.
    pub fn archive(&self) -> Arc<Archive> {
        self.archive.clone()
    }

    pub fn status(&self) -> OutputStatus {
        self.archive.status()
    }

    /// Writes what was told.
    pub fn stop(&self) {
        let running = lock(&self.running).take();
        if let Some((queue, thread)) = running {
            drop(queue);
            let _ = thread.join();
        }
    }
}
