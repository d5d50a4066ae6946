//! What has been found in a library, kept for the next container.
//!
//! Named by a digest of the whole file and not by its build-id: an image that carries a foreign build-id must not
//! decide what is patched, or believed to be patched, in another container.

use super::Found;
use crate::file;
use nix::unistd::geteuid;
use porthole_common::sites::CALLS;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Another number where the rules of the search have changed.
const RULES: u32 = 2;
/// Entries that are kept; at the next one all are dropped.
const ENTRIES: usize = 64;
const LIMIT: u64 = 64 * 1024;

/// A directory below the state directory that nobody else can write.
pub struct Cache(PathBuf);

impl Cache {
    /// `None` if there is no such directory and none can be made.
    pub fn below(state: &Path) -> Option<Cache> {
        let dir = state.join("sites");
        file::make_dir(&dir, 0o700).ok()?;
        let meta = fs::symlink_metadata(&dir).ok()?;
        let private = meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o077 == 0;
        private.then_some(Cache(dir))
    }

    /// What `analyze` finds in `bytes`, or has found.
    pub fn get(&self, bytes: &[u8], analyze: impl FnOnce(&[u8]) -> Option<Found>) -> Option<Found> {
        let path = self.0.join(name(bytes));
        let kept = file::read(&path, LIMIT).ok().and_then(|entry| serde_json::from_slice(&entry).ok());
        if let Some(found) = kept {
            return found;
        }
        let found = analyze(bytes);
        self.make_room();
        // Not kept, it is found again.
        let _ = serde_json::to_vec(&found).map(|entry| file::publish(&path, &entry, 0o600));
        found
    }

    fn make_room(&self) {
        let entries: Vec<_> = fs::read_dir(&self.0).into_iter().flatten().flatten().collect();
        if entries.len() >= ENTRIES {
            entries.iter().for_each(|entry| _ = fs::remove_file(entry.path()));
        }
    }
}

fn name(bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(RULES.to_le_bytes());
    CALLS.iter().for_each(|call| digest.update(call.to_le_bytes()));
    digest.update(bytes);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
