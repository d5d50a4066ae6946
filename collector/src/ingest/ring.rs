//! A ring file, opened from the host. The container can write, cut, replace and remove it at any time: everything is
//! read with pread into memory of our own, and nothing but a regular file with one name is ever opened.

use super::hello::valid_ring_name;
use crate::loss::{Refusal, lock};
use crate::positions::Position;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use porthole_common::limits;
use porthole_common::ring::reader::Reader;
use porthole_common::ring::{self, Head};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

/// An open ring, shared by the stage that reads it and the one that releases what has been written out.
pub(crate) struct Ring {
    /// Name of the session, the same after a restart of the collector.
    pub session: Arc<str>,
    pub name: String,
    /// Owner of the file, as the host sees it.
    pub uid: u32,
    pub inode: u64,
    pub data_len: u32,
    directory: Arc<OwnedFd>,
    /// Open for reading only, else the kernel would give no lease ([`Ring::has_writers`]).
    file: File,
    /// Open for writing while there is something to release.
    release: Mutex<Option<File>>,
    /// What the writers have been told last.
    released: AtomicU32,
    position: Position,
}

/// Opens one entry of a container's `rings/`; `prefix` starts the session's name.
pub(crate) fn open(directory: &Arc<OwnedFd>, name: &str, prefix: &str) -> Result<Opened, Refusal> {
    if !valid_ring_name(name.as_bytes()) {
        return Err("ring_name");
    }
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let handle = openat(directory.as_fd(), name, flags, Mode::empty()).map_err(|e| match e {
        nix::Error::ENOENT => GONE,
        _ => "ring_unopenable",
    })?;
    let stat = fstat(&handle).map_err(|_| "ring_unopenable")?;
    check_kind(&stat)?;
    // An agent allocates its first page, then gives the file its whole size: anything else is not being made.
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    if !size.checked_sub(limits::RING_HEADER).is_some_and(ring::valid_data_len) {
        return Err(if size == 0 || size == FIRST_PAGE { NOT_READY } else { "ring_size" });
    }
    let file = reopen(&handle, OFlag::O_RDONLY);
    let file = file.map_err(|e| if e == nix::Error::EWOULDBLOCK { LEASED } else { "ring_unopenable" })?;
    let mut header = [0u8; ring::HELLO_OFFSET + limits::HELLO];
    let complete = file.read_exact_at(&mut header, 0).is_ok() && header[..8] == ring::MAGIC;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let hello_len = word(ring::HELLO_LEN_OFFSET) as usize;
    if !complete || (hello_len == 0 && name != limits::OVERFLOW_RING) {
        return Err(NOT_READY);
    }
    if word(ring::VERSION_OFFSET) != u32::from(porthole_common::WIRE_VERSION) {
        return Err("ring_version");
    }
    let data_len = word(ring::DATA_LEN_OFFSET);
    let size = limits::RING_HEADER as u64 + u64::from(data_len);
    if !ring::valid_data_len(data_len as usize) || stat.st_size as u64 != size {
        return Err("ring_size");
    }
    let hello = header[ring::HELLO_OFFSET..].get(..hello_len).ok_or("hello_malformed")?.to_vec();
    let ring = Ring {
        session: format!("{prefix}/{name}.{}", stat.st_ino).into(),
        name: name.to_owned(),
        uid: stat.st_uid,
        inode: stat.st_ino,
        data_len,
        directory: directory.clone(),
        file,
        release: Mutex::new(None),
        released: AtomicU32::new(0),
        position: Position::default(),
    };
    Ok(Opened { ring, hello })
}

/// What the writers say in the ring's header.
pub(crate) struct Words {
    pub head: Head,
    /// What the sampled records have cost their program in all, in the records' unit, and how many they were.
    pub cost: u64,
    pub samples: u64,
}

/// A file that is a ring, with the hello that its header page holds.
pub(crate) struct Opened {
    pub ring: Ring,
    pub hello: Vec<u8>,
}

const FIRST_PAGE: usize = 4096;

/// The file is not there any more: it was read under its hello, and removed.
pub(crate) const GONE: Refusal = "ring_gone";
/// A process of the container holds a lease on the file, which agents never do.
pub(crate) const LEASED: Refusal = "ring_leased";
/// The agent has not finished the header page: to be tried again.
pub(crate) const NOT_READY: Refusal = "ring_without_hello";

