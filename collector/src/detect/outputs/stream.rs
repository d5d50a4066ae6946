//! Alerts on a standard stream.

use super::{Line, Out};
use crate::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// A copy of one of this process's streams: nobody's buffer is in between.
pub(super) struct Stream(File);

impl Stream {
    pub fn stdout() -> Result<Stream, Error> {
        Stream::copy("standard output", io::stdout().as_fd())
    }

    pub fn stderr() -> Result<Stream, Error> {
        Stream::copy("standard error", io::stderr().as_fd())
    }

    fn copy(name: &str, fd: BorrowedFd) -> Result<Stream, Error> {
        let copy = fd.try_clone_to_owned().map_err(|e| Error::new(format!("cannot write alerts to {name}: {e}")))?;
        Ok(Stream(copy.into()))
    }
}

impl Out for Stream {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        self.0.write_all(format!("{}\n", line.text).as_bytes())
    }
}
