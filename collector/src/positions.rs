//! How far each ring has been read and written out, kept where the container cannot reach it.
//!
//! One file for each ring that lives for a while, `<container>/positions/<ring>`: the position (one small pwrite after
//! each batch that the outputs have accepted) and what was known of the process, so that a collector that is killed
//! goes on as if it had not been. Most rings are those of short-lived processes: they are over before a file would be
//! worth its system calls. If the collector is killed in that time, their few records are read again from the ring's
//! beginning, and the file output recognises what it has written already.

use crate::event::{Identity, Process};
use crate::loss::lock;
use porthole_common::ring::reader::Reader;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Name of the directory beside `container.json`.
pub(crate) const DIRECTORY: &str = "positions";
/// Age at which a ring gets its file.
pub(crate) const YOUNG: Duration = Duration::from_millis(200);
/// Units read at which it gets it even before, and before anything of it is released to its writers: a ring without a
/// file can always be read again from its beginning.
const FEW: u32 = 1024;
/// Where the process's description starts in the file.
const SAVED_OFFSET: u64 = 64;
/// Longest description that is read back.
const SAVED_MAX: u64 = 256 * 1024;

/// What a restarted collector needs to know of a session beside its position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub identity: Identity,
    /// Start time of the process in clock ticks since boot, where it was verified: tells a reused pid.
    pub start_ticks: Option<u64>,
    pub process: Process,
}

/// The position of one ring. Where no file can be made (no room on the host) nothing is kept, and nothing else fails.
#[derive(Default)]
pub(crate) struct Position {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the file is or will be; `None` = nothing is kept (any more).
    path: Option<PathBuf>,
    inode: u64,
    file: Option<File>,
    reader: Reader,
    saved: Option<Saved>,
}

/// What an earlier collector has left.
#[derive(Default)]
pub(crate) struct Resumed {
    pub reader: Reader,
    pub saved: Option<Saved>,
}

impl Position {
    /// The position of ring `name` with this inode number, of which no collector has left anything.
    pub fn new(container: &Path, name: &str, inode: u64) -> Position {
        let path = Some(container.join(DIRECTORY).join(name));
        Position { state: Mutex::new(State { path, inode, ..State::default() }) }
    }

    /// The position of ring `name` with this inode number, with what an earlier collector has left of it. A file left
    /// by another ring of the same name does not count.
    pub fn open(container: &Path, name: &str, inode: u64) -> (Position, Resumed) {
        let position = Position::new(container, name, inode);
        let mut state = lock(&position.state);
        let mut resumed = Resumed::default();
        let file = state.path.as_ref().map(|path| OpenOptions::new().read(true).write(true).open(path));
        if let Some(Ok(file)) = file {
            let mut head = [0u8; 16];
            if file.read_exact_at(&mut head, 0).is_ok() && head[8..] == inode.to_le_bytes() {
                let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
                resumed = Resumed { reader: Reader { position: word(0), sequence: word(4) }, saved: read_saved(&file) };
                state.reader = resumed.reader;
                state.file = Some(file);
            }
        }
        drop(state);
        (position, resumed)
    }

    /// Names of the rings of which an earlier collector has left something.
    pub fn left(container: &Path) -> HashSet<String> {
        let entries = std::fs::read_dir(container.join(DIRECTORY)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Keeps the position.
    pub fn store(&self, reader: Reader) {
        let mut state = lock(&self.state);
        state.reader = reader;
        if state.file.is_some() {
            state.write_position();
        } else if reader.position >= FEW {
            state.make_file();
        }
    }

    /// Keeps what is known of the process.
    pub fn save(&self, saved: Saved) {
        let mut state = lock(&self.state);
        state.saved = Some(saved);
        if state.file.is_some() {
            state.write_saved();
        }
    }

    /// The ring is not young any more.
    pub fn grow_up(&self) {
        lock(&self.state).make_file();
    }

    /// The ring is over: removes the file.
    pub fn remove(&self) {
        let mut state = lock(&self.state);
        if let (Some(path), Some(_)) = (state.path.take(), state.file.take()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl State {
    fn make_file(&mut self) {
        let Some(path) = self.path.as_ref().filter(|_| self.file.is_none()) else { return };
        match create(path) {
            Ok(file) => self.file = Some(file),
            Err(_) => return, // tried again with the next batch
        }
        self.write_position();
        self.write_saved();
    }

    fn write_position(&self) {
        let Some(file) = &self.file else { return };
        let word = u64::from(self.reader.sequence) << 32 | u64::from(self.reader.position);
        let mut head = [0u8; 16];
        head[..8].copy_from_slice(&word.to_le_bytes());
        head[8..].copy_from_slice(&self.inode.to_le_bytes());
        let _ = file.write_all_at(&head, 0);
    }

    fn write_saved(&self) {
        let (Some(file), Some(saved)) = (&self.file, &self.saved) else { return };
        let Ok(json) = serde_json::to_vec(saved) else { return };
        let _ = file.write_all_at(&json, SAVED_OFFSET).and_then(|()| file.set_len(SAVED_OFFSET + json.len() as u64));
    }
}

fn create(path: &Path) -> io::Result<File> {
    let make = || OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path);
    match (make(), path.parent()) {
        (Err(e), Some(directory)) if e.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).create(directory)?;
            make()
        }
        (made, _) => made,
    }
}

fn read_saved(file: &File) -> Option<Saved> {
    let len = file.metadata().ok()?.len().checked_sub(SAVED_OFFSET).filter(|n| *n <= SAVED_MAX)?;
    let mut json = vec![0u8; usize::try_from(len).ok()?];
    file.read_exact_at(&mut json, SAVED_OFFSET).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("porthole-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_position_comes_back_for_the_same_ring_only() {
        let dir = directory("positions");
        let saved = Saved {
            identity: Identity::Verified,
            start_ticks: Some(5),
            process: Process { pid: Some(7), name: "sh".into(), ..Default::default() },
        };
        let at = Reader { position: u32::MAX - 3, sequence: 9 };
        {
            let (p, resumed) = Position::open(&dir, "r", 42);
            assert_eq!(resumed.reader, Reader::default());
            p.store(at);
            let longer =
                Saved { process: Process { args: "x".repeat(999).into(), ..Default::default() }, ..saved.clone() };
            p.save(longer);
            p.save(saved.clone());
        }
        assert_eq!(Position::left(&dir), HashSet::from(["r".to_owned()]));
        let (_, resumed) = Position::open(&dir, "r", 42);
        assert_eq!((resumed.reader, resumed.saved), (at, Some(saved)));
        let (p, resumed) = Position::open(&dir, "r", 43);
        assert_eq!((resumed.reader, resumed.saved), (Reader::default(), None));
        p.grow_up();
        p.remove();
        assert!(!dir.join(DIRECTORY).join("r").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_young_ring_has_no_file() {
        let dir = directory("young");
        let (p, _) = Position::open(&dir, "r", 1);
        p.store(Reader { position: FEW - 1, sequence: 3 });
        assert!(!dir.join(DIRECTORY).exists());
        p.grow_up();
        assert!(dir.join(DIRECTORY).join("r").exists());
        assert_eq!(Position::open(&dir, "r", 1).1.reader, Reader { position: FEW - 1, sequence: 3 });
        p.remove();
        p.grow_up();
        assert!(!dir.join(DIRECTORY).join("r").exists(), "what is over stays away");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
