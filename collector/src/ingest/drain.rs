//! Reading the rings: the active ones often, the idle ones less and less.

use super::message::{Batch, Item, Message, SessionId};
use super::ring::{Ring, Words};
use super::{Ingest, message};
use crate::clock::Clock;
use crate::container::{Container, OnTheirWay};
use crate::loss::{Counters, Reason, Refusal};
use porthole_common::limits::OVERFLOW_RING;
use porthole_common::ring::reader::{Found, Reader, effort};
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Time between two looks at a ring that had something, and the longest time between two looks.
pub(super) const ACTIVE: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(20);
/// Where more than `MANY` rings are open, one that has been quiet for this long is looked at less often still.
const QUIET: Duration = Duration::from_secs(30);
const MANY: usize = 256;
const QUIET_IDLE: Duration = Duration::from_millis(100);
/// A record that stays unfinished for so long is given up.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looks at a ring before it is closed, whatever comes: more than the largest ring needs.
const LAST_READS: u32 = 16;
/// How often an idle ring is asked whether anyone can still write to it, and whether it has been cut.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Records (and gaps) that one look takes. More than most rings hold.
const BATCH: usize = 2048;

/// An open ring.
pub(super) struct Open {
    pub container: u64,
    pub ring: Arc<Ring>,
    /// Process on the host that announced it.
    pub pid: Option<u32>,
    /// The same inside the container, by its own word.
    pub vpid: u32,
    pub shared: Arc<Container>,
    /// How its file was tampered with, as was told last.
    pub told: Option<Refusal>,
    reader: Reader,
    clock: u8,
    /// See [`Words`], as of the last look.
    cost: (u64, u64),
    interval: Duration,
    /// When something came last.
    heard_at: Instant,
    /// The time for which it stands in the queue; entries for other times are stale.
    pub due: Instant,
    unfinished_since: Option<Instant>,
    asked_at: Instant,
    maybe_over: bool,
}

impl Open {
    pub fn new(
        container: u64,
        shared: Arc<Container>,
        ring: Arc<Ring>,
        reader: Reader,
        clock: u8,
        now: Instant,
    ) -> Open {
        Open {
            container,
            ring,
            pid: None,
            vpid: 0,
            shared,
            told: None,
            reader,
            clock,
            cost: (0, 0),
            interval: ACTIVE,
            heard_at: now,
            due: now,
            unfinished_since: None,
            asked_at: now,
            maybe_over: false,
        }
    }

    /// Adds what sampled records have cost since the last look. The numbers are the container's word: what no record can
    /// have cost is left out.
    fn sample(&mut self, clock: &Clock, Words { cost, samples, .. }: Words) {
        const AT_MOST_NS: u64 = 1_000_000;
        let (before, count) = (self.cost, samples.wrapping_sub(self.cost.1));
        if count == 0 {
            return;
        }
        self.cost = (cost, samples);
        let ns = clock.span_ns(self.clock, cost.wrapping_sub(before.0)).map(|ns| ns / count);
        if let Some(ns) = ns.filter(|ns| *ns <= AT_MOST_NS && count <= u64::from(self.ring.data_len)) {
            self.shared.counters.record_samples.fetch_add(count, Relaxed);
            self.shared.counters.record_ns.fetch_add(ns * count, Relaxed);
        }
    }

    /// How long after a look the next one is, where this many rings are open.
    fn pause(&mut self, something: bool, rings: usize, now: Instant) -> Duration {
        if something {
            self.heard_at = now;
            self.interval = ACTIVE;
        } else {
            let quiet = rings > MANY && now.duration_since(self.heard_at) > QUIET;
            self.interval = (self.interval * 2).min(if quiet { QUIET_IDLE } else { IDLE });
        }
        self.interval
    }
}

/// What a look at a ring has brought.
enum Look {
    Nothing,
    Something,
    /// No writer is left and everything has been read.
    Over,
}

