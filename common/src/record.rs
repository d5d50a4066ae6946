//! Records: what the agent says of one call, as a MessagePack array `[kind, field, …]`.
//!
//! Kind numbers are explicit and never reused; fields are only ever appended, and a reader ignores what stands behind
//! the fields it knows. `docs/WIRE.md` has the table; `testdata/` a golden file for each kind.

use crate::limits;
use crate::msgpack::{self, Malformed, Reader, Writer, bin_len};

/// Numbers of the record kinds on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // each has a struct of the same name below
pub enum Kind {
    Hello = 1,
    Exec = 2,
    ExecFailed = 3,
    Open = 4,
    Connect = 5,
    Fork = 6,
    Chdir = 7,
    Exit = 8,
    Drop = 9,
    Sandbox = 10,
}

/// The libc call behind a record. Numbers are shared by all kinds; what the kernel is asked follows from them
/// (`evt.type`, see `docs/WIRE.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the calls' own names
pub enum Call {
    Execve = 1,
    Execv = 2,
    Execvp = 3,
    Execvpe = 4,
    Execl = 5,
    Execlp = 6,
    Execle = 7,
    Fexecve = 8,
    Execveat = 9,
    PosixSpawn = 10,
    PosixSpawnp = 11,
    System = 12,
    Popen = 13,
    Open = 20,
    Openat = 21,
    Creat = 22,
    Fopen = 23,
    Freopen = 24,
    Opendir = 25,
    Connect = 30,
    Fork = 40,
    Chdir = 50,
    Fchdir = 51,
    Exit = 60,
    ExitNow = 61,
    Prctl = 70,
    Seccomp = 71,
}

impl Call {
    /// The call with this number.
    pub fn from_number(n: u8) -> Option<Call> {
        use Call::*;
        const ALL: [Call; 27] = [
            Execve,
            Execv,
            Execvp,
            Execvpe,
            Execl,
            Execlp,
            Execle,
            Fexecve,
            Execveat,
            PosixSpawn,
            PosixSpawnp,
            System,
            Popen,
            Open,
            Openat,
            Creat,
            Fopen,
            Freopen,
            Opendir,
            Connect,
            Fork,
            Chdir,
            Fchdir,
            Exit,
            ExitNow,
            Prctl,
            Seccomp,
        ];
        ALL.into_iter().find(|c| *c as u8 == n)
    }

