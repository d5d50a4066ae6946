//! What an output and those who started it know of each other: whether it shall end, and how it fares.

use crate::loss::lock;
use crate::status::OutputStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an output may take to see that it shall end.
const LOOK: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    ending: Arc<AtomicBool>,
    pub status: Arc<Mutex<OutputStatus>>,
    /// It has said that something is wrong, and not yet that it is well again.
    ailing: Arc<AtomicBool>,
}

impl Watch {
    /// Of an output with this name.
    pub fn named(name: String) -> Watch {
        let status = OutputStatus { name, ..OutputStatus::default() };
        Watch { status: Arc::new(Mutex::new(status)), ..Watch::default() }
    }

    /// Tells the output that this is the end: no more than one try for what is left.
    pub fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    pub fn ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Sleeps, but not beyond the end. Whether it goes on after that.
    pub fn nap(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.ending() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
        false
    }

    /// Something is wrong, and is tried again: it stands in the status at once, and in the log the first time.
    pub fn trouble(&self, why: &str) {
        let mut status = lock(&self.status);
        if !self.ailing.swap(true, Relaxed) {
            eprintln!("porthole: {}: {why}; tried again", status.name);
        }
        why.clone_into(&mut status.error);
    }

    /// It works.
    pub fn well(&self) {
        if self.ailing.swap(false, Relaxed) {
            eprintln!("porthole: {}: works again", lock(&self.status).name);
        }
    }
}
