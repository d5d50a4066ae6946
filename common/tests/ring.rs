//! The ring with a plain memory behind it: order, wrapping, loss, corruption.
use porthole_common::limits::RING_DATA_MIN;
use porthole_common::ring::producer::{Shared, commit_word, reserve};
use porthole_common::ring::reader::{Found, Reader};
use porthole_common::ring::{Head, RECORD_HEADER};
use std::cell::{Cell, RefCell};

struct Plain {
    head: Cell<u64>,
    tail: Cell<u32>,
    data: RefCell<Vec<u8>>,
    prepared: Cell<u32>,
}

impl Plain {
    fn new() -> Self {
        Plain {
            head: Cell::new(0),
            tail: Cell::new(0),
            data: RefCell::new(vec![0; RING_DATA_MIN]),
            prepared: Cell::new(u32::MAX),
        }
    }

    fn at(position: u32, sequence: u32) -> Self {
        let ring = Plain::new();
        ring.head.set(Head { sequence, position }.pack());
        ring.tail.set(position);
        ring
    }

    fn write(&self, pid: u32, payload: &[u8]) -> bool {
        let Ok(slot) = reserve(self, payload.len(), false) else { return false };
        {
            let mut data = self.data.borrow_mut();
            let r = &mut data[slot.offset as usize..];
            r[8..12].copy_from_slice(&slot.sequence.to_le_bytes());
            r[12..16].copy_from_slice(&pid.to_le_bytes());
            r[16..24].copy_from_slice(&7u64.to_le_bytes());
            r[RECORD_HEADER..RECORD_HEADER + payload.len()].copy_from_slice(payload);
        }
        self.commit(slot.offset, commit_word(slot, pid, 7, payload));
        true
    }

    fn head(&self) -> Head {
        Head::unpack(self.head.get())
    }

    fn read(&self, reader: &mut Reader) -> (Vec<Vec<u8>>, u32) {
        let (mut records, mut lost) = (vec![], 0);
        let data = self.data.borrow();
        loop {
            match reader.next(&data, self.head()) {
                Found::Record(raw) => records.push(raw.payload.to_vec()),
                Found::Dropped(n) => lost += n,
                Found::Empty => break,
                other => panic!("{other:?}"),
            }
        }
        self.tail.set(reader.position);
        (records, lost)
    }
}

impl Shared for Plain {
    fn data_len(&self) -> u32 {
        RING_DATA_MIN as u32
    }
    fn head(&self) -> u64 {
        self.head.get()
    }
    fn swap_head(&self, old: u64, new: u64) -> Result<(), u64> {
        assert_eq!(old, self.head.get());
        self.head.set(new);
        Ok(())
    }
    fn tail(&self) -> u32 {
        self.tail.get()
    }
    fn prepare(&self, end: u32) -> bool {
        end <= self.prepared.get()
    }
    fn commit(&self, offset: u32, word: u64) {
        self.data.borrow_mut()[offset as usize..offset as usize + 8].copy_from_slice(&word.to_le_bytes());
    }
}

#[test]
fn records_come_out_as_they_went_in_over_many_laps() {
    // starts just below the wrap of both counters
    let ring = Plain::at(u32::MAX - 100, u32::MAX - 5);
    let mut reader = Reader { position: u32::MAX - 100, sequence: u32::MAX - 5 };
    for n in 0..3000usize {
        let payload: Vec<u8> = (0..n * 7 % 900).map(|i| (i * n) as u8).collect();
        assert!(ring.write(1, &payload));
        assert_eq!(ring.read(&mut reader), (vec![payload], 0));
    }
}

#[test]
fn a_full_ring_drops_the_newest_and_the_gap_tells_how_many() {
    let ring = Plain::new();
    let mut reader = Reader::default();
    let mut kept = 0;
    while ring.write(1, &[9; 100]) {
        kept += 1;
    }
    for _ in 0..4 {
        assert!(!ring.write(1, &[9; 100]));
    }
    let (records, lost) = ring.read(&mut reader);
    assert_eq!((records.len(), lost), (kept, 5));
    assert!(ring.write(1, b"after"));
    assert_eq!(ring.read(&mut reader), (vec![b"after".to_vec()], 0));
    assert_eq!(ring.head().sequence as usize, kept + 5 + 1, "every record has a number, kept or not");
}

