//! The collector's side: finds the committed records in a copy of the data.
//!
//! The reader never looks at shared memory itself: its caller copies the bytes between the reader's position and the
//! head (with pread, so that a file cut short by the container is a short read and no signal) and asks for one record
//! after the other. Everything in the copy, the head included, is hostile.

use super::{Commit, Head, RECORD_HEADER, UNIT, checksum, units};
use crate::limits::RECORD;

/// How far a ring has been read. Kept on the collector's side; the container cannot change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// Position of the next record to read.
    pub position: u32,
    /// Sequence number of the next record to read.
    pub sequence: u32,
}

/// One record found, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record. The reader has moved behind it.
    Record(Raw<'a>),
    /// Nothing more up to the head.
    Empty,
    /// This many records were dropped by the writers since the last one (the ring was full).
    Dropped(u32),
    /// The record at the reader's position is not committed (yet), or has been overwritten. Try again later; if it
    /// stays so, [`Reader::skip`].
    Pending,
    /// The head is impossible for a ring of this size: the ring has been tampered with, or cut. See
    /// [`Reader::jump`].
    Impossible,
}

/// A committed record: still a claim, but one whose bytes were written together.
#[derive(Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Sequence number within the ring.
    pub sequence: u32,
    /// Writer's pid, as it sees itself.
    pub pid: u32,
    /// Time in the session's clock.
    pub time: u64,
    /// MessagePack, for [`crate::record::Record::decode`].
    pub payload: &'a [u8],
}

impl Reader {
    /// The data ranges (offset and length in bytes, at most two) to be copied before [`Reader::next`] is asked, or
    /// `None` when the head is impossible.
    pub fn ranges(&self, head: Head, data_len: u32) -> Option<[(u32, u32); 2]> {
        let unread = self.unread(head, data_len)? * UNIT as u32;
        let from = (self.position & (data_len / UNIT as u32 - 1)) * UNIT as u32;
        let first = unread.min(data_len - from);
        Some([(from, first), (0, unread - first)])
    }

    /// The next record in `data`, which mirrors the ring's data and is current where [`Reader::ranges`] said.
    pub fn next<'a>(&mut self, data: &'a [u8], head: Head) -> Found<'a> {
        loop {
            match self.unread(head, data.len() as u32) {
                None => return Found::Impossible,
                Some(0) => {
                    let missing = head.sequence.wrapping_sub(self.sequence);
                    if missing == 0 {
                        return Found::Empty;
                    }
                    if missing > BACKWARDS {
                        return Found::Impossible;
                    }
                    self.sequence = head.sequence;
                    return Found::Dropped(missing);
                }
                Some(unread) => match read_at(data, self.position, unread) {
                    Some(Piece::Pad { units }) => self.position = self.position.wrapping_add(units),
                    Some(Piece::Record { raw, units }) => {
                        let missing = raw.sequence.wrapping_sub(self.sequence);
                        if missing > head.sequence.wrapping_sub(self.sequence) {
                            return Found::Pending;
                        }
                        if missing != 0 {
                            self.sequence = raw.sequence;
                            return Found::Dropped(missing);
                        }
                        self.position = self.position.wrapping_add(units);
                        self.sequence = raw.sequence.wrapping_add(1);
                        return Found::Record(raw);
                    }
                    None => return Found::Pending,
                },
            }
        }
    }

    /// Moves past a place that stays uncommitted, to the next valid record or to the head. Returns how many records
    /// were given up (those that the gap in the sequence shows).
    ///
    /// Bounded work: see [`Reader::skip_within`].
    pub fn skip(&mut self, data: &[u8], head: Head) -> u32 {
        self.skip_within(data, head, &mut effort(data.len() as u32))
    }

    /// [`Reader::skip`], summing at most `effort` bytes, which is what is left of it afterwards. Candidates are judged by
    /// their sequence number before their checksum, and what a container lays out to be summed over and over ends the
    /// search. A caller that skips more than once in one look takes all from one [`effort`].
    pub fn skip_within(&mut self, data: &[u8], head: Head, effort: &mut usize) -> u32 {
        let unread = self.unread(head, data.len() as u32).unwrap_or(0);
        let window = head.sequence.wrapping_sub(self.sequence);
        for ahead in 1..unread {
            let position = self.position.wrapping_add(ahead);
            let Some(candidate) = Candidate::at(data, position, unread - ahead) else { continue };
            let missing = candidate.sequence().wrapping_sub(self.sequence);
            if candidate.commit.pad || missing == 0 || missing >= window {
                continue;
            }
            match effort.checked_sub(usize::from(candidate.commit.len)) {
                Some(left) => *effort = left,
                None => {
                    *effort = 0;
                    break;
                }
            }
            if let Some(Piece::Record { raw, .. }) = candidate.verify() {
                *self = Reader { position, sequence: raw.sequence };
                return missing;
            }
        }
        self.jump(head)
    }

    /// Gives up everything before the head; returns how many records that is by the ring's own account.
    pub fn jump(&mut self, head: Head) -> u32 {
        let missing = head.sequence.wrapping_sub(self.sequence);
        *self = Reader { position: head.position, sequence: head.sequence };
        if missing > BACKWARDS { 0 } else { missing }
    }

    fn unread(&self, head: Head, data_len: u32) -> Option<u32> {
        let unread = head.position.wrapping_sub(self.position);
        (unread <= data_len / UNIT as u32).then_some(unread)
    }
}

