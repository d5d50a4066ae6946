//! Files opened, directories changed.

use super::{Call, HEAD, Kind, head};
use crate::limits;
use crate::msgpack::{self, Malformed, Reader, Writer, bin_len};

/// A file was opened, or not.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// The call.
    pub call: Call,
    /// Descriptor, or negative errno.
    pub res: i32,
    /// Open flags of this architecture.
    pub flags: u32,
    /// Mode of a file to be made, else 0.
    pub mode: u32,
    /// Directory descriptor that a relative path starts from.
    pub dirfd: i32,
    /// The path as given.
    pub path: &'a [u8],
}

/// The working directory changed, or not.
#[derive(Clone, Copy, Debug)]
pub struct Chdir<'a> {
    /// The call.
    pub call: Call,
    /// 0 or negative errno.
    pub res: i32,
    /// Descriptor of fchdir, else -1.
    pub fd: i32,
    /// The path as given; empty for fchdir.
    pub path: &'a [u8],
    /// The new working directory as the kernel names it; empty when it could not be asked.
    pub cwd: &'a [u8],
}

/// Bytes of an open record before its path: a multiple of eight (that is why the path has the wide form of a byte
/// string), so that the hook can copy and sum words.
const OPEN_PREFIX: usize = HEAD + msgpack::U8 + 2 * msgpack::I32 + 2 * msgpack::U32 + msgpack::BIN32;
const _: () = assert!(OPEN_PREFIX.is_multiple_of(8));

impl<'a> Open<'a> {
    pub(super) const FIELDS: usize = 7;

    /// Encoded bytes for a path of `path` bytes.
    #[inline(always)]
    pub const fn encoded_len(path: usize) -> usize {
        OPEN_PREFIX + path
    }

    /// Everything before the path, which follows as it is.
    #[inline(always)]
    pub fn prefix(&self) -> [u8; OPEN_PREFIX] {
        let [r0, r1, r2, r3] = self.res.to_be_bytes();
        let [f0, f1, f2, f3] = self.flags.to_be_bytes();
        let [m0, m1, m2, m3] = self.mode.to_be_bytes();
        let [d0, d1, d2, d3] = self.dirfd.to_be_bytes();
        let [l0, l1, l2, l3] = (self.path.len() as u32).to_be_bytes();
        let (fields, kind, call) = (Self::FIELDS as u8, Kind::Open as u8, self.call as u8);
        [
            0xdc, 0, fields, 0xcc, kind, 0xcc, call, 0xd2, r0, r1, r2, r3, 0xce, f0, f1, f2, f3, 0xce, m0, m1, m2, m3,
            0xd2, d0, d1, d2, d3, 0xc6, l0, l1, l2, l3,
        ]
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        w.raw(&self.prefix());
        w.raw(self.path);
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Open {
            call: Call::read(r)?,
            res: r.i32()?,
            flags: r.number()?,
            mode: r.number()?,
            dirfd: r.i32()?,
            path: r.bin(limits::PATH)?,
        })
    }
}

impl<'a> Chdir<'a> {
    pub(super) const FIELDS: usize = 6;

    /// Encoded bytes for a path and a directory of these lengths.
    pub const fn encoded_len(path: usize, cwd: usize) -> usize {
        HEAD + msgpack::U8 + 2 * msgpack::I32 + bin_len(path) + bin_len(cwd)
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Chdir, Self::FIELDS);
        w.u8(self.call as u8);
        w.i32(self.res);
        w.i32(self.fd);
        w.bin(self.path);
        w.bin(self.cwd);
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Chdir {
            call: Call::read(r)?,
            res: r.i32()?,
            fd: r.i32()?,
            path: r.bin(limits::PATH)?,
            cwd: r.bin(limits::PATH)?,
        })
    }
}