#[test]
fn a_patient_writer_uses_up_no_number() {
    let ring = Plain::new();
    while ring.write(1, &[9; 100]) {}
    let before = ring.head();
    assert!(reserve(&ring, 100, true).is_err());
    assert_eq!(ring.head(), before);
}

#[test]
fn pages_that_cannot_be_had_count_as_a_full_ring() {
    let ring = Plain::new();
    ring.prepared.set(4096);
    let mut kept = 0;
    while ring.write(1, &[1; 200]) {
        kept += 1;
    }
    assert!(kept > 10 && kept * 224 <= 4096);
    assert_eq!(ring.read(&mut Reader::default()).1, 1);
}

#[test]
fn an_uncommitted_record_is_skipped_and_counted() {
    let ring = Plain::new();
    let mut reader = Reader::default();
    ring.write(1, b"first");
    let dead = reserve(&ring, 333, false).unwrap();
    let dead2 = reserve(&ring, 10, false).unwrap();
    ring.write(1, b"last");
    let data = ring.data.borrow().clone();
    assert!(matches!(reader.next(&data, ring.head()), Found::Record(r) if r.payload == b"first"));
    assert_eq!(reader.next(&data, ring.head()), Found::Pending);
    assert_eq!(reader.skip(&data, ring.head()), 2);
    assert!(matches!(reader.next(&data, ring.head()), Found::Record(r) if r.payload == b"last"));
    assert_eq!(reader.next(&data, ring.head()), Found::Empty);
    assert!(dead.offset < dead2.offset);
}

#[test]
fn a_ring_that_ends_in_uncommitted_records_is_skipped_to_its_head() {
    let ring = Plain::new();
    let mut reader = Reader::default();
    reserve(&ring, 40, false).unwrap();
    reserve(&ring, 40, false).unwrap();
    let data = ring.data.borrow().clone();
    assert_eq!(reader.next(&data, ring.head()), Found::Pending);
    assert_eq!(reader.skip(&data, ring.head()), 2);
    assert_eq!(reader.next(&data, ring.head()), Found::Empty);
}

