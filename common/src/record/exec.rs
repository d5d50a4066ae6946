//! Programs executed, or not.

use super::{Args, Call, HEAD, Kind, head};
use crate::limits;
use crate::msgpack::{self, Malformed, Reader, Writer, bin_len};

/// A program is about to be executed ([`Call::PosixSpawn`] and `posix_spawnp`: has been).
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The call.
    pub call: Call,
    /// Pid of the new process where the call makes one and says so, else 0.
    pub child: u32,
    /// Directory descriptor that `path` starts from, `AT_FDCWD` (-100) for the working directory.
    pub dirfd: i32,
    /// Flags of execveat, else 0.
    pub at_flags: u32,
    /// Result of a call that returns (posix_spawn): 0 or a negative errno.
    pub res: i32,
    /// What the target is: see [`Target`].
    pub target: u8,
    /// What was done to the child's environment: see [`Injection`].
    pub injection: u8,
    /// The path as given, or, for the calls that search `PATH`, as found.
    pub path: &'a [u8],
    /// How many arguments there were.
    pub argc: u32,
    /// The first arguments.
    pub argv: Args<'a>,
}

/// What the file to be executed is, as far as a look at it told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Target {
    Unknown = 0,
    Dynamic = 1,
    Static = 2,
    /// Another machine: its loader would complain of the library.
    OtherArchitecture = 3,
    /// The loader ignores the environment: set-user-id or set-group-id, or a caller whose effective ids are not its own.
    Secure = 4,
    /// Not readable for the caller.
    Unreadable = 5,
    /// Neither ELF nor script.
    Other = 6,
    /// The loader ignores the environment: capabilities stand at the file.
    FileCapabilities = 7,
    /// Its first library is the AddressSanitizer's, which refuses to start behind another one.
    Asan = 8,
    /// Of this machine's family, with another word size.
    WordSize = 9,
}

impl Target {
    /// The target with this number, [`Target::Unknown`] for one of a later version.
    pub fn from_number(n: u8) -> Target {
        use Target::*;
        const ALL: [Target; 9] =
            [Dynamic, Static, OtherArchitecture, Secure, Unreadable, Other, FileCapabilities, Asan, WordSize];
        ALL.into_iter().find(|t| *t as u8 == n).unwrap_or(Unknown)
    }
}

/// What the exec rule did with our entry in the child's `LD_PRELOAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Injection {
    /// It was there already.
    Kept = 0,
    /// It was missing and has been added.
    Added = 1,
    /// It was taken out, or not put in: the target's loader or runtime would have complained.
    Removed = 2,
    /// It is missing and could not be added (no room for another environment, or a sandbox).
    Absent = 3,
    /// Taken out: the library cannot be reached from where the caller is now (chroot, another mount namespace).
    Unreachable = 4,
    /// Taken out: the caller has installed a seccomp filter.
    Sandboxed = 5,
    /// Taken out: the caller has no descriptor left, and so has the loader.
    NoDescriptor = 6,
}

impl Injection {
    /// What was done by this number, `None` for one of a later version.
    pub fn from_number(n: u8) -> Option<Injection> {
        use Injection::*;
        [Kept, Added, Removed, Absent, Unreachable, Sandboxed, NoDescriptor].into_iter().find(|i| *i as u8 == n)
    }
}

/// The exec with this sequence number in the same ring has failed.
#[derive(Clone, Copy, Debug)]
pub struct ExecFailed {
    /// The call.
    pub call: Call,
    /// errno, positive.
    pub errno: u32,
    /// Ring sequence of the exec record.
    pub exec: u32,
}

impl<'a> Exec<'a> {
    pub(super) const FIELDS: usize = 11;
    const FIXED: usize = HEAD + 3 * msgpack::U8 + msgpack::U32 * 3 + msgpack::I32 * 2 + bin_len(0) + msgpack::ARRAY;

    /// Encoded bytes for a path of `path` bytes and `count` arguments of `bytes` bytes in all.
    #[inline]
    pub const fn encoded_len(path: usize, count: usize, bytes: usize) -> usize {
        Self::FIXED + path + bytes + count * bin_len(0)
    }

    /// Encodes into `w`; `argv` yields the `argc_kept` arguments that the record keeps.
    pub fn encode<'b>(&self, w: &mut Writer, argc_kept: u16, argv: impl Iterator<Item = &'b [u8]>) {
        head(w, Kind::Exec, Self::FIELDS);
        w.u8(self.call as u8);
        w.u32(self.child);
        w.i32(self.dirfd);
        w.u32(self.at_flags);
        w.i32(self.res);
        w.u8(self.target);
        w.u8(self.injection);
        w.bin(self.path);
        w.u32(self.argc);
        w.array(argc_kept);
        for arg in argv.take(usize::from(argc_kept)) {
            w.bin(arg);
        }
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Exec {
            call: Call::read(r)?,
            child: r.number()?,
            dirfd: r.i32()?,
            at_flags: r.number()?,
            res: r.i32()?,
            target: r.number()?,
            injection: r.number()?,
            path: r.bin(limits::PATH)?,
            argc: r.number()?,
            argv: Args::read(r, limits::ARGC, limits::ARGV)?,
        })
    }
}

impl ExecFailed {
    pub(super) const FIELDS: usize = 4;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + 2 * msgpack::U32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::ExecFailed, Self::FIELDS);
        w.u8(self.call as u8);
        w.u32(self.errno);
        w.u32(self.exec);
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, Malformed> {
        Ok(ExecFailed { call: Call::read(r)?, errno: r.number()?, exec: r.number()? })
    }
}
