//! Writers, a scribbler and the reader on one ring. Whatever the bytes are, each look ends, stays inside the data, and
//! accounts for every sequence number it passes; where nobody scribbled, every record that was finished arrives as it
//! was written, and received + dropped is what the head says was made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_common::limits::{RECORD, RING_DATA_MIN};
use porthole_common::ring::producer::{Shared, Slot, commit_word, reserve};
use porthole_common::ring::reader::{Found, Reader, effort};
use porthole_common::ring::{Head, RECORD_HEADER, UNIT};
use porthole_fuzz::Choices;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// A difference of sequence numbers above this goes backwards.
const BACKWARDS: u32 = i32::MAX as u32;

struct Ring {
    head: Cell<u64>,
    tail: Cell<u32>,
    data: RefCell<Vec<u8>>,
}

impl Shared for Ring {
    fn data_len(&self) -> u32 {
        RING_DATA_MIN as u32
    }
    fn head(&self) -> u64 {
        self.head.get()
    }
    fn swap_head(&self, _: u64, new: u64) -> Result<(), u64> {
        self.head.set(new);
        Ok(())
    }
    fn tail(&self) -> u32 {
        self.tail.get()
    }
    fn prepare(&self, end: u32) -> bool {
        assert!(end as usize <= RING_DATA_MIN, "a writer stays inside");
        true
    }
    fn commit(&self, offset: u32, word: u64) {
        self.poke(offset as usize, &word.to_le_bytes());
    }
}

impl Ring {
    fn poke(&self, at: usize, bytes: &[u8]) {
        let mut data = self.data.borrow_mut();
        for (place, byte) in data.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    fn fill(&self, slot: Slot, pid: u32, payload: &[u8]) {
        let at = slot.offset as usize;
        self.poke(at + 8, &slot.sequence.to_le_bytes());
        self.poke(at + 12, &pid.to_le_bytes());
        self.poke(at + 16, &7u64.to_le_bytes());
        self.poke(at + RECORD_HEADER, payload);
        self.commit(slot.offset, commit_word(slot, pid, 7, payload));
    }
}

/// What has been received, and lost by the reader's account.
#[derive(Default)]
struct Account {
    received: u64,
    lost: u64,
}

/// One look: to the head, or to a place that is not finished.
fn look(
    ring: &Ring,
    reader: &mut Reader,
    give_up: bool,
    account: &mut Account,
    written: Option<&HashMap<u32, Vec<u8>>>,
) {
    let head = Head::unpack(ring.head());
    let mut data = ring.data.borrow().clone();
    match reader.ranges(head, data.len() as u32) {
        Some(ranges) => {
            let mut kept = vec![0xAA; data.len()];
            for (from, len) in ranges {
                let range = from as usize..(from + len) as usize;
                kept[range.clone()].copy_from_slice(&data[range]);
            }
            // Only what the ranges name may be looked at: the rest is another lap's.
            data = kept;
        }
        None => assert_eq!(reader.next(&data, head), Found::Impossible),
    }
    let mut effort = effort(data.len() as u32);
    for step in 0.. {
        assert!(step <= 2 * data.len() / UNIT, "a look ends");
        let before = reader.sequence;
        let (received, lost) = match reader.next(&data, head) {
            Found::Empty => {
                assert_eq!((reader.position, reader.sequence), (head.position, head.sequence));
                return;
            }
            Found::Record(raw) => {
                assert!(raw.payload.len() <= RECORD - RECORD_HEADER);
                if let Some(written) = written {
                    assert_eq!(written.get(&raw.sequence).map(Vec::as_slice), Some(raw.payload));
                }
                (1, 0)
            }
            Found::Dropped(n) => (0, n),
            Found::Pending if give_up => (0, reader.skip_within(&data, head, &mut effort)),
            Found::Pending => return,
            Found::Impossible => (0, reader.jump(head)),
        };
        let passed = reader.sequence.wrapping_sub(before);
        assert!(
            passed == received + lost || (passed > BACKWARDS && received + lost == 0),
            "{passed}: {received} + {lost}"
        );
        account.received += u64::from(received);
        account.lost += u64::from(lost);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices(bytes);
    // Just below where both counters wrap, or at the start.
    let start = if choices.byte().unwrap_or(0) & 1 == 1 { u32::MAX - 300 } else { 0 };
    let first = Head { position: start, sequence: start };
    let ring =
        Ring { head: Cell::new(first.pack()), tail: Cell::new(start), data: RefCell::new(vec![0; RING_DATA_MIN]) };
    let mut reader = Reader { position: start, sequence: start };
    let (mut account, mut written) = (Account::default(), HashMap::new());
    let (mut honest, mut made, mut unfinished) = (true, 0u64, vec![]);
    for _ in 0..200 {
        let Some(choice) = choices.byte() else { break };
        match choice % 10 {
            0..=2 => {
                let payload = match choice {
                    0..=127 => choices.bytes(usize::from(choice)).to_vec(),
                    _ => vec![choice; usize::from(choices.u16()) % (RECORD - RECORD_HEADER + 1)],
                };
                made += 1;
                if let Ok(slot) = reserve(&ring, payload.len(), false) {
                    ring.fill(slot, u32::from(choice), &payload);
                    written.insert(slot.sequence, payload);
                }
            }
            3 => {
                // A writer that is stopped in the middle, and may come back late.
                made += 1;
                let payload = vec![choice; usize::from(choices.byte().unwrap_or(0))];
                unfinished.extend(reserve(&ring, payload.len(), false).ok().map(|slot| (slot, payload)));
            }
            4 => {
                if let Some((slot, payload)) = unfinished.pop() {
                    ring.fill(slot, 9, &payload);
                    written.insert(slot.sequence, payload);
                }
            }
            5 | 6 => {
                look(&ring, &mut reader, choice % 10 == 6, &mut account, honest.then_some(&written));
                ring.tail.set(reader.position);
            }
            7 => {
                honest = false;
                let at = usize::from(choices.u16()) % RING_DATA_MIN;
                let len = usize::from(choices.byte().unwrap_or(0)) % 32;
                ring.poke(at, choices.bytes(len));
            }
            8 => {
                honest = false;
                ring.head.set(u64::from(choices.u32()) << 32 | u64::from(choices.u32()));
            }
            _ => {
                honest = false;
                ring.tail.set(choices.u32());
                // Positions near the reader's are where the edges are.
                let near = Head::unpack(ring.head());
                let position = reader.position.wrapping_add(u32::from(choices.u16()) % 5000).wrapping_sub(1000);
                ring.head.set(Head { position, sequence: near.sequence }.pack());
            }
        }
    }
    look(&ring, &mut reader, true, &mut account, honest.then_some(&written));
    if honest {
        assert_eq!(account.received + account.lost, made, "received + lost = made");
    }
});
