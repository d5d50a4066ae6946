//! Errors that end a command: what happened, to what, what to do.

use std::fmt;
use std::path::Path;

/// A failure with its explanation.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }

    /// `doing` something to `path` failed.
    pub fn io(doing: &str, path: &Path, error: impl fmt::Display) -> Error {
        Error(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
