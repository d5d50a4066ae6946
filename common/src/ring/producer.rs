//! The writers' side: reserve, write, commit. Lock-free; a writer that dies in between harms only its own record.

use super::{Commit, Head, RECORD_HEADER, UNIT, checksum, units};

/// The shared words of a ring, as a writer sees them. The agent implements it over the mapping, the model test over
/// loom's atomics.
pub trait Shared {
    /// Data bytes, a power of two.
    fn data_len(&self) -> u32;
    /// Loads the head (relaxed).
    fn head(&self) -> u64;
    /// Swaps the head if it is `old` (weak, relaxed); the present value otherwise.
    fn swap_head(&self, old: u64, new: u64) -> Result<(), u64>;
    /// Loads the tail (acquire: what the reader has released may be overwritten after).
    fn tail(&self) -> u32;
    /// Makes the data bytes before `end` (an offset, for the first lap only) safe to touch; false if they are not.
    fn prepare(&self, end: u32) -> bool;
    /// Stores the commit word at this data offset (release: after everything else of the record).
    fn commit(&self, offset: u32, word: u64);
}

/// Room for one record, reserved for the caller alone.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Offset of the record in the data.
    pub offset: u32,
    /// Its position.
    pub position: u32,
    /// Its sequence number.
    pub sequence: u32,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The sequence number that the lost record has used up.
    pub sequence: u32,
}

/// Reserves room for a record of `payload` bytes, which must not be more than
/// [`crate::limits::RECORD`] − [`RECORD_HEADER`].
///
/// With `patient`, a full ring is reported without using up a sequence number, so that the caller may try again.
///
/// # Errors
/// [`Full`] if the reader has not made room: the record is lost, and its sequence number with it.
#[inline(always)]
pub fn reserve<S: Shared>(ring: &S, payload: usize, patient: bool) -> Result<Slot, Full> {
    let data = ring.data_len() / UNIT as u32;
    let need = units(payload);
    let mut word = ring.head();
    loop {
        let head = Head::unpack(word);
        let place = head.position & (data - 1);
        let left = data - place;
        let pad = if need > left { left } else { 0 };
        let start = head.position.wrapping_add(pad);
        let end = start.wrapping_add(need);
        let used = end.wrapping_sub(ring.tail());
        let offset = (start & (data - 1)) * UNIT as u32;
        // A tail ahead of the head (someone scribbled over it) gives a huge difference and counts as full.
        let room =
            used <= data && ring.prepare(offset + need * UNIT as u32) && (pad == 0 || ring.prepare(data * UNIT as u32));
        if !room && patient {
            return Err(Full { sequence: head.sequence });
        }
        let next = Head { sequence: head.sequence.wrapping_add(1), position: if room { end } else { head.position } };
        match ring.swap_head(word, next.pack()) {
            Err(now) => word = now,
            Ok(()) if !room => return Err(Full { sequence: head.sequence }),
            Ok(()) => {
                if pad != 0 {
                    let len = (pad as usize * UNIT) as u16;
                    let check = checksum::pad(head.position, len);
                    ring.commit(place * UNIT as u32, Commit { check, pad: true, len }.pack());
                }
                return Ok(Slot { offset, position: start, sequence: head.sequence });
            }
        }
    }
}

/// The commit word of a finished record.
#[inline(always)]
pub fn commit_word(slot: Slot, pid: u32, time: u64, payload: &[u8]) -> u64 {
    let check = checksum::record(slot.position, slot.sequence, pid, time, payload);
    Commit { check, pad: false, len: payload.len() as u16 }.pack()
}

const _: () = assert!(RECORD_HEADER.is_multiple_of(UNIT));
