//! A session: this process's ring, and the hello that announces it.
//!
//! About a dozen system calls, each of which fails quietly: a file on the container's own tmpfs is created, sized (not
//! if that would raise SIGXFSZ), mapped and closed, its first page is allocated (a full file system is an error
//! here and no SIGBUS later); the hello is written into the ring's header and the same bytes are sent to
//! the collector's socket without waiting. Then no descriptor is open any more.

use crate::capture::join;
use crate::ring::{self, Mapping};
use crate::{clock, control, next, process, sites, start, sys};
use core::ffi::{c_char, c_int};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use porthole_common::limits::{
    HELLO, HELLO_ARGC, HELLO_ARGV, HELLO_FIXED, HELLO_PATH, OVERFLOW_DATA, OVERFLOW_RING, RING_DATA, RING_DATA_MIN,
    RING_HEADER,
};
use porthole_common::msgpack::{Writer, bin_len};
use porthole_common::record::{Args, Hello, Libc, NAMESPACES, hello_flags};
use porthole_common::ring::{DATA_LEN_OFFSET, HELLO_LEN_OFFSET, HELLO_OFFSET, MAGIC, VERSION_OFFSET};

/// Opens the session of a program that has just been started.
pub fn open_first() {
    let pid = sys::getpid();
    open(pid, 0, &[]);
    process::own_session(pid);
}

/// Opens the session of a forked child; the inherited ring if that fails.
#[cold]
pub fn after_fork(inherited: &'static Mapping) -> &'static Mapping {
    // A child's mapping of its ancestors' rings keeps them alive: a chain of forks must not keep any number.
    if GENERATION.fetch_add(1, Relaxed) >= GENERATIONS {
        process::own_session(sys::getpid());
        return inherited;
    }
    // The name of the parent's ring stands in its hello.
    let mut name = [0u8; RING_NAME];
    // SAFETY: the header of a ring of ours, with memory behind it.
    let page = unsafe { core::slice::from_raw_parts((inherited.base() + HELLO_OFFSET) as *const u8, 64) };
    let parent = parent_name(page, &mut name);
    let pid = sys::getpid();
    let opened = open(pid, hello_flags::FORKED, parent);
    process::own_session(pid);
    opened.and(ring::current()).unwrap_or(inherited)
}

/// How often a line of forked processes has opened a session without executing anything.
#[unsafe(link_section = ".data")]
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Sessions of one such line. Later children write on into the last one's ring.
const GENERATIONS: u32 = 8;

const RING_NAME: usize = 32;
const PAGE: usize = 4096;

/// The ring's name in an encoded hello: the third value, behind an array head, kind and version.
fn parent_name<'a>(hello: &[u8], name: &'a mut [u8; RING_NAME]) -> &'a [u8] {
    const AT: usize = 3 + 2 + 2;
    let Some(&[0xc5, 0, len]) = hello.get(AT..AT + 3) else { return &[] };
    let len = usize::from(len).min(RING_NAME);
    match (hello.get(AT + 3..AT + 3 + len), name.get_mut(..len)) {
        (Some(from), Some(to)) => {
            to.copy_from_slice(from);
            to
        }
        _ => &[],
    }
}

/// A ring of its own or, for a program that has just started, the shared one; and the hello. A program that gets
/// neither announces itself all the same: the collector then knows of a process it cannot see into.
fn open(pid: u32, flags: u32, parent_ring: &[u8]) -> Option<()> {
    let own = next::own_path()?;
    let slash = own.iter().rposition(|&b| b == b'/')?;
    let directory = own.get(..slash)?;
    let mut name = [0u8; RING_NAME];
    let name = ring_name(&mut name, pid);
    let mut path = [0u8; 320];
    if let Some(base) = own_ring(join(&mut path, &[directory, b"/rings/", name])?) {
        // SAFETY: the rest of the header, ours and with memory.
        let room = unsafe { core::slice::from_raw_parts_mut((base + HELLO_OFFSET) as *mut u8, HELLO) };
        let hello = write_hello(room, name, pid, flags, parent_ring);
        // SAFETY: as above; volatile, so that it is written after the hello and the collector sees a whole one.
        unsafe { ((base + HELLO_LEN_OFFSET) as *mut u32).write_volatile(hello.len() as u32) };
        announce(directory, hello);
        return Some(());
    }
    if flags & hello_flags::FORKED != 0 {
        return None; // it goes on with the inherited ring
    }
    let shared = shared_ring(join(&mut path, &[directory, b"/rings/", OVERFLOW_RING.as_bytes()])?);
    let ring: &[u8] = if shared.is_some() { OVERFLOW_RING.as_bytes() } else { b"" };
    announce(directory, write_hello(&mut [0u8; SMALL_HELLO], ring, pid, flags, parent_ring));
    shared
}

