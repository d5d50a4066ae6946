//! The share: the small file system that one container and the collector have in common.

use crate::clock;
use crate::container::Inject;
use crate::error::{Context, Error, Result};
use crate::file;
use crate::layout::{self, ContainerDir, RINGS};
use crate::sites::{self, Depth};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use porthole_common::{WIRE_VERSION, control, limits, ring};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

/// Bytes that a container's processes may take of a share, unless its memory limit makes them fewer.
pub const SIZE: u64 = 16 * 1024 * 1024;
/// Files and directories of a share: rings of 4,000 processes at a time; the overflow ring serves the others.
pub const INODES: u32 = 4096;
/// The rings take at most this part of a container's memory limit, because their pages count against it: each counts
/// for who touches it first …
const PART_OF_MEMORY: u64 = 20;
/// … but there is always room for the first page of some processes' rings. No engine takes a limit below 6 MiB, and of
/// that this is less.
const LEAST_FOR_RINGS: u64 = 256 * 1024;

/// Whose eyes the share is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View<'a> {
    /// A container: `mnt/rings` is a directory to mount the rings on.
    Container {
        /// SELinux label that the container may read files of (the spec's `linux.mountLabel`); empty = none. Without
        /// it, each program's loader would complain that it may not open the agent.
        label: &'a str,
    },
    /// Programs on the host: `mnt/rings` is a link to the rings.
    Host,
}

/// A library that can serve as agent: it has a control page.
#[derive(Debug)]
pub struct Agent {
    bytes: Vec<u8>,
    /// See [`Agent::shallow`].
    shallow: Option<&'static str>,
}

impl Agent {
    /// Largest file that is taken for an agent.
    const LIMIT: u64 = 4 * 1024 * 1024;

    /// Reads the agent and sets up its control page for this machine: first generation, clock.
    ///
    /// # Errors
    /// The file cannot be read, or has no control page (it is another library, or a debug build).
    pub fn load(path: &Path) -> Result<Agent> {
        let bytes = file::read(path, Agent::LIMIT)?;
        prepared(bytes).map(|bytes| Agent { bytes, shallow: None }).ok_or_else(|| {
            Error::new("use as agent", path, io::Error::other("it has no control page; install the release build"))
        })
    }

    /// The same agent, making rings of `data` bytes (a power of two that `porthole_common::ring::valid_data_len`
    /// accepts; agents ignore any other).
    pub fn with_rings_of(mut self, data: u32) -> Agent {
        if let Some(page) = control::find(&self.bytes) {
            self.bytes[page + control::RING_DATA..][..4].copy_from_slice(&data.to_le_bytes());
        }
        self
    }

    /// The same agent, told how it gets into programs.
    pub fn entering_by(mut self, inject: Inject) -> Agent {
        if let Some(page) = control::find(&self.bytes) {
            self.bytes[page + control::ENTRY] = match inject {
                Inject::Env => 0,
                Inject::File => control::entry::FILE | control::entry::NO_VARIABLE,
                Inject::Both => control::entry::FILE,
            };
        }
        self
    }

    /// The same agent, told where the system calls of this root file system's C library are.
    pub fn with_sites(self, root: &Path, depth: Depth) -> Agent {
        self.with_sites_kept(root, &layout::state_dir(), depth)
    }

    /// The same; what is found is kept for the next time in this state directory.
    pub fn with_sites_kept(mut self, root: &Path, state: &Path, depth: Depth) -> Agent {
        let Some(page) = control::find(&self.bytes).filter(|_| depth != Depth::Symbols) else { return self };
        let room = &mut self.bytes[page + porthole_common::sites::OFFSET..page + control::SIZE];
        match sites::table(root, state) {
            Ok(table) => match room.get_mut(..table.len()) {
                Some(place) => place.copy_from_slice(&table),
                None => self.shallow = Some("the table of its C library's system calls is too long"),
            },
            Err(reason) => self.shallow = Some(reason),
        }
        self
    }

