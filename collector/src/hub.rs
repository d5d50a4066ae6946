//! The last events in memory, and those who listen.
//!
//! [`Hub::publish`] is called for every event of the collector and must not wait for anybody: its lock is held for
//! moments only, and a subscriber whose queue is full loses events. It is told how many, at the place where they are
//! missing.

use crate::event::{Event, Value};
use crate::pipeline::Publish;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Events kept unless the configuration says otherwise.
pub const KEEP_EVENTS: usize = 10_000;
/// Most bytes of kept events (an estimate: processes and containers are shared between events).
pub const KEEP_BYTES: usize = 32 << 20;
/// Events that a subscriber may lag behind.
pub const QUEUE: usize = 8192;
/// Subscribers at a time; one more is refused.
pub const SUBSCRIBERS: usize = 64;

/// What a subscriber receives.
#[derive(Clone, Debug)]
pub enum Item {
    /// An event.
    Event(Arc<Event>),
    /// Here this many events are missing: the subscriber was too slow.
    Lost(u64),
}

/// See the module.
pub struct Hub {
    keep_events: usize,
    keep_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
    subscribers: Vec<Subscriber>,
    closed: bool,
}

struct Subscriber {
    queue: Sender<Item>,
    lost: Arc<AtomicU64>,
    wanted: Box<dyn Fn(&Event) -> bool + Send + Sync>,
}

/// The receiving end; dropping it ends the subscription.
pub struct Subscription {
    queue: Receiver<Item>,
    lost: Arc<AtomicU64>,
}

impl Default for Hub {
    fn default() -> Self {
        Hub::new(KEEP_EVENTS, KEEP_BYTES)
    }
}

impl Hub {
    /// A hub that keeps at most so many events and bytes.
    pub fn new(keep_events: usize, keep_bytes: usize) -> Hub {
        Hub { keep_events, keep_bytes, inner: Mutex::default() }
    }

    /// Hands an event to all subscribers and keeps it.
    pub fn publish(&self, event: &Arc<Event>) {
        let mut inner = self.lock();
        inner.subscribers.retain(|s| s.offer(event));
        let size = size(event);
        if self.keep_events == 0 || size > self.keep_bytes {
            return;
        }
        inner.bytes += size;
        inner.kept.push_back((event.clone(), size));
        while inner.kept.len() > self.keep_events || inner.bytes > self.keep_bytes {
            let Some((_, size)) = inner.kept.pop_front() else { break };
            inner.bytes -= size;
        }
    }

    /// The last `last` kept events that `wanted` accepts, oldest first, and all accepted ones that follow: no event
    /// between is missing or doubled. `None` when there are too many subscribers, or when the hub is closed.
    pub fn subscribe(
        &self,
        last: usize,
        queue: usize,
        wanted: impl Fn(&Event) -> bool + Send + Sync + 'static,
    ) -> Option<(Vec<Arc<Event>>, Subscription)> {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let mut inner = self.lock();
        inner.subscribers.retain(|s| !s.queue.is_closed());
        if inner.closed || inner.subscribers.len() >= SUBSCRIBERS {
            return None;
        }
        let kept = inner.last(last, &wanted);
        inner.subscribers.push(Subscriber { queue: sender, lost: lost.clone(), wanted: Box::new(wanted) });
        Some((kept, Subscription { queue: receiver, lost }))
    }

    /// The last `last` kept events that `wanted` accepts, oldest first.
    pub fn last(&self, last: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        self.lock().last(last, wanted)
    }

    /// Ends all subscriptions once they have drained their queues.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.subscribers.clear();
    }

    /// The lock. A thread that panicked while holding it has left nothing half-done that matters.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publish for Hub {
    fn publish(&self, event: &Arc<Event>) {
        Hub::publish(self, event);
    }
}

impl Inner {
    fn last(&self, last: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        let newest_first = self.kept.iter().rev().map(|(event, _)| event).filter(|e| wanted(e)).take(last);
        let mut events: Vec<_> = newest_first.cloned().collect();
        events.reverse();
        events
    }
}

impl Subscriber {
    /// Queues the event, or counts it; false when nobody listens any more.
    fn offer(&self, event: &Arc<Event>) -> bool {
        use mpsc::error::TrySendError::{Closed, Full};
        if !(self.wanted)(event) {
            return !self.queue.is_closed();
        }
        let lost = self.lost.swap(0, Relaxed);
        if lost > 0 {
            match self.queue.try_send(Item::Lost(lost)) {
                Ok(()) => {}
                Err(Closed(_)) => return false,
                Err(Full(_)) => {
                    self.lost.fetch_add(lost + 1, Relaxed);
                    return true;
                }
            }
        }
        match self.queue.try_send(Item::Event(event.clone())) {
            Ok(()) => true,
            Err(Closed(_)) => false,
            Err(Full(_)) => {
                self.lost.fetch_add(1, Relaxed);
                true
            }
        }
    }
}

