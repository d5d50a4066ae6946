//! `porthole run`: a command with a collector of its own, without containers or a daemon.

pub(super) mod agent;
pub(super) mod child;
pub(super) mod job;
pub(super) mod place;
mod target;

use super::signals::Signals;
use super::{complain, printer, summary};
use crate::detect::filter::Filter;
use crate::detect::outputs::Target;
use crate::detect::{self, Detector};
use crate::error::Error;
use crate::format::{Format, paint::Paint};
use crate::hub::Hub;
use crate::pipeline::{self, Options, Publish, Sink, Without};
use child::Prepared;
use job::Ended;
use place::Place;
use porthole_registration::sites::Depth;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Run a command and show what it and its descendants do
///
/// The command has porthole's own standard streams, working directory, environment and signals; its exit status, or
/// the signal that ended it, becomes porthole's. Events go to standard error unless --events names a file; standard
/// output is the command's alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole run -- ls /tmp                          events as lines on standard error, then a summary
  porthole run --events e.jsonl -- make -j4        events into a file, only the summary on standard error
  porthole run --events e.jsonl --quiet -- ./test  standard error, too, is the command's alone
  porthole run -r falco_rules.yaml -- make         only what the rules find, on standard error
  porthole run --filter 'evt.type = connect' -- ./test   only some events
  porthole run --format json -- true 2>&1 >/dev/null | grep '^{' | jq .

Exit status: the command's own; 127 if it is not found, 126 if it cannot be executed, 1 if porthole failed, 2 for \
wrong usage. If a signal ended the command, porthole ends by the same signal.")]
pub struct Args {
    /// Write all events to FILE instead of standard error; what the file held before is gone
    #[arg(long, value_name = "FILE", value_parser = crate::cli::event_file)]
    events: Option<PathBuf>,
    /// Judge events by the rules in FILE, or in all rules files of a directory; may be given several times. Alerts go to
    /// standard error, and events only where --events or --format says so
    #[arg(short, long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Append alerts to FILE instead of standard error
    #[arg(long, value_name = "FILE", value_parser = crate::cli::event_file, requires = "rules")]
    alerts: Option<PathBuf>,
    /// Only events that CONDITION is true for: the language of rules, over the same fields (`porthole fields`). Rules judge
    /// all of them
    #[arg(long, value_name = "CONDITION", value_parser = crate::detect::filter::checked)]
    filter: Option<String>,
    /// Form of the events [default: json in a file, compact on standard error]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Neither events nor the summary on standard error
    #[arg(long)]
    quiet: bool,
    /// How deep to look: auto, down to the system calls of the C library where that is understood; symbols, the
    /// functions that programs call; sites, as auto, but say where it cannot be had and why
    #[arg(long, value_enum, default_value = "auto")]
    depth: DepthArg,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// [`Depth`] as an option.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum DepthArg {
    Auto,
    Symbols,
    Sites,
}

impl From<DepthArg> for Depth {
    fn from(depth: DepthArg) -> Depth {
        match depth {
            DepthArg::Auto => Depth::Auto,
            DepthArg::Symbols => Depth::Symbols,
            DepthArg::Sites => Depth::Sites,
        }
    }
}

/// Why the command was not run, and the exit status that says so.
pub(super) struct Refused {
    pub(super) code: u8,
    pub(super) error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused { code: 1, error }
    }
}

pub fn main(args: Args, state_dir: Option<PathBuf>) -> ExitCode {
    match run(args, state_dir) {
        Ok(ended) => ended.pass_on(),
        Err(refused) => {
            complain(&refused.error);
            ExitCode::from(refused.code)
        }
    }
}

