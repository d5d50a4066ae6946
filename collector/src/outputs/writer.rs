//! JSON lines to a file or to standard output.

use super::repeated::Repeated;
use crate::error::Error;
use crate::event::Event;
use crate::loss::lock;
use crate::pipeline::Sink;
use crate::status::OutputStatus;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
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
    lines: Vec<u8>,
    repeated: Repeated,
    /// What the status shows; shared with it.
    pub status: Arc<Mutex<OutputStatus>>,
}

impl Writer {
    /// Opens an output.
    pub fn open(sink: &Sink) -> Result<Writer, Error> {
        let (name, file, repeated) = match sink {
            Sink::Stdout => {
                let copy = io::stdout().as_fd().try_clone_to_owned();
                let file = copy.map_err(|e| Error::new(format!("cannot write to standard output: {e}")))?;
                ("stdout".to_owned(), File::from(file), Repeated::default())
            }
            Sink::File(path) => {
                let (file, repeated) = open_file(path).map_err(|e| Error::io("open the event file", path, e))?;
                (format!("file {}", path.display()), file, repeated)
            }
        };
        let status = Arc::new(Mutex::new(OutputStatus { name, ..Default::default() }));
        Ok(Writer { file, lines: vec![], repeated, status })
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
        let result = if count == 0 { Ok(()) } else { write_all(&mut self.file, &self.lines) };
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
}

/// Writes everything, or tells how far it came. A broken line is completed by a newline, so that the next is whole.
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
            Err(e) => {
                if done > 0 && bytes[done - 1] != b'\n' {
                    let _ = file.write(b"\n");
                }
                return Err((e, done));
            }
        }
    }
    Ok(())
}

/// Opens for appending; a line that a killed collector has not finished is taken off (it will be written again).
fn open_file(path: &Path) -> io::Result<(File, Repeated)> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok((file, Repeated::default()));
    }
    let (repeated, whole) = Repeated::read(&file)?;
    if whole < file.metadata()?.len() {
        file.set_len(whole)?;
    }
    Ok((file, repeated))
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
}
