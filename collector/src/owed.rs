//! Losses that are counted and not told yet, kept where a restarted collector finds them.
//!
//! A container that produces nonsense by the thousand gets one event for each reason and second, not one for each record.
//! In between the count lies in one small file of the container's directory, written before the rings' positions pass
//! the records: a collector that is killed leaves no loss without its number.

use porthole_registration::layout::ContainerDir;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// Name of the file beside `container.json`.
const FILE: &str = "owed";
/// The file's length: every content is written over the last one as a whole, with one system call.
const LEN: usize = 1024;

/// Records of a container that are missing for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub reason: String,
    /// What tells this sum from others of its reason.
    pub since_ns: u64,
    pub count: u64,
}

fn path(dir: &ContainerDir) -> PathBuf {
    dir.root().join(FILE)
}

/// Keeps what is owed, instead of what was before.
pub(crate) fn store(dir: &ContainerDir, owed: &[Owed]) -> io::Result<()> {
    let mut text = serde_json::to_vec(owed)?;
    if text.len() > LEN {
        return Err(io::Error::other("more reasons than there are"));
    }
    text.resize(LEN, b' ');
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path(dir))?;
    file.write_all_at(&text, 0)
}

/// What an earlier collector has left.
pub(crate) fn load(dir: &ContainerDir) -> Vec<Owed> {
    let read = std::fs::read(path(dir)).ok();
    read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_comes_back_and_replaces_what_was() {
        let state = std::env::temp_dir().join(format!("porthole-owed-{}", std::process::id()));
        let dir = ContainerDir::new(&state, "c").unwrap();
        std::fs::create_dir_all(dir.root()).unwrap();
        assert_eq!(load(&dir), []);
        let owed = |reason: &str| Owed { reason: reason.into(), since_ns: 1, count: u64::MAX };
        let all: Vec<_> = ["ring_full", "malformed", "tampered"].map(owed).to_vec();
        store(&dir, &all).unwrap();
        assert_eq!(load(&dir), all);
        store(&dir, &[]).unwrap();
        assert_eq!(load(&dir), []);
        std::fs::remove_dir_all(state).unwrap();
    }
}