/// Room for a hello that has no ring to stand in: long arguments and paths are left out.
const SMALL_HELLO: usize = 512;

/// `<time>-<pid>` in hexadecimal: unique in the container, and O_EXCL makes sure.
fn ring_name(buf: &mut [u8; RING_NAME], pid: u32) -> &[u8] {
    let mut n = hex(buf, 0, clock::now() ^ (buf.as_ptr() as u64) << 20);
    if let Some(b) = buf.get_mut(n) {
        *b = b'-';
    }
    n = hex(buf, n + 1, u64::from(pid));
    buf.get(..n).unwrap_or(&[])
}

fn hex(buf: &mut [u8; RING_NAME], mut at: usize, value: u64) -> usize {
    let digits = (16 - value.leading_zeros() / 4).max(1);
    for i in (0..digits).rev() {
        if let (Some(b), Some(&d)) = (buf.get_mut(at), b"0123456789abcdef".get((value >> (4 * i) & 15) as usize)) {
            *b = d;
        }
        at += 1;
    }
    at.min(RING_NAME)
}

fn own_ring(path: &[u8]) -> Option<usize> {
    let mut data = control::ring_data();
    // Where address space is rationed, the program needs it more than a large ring does.
    if data > RING_DATA && sys::soft_limit(sys::RLIMIT_AS) != u64::MAX {
        data = RING_DATA_MIN;
    }
    let size = RING_HEADER + data;
    // Growing a file beyond this limit raises SIGXFSZ, which kills.
    if sys::soft_limit(sys::RLIMIT_FSIZE) < size as u64 {
        return None;
    }
    let flags = sys::O_RDWR | sys::O_CREAT | sys::O_EXCL | sys::O_CLOEXEC | sys::O_NOFOLLOW;
    let fd = sys::openat(sys::AT_FDCWD, path.as_ptr() as *const c_char, flags, 0o600);
    if fd < 0 {
        return None;
    }
    let fd = fd as c_int;
    let made = sized_and_mapped(fd, size);
    sys::close(fd);
    let Some((base, prepared)) = made else {
        sys::unlink(path.as_ptr() as *const c_char);
        return None;
    };
    // SAFETY: the header of the new mapping, which has memory; aligned.
    unsafe {
        (base as *mut [u8; 8]).write(MAGIC);
        ((base + VERSION_OFFSET) as *mut u32).write(u32::from(porthole_common::WIRE_VERSION));
        ((base + DATA_LEN_OFFSET) as *mut u32).write(data as u32);
    }
    ring::switch_to(base, data, prepared);
    Some(base)
}

/// The mapping, and how many of its data bytes have memory: the first page, the others when they are wanted
/// (`Mapping::prepare`). Linux before 5.14 cannot do that without the descriptor: there, all of it.
fn sized_and_mapped(fd: c_int, size: usize) -> Option<(usize, usize)> {
    let first = if ring::grows() { PAGE } else { size };
    if sys::fallocate(fd, first) != 0 || sys::ftruncate(fd, size) != 0 {
        return None;
    }
    let base = usize::try_from(sys::map_shared(fd, size)).ok()?;
    Some((base, first - RING_HEADER))
}

/// The ring that the container's root processes share when they have none of their own. It was made and filled with
/// memory when the container was registered. Only root can open it: whoever can write a file can also cut it, which
/// would be fatal to everybody who has it mapped.
fn shared_ring(path: &[u8]) -> Option<()> {
    let size = RING_HEADER + OVERFLOW_DATA;
    let flags = sys::O_RDWR | sys::O_CLOEXEC | sys::O_NOFOLLOW | sys::O_NONBLOCK | sys::O_NOCTTY;
    let fd = sys::openat(sys::AT_FDCWD, path.as_ptr() as *const c_char, flags, 0);
    if fd < 0 {
        return None;
    }
    let fd = fd as c_int;
    // If there is none, any user could have made one.
    let of_root = sys::stat(fd, c"".as_ptr(), sys::AT_EMPTY_PATH).is_ok_and(|st| st.uid == 0);
    let base = if of_root { usize::try_from(sys::map_shared(fd, size)).ok() } else { None };
    sys::close(fd);
    let base = base?;
    // Any process of the container can have cut the file; only what is there may be touched.
    if sys::madvise(base, size, sys::MADV_POPULATE_WRITE) != 0 {
        sys::unmap(base, size);
        return None;
    }
    ring::switch_to(base, OVERFLOW_DATA, OVERFLOW_DATA);
    Some(())
}

