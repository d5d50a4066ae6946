//! The ring: how records leave a process without a system call, and outlive it.
//!
//! A ring is a file: a header, then a power of two of data bytes. Many writers (the threads and forked children
//! of one process) reserve room with one compare-and-swap on [`HEAD`], write, and commit; one reader outside copies
//! what lies between its own position and the head, and tells the writers by [`TAIL`] what it has taken.
//!
//! ```text
//! header   magic, version, size | HEAD: sequence and position, what samples cost | TAIL | hello record
//! data          [commit word, sequence, pid, time, payload …][commit word, …] …   each a multiple of 8 bytes
//! ```
//!
//! * Positions and sequences are 32-bit and wrap. A position counts 8-byte units since the ring was made; its place in
//!   the data is the position modulo the size. Both live in one 64-bit word, so that a record dropped because the ring
//!   is full still takes a sequence number: the gap says exactly where and how many.
//! * A record never wraps around the end of the data: what is left there is filled by a *pad*.
//! * The commit word carries a checksum over the position and every byte of the record. A record that was never
//!   finished, one that is being written, one overwritten by a writer that comes late (stopped, or left by
//!   siglongjmp) and bytes of an earlier lap all fail it: the reader needs no other trust in the data. It finds the
//!   next record behind such a place by trying the following positions ([`reader::Reader::skip`]).
//!
//! `tests/loom.rs` checks this logic over the interleavings of two writers, one of them late, and the reader.

pub mod checksum;
pub mod producer;
pub mod reader;

/// First bytes of a ring file.
pub const MAGIC: [u8; 8] = *b"porthole";
/// Offset of the ring layout's version (u32).
pub const VERSION_OFFSET: usize = 8;
/// Offset of the number of data bytes (u32).
pub const DATA_LEN_OFFSET: usize = 12;
/// Offset of the hello's length (u32), written when the hello is complete.
pub const HELLO_LEN_OFFSET: usize = 16;
/// Offset of the writers' word (u64): sequence of the next record in the high half, its position in the low half.
pub const HEAD_OFFSET: usize = 64;
/// Offset of the time (u64, in the records' unit) that writing the sampled records has taken in all.
pub const COST_OFFSET: usize = 72;
/// Offset of the number of records (u64) that were sampled.
pub const SAMPLES_OFFSET: usize = 80;
/// One record of so many is sampled: the one whose sequence number is [`SAMPLED`] modulo this.
pub const SAMPLE_EVERY: u32 = 64;
/// See [`SAMPLE_EVERY`]. Not the first, which pays for what the others find prepared.
pub const SAMPLED: u32 = 32;
/// Offset of the reader's word (u32): position up to which the writers may overwrite. On a cache line of its own.
pub const TAIL_OFFSET: usize = 128;
/// Offset of the hello record in the header.
pub const HELLO_OFFSET: usize = 256;

/// Bytes of a record before its payload: commit word (u64), sequence (u32), pid (u32), time (u64).
pub const RECORD_HEADER: usize = 24;
/// Bytes of one position.
pub const UNIT: usize = 8;

/// The word that writers swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence number of the next record.
    pub sequence: u32,
    /// Position of the next record.
    pub position: u32,
}

impl Head {
    /// From the shared word.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Head {
        Head { sequence: (word >> 32) as u32, position: word as u32 }
    }

    /// To the shared word.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.sequence as u64) << 32 | self.position as u64
    }
}

/// The first word of a record or pad in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Checksum of position and contents.
    pub check: u32,
    /// Whether this fills the end of the data and is no record.
    pub pad: bool,
    /// Bytes of the payload (record), or of the whole pad.
    pub len: u16,
}

const PAD_BIT: u64 = 1 << 16;

impl Commit {
    /// From the data.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Option<Commit> {
        if word & 0xfffe_0000 != 0 {
            return None;
        }
        Some(Commit { check: (word >> 32) as u32, pad: word & PAD_BIT != 0, len: word as u16 })
    }

    /// To the data.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.check as u64) << 32 | if self.pad { PAD_BIT } else { 0 } | self.len as u64
    }
}

/// Data units that a record with `payload` bytes takes.
#[inline(always)]
pub const fn units(payload: usize) -> u32 {
    (RECORD_HEADER + payload).div_ceil(UNIT) as u32
}

/// Whether a ring of this many data bytes is one that agents make and collectors read.
pub const fn valid_data_len(len: usize) -> bool {
    len.is_power_of_two() && len >= crate::limits::RING_DATA_MIN && len <= crate::limits::RING_DATA_MAX
}

const _: () = {
    assert!(HEAD_OFFSET.is_multiple_of(64) && TAIL_OFFSET.is_multiple_of(64) && TAIL_OFFSET > HEAD_OFFSET);
    assert!(HELLO_OFFSET > TAIL_OFFSET + 4 && HELLO_OFFSET < crate::limits::RING_HEADER);
    // a hello with every field full fits
    assert!(
        crate::limits::HELLO
            >= crate::limits::HELLO_FIXED
                + 2 * crate::limits::HELLO_PATH
                + crate::limits::HELLO_ARGV
                + crate::msgpack::bin_len(0) * crate::limits::HELLO_ARGC
    );
    // the largest record's length fits the commit word, and several records fit the smallest ring
    assert!(crate::limits::RECORD <= u16::MAX as usize && crate::limits::RECORD <= crate::limits::RING_DATA_MIN);
    assert!(
        crate::record::Exec::encoded_len(crate::limits::PATH, crate::limits::ARGC, crate::limits::ARGV) + RECORD_HEADER
            <= crate::limits::RECORD
    );
};