impl Ingest {
    /// Puts the ring into the queue for `at`.
    fn look_at(&mut self, id: SessionId, at: Instant) {
        if let Some(open) = self.sessions.get_mut(&id) {
            open.due = at;
            self.due.push(Reverse((at, id)));
        }
    }

    pub(super) fn look_soon(&mut self, id: SessionId, now: Instant) {
        if let Some(open) = self.sessions.get_mut(&id) {
            open.interval = ACTIVE;
        }
        self.look_at(id, now);
    }

    /// The ring's process has ended, or executed another program.
    pub(super) fn check_over(&mut self, id: SessionId, now: Instant) {
        if let Some(open) = self.sessions.get_mut(&id) {
            open.maybe_over = true;
        }
        self.look_soon(id, now);
    }

    /// Every ring once; whether anything came.
    pub(super) fn drain_all(&mut self) -> bool {
        let now = Instant::now();
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        let mut any = false;
        for id in ids {
            any |= self.drain(id, now);
        }
        any
    }

    /// One look at a ring; whether anything came. Closes it when it is over.
    pub(super) fn drain(&mut self, id: SessionId, now: Instant) -> bool {
        let (something, over) = match self.look(id, now) {
            Look::Nothing => (false, false),
            Look::Something => (true, false),
            Look::Over => (true, true),
        };
        let rings = self.sessions.len();
        if over {
            self.close(id);
        } else if let Some(open) = self.sessions.get_mut(&id) {
            let at = now + open.pause(something, rings, now);
            self.look_at(id, at);
        }
        something
    }

    fn close(&mut self, id: SessionId) {
        if self.forget_session(id).is_some() {
            self.send(Message::Over(id));
        }
    }

    fn look(&mut self, id: SessionId, now: Instant) -> Look {
        let read = self.read(id, now, false);
        let Some(open) = self.sessions.get_mut(&id) else { return Look::Nothing };
        let ask = open.maybe_over || now.duration_since(open.asked_at) > ASK_AGAIN;
        if read || !ask {
            return if read { Look::Something } else { Look::Nothing };
        }
        open.asked_at = now;
        open.maybe_over = false;
        let whole = open.ring.is_whole();
        let over = open.ring.name != OVERFLOW_RING && !open.ring.has_writers();
        if !whole {
            self.ring_tampered(id, "ring_cut");
        }
        if !over {
            return Look::Nothing;
        }
        // Nobody can finish an unfinished record any more: read to the end, whatever it takes.
        self.read_to_the_end(id, now);
        Look::Over
    }

    /// Reads a ring for the last time. A process that goes on writing all the same does not keep us.
    fn read_to_the_end(&mut self, id: SessionId, now: Instant) {
        for _ in 0..LAST_READS {
            if !self.read(id, now, true) {
                break;
            }
        }
        if self.sessions.get(&id).is_some_and(|open| !open.ring.is_whole()) {
            self.ring_tampered(id, "ring_cut");
        }
    }