fn write_hello<'a>(room: &'a mut [u8], ring: &[u8], pid: u32, flags: u32, parent_ring: &[u8]) -> &'a [u8] {
    let forked = flags & hello_flags::FORKED != 0;
    let name = if forked { None } else { start::executed_name() };
    let arguments = name.and_then(start::arguments);
    let spare = room.len().saturating_sub(HELLO_FIXED);
    let (kept, kept_bytes) = arguments.map_or((0, 0), |(argv, _)| argv.fitting(HELLO_ARGV.min(spare / 2), HELLO_ARGC));
    let spare = spare.saturating_sub(kept_bytes + kept * bin_len(0));
    let execfn = name.map_or(&[][..], |n| start::executed_bytes(n, HELLO_PATH.min(spare / 2)));
    let [uid, euid, _] = sys::getres(sys::nr::GETRESUID);
    crate::exec::started_as(uid);
    let [gid, egid, _] = sys::getres(sys::nr::GETRESGID);
    let ppid = sys::getppid();
    let mut cwd = [0u8; HELLO_PATH];
    let cwd = sys::getcwd(&mut cwd);
    let hello = Hello {
        version: porthole_common::WIRE_VERSION,
        ring,
        pid,
        ppid,
        pgid: sys::getpgid(),
        sid: sys::getsid(),
        uid,
        euid,
        gid,
        egid,
        cap_effective: sys::effective_capabilities(),
        libc: libc() as u8,
        depth: if sites::tells_exec() { 2 } else { 1 },
        clock: clock::current(),
        flags: flags | if next::bypasses_libc() { hello_flags::GO } else { 0 },
        time: clock::now(),
        execfn,
        cwd: if cwd.len() <= spare.saturating_sub(execfn.len()) { cwd } else { &[] },
        parent_ring,
        argc: arguments.map_or(0, |(_, n)| n as u32),
        argv: Args::EMPTY,
        namespaces: if ppid == 0 { namespaces() } else { [0; NAMESPACES.len()] },
    };
    let mut writer = Writer::new(room);
    // SAFETY: null is allowed, and has no entries.
    let argv = arguments.map_or(unsafe { crate::capture::Strings::new(core::ptr::null()) }, |(argv, _)| argv);
    hello.encode(&mut writer, kept as u16, argv.iter(HELLO_ARGV));
    let len = writer.finish().unwrap_or(0);
    room.get(..len).unwrap_or(&[])
}

/// The inode numbers of this process's namespaces, in the order of [`NAMESPACES`]; 0 where /proc does not tell.
fn namespaces() -> [u64; NAMESPACES.len()] {
    // one string: a table of strings would be one relocation each, for every process
    const NAMES: &[u8] = b"mnt pid net ipc uts user cgroup time";
    let mut inodes = [0; NAMESPACES.len()];
    for (name, inode) in NAMES.split(|&b| b == b' ').zip(&mut inodes) {
        let mut path = [0u8; 32];
        if join(&mut path, &[b"/proc/self/ns/", name]).is_some()
            && let Ok(st) = sys::stat(sys::AT_FDCWD, path.as_ptr().cast(), 0)
        {
            *inode = st.inode;
        }
    }
    inodes
}

fn libc() -> Libc {
    if next::in_libc("gnu_get_libc_version").is_some() { Libc::Glibc } else { Libc::Musl }
}

/// One packet to the collector; if nobody listens, or the queue is full, the ring is found all the same.
fn announce(directory: &[u8], hello: &[u8]) {
    // struct sockaddr_un
    let mut address = [0u8; 110];
    address[..2].copy_from_slice(&1u16.to_ne_bytes());
    let Some(len) = address.get_mut(2..).and_then(|path| join(path, &[directory, b"/sock"])).map(|p| p.len()) else {
        return;
    };
    let fd = sys::packet_socket();
    if fd < 0 {
        return;
    }
    let fd = fd as c_int;
    if sys::connect(fd, address.as_ptr().cast(), 2 + len + 1) == 0 {
        sys::send(fd, hello);
    }
    sys::close(fd);
}
