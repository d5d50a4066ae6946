//! Where alerts go. Each output has a thread and a bounded queue: a slow one loses its own alerts, which are counted,
//! and holds up nobody.

mod file;
pub mod http;
mod program;
mod stream;
mod syslog;
mod watch;

use super::alert::Line;
use crate::error::Error;
use crate::loss::lock;
use crate::status::OutputStatus;
use crossbeam_channel::{Receiver, Sender, bounded};
pub use program::Programs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watch::Watch;

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
    /// To a server.
    Http(Box<http::Setup>),
    /// To a program's standard input; to a new one for each alert unless it is kept alive.
    Program {
        /// As a shell takes it. Not executed here: see [`Programs`].
        command: String,
        /// `keep_alive`.
        keep_alive: bool,
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
    /// Alerts that were put into it, and those that found it full.
    sent: u64,
    full: u64,
    watch: Watch,
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
    pub fn open(plan: &Plan, programs: &Arc<Programs>) -> Result<Outputs, Error> {
        let running = plan.targets.iter().map(|t| open(t, plan.capacity, programs)).collect::<Result<Vec<_>, _>>()?;
        let status = running.iter().map(|o| o.watch.status.clone()).collect();
        Ok(Outputs { running: Mutex::new(running), status })
    }

    /// Hands a line to each; it is made only if there is an output.
    pub fn send(&self, line: impl FnOnce() -> Line) {
        let mut running = lock(&self.running);
        if running.is_empty() {
            return;
        }
        let line = Arc::new(line());
        for output in running.iter_mut() {
            if output.queue.try_send(line.clone()).is_ok() {
                output.sent += 1;
                continue;
            }
            output.full += 1;
            let mut status = lock(&output.watch.status);
            status.lost += 1;
            if status.error.is_empty() {
                status.error = "the queue was full: the output is too slow".into();
            }
        }
    }

    pub fn status(&self) -> Vec<OutputStatus> {
        self.status.iter().map(|s| lock(s).clone()).collect()
    }

    /// Lets them write what they have, for a while; what is left then is lost and counted.
    pub fn stop(&self) {
        let deadline = Instant::now() + LAST;
        let running = std::mem::take(&mut *lock(&self.running));
        // all are told first: they end at the same time
        let ending = running.into_iter().map(|Output { queue: _, sent, full, watch, thread }| {
            watch.end();
            (sent + full, watch.status, thread)
        });
        for (made, status, thread) in ending.collect::<Vec<_>>() {
            // one that hangs in a write ends with the process
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            let mut status = lock(&status);
            status.lost = status.lost.max(made.saturating_sub(status.written));
        }
    }
}

/// Whether an output can be had: asked before a running one is given up for it.
///
/// # Errors
/// Why not.
pub(super) fn check(plan: &Plan) -> Result<(), Error> {
    for target in &plan.targets {
        if let Target::Http(setup) = target {
            http::Http::new(setup, Watch::default())?;
        }
    }
    Ok(())
}

fn open(target: &Target, capacity: usize, programs: &Arc<Programs>) -> Result<Output, Error> {
    let name = match target {
        Target::Stdout => "alerts to stdout".into(),
        Target::Stderr => "alerts to stderr".into(),
        Target::Syslog => "alerts to syslog".into(),
        Target::File { path, .. } => format!("alerts to file {}", path.display()),
        Target::Http(setup) => format!("alerts to {}", http::shown(setup)?),
        // the whole of it may hold secrets
        Target::Program { command, .. } => {
            format!("alerts to program {}", command.split_whitespace().next().unwrap_or_default())
        }
    };
    let watch = Watch::named(name);
    let out: Box<dyn Out> = match target {
        Target::Stdout => Box::new(stream::Stream::stdout()?),
        Target::Stderr => Box::new(stream::Stream::stderr()?),
        Target::Syslog => Box::new(syslog::Syslog::new(syslog::SOCKET.as_ref())),
        Target::File { path, keep_open } => Box::new(file::File::open(path, *keep_open)?),
        Target::Http(setup) => Box::new(http::Http::new(setup, watch.clone())?),
        Target::Program { keep_alive, .. } => {
            Box::new(program::Program::new(programs.clone(), *keep_alive, watch.clone()))
        }
    };
    let (queue, lines) = bounded(capacity);
    let of_thread = watch.clone();
    let thread = std::thread::Builder::new().name("alerts".into()).spawn(move || run(&lines, out, &of_thread.status));
    let thread = thread.map_err(|e| Error::new(format!("cannot start a thread for alerts: {e}")))?;
    Ok(Output { queue, sent: 0, full: 0, watch, thread })
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