/// A difference of sequence numbers above this is one that goes backwards.
const BACKWARDS: u32 = i32::MAX as u32;

enum Piece<'a> {
    Record { raw: Raw<'a>, units: u32 },
    Pad { units: u32 },
}

/// Bytes that one look at a ring of this size may sum in search of records behind unfinished ones: a few times its data.
pub const fn effort(data_len: u32) -> usize {
    4 * data_len as usize
}

/// The record or pad at `position`, if its checksum holds and it ends within `unread` units and before the data's end.
fn read_at(data: &[u8], position: u32, unread: u32) -> Option<Piece<'_>> {
    Candidate::at(data, position, unread)?.verify()
}

/// What may be a record or pad: its lengths are possible.
struct Candidate<'a> {
    position: u32,
    commit: Commit,
    /// Sequence and pid.
    ids: u64,
    /// From its commit word to the data's end.
    bytes: &'a [u8],
}

impl<'a> Candidate<'a> {
    fn at(data: &'a [u8], position: u32, unread: u32) -> Option<Candidate<'a>> {
        let units_in_data = (data.len() / UNIT) as u32;
        let place = (position & (units_in_data - 1)) as usize * UNIT;
        let bytes = data.get(place..)?;
        let commit = Commit::unpack(u64_at(bytes, 0)?)?;
        let len = usize::from(commit.len);
        if commit.pad {
            let whole = len == bytes.len() && len / UNIT <= unread as usize;
            return whole.then_some(Candidate { position, commit, ids: 0, bytes });
        }
        let fits = len <= RECORD - RECORD_HEADER && units(len) <= unread;
        fits.then_some(Candidate { position, commit, ids: u64_at(bytes, 8)?, bytes })
    }

    fn sequence(&self) -> u32 {
        self.ids as u32
    }

    fn verify(self) -> Option<Piece<'a>> {
        let len = usize::from(self.commit.len);
        if self.commit.pad {
            let holds = self.commit.check == checksum::pad(self.position, self.commit.len);
            return holds.then_some(Piece::Pad { units: (len / UNIT) as u32 });
        }
        let (sequence, pid) = (self.sequence(), (self.ids >> 32) as u32);
        let time = u64_at(self.bytes, 16)?;
        let payload = self.bytes.get(RECORD_HEADER..RECORD_HEADER + len)?;
        (self.commit.check == checksum::record(self.position, sequence, pid, time, payload))
            .then_some(Piece::Record { raw: Raw { sequence, pid, time, payload }, units: units(len) })
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
