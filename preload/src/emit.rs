//! One record into the ring: reserve, write, commit. Dropped and counted by the ring when there is no room.

use crate::ring::{self, Mapping};
use crate::{clock, init, process, sandbox, session, sys};
use porthole_common::limits::RECORD;
use porthole_common::msgpack::Writer;
use porthole_common::ring::producer::{Full, Shared, Slot, commit_word, reserve};
use porthole_common::ring::{Commit, RECORD_HEADER, SAMPLE_EVERY, SAMPLED, checksum};

/// Who made the call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// This process: the cached pid is right.
    Process,
    /// This process or a vfork child of it: the kernel is asked.
    AnyChild,
    /// This process, which has just opened its session. A cached pid would cost a page that most short ones never need.
    Starting,
}

/// How much a record is worth when the ring is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Dropped at once.
    Normal,
    /// Waits up to about a millisecond for the reader.
    Patient,
}

/// Writes a record whose encoding takes exactly `len` bytes. Returns its sequence number, whether it was kept or not;
/// `None` without a ring.
#[inline(always)]
pub fn record(caller: Caller, urgency: Urgency, len: usize, encode: impl FnOnce(&mut Writer)) -> Option<u32> {
    let place = place(caller, urgency, len)?;
    if let Some(slot) = place.slot {
        encode(&mut Writer::new(place.payload(slot, len)));
        place.commit(slot, len);
    }
    Some(place.sequence)
}

/// [`record`] for the calls that programs make a million times. The record is `prefix` and `rest`; each of their words
/// is read once, stored and summed: reading back what was just written in smaller pieces would stall the processor.
#[inline(never)]
pub fn record_hot(caller: Caller, urgency: Urgency, prefix: &[u64], rest: &[u8]) {
    let len = size_of_val(prefix) + rest.len();
    let Some(place) = find_place(caller, urgency, len, reserve) else {
        return;
    };
    let Some(slot) = place.slot else { return };
    let mut sum = checksum::header(slot.position, slot.sequence, place.pid, place.time, len);
    let mut at = place.header(slot);
    let mut put = |word: u64| {
        sum.word(word);
        // SAFETY: `reserve` gave us the record's bytes, a multiple of eight, with memory behind them
        // (`Shared::prepare`); as many words are put as the record has.
        unsafe {
            at.write(word);
            at = at.add(1);
        }
    };
    for word in prefix {
        put(*word);
    }
    let (words, last) = rest.as_chunks::<8>();
    for word in words {
        put(u64::from_le_bytes(*word));
    }
    if !last.is_empty() {
        put(last.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b)));
    }
    let check = sum.finish();
    place.ring.commit(slot.offset, Commit { check, pad: false, len: len as u16 }.pack());
    place.sample();
}

/// The bytes of a record's prefix as words.
#[inline(always)]
pub fn words<const BYTES: usize, const WORDS: usize>(prefix: [u8; BYTES]) -> [u64; WORDS] {
    const { assert!(BYTES == 8 * WORDS) };
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(prefix.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Where a record goes.
struct Place {
    ring: &'static Mapping,
    slot: Option<Slot>,
    sequence: u32,
    pid: u32,
    time: u64,
}

#[inline(never)]
fn place(caller: Caller, urgency: Urgency, len: usize) -> Option<Place> {
    find_place(caller, urgency, len, reserve_once)
}

/// [`reserve`] for those that are not in a hurry: one copy of it is enough.
#[inline(never)]
fn reserve_once(ring: &Mapping, len: usize, patient: bool) -> Result<Slot, Full> {
    reserve(ring, len, patient)
}

#[inline(always)]
fn find_place(
    caller: Caller,
    urgency: Urgency,
    len: usize,
    reserve: impl Fn(&Mapping, usize, bool) -> Result<Slot, Full>,
) -> Option<Place> {
    init::ensure();
    let mut ring = ring::current()?;
    if len > RECORD - RECORD_HEADER {
        return None;
    }
    let (pid, wants_session) = match caller {
        Caller::Process => process::identity(),
        Caller::AnyChild => (process::kernel_pid(), false),
        Caller::Starting => (process::owner(), false),
    };
    if wants_session {
        ring = session::after_fork(ring);
    }
    let time = clock::now();
    let reserved = match reserve(ring, len, urgency == Urgency::Patient) {
        Err(_) if urgency == Urgency::Patient => wait(ring, len),
        other => other,
    };
    Some(match reserved {
        Ok(slot) => Place { ring, slot: Some(slot), sequence: slot.sequence, pid, time },
        Err(full) => Place { ring, slot: None, sequence: full.sequence, pid, time },
    })
}

impl Place {
    #[inline(always)]
    fn payload(&self, slot: Slot, len: usize) -> &'static mut [u8] {
        let at = self.ring.data() + slot.offset as usize + RECORD_HEADER;
        // SAFETY: `reserve` gave us these bytes of the data alone, with memory behind them (`Shared::prepare`); `len`
        // is what was reserved. The collector reads a copy and trusts the checksum only.
        unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) }
    }

    #[inline(never)]
    fn commit(&self, slot: Slot, len: usize) {
        self.header(slot);
        self.ring.commit(slot.offset, commit_word(slot, self.pid, self.time, self.payload(slot, len)));
        self.sample();
    }

    /// Notes now and then what a record costs its program, for whoever asks what porthole does.
    #[inline(always)]
    fn sample(&self) {
        if self.sequence % SAMPLE_EVERY == SAMPLED && self.time != 0 {
            self.ring.sampled(clock::now().wrapping_sub(self.time));
        }
    }

    /// Writes the record's header; where its payload starts.
    #[inline(always)]
    fn header(&self, slot: Slot) -> *mut u64 {
        let at = (self.ring.data() + slot.offset as usize) as *mut u64;
        // SAFETY: the record's header, reserved with its payload; data offsets are multiples of 8.
        unsafe {
            at.add(1).write((self.pid as u64) << 32 | slot.sequence as u64);
            at.add(2).write(self.time);
            at.add(RECORD_HEADER / 8)
        }
    }
}

/// Gives the collector, which reads a busy ring every half millisecond, a moment to make room. Once it has not used
/// it, nobody waits again before it has read something: there may be no collector at all.
#[cold]
#[inline(never)]
fn wait(ring: &Mapping, len: usize) -> Result<Slot, Full> {
    let mut tries = if !sandbox::active() && ring.is_read() { 20 } else { 0 };
    loop {
        let last = tries == 0;
        if !last {
            sys::sleep_ns(50_000);
        }
        match reserve_once(ring, len, !last) {
            Err(_) if !last => tries -= 1,
            answer => return answer,
        }
        if tries == 0 {
            ring.not_read();
        }
    }
}
