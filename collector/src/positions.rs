//! How far each ring has been read and written out, kept where the container cannot reach it.
//!
//! One file for each ring, `<container>/positions/<ring>`: the position (one small pwrite after each batch that the
//! outputs have accepted) and what was known of the process, so that a collector that is killed goes on as if it had
//! not been.

use crate::event::{Identity, Process};
use porthole_common::ring::reader::Reader;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the directory beside `container.json`.
pub(crate) const DIRECTORY: &str = "positions";
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

/// The file of one ring. Without a file (no room on the host) nothing is kept, and nothing else fails.
#[derive(Default)]
pub(crate) struct Position {
    file: Option<(File, PathBuf)>,
}

/// What an earlier collector has left.
#[derive(Default)]
pub(crate) struct Resumed {
    pub reader: Reader,
    pub saved: Option<Saved>,
}

impl Position {
    /// Opens or makes the file of ring `name` with this inode number. A file left by another ring of the same name is
    /// overwritten.
    pub fn open(container: &Path, name: &str, inode: u64) -> io::Result<(Position, Resumed)> {
        let directory = container.join(DIRECTORY);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let path = directory.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut head = [0u8; 16];
        let same = file.read_exact_at(&mut head, 0).is_ok() && head[8..] == inode.to_le_bytes();
        let resumed = if same {
            let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            Resumed { reader: Reader { position: word(0), sequence: word(4) }, saved: read_saved(&file) }
        } else {
            file.set_len(0)?;
            let mut head = [0u8; 16];
            head[8..].copy_from_slice(&inode.to_le_bytes());
            file.write_all_at(&head, 0)?;
            Resumed::default()
        };
        Ok((Position { file: Some((file, path)) }, resumed))
    }

    /// Keeps the position.
    pub fn store(&self, reader: Reader) {
        let Some((file, _)) = &self.file else { return };
        let word = u64::from(reader.sequence) << 32 | u64::from(reader.position);
        let _ = file.write_all_at(&word.to_le_bytes(), 0);
    }

    /// Keeps what is known of the process.
    pub fn save(&self, saved: &Saved) {
        let (Some((file, _)), Ok(json)) = (&self.file, serde_json::to_vec(saved)) else { return };
        let _ = file.write_all_at(&json, SAVED_OFFSET).and_then(|()| file.set_len(SAVED_OFFSET + json.len() as u64));
    }

    /// Removes the file.
    pub fn remove(&self) {
        if let Some((_, path)) = &self.file {
            let _ = std::fs::remove_file(path);
        }
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

    #[test]
    fn a_position_comes_back_for_the_same_ring_only() {
        let dir = std::env::temp_dir().join(format!("porthole-positions-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let saved = Saved {
            identity: Identity::Verified,
            start_ticks: Some(5),
            process: Process { pid: Some(7), name: "sh".into(), ..Default::default() },
        };
        let at = Reader { position: u32::MAX - 3, sequence: 9 };
        {
            let (p, resumed) = Position::open(&dir, "r", 42).unwrap();
            assert_eq!(resumed.reader, Reader::default());
            p.store(at);
            let longer =
                Saved { process: Process { args: "x".repeat(999).into(), ..Default::default() }, ..saved.clone() };
            p.save(&longer);
            p.save(&saved);
        }
        let (_, resumed) = Position::open(&dir, "r", 42).unwrap();
        assert_eq!((resumed.reader, resumed.saved), (at, Some(saved)));
        let (p, resumed) = Position::open(&dir, "r", 43).unwrap();
        assert_eq!((resumed.reader, resumed.saved), (Reader::default(), None));
        p.remove();
        assert!(!dir.join(DIRECTORY).join("r").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
