//! No loss without a number: counters that the stages share.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a record did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The ring was full when it was made.
    RingFull,
    /// Its writer was killed, or stopped for longer than a second, before it was complete.
    WriterDied,
    /// The ring's own words contradict each other.
    Tampered,
    /// Its bytes are no record of this version.
    Malformed,
    /// The agent itself says that it could not keep it.
    Agent,
}

impl Reason {
    /// As events and the status have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::RingFull => "ring_full",
            Reason::WriterDied => "writer_died",
            Reason::Tampered => "tampered",
            Reason::Malformed => "malformed",
            Reason::Agent => "agent",
        }
    }
}

/// Why something that a container sent or made was not taken.
pub type Refusal = &'static str;

/// Counters of one container, or of all.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records decoded.
    pub received: AtomicU64,
    /// Successful execs.
    pub execs: AtomicU64,
    /// Successful opens.
    pub files: AtomicU64,
    /// Connections made or in progress.
    pub connections: AtomicU64,
    /// Distinct processes.
    pub processes: AtomicU64,
    /// Records whose cost to their program was sampled.
    pub record_samples: AtomicU64,
    /// What these have cost, nanoseconds.
    pub record_ns: AtomicU64,
    /// Rings open now.
    pub sessions_open: AtomicU64,
    /// Rings ever opened.
    pub sessions_total: AtomicU64,
    lost: Mutex<BTreeMap<Reason, u64>>,
    refused: Mutex<BTreeMap<Refusal, u64>>,
}

impl Counters {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// `n` records were lost.
    pub fn lose(&self, reason: Reason, n: u64) {
        *lock(&self.lost).entry(reason).or_default() += n;
    }

    /// Something was refused.
    pub fn refuse(&self, why: Refusal) {
        *lock(&self.refused).entry(why).or_default() += 1;
    }

    /// Lost records by reason.
    pub fn lost(&self) -> BTreeMap<String, u64> {
        lock(&self.lost).iter().map(|(k, v)| (k.as_str().to_owned(), *v)).collect()
    }

    /// Refusals by reason.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        lock(&self.refused).iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
    }
}

/// A lock that outlives a panicked holder: counters are valid at any moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_by_reason() {
        let c = Counters::default();
        c.lose(Reason::RingFull, 3);
        c.lose(Reason::RingFull, 4);
        c.lose(Reason::Malformed, 1);
        c.refuse("no_hello");
        assert_eq!(c.lost(), BTreeMap::from([("malformed".into(), 1), ("ring_full".into(), 7)]));
        assert_eq!(c.refused(), BTreeMap::from([("no_hello".into(), 1)]));
    }
}
