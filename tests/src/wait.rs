//! Waiting with a limit.

use std::time::{Duration, Instant};

/// Polls `check` until it gives something, every 10 ms.
///
/// # Panics
/// With `what` when `limit` has passed.
pub fn until<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// [`until`] for a condition, with half a minute: enough on a busy machine.
///
/// # Panics
/// See [`until`].
pub fn until_true(what: &str, mut check: impl FnMut() -> bool) {
    until(what, Duration::from_secs(30), || check().then_some(()));
}