impl Subscription {
    /// The next item; `None` when the hub is closed and everything was received.
    pub async fn next(&mut self) -> Option<Item> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`Subscription::next`] for a thread that may wait.
    pub fn next_blocking(&mut self) -> Option<Item> {
        self.queue.blocking_recv().or_else(|| self.rest())
    }

    /// [`Subscription::next`] as a poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.queue.poll_recv(cx).map(|item| item.or_else(|| self.rest()))
    }

    /// What is there already, if anything.
    pub fn try_next(&mut self) -> Option<Item> {
        self.queue.try_recv().ok()
    }

    /// Losses behind the last item of a closed queue.
    fn rest(&self) -> Option<Item> {
        Some(self.lost.swap(0, Relaxed)).filter(|lost| *lost > 0).map(Item::Lost)
    }
}

/// What an event takes in memory, about.
fn size(event: &Event) -> usize {
    let text = |v: &Value| if let Value::Text(t) = v { t.len() } else { 0 };
    let fields: usize = event.fields.iter().map(|(_, v)| size_of::<(&str, Value)>() + text(v)).sum();
    let process = event.process.as_ref().map_or(0, |p| p.args.len() + p.cmdline.len() + p.cwd.len() + p.exepath.len());
    size_of::<Event>() + fields + process
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ContainerInfo, Identity, Source};

    fn event(num: u64, text: &str) -> Arc<Event> {
        let container = Arc::new(ContainerInfo { id: "host".into(), ..ContainerInfo::default() });
        Arc::new(Event {
            num,
            time_ns: num,
            evt_type: "openat",
            rawres: Some(3),
            fields: vec![("fd.name", text.to_owned().into())],
            process: None,
            container,
            source: Source::Symbols,
            identity: Identity::Verified,
            session: "".into(),
            seq: None,
        })
    }

    fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|e| e.num).collect()
    }

    #[test]
    fn the_newest_are_kept_within_number_and_bytes() {
        let hub = Hub::new(3, 1 << 20);
        (1..=5).for_each(|n| hub.publish(&event(n, "x")));
        assert_eq!(numbers(&hub.last(10, |_| true)), [3, 4, 5]);
        assert_eq!(numbers(&hub.last(2, |_| true)), [4, 5]);
        assert_eq!(numbers(&hub.last(1, |e| e.num < 5)), [4]);

        let hub = Hub::new(1000, 10_000);
        (1..=5).for_each(|n| hub.publish(&event(n, &"x".repeat(4000))));
        assert_eq!(numbers(&hub.last(10, |_| true)), [4, 5]);
        hub.publish(&event(6, &"x".repeat(20_000)));
        assert_eq!(numbers(&hub.last(10, |_| true)), [4, 5], "one huge event does not push out all others");
    }

    #[test]
    fn a_slow_subscriber_is_told_what_it_lost_and_where() {
        let hub = Hub::new(10, 1 << 20);
        hub.publish(&event(1, ""));
        let (kept, mut slow) = hub.subscribe(10, 2, |_| true).unwrap();
        assert_eq!(numbers(&kept), [1]);
        (2..=6).for_each(|n| hub.publish(&event(n, "")));
        assert!(matches!(slow.try_next(), Some(Item::Event(e)) if e.num == 2));
        assert!(matches!(slow.try_next(), Some(Item::Event(e)) if e.num == 3));
        assert!(slow.try_next().is_none());
        hub.publish(&event(7, ""));
        assert!(matches!(slow.try_next(), Some(Item::Lost(3))));
        assert!(matches!(slow.try_next(), Some(Item::Event(e)) if e.num == 7));
    }

    #[test]
    fn what_nobody_wants_is_neither_queued_nor_missed() {
        let hub = Hub::new(10, 1 << 20);
        let (_, mut even) = hub.subscribe(0, 2, |e| e.num % 2 == 0).unwrap();
        (1..=5).for_each(|n| hub.publish(&event(n, "")));
        hub.close();
        assert!(matches!(even.next_blocking(), Some(Item::Event(e)) if e.num == 2));
        assert!(matches!(even.next_blocking(), Some(Item::Event(e)) if e.num == 4));
        assert!(even.next_blocking().is_none());
    }

    #[test]
    fn closing_drains_and_reports_the_last_losses() {
        let hub = Hub::new(10, 1 << 20);
        let (_, mut subscription) = hub.subscribe(0, 1, |_| true).unwrap();
        (1..=3).for_each(|n| hub.publish(&event(n, "")));
        hub.close();
        assert!(matches!(subscription.next_blocking(), Some(Item::Event(e)) if e.num == 1));
        assert!(matches!(subscription.next_blocking(), Some(Item::Lost(2))));
        assert!(subscription.next_blocking().is_none());
        assert!(hub.subscribe(0, 1, |_| true).is_none(), "a closed hub takes nobody on");
    }

    #[test]
    fn subscribers_are_bounded_and_leave_when_dropped() {
        let hub = Hub::new(0, 0);
        let all: Vec<_> = (0..SUBSCRIBERS).map(|_| hub.subscribe(0, 1, |_| true).unwrap()).collect();
        assert!(hub.subscribe(0, 1, |_| true).is_none());
        drop(all);
        assert!(hub.subscribe(0, 1, |_| true).is_some());
        hub.publish(&event(1, ""));
        assert!(hub.last(1, |_| true).is_empty(), "nothing is kept when nothing shall be");
    }
}