    /// Why the agent cannot look deeper than the names of functions, where it was to.
    pub fn shallow(&self) -> Option<&'static str> {
        self.shallow
    }
}

/// The library with its control page set up; `None` if it has none.
pub(crate) fn prepared(mut library: Vec<u8>) -> Option<Vec<u8>> {
    let page = control::find(&library)?;
    library[page + control::GENERATION..][..4].copy_from_slice(&1u32.to_le_bytes());
    library[page + control::CLOCK] = clock::of_this_machine() as u8;
    Some(library)
}

/// Makes the share of a container: tmpfs, copy of the agent, overflow ring. `memory_limit` is the container's, 0 =
/// none. What was made before a failure is left for [`remove`].
///
/// Returns why it is a plain directory, without bounds, if a tmpfs could not be mounted.
///
/// # Errors
/// Something could not be made.
pub fn make(dir: &ContainerDir, agent: &Agent, memory_limit: u64, view: View<'_>) -> Result<Option<Error>> {
    let share = dir.share();
    file::make_dir(&share, 0o755)?;
    let size = size(memory_limit, agent.bytes.len() as u64);
    let label = match view {
        View::Container { label } => label,
        View::Host => "",
    };
    let mut data = format!("size={size},nr_inodes={INODES},mode=0755");
    if !label.is_empty() {
        // Quoted, because a label's categories are separated by commas.
        data += &format!(",context=\"{}\"", label.replace('"', ""));
    }
    // Not noexec: the agent is executed from here.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted =
        mount(Some("porthole"), &share, Some("tmpfs"), flags, Some(data.as_str())).context("mount a tmpfs on", &share);
    let unbounded = match mounted {
        // A plain directory would have another label.
        Err(e) if !label.is_empty() => return Err(e),
        mounted => mounted.err(),
    };

    file::make_dir(&dir.mnt(), 0o755)?;
    file::make_dir(&dir.rings(), 0o1777)?;
    let rings_seen = dir.mnt().join(RINGS);
    match view {
        View::Container { .. } => file::make_dir(&rings_seen, 0o755)?,
        View::Host => symlink(Path::new("..").join(RINGS), &rings_seen).context("link", &rings_seen)?,
    }
    write_new(&dir.library(), &agent.bytes, 0o755, 0)?;
    // For the container's root alone: who can write a file can also cut it, and that is fatal to every process that has
    // it mapped. A user's process without room for a ring of its own is a blind spot instead.
    let overflow = dir.rings().join(limits::OVERFLOW_RING);
    write_new(&overflow, &overflow_header(), 0o600, limits::RING_HEADER + limits::OVERFLOW_DATA)?;
    Ok(unbounded)
}

/// Who but this user may walk through a container's directory to its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walkers {
    /// A group: that of a user namespace's root, which mounts the share.
    Group(u32),
    /// Everybody who knows the container's id.
    All,
}

/// Lets others walk to the share. Without it only this user can: the socket and `rings/` are open to every user *of the
/// container*, and no user of the host shall pass for one.
///
/// # Errors
/// The directory's mode or group cannot be set.
pub fn let_through(dir: &ContainerDir, walkers: Walkers) -> Result<()> {
    let mode = match walkers {
        Walkers::Group(gid) => {
            chown(dir.root(), None, Some(gid)).context("set the group of", dir.root())?;
            0o710
        }
        Walkers::All => 0o711,
    };
    fs::set_permissions(dir.root(), Permissions::from_mode(mode)).context("set the mode of", dir.root())
}

/// The directories of a container that does not get the agent: nothing is mounted and the container sees none of it,
/// but the collector finds what it finds for any other.
///
/// # Errors
/// They could not be made.
pub fn make_empty(dir: &ContainerDir) -> Result<()> {
    [dir.share(), dir.mnt(), dir.rings()].iter().try_for_each(|path| file::make_dir(path, 0o700))
}

