//! The part of MessagePack that the wire uses, written into and read from fixed buffers.
//!
//! The writer uses one width for each type (`cc`, `ce`, `cf`, `d2`, `c5`, `dc`) although MessagePack knows shorter
//! forms: the length of a record is then a constant plus its byte strings, known before the ring is asked for room,
//! and no branch decides on a width. The reader accepts every width. Nothing here allocates or panics.

/// Encoded bytes of [`Writer::array`].
pub const ARRAY: usize = 3;
/// Encoded bytes of [`Writer::u8`].
pub const U8: usize = 2;
/// Encoded bytes of [`Writer::u32`].
pub const U32: usize = 5;
/// Encoded bytes of [`Writer::u64`].
pub const U64: usize = 9;
/// Encoded bytes of [`Writer::i32`].
pub const I32: usize = 5;

/// Encoded bytes of a signed 64-bit number.
pub const I64: usize = 9;
/// Encoded bytes of the head of a byte string in its widest form.
pub const BIN32: usize = 5;

/// Encoded bytes of a byte string of `len` bytes (at most 65535).
#[inline(always)]
pub const fn bin_len(len: usize) -> usize {
    3 + len
}

/// Writes values one after the other into a fixed buffer; what does not fit sets a flag and is not written.
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    /// A writer at the start of `buf`.
    pub fn new(buf: &'a mut [u8]) -> Self {
        Writer { buf, len: 0, overflow: false }
    }

    /// Bytes written, or `None` if something did not fit.
    pub fn finish(self) -> Option<usize> {
        if self.overflow { None } else { Some(self.len) }
    }

    /// Start of an array of `n` values.
    pub fn array(&mut self, n: u16) {
        let [a, b] = n.to_be_bytes();
        self.raw(&[0xdc, a, b]);
    }

    /// An unsigned number below 256.
    pub fn u8(&mut self, v: u8) {
        self.raw(&[0xcc, v]);
    }

    /// An unsigned 32-bit number.
    pub fn u32(&mut self, v: u32) {
        let [a, b, c, d] = v.to_be_bytes();
        self.raw(&[0xce, a, b, c, d]);
    }

    /// An unsigned 64-bit number.
    pub fn u64(&mut self, v: u64) {
        let [a, b, c, d, e, f, g, h] = v.to_be_bytes();
        self.raw(&[0xcf, a, b, c, d, e, f, g, h]);
    }

    /// A signed 32-bit number.
    pub fn i32(&mut self, v: i32) {
        let [a, b, c, d] = v.to_be_bytes();
        self.raw(&[0xd2, a, b, c, d]);
    }

    /// A signed 64-bit number.
    pub fn i64(&mut self, v: i64) {
        let [a, b, c, d, e, f, g, h] = v.to_be_bytes();
        self.raw(&[0xd3, a, b, c, d, e, f, g, h]);
    }

    /// A byte string of at most 65535 bytes.
    pub fn bin(&mut self, bytes: &[u8]) {
        let Ok(n) = u16::try_from(bytes.len()) else {
            self.overflow = true;
            return;
        };
        let [a, b] = n.to_be_bytes();
        self.raw(&[0xc5, a, b]);
        self.raw(bytes);
    }

    /// Bytes that are encoded already. Not inlined: the agent, whose size counts, writes its rare records with this and
    /// its frequent ones without a writer.
    #[inline(never)]
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.buf.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflow = true,
        }
    }
}

/// Why bytes are not what the wire says they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a value.
    Truncated,
    /// A value of another type stands where the wire has a number, a byte string or an array.
    Type,
    /// A number is out of its field's range, or a string longer than its limit.
    Range,
    /// The record's kind is not known to this version.
    Kind,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Malformed::Truncated => "the record ends inside a value",
            Malformed::Type => "a value of another type than the wire has there",
            Malformed::Range => "a number or a length out of range",
            Malformed::Kind => "a record kind that this version does not know",
        })
    }
}

/// Reads values one after the other from hostile bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of nothing.
    pub const EMPTY: Reader<'static> = Reader { rest: &[] };

    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The number of values of an array that starts here.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            b @ 0x90..=0x9f => Ok(usize::from(b & 0x0f)),
            0xdc => Ok(self.be(2)? as usize),
            0xdd => usize::try_from(self.be(4)?).map_err(|_| Malformed::Range),
            _ => Err(Malformed::Type),
        }
    }

    /// An unsigned number in any width, a non-negative signed one included.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        match self.byte()? {
            b @ 0x00..=0x7f => Ok(u64::from(b)),
            0xcc => self.be(1),
            0xcd => self.be(2),
            0xce => self.be(4),
            0xcf => self.be(8),
            b @ 0xd0..=0xd3 => u64::try_from(self.signed(b)?).map_err(|_| Malformed::Range),
            0xe0..=0xff => Err(Malformed::Range),
            _ => Err(Malformed::Type),
        }
    }

    /// A signed number in any width.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        match self.byte()? {
            b @ 0x00..=0x7f => Ok(i64::from(b)),
            b @ 0xe0..=0xff => Ok(i64::from(b as i8)),
            b @ 0xcc..=0xcf => {
                let v = self.be(1 << (b - 0xcc))?;
                i64::try_from(v).map_err(|_| Malformed::Range)
            }
            b @ 0xd0..=0xd3 => self.signed(b),
            _ => Err(Malformed::Type),
        }
    }

    /// [`Reader::uint`] within the field's type.
    pub fn number<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.uint()?).map_err(|_| Malformed::Range)
    }

    /// [`Reader::int`] within 32 bits.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.int()?).map_err(|_| Malformed::Range)
    }

    /// A byte or text string of at most `max` bytes.
    pub fn bin(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let n = match self.byte()? {
            b @ 0xa0..=0xbf => u64::from(b & 0x1f),
            0xc4 | 0xd9 => self.be(1)?,
            0xc5 | 0xda => self.be(2)?,
            0xc6 | 0xdb => self.be(4)?,
            _ => return Err(Malformed::Type),
        };
        let n = usize::try_from(n).map_err(|_| Malformed::Range)?;
        if n > max {
            return Err(Malformed::Range);
        }
        self.take(n)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        if n > self.rest.len() {
            return Err(Malformed::Truncated);
        }
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(taken)
    }

    fn be(&mut self, n: usize) -> Result<u64, Malformed> {
        Ok(self.take(n)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)))
    }

    fn signed(&mut self, tag: u8) -> Result<i64, Malformed> {
        let n = 1usize << (tag & 3);
        let v = self.be(n)?;
        let unused = 64 - 8 * n as u32;
        Ok(((v << unused) as i64) >> unused)
    }
}
