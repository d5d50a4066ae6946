//! The streams of the runs: one input for all, outputs into pipes that are read here.

use super::Ending;
use super::output::Output;
use crate::cli::complain;
use crate::cli::signals::Signals;
use crate::error::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::mkdtemp;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

/// Most bytes of standard input that are kept for the runs.
const INPUT: u64 = 256 << 20;
/// Largest piece that is read at once, the usual size of a pipe.
const PIECE: usize = 64 * 1024;
/// Most bytes that are read from an output after its run: a pipe holds no more, and who still writes is not waited for.
const DRAIN: usize = 1 << 20;
/// How long nothing may come from standard input before we say that we wait for it, milliseconds.
const PATIENCE: u16 = 2000;

/// The input of all runs. Its directory is removed at the end.
pub struct Streams {
    dir: PathBuf,
    /// Terminals and other devices go to the command as they are.
    device: Option<File>,
}

impl Streams {
    /// Reads standard input to its end.
    pub fn spool(signals: &Signals) -> Result<Streams, Ending> {
        let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let input = input.map_err(|e| Error::new(format!("cannot read standard input: {e}")))?;
        let device = input.metadata().is_ok_and(|m| m.file_type().is_char_device());
        let template = std::env::temp_dir().join("porthole-compare-XXXXXX");
        let dir = mkdtemp(&template).map_err(|e| Error::io("create a directory like", &template, e))?;
        if device {
            return Ok(Streams { dir, device: Some(input) });
        }
        let streams = Streams { dir, device: None };
        streams.copy(input, signals)?;
        Ok(streams)
    }

    fn copy(&self, mut input: File, signals: &Signals) -> Result<(), Ending> {
        let path = self.dir.join("stdin");
        let failed = |e| Error::io("read standard input into", &path, e);
        let mut file = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
        let (mut piece, mut total, mut waiting) = (vec![0; PIECE], 0, false);
        loop {
            let [ready, asked] = readable([input.as_fd(), signals.as_fd()], (!waiting).then_some(PATIENCE))?;
            if asked && let Some(signal) = signals.wait()?.interrupts() {
                return Err(Ending::Interrupted(signal));
            }
            if !ready {
                if !asked && !waiting {
                    complain(&"waiting for the end of standard input; </dev/null for a command that needs none");
                    waiting = true;
                }
                continue;
            }
            let n = input.read(&mut piece).map_err(failed)?;
            if n == 0 {
                return Ok(());
            }
            file.write_all(&piece[..n]).map_err(failed)?;
            total += n as u64;
            if total > INPUT {
                let why = "standard input is larger than 256 MiB; give the command a file instead";
                return Err(Error::new(why).into());
            }
        }
    }

    /// Standard input of the next run.
    pub fn input(&self) -> Result<File, Error> {
        match &self.device {
            Some(device) => device.try_clone().map_err(|e| Error::new(format!("cannot pass on standard input: {e}"))),
            None => {
                let path = self.dir.join("stdin");
                File::open(&path).map_err(|e| Error::io("open", &path, e))
            }
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            complain(&Error::io("remove", &self.dir, e));
        }
    }
}

/// Which of the two can be read, or has ended; neither when the time, in milliseconds, is over.
fn readable(two: [BorrowedFd; 2], timeout: Option<u16>) -> Result<[bool; 2], Error> {
    let mut fds = two.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match poll(&mut fds, timeout.map_or(PollTimeout::NONE, PollTimeout::from)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(fds.map(|fd| fd.any() == Some(true))),
        Err(e) => Err(Error::new(format!("cannot wait for input: {e}"))),
    }
}

/// What one run writes to standard output and standard error, being read.
pub struct Captured {
    readers: [JoinHandle<Output>; 2],
    /// When it is closed, what is there by then is the last that is read.
    running: PipeWriter,
}

impl Captured {
    /// Starts to read; the pipes' other ends are for the command.
    pub fn start() -> Result<(Captured, [PipeWriter; 2]), Error> {
        let failed = |e| Error::new(format!("cannot set up pipes for the command: {e}"));
        let (ended, running) = io::pipe().map_err(failed)?;
        let reader = || -> io::Result<_> {
            let ((from, to), ended) = (io::pipe()?, ended.try_clone()?);
            Ok((thread::Builder::new().spawn(move || read(from, &ended))?, to))
        };
        let (output, errors) = (reader().map_err(failed)?, reader().map_err(failed)?);
        Ok((Captured { readers: [output.0, errors.0], running }, [output.1, errors.1]))
    }

    /// All of it, when the run is over.
    pub fn finish(self) -> Result<[Output; 2], Error> {
        drop(self.running);
        let [output, errors] = self.readers.map(JoinHandle::join);
        let lost = |_| Error::new("an output of the command was lost");
        Ok([output.map_err(lost)?, errors.map_err(lost)?])
    }
}

fn read(mut from: PipeReader, ended: &PipeReader) -> Output {
    let mut output = Output::default();
    let (mut piece, mut late) = (vec![0; PIECE], 0);
    while late < DRAIN {
        let [ready, over] = match readable([from.as_fd(), ended.as_fd()], None) {
            Ok([false, true]) | Err(_) => break,
            Ok(either) => either,
        };
        if ready {
            match from.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    output.push(&piece[..n]);
                    late += if over { n } else { 0 };
                }
            }
        }
    }
    output.finish()
}