fn check_kind(stat: &FileStat) -> Result<(), Refusal> {
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err("ring_no_file");
    }
    if stat.st_nlink != 1 {
        return Err("ring_linked");
    }
    Ok(())
}

/// Opens what a descriptor of this process stands for, whatever its name has become.
fn reopen(fd: &impl AsRawFd, flags: OFlag) -> nix::Result<File> {
    // opened once: a path from the root on is longer for the kernel than the rest of the call
    static OWN: OnceLock<OwnedFd> = OnceLock::new();
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let own = match OWN.get() {
        Some(own) => own,
        None => {
            let own = nix::fcntl::open("/proc/self/fd", directory, Mode::empty())?;
            OWN.get_or_init(|| own)
        }
    };
    let name = fd.as_raw_fd().to_string();
    // Without waiting: a process of the container may hold a lease on the file.
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(own, name.as_str(), flags, Mode::empty()).map(File::from)
}

impl Ring {
    /// Gives the ring the file in which its position is kept.
    pub fn keep_position(&mut self, position: Position) {
        self.position = position;
    }

    /// The file in which its position is kept.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The writers' words; `None` when the file has been cut.
    pub fn words(&self) -> Option<Words> {
        const { assert!(ring::COST_OFFSET == ring::HEAD_OFFSET + 8 && ring::SAMPLES_OFFSET == ring::COST_OFFSET + 8) };
        let mut bytes = [0u8; 24];
        self.file.read_exact_at(&mut bytes, ring::HEAD_OFFSET as u64).ok()?;
        let words: &[[u8; 8]; 3] = bytes.as_chunks().0.try_into().ok()?;
        let [head, cost, samples] = words.map(u64::from_le_bytes);
        Some(Words { head: Head::unpack(head), cost, samples })
    }

    /// Whether the file still has its length.
    pub fn is_whole(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.len() == limits::RING_HEADER as u64 + u64::from(self.data_len))
    }

    /// Copies what lies between `reader` and `head` into `data`, which mirrors the ring's data. What the file no
    /// longer has reads as zeros. `false` when the head is impossible.
    pub fn copy(&self, reader: Reader, head: Head, data: &mut [u8]) -> bool {
        let Some(ranges) = reader.ranges(head, self.data_len) else { return false };
        for (from, len) in ranges {
            let Some(room) = data.get_mut(from as usize..(from + len) as usize) else { return false };
            let mut done = 0;
            while done < room.len() {
                let at = limits::RING_HEADER as u64 + u64::from(from) + done as u64;
                match self.file.read_at(&mut room[done..], at) {
                    Ok(0) => break,
                    Ok(n) => done += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            room[done..].fill(0);
        }
        true
    }

    /// Everything before `reader` is written out: keeps the position, then lets the writers have the room, once it is
    /// an eighth of the ring. Most rings never get there.
    pub fn release(&self, reader: Reader) {
        self.position.store(reader);
        let released = self.released.load(Relaxed);
        if reader.position.wrapping_sub(released) < self.data_len / ring::UNIT as u32 / 8 {
            return;
        }
        self.released.store(reader.position, Relaxed);
        // Writers overwrite what is released: from here on the ring cannot be read again from its beginning.
        self.position.grow_up();
        let mut file = lock(&self.release);
        if file.is_none() {
            // Not there while a process of the container holds a lease; tried again with the next release.
            *file = reopen(&self.file, OFlag::O_WRONLY).ok();
        }
        // A file that the container has cut grows again by this, by one page of its own quota.
        if let Some(file) = &*file {
            let _ = file.write_all_at(&reader.position.to_le_bytes(), ring::TAIL_OFFSET as u64);
        }
    }

    /// Whether any process could still write: has it mapped or open.
    pub fn has_writers(&self) -> bool {
        *lock(&self.release) = None;
        !crate::sys::no_writers(&self.file)
    }

    /// Removes the file and its position, if the name still is this file's.
    pub fn remove(&self) {
        let same = nix::sys::stat::fstatat(self.directory.as_fd(), &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_ino == self.inode);
        if same {
            let _ = unlinkat(self.directory.as_fd(), &*self.name, UnlinkatFlags::NoRemoveDir);
        }
        self.position.remove();
    }
}
