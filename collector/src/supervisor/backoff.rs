//! How long to wait before the next worker: never for ever, and not at all for the first time.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);
/// A worker that has run for so long was healthy: what ends it is no repetition.
const HEALTHY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A worker has ended that was ready for this long (`None`: never).
    pub fn ended(&mut self, ready_for: Option<Duration>) -> Duration {
        self.failures = if ready_for.is_some_and(|time| time >= HEALTHY) { 0 } else { self.failures + 1 };
        (FIRST * 2u32.pow(self.failures.min(16))).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_bound_and_starts_anew_after_health() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..200).map(|_| backoff.ended(None)).collect();
        assert!(waits.is_sorted() && waits[0] <= FIRST * 2 && waits[199] == LONGEST);
        assert_eq!(backoff.ended(Some(HEALTHY)), FIRST);
        assert!(backoff.ended(Some(HEALTHY / 2)) > FIRST);
    }
}