/// Unmounts and removes a share. One that is not there is fine.
///
/// # Errors
/// It cannot be unmounted or removed.
pub fn remove(dir: &ContainerDir) -> Result<()> {
    let share = dir.share();
    if !share.exists() {
        return Ok(());
    }
    // EINVAL, and EPERM without privilege: not a mount point, but the plain directory that took its place.
    // Lazy: a process may have it open.
    match umount2(&share, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::EPERM) => {}
        Err(e) => return Err(Error::new("unmount", &share, e)),
    }
    fs::remove_dir_all(&share).context("remove", &share)
}

/// The agent's copy and the overflow ring have their pages from whoever registers the container, beside those of the
/// container's own.
fn size(memory_limit: u64, agent: u64) -> u64 {
    let rings = if memory_limit == 0 { SIZE } else { (memory_limit / PART_OF_MEMORY).clamp(LEAST_FOR_RINGS, SIZE) };
    let ours =
        agent.next_multiple_of(4096) + (limits::RING_HEADER + limits::OVERFLOW_DATA).next_multiple_of(4096) as u64;
    // whole pages of the container's: rounded down
    ours + rings / 4096 * 4096
}

/// The header page of the ring that processes without one of their own use, as far as it is not zero.
fn overflow_header() -> [u8; 16] {
    let mut header = [0; 16];
    header[..ring::MAGIC.len()].copy_from_slice(&ring::MAGIC);
    header[ring::VERSION_OFFSET..][..4].copy_from_slice(&u32::from(WIRE_VERSION).to_le_bytes());
    header[ring::DATA_LEN_OFFSET..][..4].copy_from_slice(&(limits::OVERFLOW_DATA as u32).to_le_bytes());
    header
}

/// A new file whose pages exist: who writes to it through a mapping later must not meet a full file system.
fn write_new(path: &Path, bytes: &[u8], mode: u32, allocate: usize) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).context("create", path)?;
    file.set_permissions(Permissions::from_mode(mode)).context("set the mode of", path)?;
    file.write_all(bytes).context("write", path)?;
    if allocate != 0 {
        fallocate(&file, FallocateFlags::empty(), 0, allocate as i64).context("allocate", path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rings_are_a_twentieth_of_the_memory_within_bounds() {
        let mib = 1024 * 1024;
        let ours = size(0, 40_000) - 16 * mib;
        assert_eq!(ours, 40_960 + 69_632);
        for limit in [6 * mib, 8 * mib, 64 * mib, 256 * mib] {
            let rings = size(limit, 40_000) - ours;
            assert!(rings * 20 <= limit && rings * 20 > limit - 20 * 4096, "{rings} of {limit}");
        }
        assert_eq!(size(8 * 1024 * mib, 40_000), ours + 16 * mib);
        assert_eq!(size(1, 40_000), ours + 256 * 1024, "a tiny container has room for its rings");
    }

    #[test]
    fn only_a_library_with_a_control_page_is_an_agent() {
        let path = std::env::temp_dir().join(format!("porthole-agent-{}.so", std::process::id()));
        fs::write(&path, b"\x7fELF").unwrap();
        let error = Agent::load(&path).unwrap_err().to_string();
        assert!(error.contains("no control page"), "{error}");

        let mut bytes = vec![0; 3 * control::SIZE];
        bytes[control::SIZE..][..control::MAGIC.len()].copy_from_slice(&control::MAGIC);
        fs::write(&path, &bytes).unwrap();
        let agent = Agent::load(&path).unwrap();
        assert_eq!(agent.bytes[control::SIZE + control::GENERATION..][..4], [1, 0, 0, 0]);
        fs::remove_file(&path).unwrap();
        assert!(Agent::load(&path).is_err());
    }

    #[test]
    fn the_overflow_ring_says_what_it_is() {
        let header = overflow_header();
        assert_eq!(&header[..8], b"porthole");
        assert_eq!(header[8..], [1, 0, 0, 0, 0, 0, 1, 0]);
    }
}
