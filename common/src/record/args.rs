//! Arguments inside a record.

use crate::limits;
use crate::msgpack::{Malformed, Reader};

/// Byte strings one after the other, still encoded; [`Args::iter`] walks them.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    count: usize,
    encoded: Reader<'a>,
}

impl<'a> Args<'a> {
    /// No arguments.
    pub const EMPTY: Args<'static> = Args { count: 0, encoded: Reader::EMPTY };

    /// How many there are in the record (a record may hold fewer than the call had).
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The arguments. Decoding has validated them, so the iterator yields [`Args::len`] of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = self.encoded;
        (0..self.count).map_while(move |_| r.bin(limits::PATH.max(limits::ARGV)).ok())
    }

    pub(super) fn read(r: &mut Reader<'a>, max_count: usize, max_bytes: usize) -> Result<Args<'a>, Malformed> {
        let count = r.array()?;
        if count > max_count {
            return Err(Malformed::Range);
        }
        let encoded = *r;
        let mut left = max_bytes;
        for _ in 0..count {
            left -= r.bin(left)?.len();
        }
        Ok(Args { count, encoded })
    }
}
