//! Rules files as they lie on the disk.

use crate::error::Error;
use porthole_rules::load::File;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest rules file that is read.
const LARGEST: u64 = 16 << 20;

/// The files of a list, in order; a directory stands for the rules files in it, by their names.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn paths(listed: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut all = vec![];
    for path in listed {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).map_err(|e| Error::io("read the rules directory", path, e))?;
        let named = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let mut inside: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(named).collect();
        inside.sort();
        all.append(&mut inside);
    }
    Ok(all)
}

/// What tells whether a file has changed: its place, its time, its size.
pub(crate) type Version = (PathBuf, Option<(u64, i64, i64, u64)>);

/// The files of a list as they are now.
pub(crate) fn versions(listed: &[PathBuf]) -> Vec<Version> {
    let version = |path: PathBuf| {
        let meta = fs::metadata(&path).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.len()));
        (path, meta)
    };
    paths(listed).unwrap_or_else(|_| listed.to_vec()).into_iter().map(version).collect()
}

/// Reads the files of a list.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn read(listed: &[PathBuf]) -> Result<Vec<File>, Error> {
    paths(listed)?.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<File, Error> {
    let failed = |e| Error::io("read the rules file", path, e);
    let mut bytes = vec![];
    fs::File::open(path).and_then(|f| f.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::new(format!("rules file {} is larger than {LARGEST} bytes", path.display())));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|e| Error::new(format!("rules file {} is no UTF-8 text: {e}", path.display())))?;
    Ok(File { name: path.display().to_string(), text })
}
