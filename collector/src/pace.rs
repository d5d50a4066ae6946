//! Receiving from the stage before without being woken by it, and sending to the next one likewise.
//!
//! A thread that sleeps in a channel must be woken through the kernel, and on a machine with few processors that costs
//! more than anything else a stage does. So a busy stage naps by the clock and looks again, longer each time nothing
//! came; only after a quiet time does it sleep in the channel.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError};
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_micros(500);
/// With the naps before it, some 8 ms without anything.
const LONGEST: Duration = Duration::from_millis(4);

/// How long the next nap is.
pub(crate) struct Pace {
    nap: Duration,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { nap: SHORTEST }
    }

    /// The next message, or an error at `deadline`, or when the sender is gone.
    pub fn receive<T>(&mut self, rx: &Receiver<T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        loop {
            match rx.try_recv() {
                Ok(message) => {
                    self.nap = SHORTEST;
                    return Ok(message);
                }
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|l| l.is_zero()) {
                return Err(RecvTimeoutError::Timeout);
            }
            if self.nap > LONGEST {
                return match left {
                    Some(left) => rx.recv_timeout(left),
                    None => rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
            }
            std::thread::sleep(left.map_or(self.nap, |l| l.min(self.nap)));
            self.nap *= 2;
        }
    }
}

/// Sends to the next stage, however long that is behind. (It only goes away when the pipeline is being torn down.)
pub(crate) fn send<T>(tx: &Sender<T>, mut message: T) {
    while let Err(TrySendError::Full(same)) = tx.try_send(message) {
        message = same;
        std::thread::sleep(SHORTEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_timeouts_and_the_end_come_through() {
        let (tx, rx) = crossbeam_channel::bounded(4);
        let mut pace = Pace::new();
        tx.send(1).unwrap();
        assert_eq!(pace.receive(&rx, None), Ok(1));
        let soon = Instant::now() + Duration::from_millis(2);
        assert_eq!(pace.receive(&rx, Some(soon)), Err(RecvTimeoutError::Timeout));
        assert!(Instant::now() >= soon);
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            tx.send(2).unwrap();
        });
        assert_eq!(pace.receive(&rx, None), Ok(2), "also after it has gone to sleep in the channel");
        sender.join().unwrap();
        assert_eq!(pace.receive(&rx, None), Err(RecvTimeoutError::Disconnected));
    }
}
