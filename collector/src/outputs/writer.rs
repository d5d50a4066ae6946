//! JSON lines to a file or to standard output.

use super::repeated::Repeated;
use crate::error::Error;
use crate::event::Event;
use crate::loss::lock;
use crate::pipeline::Sink;
use crate::status::OutputStatus;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A full disk may have room again soon: so often, and so long in between, is a write tried again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// One output.
pub(crate) struct Writer {
    file: File,
    /// A regular file that we have opened for appending: half a line can be taken off again.
    own: bool,
    /// The output ends in half a line that could not be taken off: the next one starts after a newline.
    torn: bool,
    lines: Vec<u8>,
    repeated: Repeated,
    /// What the status shows; shared with it.
    pub status: Arc<Mutex<OutputStatus>>,
}

impl Writer {
    /// Opens an output.
    pub fn open(sink: &Sink) -> Result<Writer, Error> {
        let (name, file, own, repeated) = match sink {
            Sink::Stdout => {
                let copy = io::stdout().as_fd().try_clone_to_owned();
                let file = copy.map_err(|e| Error::new(format!("cannot write to standard output: {e}")))?;
                ("stdout".to_owned(), File::from(file), false, Repeated::default())
            }
            Sink::File(path) => {
                let (file, own, repeated) = open_file(path).map_err(|e| Error::io("open the event file", path, e))?;
                (format!("file {}", path.display()), file, own, repeated)
            }
        };
        let status = Arc::new(Mutex::new(OutputStatus { name, ..Default::default() }));
        Ok(Writer { file, own, torn: false, lines: vec![], repeated, status })
    }

    /// Writes events, with one system call where the file takes them all at once.
    pub fn write<'a>(&mut self, events: impl Iterator<Item = &'a Arc<Event>>) {
        self.lines.clear();
        let (mut count, mut repeated) = (0, 0);
        for event in events {
            if self.repeated.contains(event) {
                repeated += 1;
                continue;
            }
            event.write_json(&mut self.lines);
            self.lines.push(b'\n');
            count += 1;
        }
        let result = if count == 0 { Ok(()) } else { self.write_lines() };
        let mut status = lock(&self.status);
        status.repeated += repeated;
        match result {
            Ok(()) => status.written += count,
            Err((e, done)) => {
                let written = self.lines[..done].iter().filter(|b| **b == b'\n').count() as u64;
                status.written += written;
                status.lost += count - written;
                status.error = e.to_string();
            }
        }
        // A burst must not hold its memory for ever.
        drop(status);
        self.lines.shrink_to(1 << 20);
    }

    /// Writes `lines`, or tells how many of their bytes were. Never is anything appended to half a line.
    fn write_lines(&mut self) -> Result<(), (io::Error, usize)> {
        if self.torn {
            write_all(&mut self.file, b"\n").map_err(|(e, _)| (e, 0))?;
            self.torn = false;
        }
        let result = write_all(&mut self.file, &self.lines);
        if let Err((_, done)) = result {
            let whole = self.lines[..done].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let half = done - whole;
            self.torn = half > 0 && !(self.own && take_off(&mut self.file, half).unwrap_or(false));
        }
        result
    }
}

/// Writes everything, or tells how far it came.
fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let (mut done, mut tries) = (0, 0);
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if tries < TRIES && e.kind() != io::ErrorKind::BrokenPipe => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            Err(e) => return Err((e, done)),
        }
    }
    Ok(())
}

/// Takes off the last `len` bytes, which we have written; whether that was possible. What others have appended
/// meanwhile, or a file that was emptied, is left alone.
fn take_off(file: &mut File, len: usize) -> io::Result<bool> {
    // After appending, the position is where our bytes end.
    let end = file.stream_position()?;
    if file.metadata()?.len() != end {
        return Ok(false);
    }
    file.set_len(end.saturating_sub(len as u64))?;
    Ok(true)
}

