//! Where alerts go. Each output has a thread and a bounded queue: a slow one loses its own alerts, which are counted,
//! and holds up nobody.

mod file;
mod stream;
mod syslog;

use super::alert::Line;
use crate::error::Error;
use crate::loss::lock;
use crate::status::OutputStatus;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Alerts that an output may lag behind, unless the configuration says otherwise.
pub const CAPACITY: usize = 10_000;
/// How long outputs may take to write what they have when the collector ends.
const LAST: Duration = Duration::from_secs(5);

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The system's log.
    Syslog,
    /// Appended to a file; opened anew for each alert unless it is kept open.
    File {
        /// The file.
        path: PathBuf,
        /// `keep_alive`.
        keep_open: bool,
    },
}

/// All of them, and how much each may lag behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where.
    pub targets: Vec<Target>,
    /// Alerts in a queue.
    pub capacity: usize,
}

/// Writes alerts somewhere.
trait Out: Send {
    /// One line, without its end.
    fn write(&mut self, line: &Line) -> io::Result<()>;
}

/// A running output.
struct Output {
    queue: Sender<Arc<Line>>,
    status: Arc<Mutex<OutputStatus>>,
    thread: JoinHandle<()>,
}

/// The running outputs.
pub(super) struct Outputs {
    running: Mutex<Vec<Output>>,
    status: Vec<Arc<Mutex<OutputStatus>>>,
}

impl Outputs {
    /// Opens them all.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn open(plan: &Plan) -> Result<Outputs, Error> {
        let running = plan.targets.iter().map(|t| open(t, plan.capacity)).collect::<Result<Vec<_>, _>>()?;
        let status = running.iter().map(|o| o.status.clone()).collect();
        Ok(Outputs { running: Mutex::new(running), status })
    }

    /// Hands a line to each; it is made only if there is an output.
    pub fn send(&self, line: impl FnOnce() -> Line) {
        let running = lock(&self.running);
        if running.is_empty() {
            return;
        }
        let line = Arc::new(line());
        for output in running.iter() {
            if output.queue.try_send(line.clone()).is_err() {
                let mut status = lock(&output.status);
                status.lost += 1;
                if status.error.is_empty() {
                    status.error = "the queue was full: the output is too slow".into();
                }
            }
        }
    }

    pub fn status(&self) -> Vec<OutputStatus> {
        self.status.iter().map(|s| lock(s).clone()).collect()
    }

    /// Lets them write what they have, for a while; what is left then is lost and counted.
    pub fn stop(&self) {
        let running = std::mem::take(&mut *lock(&self.running));
        let deadline = Instant::now() + LAST;
        for Output { queue, thread, status, .. } in running {
            let left = queue.clone();
            drop(queue);
            while !thread.is_finished() && !left.is_empty() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            let unwritten = left.len() as u64;
            drop(left);
            // one that hangs in a write ends with the process
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !thread.is_finished() {
                lock(&status).lost += unwritten;
            }
        }
    }
}

fn open(target: &Target, capacity: usize) -> Result<Output, Error> {
    let (name, out): (String, Box<dyn Out>) = match target {
        Target::Stdout => ("alerts to stdout".into(), Box::new(stream::Stream::stdout()?)),
        Target::Stderr => ("alerts to stderr".into(), Box::new(stream::Stream::stderr()?)),
        Target::Syslog => ("alerts to syslog".into(), Box::new(syslog::Syslog::new(syslog::SOCKET.as_ref()))),
        Target::File { path, keep_open } => {
            (format!("alerts to file {}", path.display()), Box::new(file::File::open(path, *keep_open)?))
        }
    };
    let status = Arc::new(Mutex::new(OutputStatus { name, ..OutputStatus::default() }));
    let (queue, lines) = bounded(capacity);
    let of_thread = status.clone();
    let thread = std::thread::Builder::new().name("alerts".into()).spawn(move || run(&lines, out, &of_thread));
    let thread = thread.map_err(|e| Error::new(format!("cannot start a thread for alerts: {e}")))?;
    Ok(Output { queue, status, thread })
}

/// Writes until nobody sends any more.
fn run(lines: &Receiver<Arc<Line>>, mut out: Box<dyn Out>, status: &Mutex<OutputStatus>) {
    for line in lines {
        let written = out.write(&line);
        let mut status = lock(status);
        match written {
            Ok(()) => status.written += 1,
            Err(e) => {
                status.lost += 1;
                status.error = e.to_string();
            }
        }
    }
}