    /// Reads what there is and hands it on; `last`: no writer is left. Whether anything came.
    fn read(&mut self, id: SessionId, now: Instant, last: bool) -> bool {
        let now_ns = self.now_ns();
        let Some(open) = self.sessions.get_mut(&id) else { return false };
        let Some(words) = open.ring.words() else {
            // The file was cut behind our back; what it held is gone, and nobody can say how much.
            self.ring_tampered(id, "ring_cut");
            return false;
        };
        let (before, head) = (open.reader, words.head);
        if head.position == before.position && head.sequence == before.sequence {
            open.unfinished_since = None;
            return false;
        }
        let data = &mut self.scratch[..open.ring.data_len as usize];
        let mut batch = Batch { session: id, items: vec![], bytes: vec![], until: before, cut: false, share: None };
        let mut effort = effort(open.ring.data_len);
        let (mut tampered, mut cut) = (false, None);
        if !open.ring.copy(open.reader, head, data) {
            tampered = true;
            let sequence = open.reader.sequence;
            let count = open.reader.jump(head);
            batch.items.push(Item::Lost { sequence, count, reason: Reason::Tampered });
        }
        loop {
            if batch.items.len() >= BATCH {
                batch.cut = true;
                break;
            }
            let sequence = open.reader.sequence;
            match open.reader.next(data, head) {
                Found::Empty => {
                    open.unfinished_since = None;
                    break;
                }
                Found::Record(raw) => {
                    open.unfinished_since = None;
                    let start = batch.bytes.len();
                    batch.bytes.extend_from_slice(raw.payload);
                    let time_ns = self.clock.time_of_day(open.clock, raw.time, now_ns);
                    let payload = start..batch.bytes.len();
                    batch.items.push(Item::Record { sequence: raw.sequence, pid: raw.pid, time_ns, payload });
                }
                Found::Dropped(count) => {
                    // Writers find no room either where the file has ended before its time.
                    let cut = *cut.get_or_insert_with(|| !open.ring.is_whole());
                    let reason = if cut { Reason::Tampered } else { Reason::RingFull };
                    batch.items.push(Item::Lost { sequence, count, reason });
                }
                Found::Pending => {
                    let since = *open.unfinished_since.get_or_insert(now);
                    if !last && now.duration_since(since) < PATIENCE {
                        break;
                    }
                    open.unfinished_since = None;
                    let count = open.reader.skip_within(data, head, &mut effort);
                    let cut = *cut.get_or_insert_with(|| !open.ring.is_whole());
                    let reason = if cut { Reason::Tampered } else { Reason::WriterDied };
                    batch.items.push(Item::Lost { sequence, count, reason });
                }
                Found::Impossible => {
                    tampered = true;
                    let count = open.reader.jump(head);
                    batch.items.push(Item::Lost { sequence, count, reason: Reason::Tampered });
                    break;
                }
            }
        }
        if open.reader == before && batch.items.is_empty() {
            return false;
        }
        batch.until = open.reader;
        open.sample(&self.clock, words);
        batch.share = Some(OnTheirWay::new(&open.shared, batch.items.len()));
        if tampered {
            // Each time is one more: it goes with records that are lost.
            open.told = None;
        }
        self.count(&batch, id);
        if tampered {
            self.ring_tampered(id, "ring_head");
        }
        if cut == Some(true) {
            self.ring_tampered(id, "ring_cut");
        }
        self.send(Message::Records(batch));
        true
    }

    fn count(&self, batch: &Batch, id: SessionId) {
        let Some(open) = self.sessions.get(&id) else { return };
        for item in &batch.items {
            match item {
                message::Item::Record { .. } => Counters::count(&open.shared.counters.received),
                message::Item::Lost { count, reason, .. } => {
                    open.shared.counters.lose(*reason, u64::from(*count));
                }
            }
        }
    }

    /// Closes the rings of a container that is deleted: those that are over, or all when it is `late`. Whether none
    /// is left.
    pub(super) fn close_rings(&mut self, container: u64, late: bool) -> bool {
        let now = Instant::now();
        if !late && self.registered(container).is_some_and(|c| c.container.has_its_share()) {
            return false;
        }
        self.tell_ends(container);
        let ids: Vec<SessionId> =
            self.sessions.iter().filter(|(_, o)| o.container == container).map(|(id, _)| *id).collect();
        for id in ids {
            self.drain(id, now);
            let Some(open) = self.sessions.get(&id) else { continue };
            if open.ring.name == OVERFLOW_RING {
                continue;
            }
            if late || !open.ring.has_writers() {
                self.read_to_the_end(id, now);
                self.close(id);
            }
        }
        let waiting = self.awaiting_of(container) && !late;
        let left: Vec<SessionId> =
            self.sessions.iter().filter(|(_, o)| o.container == container).map(|(id, _)| *id).collect();
        let only_shared = left.iter().all(|id| self.sessions.get(id).is_some_and(|o| o.ring.name == OVERFLOW_RING));
        if only_shared && !waiting {
            for id in left {
                self.read_to_the_end(id, now);
                self.close(id);
            }
        }
        only_shared && !waiting
    }
}

