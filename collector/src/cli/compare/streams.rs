//! The streams of the runs: one input for all, outputs in files of the same names, so that descriptors look alike.

use crate::cli::complain;
use crate::error::Error;
use nix::unistd::mkdtemp;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// See the module. Its directory is removed at the end.
pub struct Streams {
    dir: PathBuf,
    /// Terminals and other devices go to the command as they are.
    device: Option<File>,
}

impl Streams {
    /// Reads standard input to its end.
    pub fn spool() -> Result<Streams, Error> {
        let template = std::env::temp_dir().join("porthole-compare-XXXXXX");
        let dir = mkdtemp(&template).map_err(|e| Error::io("create a directory like", &template, e))?;
        let mut streams = Streams { dir, device: None };
        let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let mut input = input.map_err(|e| Error::new(format!("cannot read standard input: {e}")))?;
        if input.metadata().is_ok_and(|m| m.file_type().is_char_device()) {
            streams.device = Some(input);
            return Ok(streams);
        }
        let path = streams.dir.join("stdin");
        let mut file = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
        io::copy(&mut input, &mut file).map_err(|e| Error::io("read standard input into", &path, e))?;
        Ok(streams)
    }

    /// Standard input, output and error of the next run.
    pub fn open(&self) -> Result<[File; 3], Error> {
        let input = match &self.device {
            Some(device) => {
                device.try_clone().map_err(|e| Error::new(format!("cannot pass on standard input: {e}")))?
            }
            None => {
                let path = self.dir.join("stdin");
                File::open(&path).map_err(|e| Error::io("open", &path, e))?
            }
        };
        Ok([input, fresh(&self.dir.join("stdout"))?, fresh(&self.dir.join("stderr"))?])
    }

    /// What the last run wrote to standard output and standard error.
    pub fn outputs(&self) -> Result<[Vec<u8>; 2], Error> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            fs::read(&path).map_err(|e| Error::io("read", &path, e))
        };
        Ok([read("stdout")?, read("stderr")?])
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            complain(&Error::io("remove", &self.dir, e));
        }
    }
}

/// A new file, which descendants of an earlier run that still write do not know.
fn fresh(path: &Path) -> Result<File, Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("remove", path, e)),
        _ => {}
    }
    File::create_new(path).map_err(|e| Error::io("create", path, e))
}
