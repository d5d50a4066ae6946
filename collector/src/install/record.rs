//! What a configuration was before porthole was told to its engine.

use super::{Engine, LIMIT};
use crate::error::Error;
use porthole_registration::file;
use serde::{Deserialize, Serialize};
use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};

/// Kept in a file for each engine.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// The configuration.
    pub path: PathBuf,
    /// `None`: there was none.
    pub original: Option<String>,
    /// What porthole has made of it.
    pub written: Option<String>,
}

fn place(dir: &Path, engine: Engine) -> PathBuf {
    dir.join(format!("{}.json", format!("{engine:?}").to_lowercase()))
}

impl Record {
    /// The one of an engine, if there is one.
    pub fn read(dir: &Path, engine: Engine) -> Result<Option<Record>, Error> {
        let path = place(dir, engine);
        match file::read(&path, 8 * LIMIT) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Error::new(format!("{} cannot be understood ({e}); remove it, then try again", path.display()))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::new(e.to_string())),
        }
    }

    /// Writes it to the disk itself: it is needed when the power fails right behind.
    pub fn write(&self, dir: &Path, engine: Engine) -> Result<(), Error> {
        create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
        let path = place(dir, engine);
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        file::publish(&path, &bytes, 0o600).map_err(|e| Error::new(e.to_string()))?;
        File::open(&path).and_then(|f| f.sync_all()).map_err(|e| Error::io("write", &path, e))
    }

    /// Forgets it.
    pub fn remove(dir: &Path, engine: Engine) -> Result<(), Error> {
        let path = place(dir, engine);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }
}