#[cfg(test)]
mod tests {
    use super::{ACTIVE, ASK_AGAIN, Duration, IDLE, Instant, MANY, QUIET, QUIET_IDLE};
    use crate::ingest::message::{Item, Message};
    use crate::ingest::stage::Stage;
    use crate::loss::Reason;
    use porthole_common::ring::{HEAD_OFFSET, Head};
    use std::os::unix::fs::FileExt;

    #[test]
    fn quiet_rings_are_looked_at_less_often_where_there_are_many() {
        let mut stage = Stage::new("quiet");
        let container = stage.register();
        let start = Instant::now();
        let id = stage.open(container, "r", start);
        let open = stage.ingest.sessions.get_mut(&id).unwrap();
        let mut settled = |rings, after| (0..10).map(|_| open.pause(false, rings, start + after)).last().unwrap();
        assert_eq!(settled(MANY + 1, Duration::from_secs(1)), IDLE);
        assert_eq!(settled(MANY + 1, QUIET + Duration::from_secs(1)), QUIET_IDLE);
        assert_eq!(settled(MANY, 2 * QUIET), IDLE, "few rings");
        assert_eq!(open.pause(true, MANY + 1, start + 2 * QUIET), ACTIVE);
    }

    /// What is told of a ring that is cut to `len` bytes, has this head, and is looked at `after`.
    fn cut(len: u64, head: Option<Head>, after: Duration) -> Vec<Message> {
        let mut stage = Stage::new("cut");
        let container = stage.register();
        let now = Instant::now();
        let id = stage.open(container, "r", now);
        let path = stage.ingest.registered(container).unwrap().container.dir.rings().join("r");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(len).unwrap();
        if let Some(head) = head {
            file.write_all_at(&head.pack().to_le_bytes(), HEAD_OFFSET as u64).unwrap();
        }
        stage.ingest.drain(id, now + after);
        stage.messages.try_iter().collect()
    }

    #[test]
    fn a_cut_ring_is_told_whatever_its_writers_do() {
        let told =
            |messages: &[Message]| messages.iter().any(|m| matches!(m, Message::Tampered { what: "ring_cut", .. }));
        assert!(told(&cut(0, None, Duration::ZERO)));
        assert!(!told(&cut(2100, None, Duration::ZERO)), "nobody has looked yet");
        assert!(told(&cut(2100, None, ASK_AGAIN * 2)), "nothing is written any more");
        // they find no room behind the file's end
        let full = cut(2100, Some(Head { sequence: 3, position: 0 }), Duration::ZERO);
        let lost = |m: &Message| {
            matches!(m, Message::Records(batch) if matches!(batch.items[..],
            [Item::Lost { sequence: 0, count: 3, reason: Reason::Tampered }]))
        };
        assert!(told(&full) && full.iter().any(lost));
    }

    #[test]
    fn a_cut_ring_is_told_when_it_is_closed() {
        let mut stage = Stage::new("cut-closed");
        let container = stage.register();
        let now = Instant::now();
        let id = stage.open(container, "r", now);
        let path = stage.ingest.registered(container).unwrap().container.dir.rings().join("r");
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(2100).unwrap();
        stage.ingest.close_rings(container, true);
        let messages: Vec<Message> = stage.messages.try_iter().collect();
        let told = messages.iter().position(|m| matches!(m, Message::Tampered { what: "ring_cut", .. }));
        let over = messages.iter().position(|m| matches!(m, Message::Over(session) if *session == id));
        assert!(told.is_some() && told < over, "told at {told:?}, over at {over:?}");
    }
}
