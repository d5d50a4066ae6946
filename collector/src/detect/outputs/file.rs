//! Alerts appended to a file.

use super::{Line, Out};
use crate::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// See the module.
pub(super) struct File {
    path: PathBuf,
    keep_open: bool,
    file: Option<fs::File>,
    /// It ends in half a line, which the next one must not continue.
    torn: bool,
}

impl File {
    /// Opens it once in any case, so that a wrong path is an error at the start.
    pub fn open(path: &Path, keep_open: bool) -> Result<File, Error> {
        let file = append(path).map_err(|e| Error::io("write alerts to", path, e))?;
        Ok(File { path: path.to_owned(), keep_open, file: Some(file).filter(|_| keep_open), torn: false })
    }
}

impl Out for File {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut file = match self.file.take().filter(|file| self.is_there(file)) {
            Some(file) => file,
            None => append(&self.path)?,
        };
        let newline = if self.torn { "\n" } else { "" };
        let written = file.write_all(format!("{newline}{}\n", line.text).as_bytes());
        self.torn = written.is_err();
        self.file = Some(file).filter(|_| self.keep_open);
        written
    }
}

impl File {
    /// Whether this file still has its name: who rotates files moves them away.
    fn is_there(&self, file: &fs::File) -> bool {
        let id = |meta: io::Result<fs::Metadata>| meta.map(|m| (m.dev(), m.ino())).ok();
        id(file.metadata()) == id(fs::metadata(&self.path))
    }
}

fn append(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}