/// Opens for appending; a line that a killed collector has not finished is taken off (it will be written again).
/// Also tells whether it is a regular file.
fn open_file(path: &Path) -> io::Result<(File, bool, Repeated)> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok((file, false, Repeated::default()));
    }
    let (repeated, whole) = Repeated::read(&file)?;
    if whole < file.metadata()?.len() {
        file.set_len(whole)?;
    }
    Ok((file, true, repeated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_last_line_is_taken_off() {
        let path = std::env::temp_dir().join(format!("porthole-writer-{}", std::process::id()));
        std::fs::write(&path, "{\"a\":1}\n{\"b\":").unwrap();
        let mut writer = Writer::open(&Sink::File(path.clone())).unwrap();
        let event = Arc::new(crate::event::tests::sample());
        writer.write([&event].into_iter());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"a\":1}\n{\"time\":"), "{text}");
        assert_eq!(text.lines().count(), 2);
        let mut again = Writer::open(&Sink::File(path.clone())).unwrap();
        again.write([&event].into_iter());
        assert_eq!(lock(&again.status).repeated, 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "what is there is not written twice");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_full_disk_is_counted() {
        let Ok(_) = File::open("/dev/full") else { return };
        let mut writer = Writer::open(&Sink::File("/dev/full".into())).unwrap();
        writer.write([&Arc::new(crate::event::tests::sample())].into_iter());
        let status = lock(&writer.status).clone();
        assert_eq!((status.written, status.lost), (0, 1));
        assert!(!status.error.is_empty());
    }

    fn whole_lines(text: &str) -> u64 {
        let whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        text.lines().filter(whole).count() as u64
    }

    #[test]
    fn a_disk_that_fills_up_leaves_no_half_line() {
        let dir = std::env::temp_dir().join(format!("porthole-full-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let run = |program: &str, args: &[&str]| {
            std::process::Command::new(program).args(args).arg(&dir).status().is_ok_and(|s| s.success())
        };
        if !run("mount", &["-t", "tmpfs", "-o", "size=64k", "porthole-test"]) {
            eprintln!("SKIP: a small tmpfs cannot be mounted (needs root)");
            return std::fs::remove_dir(&dir).unwrap();
        }
        let events: Vec<_> = (0..100).map(|_| Arc::new(crate::event::tests::sample())).collect();
        let (path, ballast) = (dir.join("events"), dir.join("ballast"));
        std::fs::write(&ballast, [0; 56 << 10]).unwrap();
        let mut writer = Writer::open(&Sink::File(path.clone())).unwrap();
        writer.write(events.iter());
        let first = lock(&writer.status).clone();
        let after_first = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&ballast).unwrap();
        writer.write(events[..2].iter());
        let status = lock(&writer.status).clone();
        let text = std::fs::read_to_string(&path).unwrap();
        drop(writer);
        assert!(run("umount", &[]));
        std::fs::remove_dir(&dir).unwrap();
        assert!(first.written > 0 && first.lost > 0, "{first:?}");
        assert!(after_first.ends_with('\n'));
        assert_eq!((status.written, status.lost), (first.written + 2, first.lost));
        assert_eq!((whole_lines(&text), text.lines().count() as u64), (status.written, status.written));
    }

    #[test]
    fn what_follows_half_a_line_in_a_pipe_starts_a_new_one() {
        let (mut from, to) = io::pipe().unwrap();
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&to, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
        let mut writer = Writer::open(&Sink::Stdout).unwrap();
        writer.file = File::from(std::os::fd::OwnedFd::from(to));
        let events: Vec<_> = (0..1000).map(|_| Arc::new(crate::event::tests::sample())).collect();
        writer.write(events.iter());
        assert!(writer.torn, "the pipe has taken part of a line");
        let mut text = vec![0; 1 << 20];
        let len = io::Read::read(&mut from, &mut text).unwrap();
        text.truncate(len);
        writer.write(events[..2].iter());
        let status = lock(&writer.status).clone();
        drop(writer);
        io::Read::read_to_end(&mut from, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(status.written + status.lost, 1002);
        assert_eq!((whole_lines(&text), text.lines().count() as u64), (status.written, status.written + 1));
    }
}
