//! The hello: who a ring belongs to.

use super::{Args, Kind, head};
use crate::limits;
use crate::msgpack::{Malformed, Reader, Writer};

/// A new session: one ring of one process image. Stands in the ring's header and is sent over the socket.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// [`crate::WIRE_VERSION`] of the agent.
    pub version: u8,
    /// File name of the ring in the container's `rings/` directory.
    pub ring: &'a [u8],
    /// Ids as the process sees them (its own pid namespace).
    pub pid: u32,
    /// Parent, 0 when it lies outside the pid namespace.
    pub ppid: u32,
    /// Process group.
    pub pgid: u32,
    /// POSIX session.
    pub sid: u32,
    /// Real and effective user and group, in the process's user namespace.
    pub uid: u32,
    /// See `uid`.
    pub euid: u32,
    /// See `uid`.
    pub gid: u32,
    /// See `uid`.
    pub egid: u32,
    /// Effective capabilities, bit n = capability n.
    pub cap_effective: u64,
    /// The C library: see [`Libc`].
    pub libc: u8,
    /// Depth of interception: 1 = symbols, 2 = sites.
    pub depth: u8,
    /// What a record's time counts: see [`Clock`].
    pub clock: u8,
    /// Bits of [`hello_flags`].
    pub flags: u32,
    /// Time of the session's start, in `clock`'s unit.
    pub time: u64,
    /// The file name given to execve (`AT_EXECFN`); empty when unknown.
    pub execfn: &'a [u8],
    /// Absolute working directory; empty when unknown.
    pub cwd: &'a [u8],
    /// Name of the ring that a forked process wrote to before; empty otherwise.
    pub parent_ring: &'a [u8],
    /// Arguments as the kernel laid them out, the first ones.
    pub argv: Args<'a>,
    /// How many arguments there were.
    pub argc: u32,
    /// Inode numbers of the process's namespaces, in the order of [`NAMESPACES`]; zeros where it does not tell. Only
    /// processes that come from outside (no parent in their pid namespace) tell: asking costs a microsecond each, and
    /// all others can be derived from their parents.
    pub namespaces: [u64; NAMESPACES.len()],
}

/// The namespaces of a hello, by their names in `/proc/PID/ns`.
pub const NAMESPACES: [&str; 8] = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"];

/// Bits of [`Hello::flags`].
pub mod hello_flags {
    /// The session belongs to a forked child that has not executed anything: same program as its parent.
    pub const FORKED: u32 = 1;
    /// The process announces itself again, on the collector's request.
    pub const AGAIN: u32 = 2;
    /// The program, or a library of it, is one of Go's: it makes system calls of its own, which nobody sees.
    pub const GO: u32 = 4;
}

/// Values of [`Hello::libc`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Libc {
    Unknown = 0,
    Glibc = 1,
    Musl = 2,
}

/// Values of [`Hello::clock`] and of the control page's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Clock {
    /// Nanoseconds since the epoch (`CLOCK_REALTIME`, from the vDSO).
    Realtime = 0,
    /// Raw time stamp counter; the collector calibrates it.
    Tsc = 1,
    /// No time can be had (the process forbade the counter); the collector takes the time of reading.
    None = 2,
}

impl<'a> Hello<'a> {
    pub(super) const FIELDS: usize = 23;

    /// Encodes into `w`. `argv` yields the arguments to keep, at most [`limits::HELLO_ARGC`] of them.
    pub fn encode<'b>(&self, w: &mut Writer, argc_kept: u16, argv: impl Iterator<Item = &'b [u8]>) {
        head(w, Kind::Hello, Self::FIELDS);
        w.u8(self.version);
        w.bin(self.ring);
        for id in [self.pid, self.ppid, self.pgid, self.sid, self.uid, self.euid, self.gid, self.egid] {
            w.u32(id);
        }
        w.u64(self.cap_effective);
        w.u8(self.libc);
        w.u8(self.depth);
        w.u8(self.clock);
        w.u32(self.flags);
        w.u64(self.time);
        w.bin(self.execfn);
        w.bin(self.cwd);
        w.bin(self.parent_ring);
        w.u32(self.argc);
        w.array(argc_kept);
        for arg in argv.take(usize::from(argc_kept)) {
            w.bin(arg);
        }
        let told = self.namespaces != [0; NAMESPACES.len()];
        w.array(if told { NAMESPACES.len() as u16 } else { 0 });
        for inode in self.namespaces.iter().take_while(|_| told) {
            w.u64(*inode);
        }
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Hello {
            version: r.number()?,
            ring: r.bin(limits::RING_NAME)?,
            pid: r.number()?,
            ppid: r.number()?,
            pgid: r.number()?,
            sid: r.number()?,
            uid: r.number()?,
            euid: r.number()?,
            gid: r.number()?,
            egid: r.number()?,
            cap_effective: r.uint()?,
            libc: r.number()?,
            depth: r.number()?,
            clock: r.number()?,
            flags: r.number()?,
            time: r.uint()?,
            execfn: r.bin(limits::HELLO_PATH)?,
            cwd: r.bin(limits::HELLO_PATH)?,
            parent_ring: r.bin(limits::RING_NAME)?,
            argc: r.number()?,
            argv: Args::read(r, limits::HELLO_ARGC, limits::HELLO_ARGV)?,
            namespaces: read_namespaces(r)?,
        })
    }
}

fn read_namespaces(r: &mut Reader) -> Result<[u64; NAMESPACES.len()], Malformed> {
    let mut inodes = [0; NAMESPACES.len()];
    let count = r.array()?;
    if count != 0 && count != inodes.len() {
        return Err(Malformed::Range);
    }
    for inode in inodes.iter_mut().take(count) {
        *inode = r.uint()?;
    }
    Ok(inodes)
}
