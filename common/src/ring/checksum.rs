//! The checksum of a record: detects bytes that were not written together.
//!
//! Not a defence against a forger: whoever can write the ring can compute it. Two multiplications per 16 bytes that do
//! not wait for each other cost about a nanosecond per 32 bytes; a CRC or a serial hash would cost the hook as much as
//! everything else it does.

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xd6e8_feb8_6659_fd93;

/// Running checksum over 64-bit words; the order of the words counts.
#[derive(Clone, Copy)]
pub struct Checksum {
    sum: u64,
    key: u64,
}

impl Checksum {
    /// Starts with the record's position, so that the same bytes elsewhere have another checksum.
    #[inline(always)]
    pub const fn new(position: u32) -> Self {
        Checksum { sum: (position as u64).wrapping_mul(A), key: B ^ position as u64 }
    }

    /// Adds one word.
    #[inline(always)]
    pub const fn word(&mut self, word: u64) {
        self.key = self.key.wrapping_add(A);
        let product = (word ^ self.key) as u128 * (self.key | 1) as u128;
        self.sum = self.sum.wrapping_add(product as u64 ^ (product >> 64) as u64);
    }

    /// Adds bytes as little-endian words, the last one filled with zeros.
    #[inline(always)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for w in &mut words {
            let mut word = [0u8; 8];
            word.copy_from_slice(w);
            self.word(u64::from_le_bytes(word));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut word = 0u64;
            for (i, &b) in rest.iter().enumerate() {
                word |= u64::from(b) << (8 * i);
            }
            self.word(word);
        }
    }

    /// The checksum.
    #[inline(always)]
    pub const fn finish(self) -> u32 {
        (self.sum ^ self.sum >> 32) as u32
    }
}

/// The checksum of a whole record: its position, length, header and payload.
#[inline(always)]
pub fn record(position: u32, sequence: u32, pid: u32, time: u64, payload: &[u8]) -> u32 {
    let mut sum = header(position, sequence, pid, time, payload.len());
    sum.bytes(payload);
    sum.finish()
}

/// A checksum that has everything but the payload (of `len` bytes), to be added word by word, the last one filled with
/// zeros.
#[inline(always)]
pub const fn header(position: u32, sequence: u32, pid: u32, time: u64, len: usize) -> Checksum {
    let mut sum = Checksum::new(position);
    sum.word((sequence as u64) << 32 | pid as u64);
    sum.word(time ^ (len as u64) << 48);
    sum
}

/// The checksum of a pad.
#[inline(always)]
pub const fn pad(position: u32, len: u16) -> u32 {
    let mut sum = Checksum::new(position);
    sum.word(!(len as u64));
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_counts() {
        let base = record(5, 1, 2, 3, b"payload of a record");
        assert_eq!(base, record(5, 1, 2, 3, b"payload of a record"));
        for other in [
            record(6, 1, 2, 3, b"payload of a record"),
            record(5, 2, 2, 3, b"payload of a record"),
            record(5, 1, 3, 3, b"payload of a record"),
            record(5, 1, 2, 4, b"payload of a record"),
            record(5, 1, 2, 3, b"payload of a recorD"),
            record(5, 1, 2, 3, b"payload of a record\0"),
            record(5, 1, 2, 3, b" of a rpayloadecord"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn swapped_words_and_single_bits_are_noticed() {
        let mut bytes = [0u8; 64];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = i as u8;
        }
        let base = record(0, 0, 0, 0, &bytes);
        for bit in 0..512 {
            let mut b = bytes;
            b[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(base, record(0, 0, 0, 0, &b), "bit {bit}");
        }
        for i in 0..7 {
            let mut b = bytes;
            for k in 0..8 {
                b.swap(i * 8 + k, i * 8 + 8 + k);
            }
            assert_ne!(base, record(0, 0, 0, 0, &b), "words {i}");
        }
    }
}
