//! From stage to stage: a queue, and when whoever reads it is woken.
//!
//! Waking a thread on another processor costs more than most of what a stage does, and a timer that fires on the
//! processor of a watched program costs that program. So only the first stage sleeps by the clock, and a stage wakes the
//! next one when it has done what there was, not for each message: each time there is something, all three work once.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use std::cell::Cell;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a full queue is waited for.
const FULL: Duration = Duration::from_micros(500);
/// So many messages are worth waking the reader before the writer has done.
const MANY: usize = 8;

/// The writer's end of a queue.
pub(crate) struct Feeder<T> {
    tx: Sender<T>,
    /// Behind `tx`: the reader is to find that nobody writes any more.
    reader: Bell,
    sent: Cell<bool>,
}

/// Wakes a stage's thread, also when it goes away.
struct Bell(Option<Thread>);

impl Bell {
    fn ring(&self) {
        if let Some(thread) = &self.0 {
            thread.unpark();
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

impl<T> Feeder<T> {
    /// `reader`: the thread that [`receive`]s; none where somebody looks into the queue now and then.
    pub fn new(tx: Sender<T>, reader: Option<Thread>) -> Feeder<T> {
        Feeder { tx, reader: Bell(reader), sent: Cell::new(false) }
    }

    /// Sends, however long the next stage is behind. (It only goes away when the pipeline is being torn down.)
    pub fn send(&self, message: T) {
        self.send_waiting(message, || ());
    }

    /// The same; calls `waiting` again and again meanwhile.
    pub fn send_waiting(&self, mut message: T, waiting: impl Fn()) {
        while let Err(TrySendError::Full(same)) = self.offer(message) {
            message = same;
            waiting();
            thread::sleep(FULL);
        }
    }

    /// Sends where there is room.
    pub fn offer(&self, message: T) -> Result<(), TrySendError<T>> {
        let result = self.tx.try_send(message);
        self.sent.set(true);
        if result.is_err() || self.tx.len() >= MANY {
            self.call();
        }
        result
    }

    /// Wakes the reader if it sleeps and there may be something for it.
    pub fn call(&self) {
        if self.sent.take() {
            self.reader.ring();
        }
    }
}

/// The next message, or an error at `deadline`, or when the writer is gone. Whoever wakes this thread writes first.
pub(crate) fn receive<T>(rx: &Receiver<T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
    use crossbeam_channel::TryRecvError;
    loop {
        match rx.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let Some(at) = deadline else {
            thread::park();
            continue;
        };
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(RecvTimeoutError::Timeout);
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_timeouts_and_the_end_come_through() {
        let (tx, rx) = crossbeam_channel::bounded(4);
        let feeder = Feeder::new(tx, Some(thread::current()));
        feeder.send(1);
        assert_eq!(receive(&rx, None), Ok(1));
        let soon = Instant::now() + Duration::from_millis(2);
        assert_eq!(receive(&rx, Some(soon)), Err(RecvTimeoutError::Timeout));
        assert!(Instant::now() >= soon);
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            feeder.send(2);
            feeder.call();
            // a full queue wakes without being told to
            (0..20).for_each(|n| feeder.send(n));
            thread::sleep(Duration::from_millis(20));
        });
        assert_eq!(receive(&rx, None), Ok(2), "it sleeps until it is called");
        assert!((0..20).all(|n| receive(&rx, None) == Ok(n)));
        assert_eq!(receive(&rx, None), Err(RecvTimeoutError::Disconnected), "the end wakes too");
        writer.join().unwrap();
    }
}