fn run(args: Args, state_dir: Option<PathBuf>) -> Result<Ended, Refused> {
    // where SIGCHLD is ignored, the kernel forgets how children ended
    child::make_default(nix::sys::signal::Signal::SIGCHLD);
    // before any thread exists
    let signals = Signals::block(job::SIGNALS)?;
    let depth = args.depth.into();
    let agent = agent::find()?.with_sites(Path::new("/"), depth);
    if let Some(reason) = agent.shallow().filter(|_| !args.quiet && depth == Depth::Sites) {
        complain(&format!("symbols only: {reason}"));
    }
    let mut place = Place::make(state_dir.as_deref(), &agent, &args.command, depth)?;
    let output = Output::start(&args)?;
    let detector = detector(&args, output.hub.clone())?;
    let publish = detector.clone().map_or(output.hub.clone() as Arc<dyn Publish>, |d| d);
    let pipeline = pipeline::start(Options {
        state_dir: place.state_dir().to_owned(),
        sinks: output.sinks.clone(),
        hub: Some(publish),
        without: Without::from_env(),
    })?;
    place.wait_for_socket();

    let started = Prepared::new(&args.command, &place.library()).and_then(|p| p.start(&signals.before));
    let ended = match started {
        Ok(child) => {
            pipeline::raise_descriptor_limit();
            job::wait(child, &signals)
        }
        Err(refused) => {
            pipeline.stop();
            output.finish();
            detector.iter().for_each(|d| d.stop());
            return Err(refused);
        }
    };
    let survivors = place.survivors();
    let (mut status, containers) = pipeline.stop_and_list();
    output.finish();
    if let Some(detector) = &detector {
        detector.stop();
        status.rules = detector.matches();
    }
    if !args.quiet {
        complain(&summary::of_run(&status, &containers.into_iter().next().unwrap_or_default()));
        place.say_who_stays(survivors);
    }
    if survivors > 0 {
        place.leave();
    }
    Ok(ended?)
}

/// What judges the events, where there are rules.
fn detector(args: &Args, hub: Arc<Hub>) -> Result<Option<Arc<Detector>>, Error> {
    if args.rules.is_empty() {
        return Ok(None);
    }
    let target = match &args.alerts {
        Some(path) => Target::File { path: path.clone(), keep_open: true },
        None => Target::Stderr,
    };
    let detector = Detector::start(&detect::Plan::of(args.rules.clone(), target), Some(hub))?;
    if !args.quiet {
        detector.notices().iter().for_each(|notice| complain(notice));
    }
    Ok(Some(Arc::new(detector)))
}

/// Where the events of a run go.
struct Output {
    sinks: Vec<Sink>,
    hub: Arc<Hub>,
    printer: Option<printer::Printer>,
}

impl Output {
    fn start(args: &Args) -> Result<Output, Error> {
        let hub = Arc::new(Hub::new(0, 0));
        let failed = |e: &io::Error| complain(&format!("cannot write events: {e}"));
        let format = args.format.unwrap_or(if args.events.is_some() { Format::Json } else { Format::Compact });
        let filter = args.filter.as_deref().map(Filter::new).transpose().map_err(Error::new)?;
        let (sinks, printer) = match (&args.events, format) {
            (Some(path), Format::Json) if filter.is_none() => {
                create(path)?;
                let path = std::path::absolute(path).map_err(|e| Error::io("write events to", path, e))?;
                (vec![Sink::File(path)], None)
            }
            (Some(path), _) => (vec![], Some(printer::start(&hub, filter, format, Paint::OFF, create(path)?, failed)?)),
            (None, _) if args.quiet || (!args.rules.is_empty() && args.format.is_none()) => (vec![], None),
            (None, _) => {
                let paint = Paint::for_stream(&io::stderr());
                (vec![], Some(printer::start(&hub, filter, format, paint, io::stderr(), failed)?))
            }
        };
        Ok(Output { sinks, hub, printer })
    }

    /// Waits for the last line.
    fn finish(self) {
        self.hub.close();
        if let Some(printer) = self.printer {
            let _ = printer.finish(); // has been said
        }
    }
}

/// Opens the file for events. One that is there is emptied, unless it stands for a stream (`/dev/stderr`).
fn create(path: &Path) -> Result<File, Error> {
    let stream = path.starts_with("/dev") || path.starts_with("/proc");
    let mut how = File::options();
    how.write(true).create(true).append(stream).truncate(!stream).mode(0o640);
    how.open(path).map_err(|e| Error::io("write events to", path, e))
}
