//! What a configuration was before porthole was told to its engine.

use super::{Engine, LIMIT, write};
use crate::error::Error;
use nix::fcntl::{Flock, FlockArg};
use porthole_registration::file;
use serde::{Deserialize, Serialize};
use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Kept in a file for each configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The file that is changed.
    pub path: PathBuf,
    /// `None`: there was none.
    pub original: Option<String>,
    /// When it was last changed by somebody else.
    #[serde(default)]
    pub modified: Option<SystemTime>,
    /// What porthole has made of it.
    pub written: Option<String>,
    /// What porthole had made of it before: it is still there after a death halfway.
    #[serde(default)]
    pub before: Option<String>,
    /// Directories that were made for it, the innermost first.
    #[serde(default)]
    pub made: Vec<PathBuf>,
}

impl Record {
    /// Whether this text of the file is nobody else's.
    pub fn is_ours(&self, text: Option<&str>) -> bool {
        text.is_some() && [&self.written, &self.before].iter().any(|ours| ours.as_deref() == text)
    }

    /// The one of a configuration, if there is one.
    pub fn read(dir: &Path, engine: Engine, config: &Path) -> Result<Option<Record>, Error> {
        let path = place(dir, engine, config);
        match file::read(&path, 16 * LIMIT) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Error::new(format!("{} cannot be understood ({e}); remove it, then try again", path.display()))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::new(e.to_string())),
        }
    }

    /// Writes it to the disk itself: it is needed when the power fails right behind.
    pub fn write(&self, dir: &Path, engine: Engine, config: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        write::replace(&place(dir, engine, config), &bytes, 0o600, None)
    }

    /// Forgets it.
    pub fn remove(dir: &Path, engine: Engine, config: &Path) -> Result<(), Error> {
        write::remove_for_good(&place(dir, engine, config))
    }
}

/// While this lives no other porthole changes configurations.
pub fn lock(dir: &Path) -> Result<Flock<File>, Error> {
    create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
    let file = File::open(dir).map_err(|e| Error::io("open", dir, e))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| Error::io("lock", dir, e))
}

fn place(dir: &Path, engine: Engine, config: &Path) -> PathBuf {
    let name = format!("{}{}", engine.name(), config.display());
    dir.join(format!("{}.json", name.replace('/', ":")))
}
