//! What becomes of a process, and of its records.

use super::{Call, HEAD, Kind, head};
use crate::msgpack::{self, Malformed, Reader, Writer};

/// A child was forked.
#[derive(Clone, Copy, Debug)]
pub struct Fork {
    /// The call.
    pub call: Call,
    /// The child's pid in the caller's pid namespace, or negative errno.
    pub res: i32,
}

/// The process asked to end.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// [`Call::Exit`] or [`Call::ExitNow`].
    pub call: Call,
    /// Status given.
    pub status: i32,
}

/// Records that the agent made and could not keep, other than those the ring's sequence shows.
#[derive(Clone, Copy, Debug)]
pub struct Drop {
    /// See [`DropReason`].
    pub reason: u8,
    /// How many.
    pub count: u32,
}

/// Values of [`Drop::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// Made while the agent was being initialised.
    Early = 1,
    /// Larger than [`limits::RECORD`].
    TooLarge = 2,
}

/// The process installed a seccomp filter; from now on its agent makes no system call of its own.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox {
    /// [`Call::Prctl`] or [`Call::Seccomp`].
    pub call: Call,
    /// Seccomp mode: 1 strict, 2 filter.
    pub mode: u32,
    /// Result: 0 or negative errno.
    pub res: i32,
}

impl Fork {
    pub(super) const FIELDS: usize = 3;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::I32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Fork, Self::FIELDS);
        w.u8(self.call as u8);
        w.i32(self.res);
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, Malformed> {
        Ok(Fork { call: Call::read(r)?, res: r.i32()? })
    }
}

impl Exit {
    pub(super) const FIELDS: usize = 3;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::I32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Exit, Self::FIELDS);
        w.u8(self.call as u8);
        w.i32(self.status);
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, Malformed> {
        Ok(Exit { call: Call::read(r)?, status: r.i32()? })
    }
}

impl Drop {
    pub(super) const FIELDS: usize = 3;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::U32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Drop, Self::FIELDS);
        w.u8(self.reason);
        w.u32(self.count);
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, Malformed> {
        Ok(Drop { reason: r.number()?, count: r.number()? })
    }
}

impl Sandbox {
    pub(super) const FIELDS: usize = 4;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::U32 + msgpack::I32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Sandbox, Self::FIELDS);
        w.u8(self.call as u8);
        w.u32(self.mode);
        w.i32(self.res);
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, Malformed> {
        Ok(Sandbox { call: Call::read(r)?, mode: r.number()?, res: r.i32()? })
    }
}
