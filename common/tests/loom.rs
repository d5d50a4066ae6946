//! Model check of the ring: every interleaving of two writers, one of which may come late, and a reader that keeps its
//! position on its own side. Built and run only with `RUSTFLAGS="--cfg loom"`:
//! `RUSTFLAGS="--cfg loom" cargo test -p porthole-common --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use porthole_common::ring::producer::{Shared, commit_word, reserve};
use porthole_common::ring::reader::{Found, Reader};
use porthole_common::ring::{Head, RECORD_HEADER, UNIT};

/// A ring of eight units: two records of one word each, so that writers lap soon.
const UNITS: usize = 8;
const PAYLOAD: usize = 8;

struct Model {
    head: AtomicU64,
    tail: AtomicU32,
    data: [AtomicU64; UNITS],
}

impl Model {
    fn new() -> Model {
        Model { head: AtomicU64::new(0), tail: AtomicU32::new(0), data: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// What the agent's `emit` does, word by word.
    fn write(&self, pid: u32, value: u64) -> bool {
        let Ok(slot) = reserve(self, PAYLOAD, false) else { return false };
        let at = slot.offset as usize / UNIT;
        self.data[at + 1].store((pid as u64) << 32 | slot.sequence as u64, Relaxed);
        self.data[at + 2].store(0, Relaxed);
        self.data[at + RECORD_HEADER / UNIT].store(value, Relaxed);
        self.commit(slot.offset, commit_word(slot, pid, 0, &value.to_le_bytes()));
        true
    }

    /// A copy of the data as pread may give it: each word at some time, in no order that could be relied on.
    fn copy(&self) -> Vec<u8> {
        let first = self.data.iter().map(|w| w.load(Acquire)).collect::<Vec<_>>();
        first.iter().flat_map(|w| w.to_le_bytes()).collect()
    }
}

impl Shared for Model {
    fn data_len(&self) -> u32 {
        (UNITS * UNIT) as u32
    }
    fn head(&self) -> u64 {
        self.head.load(Relaxed)
    }
    fn swap_head(&self, old: u64, new: u64) -> Result<(), u64> {
        self.head.compare_exchange(old, new, Relaxed, Relaxed).map(drop)
    }
    fn tail(&self) -> u32 {
        self.tail.load(Acquire)
    }
    fn prepare(&self, _end: u32) -> bool {
        true
    }
    fn commit(&self, offset: u32, word: u64) {
        self.data[offset as usize / UNIT].store(word, Release);
    }
}

/// Records that the reader took, and how many the sequence says are missing. With `skip`, a pending place is given up
/// at once, as the collector does after a second: so a writer may come arbitrarily late.
fn drain(ring: &Model, reader: &mut Reader, skip: bool, records: &mut Vec<(u32, u32, u64)>) -> u32 {
    let mut lost = 0;
    let head = Head::unpack(ring.head.load(Acquire));
    let data = ring.copy();
    loop {
        match reader.next(&data, head) {
            Found::Record(raw) => {
                let value = u64::from_le_bytes(raw.payload.try_into().unwrap());
                records.push((raw.sequence, raw.pid, value));
            }
            Found::Dropped(n) => lost += n,
            Found::Pending if skip => lost += reader.skip(&data, head),
            Found::Pending | Found::Empty => break,
            Found::Impossible => panic!("impossible head {head:?}"),
        }
    }
    ring.tail.store(reader.position, Release);
    lost
}

fn check(skip: bool) {
    let mut model = loom::model::Builder::new();
    // A bound of 3 (LOOM_MAX_PREEMPTIONS=3) takes a minute or two; 2 finds what there is to find in seconds.
    model.preemption_bound.get_or_insert(2);
    model.check(move || {
        let ring = Arc::new(Model::new());
        let writers: Vec<_> = [(1u32, 2u64), (2, 1)]
            .into_iter()
            .map(|(pid, count)| {
                let ring = ring.clone();
                loom::thread::spawn(move || (0..count).filter(|n| ring.write(pid, pid as u64 * 10 + n)).count())
            })
            .collect();
        let (mut reader, mut records) = (Reader::default(), vec![]);
        let mut lost = drain(&ring, &mut reader, skip, &mut records);
        let kept: usize = writers.into_iter().map(|w| w.join().unwrap()).sum();
        lost += drain(&ring, &mut reader, true, &mut records);
        // nothing is invented or taken twice, and every number is accounted for
        for (sequence, pid, value) in &records {
            assert!((*pid == 1 && (10..12).contains(value)) || (*pid == 2 && *value == 20), "{pid} {value}");
            assert_eq!(records.iter().filter(|r| r.0 == *sequence).count(), 1);
            assert_eq!(records.iter().filter(|r| r.2 == *value).count(), 1);
        }
        assert!(records.is_sorted());
        let made = Head::unpack(ring.head.load(Acquire)).sequence;
        assert_eq!(records.len() as u32 + lost, made);
        if !skip {
            assert_eq!(records.len(), kept, "without a late writer nothing that was kept is lost");
        }
    });
}

#[test]
fn every_committed_record_is_read_once() {
    check(false);
}

#[test]
fn a_late_writer_costs_only_counted_records() {
    check(true);
}