    fn read(r: &mut Reader) -> Result<Call, Malformed> {
        Call::from_number(r.number()?).ok_or(Malformed::Range)
    }
}

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

    fn read(r: &mut Reader<'a>, max_count: usize, max_bytes: usize) -> Result<Args<'a>, Malformed> {
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
    /// Another machine or word size: its loader would complain of the library.
    OtherArchitecture = 3,
    /// The loader ignores the environment: set-user-id, set-group-id or file capabilities.
    Secure = 4,
    /// Not readable for the caller.
    Unreadable = 5,
    /// Neither ELF nor script.
    Other = 6,
}

impl Target {
    /// The target with this number, [`Target::Unknown`] for one of a later version.
    pub fn from_number(n: u8) -> Target {
        use Target::*;
        [Dynamic, Static, OtherArchitecture, Secure, Unreadable, Other]
            .into_iter()
            .find(|t| *t as u8 == n)
            .unwrap_or(Unknown)
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
    /// It was taken out: the loader would have complained.
    Removed = 2,
    /// It is missing and could not be added (no room for another environment, or a sandbox).
    Absent = 3,
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

/// A socket was connected, or not.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// 0 or negative errno.
    pub res: i32,
    /// The socket.
    pub fd: i32,
    /// The raw `struct sockaddr`.
    pub addr: &'a [u8],
}

/// A child was forked.
#[derive(Clone, Copy, Debug)]
pub struct Fork {
    /// The call.
    pub call: Call,
    /// The child's pid in the caller's pid namespace, or negative errno.
    pub res: i32,
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

/// Any record, borrowed from the bytes it was decoded from.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Record<'a> {
    Hello(Hello<'a>),
    Exec(Exec<'a>),
    ExecFailed(ExecFailed),
    Open(Open<'a>),
    Connect(Connect<'a>),
    Fork(Fork),
    Chdir(Chdir<'a>),
    Exit(Exit),
    Drop(Drop),
    Sandbox(Sandbox),
}

impl<'a> Record<'a> {
    /// Decodes one record; bytes behind its known fields are ignored.
    ///
    /// # Errors
    /// [`Malformed`] for anything that the wire does not allow. Total: any input gives a record or an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Record<'a>, Malformed> {
        let r = &mut Reader::new(bytes);
        let fields = r.array()?;
        let kind: u8 = r.number()?;
        let (need, record): (usize, Record) = match kind {
            1 => (Hello::FIELDS, Record::Hello(Hello::read(r)?)),
            2 => (Exec::FIELDS, Record::Exec(Exec::read(r)?)),
            3 => (
                ExecFailed::FIELDS,
                Record::ExecFailed(ExecFailed { call: Call::read(r)?, errno: r.number()?, exec: r.number()? }),
            ),
            4 => (
                Open::FIELDS,
                Record::Open(Open {
                    call: Call::read(r)?,
                    res: r.i32()?,
                    flags: r.number()?,
                    mode: r.number()?,
                    dirfd: r.i32()?,
                    path: r.bin(limits::PATH)?,
                }),
            ),
            5 => (
                Connect::FIELDS,
                Record::Connect(Connect { res: r.i32()?, fd: r.i32()?, addr: r.bin(limits::SOCKADDR)? }),
            ),
            6 => (Fork::FIELDS, Record::Fork(Fork { call: Call::read(r)?, res: r.i32()? })),
            7 => (
                Chdir::FIELDS,
                Record::Chdir(Chdir {
                    call: Call::read(r)?,
                    res: r.i32()?,
                    fd: r.i32()?,
                    path: r.bin(limits::PATH)?,
                    cwd: r.bin(limits::PATH)?,
                }),
            ),
            8 => (Exit::FIELDS, Record::Exit(Exit { call: Call::read(r)?, status: r.i32()? })),
            9 => (Drop::FIELDS, Record::Drop(Drop { reason: r.number()?, count: r.number()? })),
            10 => {
                (Sandbox::FIELDS, Record::Sandbox(Sandbox { call: Call::read(r)?, mode: r.number()?, res: r.i32()? }))
            }
            _ => return Err(Malformed::Kind),
        };
        if fields < need { Err(Malformed::Truncated) } else { Ok(record) }
    }
}

const HEAD: usize = msgpack::ARRAY + msgpack::U8;

#[inline(always)]
fn head(w: &mut Writer, kind: Kind, fields: usize) {
    w.array(fields as u16);
    w.u8(kind as u8);
}

impl<'a> Hello<'a> {
    const FIELDS: usize = 23;

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

    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
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

impl<'a> Exec<'a> {
    const FIELDS: usize = 11;
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

    fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
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
    const FIELDS: usize = 4;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + 2 * msgpack::U32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::ExecFailed, Self::FIELDS);
        w.u8(self.call as u8);
        w.u32(self.errno);
        w.u32(self.exec);
    }
}

/// Bytes of an open record before its path: a multiple of eight (that is why the path has the wide form of a byte
/// string), so that the hook can copy and sum words.
const OPEN_PREFIX: usize = HEAD + msgpack::U8 + 2 * msgpack::I32 + 2 * msgpack::U32 + msgpack::BIN32;
/// Bytes of a connect record before its address: a multiple of eight too; the result has the wide form of a number for
/// that.
const CONNECT_PREFIX: usize = HEAD + msgpack::I64 + msgpack::I32 + msgpack::BIN32;
const _: () = assert!(OPEN_PREFIX.is_multiple_of(8) && CONNECT_PREFIX.is_multiple_of(8));

impl Open<'_> {
    const FIELDS: usize = 7;

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
}

impl Connect<'_> {
    const FIELDS: usize = 4;

    /// Encoded bytes for an address of `addr` bytes.
    #[inline(always)]
    pub const fn encoded_len(addr: usize) -> usize {
        CONNECT_PREFIX + addr
    }

    /// Everything before the address, which follows as it is.
    #[inline(always)]
    pub fn prefix(&self) -> [u8; CONNECT_PREFIX] {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = i64::from(self.res).to_be_bytes();
        let [f0, f1, f2, f3] = self.fd.to_be_bytes();
        let [l0, l1, l2, l3] = (self.addr.len() as u32).to_be_bytes();
        let (fields, kind) = (Self::FIELDS as u8, Kind::Connect as u8);
        [0xdc, 0, fields, 0xcc, kind, 0xd3, r0, r1, r2, r3, r4, r5, r6, r7, 0xd2, f0, f1, f2, f3, 0xc6, l0, l1, l2, l3]
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        w.raw(&self.prefix());
        w.raw(self.addr);
    }
}

impl Fork {
    const FIELDS: usize = 3;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::I32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Fork, Self::FIELDS);
        w.u8(self.call as u8);
        w.i32(self.res);
    }
}

impl Chdir<'_> {
    const FIELDS: usize = 6;

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
}

impl Exit {
    const FIELDS: usize = 3;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::I32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Exit, Self::FIELDS);
        w.u8(self.call as u8);
        w.i32(self.status);
    }
}

impl Drop {
    const FIELDS: usize = 3;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::U32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Drop, Self::FIELDS);
        w.u8(self.reason);
        w.u32(self.count);
    }
}

impl Sandbox {
    const FIELDS: usize = 4;
    /// Encoded bytes.
    pub const LEN: usize = HEAD + msgpack::U8 + msgpack::U32 + msgpack::I32;

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Sandbox, Self::FIELDS);
        w.u8(self.call as u8);
        w.u32(self.mode);
        w.i32(self.res);
    }
}