#[test]
fn a_ring_laid_out_to_be_searched_for_ever_is_left() {
    // every word is a commit word of the longest record, with a sequence number that would be welcome
    let mut data = vec![0u8; porthole_common::limits::RING_DATA_MAX];
    let longest = (porthole_common::limits::RECORD - RECORD_HEADER) as u64;
    for word in data.chunks_exact_mut(8) {
        word.copy_from_slice(&(longest | 7 << 32).to_le_bytes());
    }
    let units = (data.len() / 8) as u32;
    let mut reader = Reader { position: 0, sequence: 0 };
    let head = Head { sequence: u32::MAX / 4, position: units };
    let start = std::time::Instant::now();
    reader.skip(&data, head);
    assert_eq!(reader.position, units, "given up");
    // unbounded, this takes seconds in a release build and minutes in a debug one
    assert!(start.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn many_places_laid_out_to_be_searched_share_one_effort() {
    // unfinished places, each followed by records of the longest kind that are none, and then by one that is
    let mut data = vec![0u8; porthole_common::limits::RING_DATA_MAX];
    let longest = (porthole_common::limits::RECORD - RECORD_HEADER) as u64;
    let (period, good) = (504, 480);
    for (n, at) in (0..data.len() - period).step_by(period).enumerate() {
        for word in data[at + 8..at + good].chunks_exact_mut(8) {
            word.copy_from_slice(&(longest | 9 << 32).to_le_bytes());
        }
        let (position, sequence) = (((at + good) / 8) as u32, 2 * n as u32 + 1);
        let check = porthole_common::ring::checksum::record(position, sequence, 0, 0, &[]);
        data[at + good..at + good + 8].copy_from_slice(&(u64::from(check) << 32).to_le_bytes());
        data[at + good + 8..at + good + 12].copy_from_slice(&sequence.to_le_bytes());
    }
    let head = Head { sequence: u32::MAX / 4, position: (data.len() / 8) as u32 };
    let mut reader = Reader::default();
    let mut effort = porthole_common::ring::reader::effort(data.len() as u32);
    let (mut received, mut lost) = (0, 0);
    loop {
        match reader.next(&data, head) {
            Found::Empty => break,
            Found::Record(_) => received += 1,
            Found::Pending => lost += reader.skip_within(&data, head, &mut effort),
            other => panic!("{other:?}"),
        }
    }
    assert!((1..20).contains(&received), "{received}: the search ended early");
    assert_eq!((received + lost, effort), (head.sequence, 0), "and everything is counted");
}

#[test]
fn an_impossible_head_is_told_and_left() {
    let data = vec![0u8; RING_DATA_MIN];
    let mut reader = Reader { position: 10, sequence: 3 };
    let head = Head { sequence: 9, position: 10 + (RING_DATA_MIN / 8) as u32 + 1 };
    assert!(reader.ranges(head, RING_DATA_MIN as u32).is_none());
    assert_eq!(reader.next(&data, head), Found::Impossible);
    assert_eq!(reader.jump(head), 6);
    assert_eq!(reader.next(&data, head), Found::Empty);
}

#[test]
fn a_sequence_that_goes_backwards_is_no_record() {
    let ring = Plain::at(0, 100);
    ring.write(1, b"x");
    let mut reader = Reader { position: 0, sequence: 101 };
    let data = ring.data.borrow().clone();
    assert_eq!(reader.next(&data, ring.head()), Found::Pending);
}

proptest::proptest! {
    /// Whatever the data and the head are: no panic, and each call ends and makes progress.
    #[test]
    fn hostile_bytes_never_hang_the_reader(
        seed in proptest::collection::vec(proptest::prelude::any::<u8>(), 64..256),
        position in proptest::prelude::any::<u32>(),
        sequence in proptest::prelude::any::<u32>(),
        ahead in 0u32..3000,
        records in 0u32..50,
    ) {
        let data: Vec<u8> = seed.iter().cycle().take(RING_DATA_MIN).copied().collect();
        let head = Head { position: position.wrapping_add(ahead), sequence: sequence.wrapping_add(records) };
        let mut reader = Reader { position, sequence };
        if let Some(ranges) = reader.ranges(head, RING_DATA_MIN as u32) {
            for (from, len) in ranges {
                proptest::prop_assert!((from + len) as usize <= data.len());
            }
        }
        for _ in 0..100 {
            match reader.next(&data, head) {
                Found::Empty => break,
                Found::Pending => { reader.skip(&data, head); }
                Found::Impossible => { reader.jump(head); }
                _ => {}
            }
        }
        proptest::prop_assert_eq!(reader.next(&data, head), Found::Empty);
    }

    /// A valid stream with any bytes changed yields only records that were written, in order.
    #[test]
    fn changed_bytes_are_never_taken_for_records(
        sizes in proptest::collection::vec(0usize..300, 1..30),
        changes in proptest::collection::vec((0usize..8000, 1u8..=255), 1..20),
    ) {
        let ring = Plain::new();
        let written: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &n)| vec![i as u8; n]).collect();
        for payload in &written { ring.write(1, payload); }
        let mut data = ring.data.borrow().clone();
        for (at, x) in changes { data[at] ^= x; }
        let (mut reader, mut next) = (Reader::default(), 0);
        loop {
            match reader.next(&data, ring.head()) {
                Found::Empty => break,
                Found::Record(raw) => {
                    let which = raw.sequence as usize;
                    proptest::prop_assert!(which >= next);
                    proptest::prop_assert_eq!(raw.payload, &written[which][..]);
                    next = which + 1;
                }
                Found::Pending => { reader.skip(&data, ring.head()); }
                Found::Dropped(_) => {}
                Found::Impossible => proptest::prop_assert!(false),
            }
        }
    }
}
