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
    /// Containers that are not shown any more and whose numbers are in these.
    pub absorbed: AtomicU64,
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

    /// Adds what a container has counted that is over and will not be shown any more.
    pub fn absorb(&self, other: &Counters) {
        let pairs = [
            (&self.received, &other.received),
            (&self.record_samples, &other.record_samples),
            (&self.record_ns, &other.record_ns),
            (&self.sessions_total, &other.sessions_total),
        ];
        for (sum, counter) in pairs {
            sum.fetch_add(counter.load(Relaxed), Relaxed);
        }
        lock(&other.lost).iter().for_each(|(reason, n)| self.lose(*reason, *n));
        for (why, n) in lock(&other.refused).iter() {
            *lock(&self.refused).entry(why).or_default() += n;
        }
        Counters::count(&self.absorbed);
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
        let sum = Counters::default();
        Counters::count(&c.received);
        sum.absorb(&c);
        sum.absorb(&c);
        assert_eq!(sum.lost(), BTreeMap::from([("malformed".into(), 2), ("ring_full".into(), 14)]));
        assert_eq!((sum.refused()["no_hello"], sum.received.load(Relaxed), sum.absorbed.load(Relaxed)), (2, 2, 2));
    }
}
