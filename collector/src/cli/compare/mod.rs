//! `porthole compare`: whether a command can tell that it runs hooked, and what that costs.

mod leftovers;
mod observed;
mod outcome;
mod output;
mod report;
mod stream;
mod streams;
mod tally;
mod traced;

use super::run::{DepthArg, Refused, agent, child, job, place::Place};
use super::signals::Signals;
use super::{Stop, complain, print};
use crate::error::Error;
use crate::pipeline::{self, Options, Without};
use child::Prepared;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use outcome::Outcome;
use porthole_registration::share::Agent;
use porthole_registration::sites::Depth;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use streams::{Captured, Streams};
use tally::{Tally, Verdict};

/// Bare runs that must agree before a difference is believed.
const ENOUGH: usize = 4;

/// Run a command bare and hooked, and show every difference and what the hooks cost
///
/// Both have the same input, working directory and environment. Compared are how the command ended, the bytes of its
/// standard output and standard error, and what its first process held just before it ended: environment (as the last
/// exec gave it), descriptors, limits, signal masks, capabilities, seccomp. Our entry in LD_PRELOAD is the only
/// difference that is allowed, and it is named. After a difference the command runs bare again, up to four times in
/// all: what already differs between bare runs, line by line, is called unstable and is no difference of ours.
///
/// Standard input is read to its end first (256 MiB at most), unless it is a terminal or another device; outputs go into
/// pipes. Of an output that is very large the last lines are compared as one, and not shown. What the command leaves
/// running is ended three seconds after each run.
///
/// The first process is traced (ptrace) in both runs, so that it stops once before it ends; where that is not allowed
/// or would take away privileges of the command's file, what it held is not compared, and that is said.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole compare -- sh -c 'exit 3'               the same exit status, or what differs
  porthole compare --runs 9 -- make -B </dev/null  medians of nine runs each, bare and hooked in turn
  porthole compare --format json -- sort <data | jq .differences

Exit status: 0 no difference; 1 a difference, which is shown; 2 wrong usage, or nothing could be compared; 127 if the \
command is not found, 126 if it cannot be executed.")]
pub struct Args {
    /// Run it N times bare and N times hooked, in turn; times are medians
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Form of the result
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
    /// How deep to look, as for `porthole run`
    #[arg(long, value_enum, default_value = "auto")]
    depth: DepthArg,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Text for people
    Text,
    /// JSON for programs
    Json,
}

/// Why there is no verdict.
enum Ending {
    /// Something was refused, or failed.
    Refused(Refused),
    /// A signal asked us to stop.
    Interrupted(Signal),
}

impl From<Refused> for Ending {
    fn from(refused: Refused) -> Ending {
        Ending::Refused(refused)
    }
}

impl From<Error> for Ending {
    fn from(error: Error) -> Ending {
        // 1 would say that there is a difference
        Ending::Refused(Refused { code: 2, error })
    }
}

pub fn main(args: Args, state_dir: Option<PathBuf>) -> ExitCode {
    let verdict = match compare(&args, state_dir.as_deref()) {
        Ok(verdict) => verdict,
        Err(Ending::Interrupted(signal)) => return job::Ended::Signal(signal).pass_on(),
        Err(Ending::Refused(refused)) => {
            complain(&refused.error);
            return ExitCode::from(if refused.code == 1 { 2 } else { refused.code });
        }
    };
    let text = match args.format {
        Form::Text => report::text(&verdict),
        Form::Json => report::json(&verdict, &args.command),
    };
    if let Err(Stop::Failed(error)) = print(&text) {
        complain(&error);
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(!verdict.differences.is_empty()))
}

fn compare(args: &Args, state_dir: Option<&Path>) -> Result<Verdict, Ending> {
    // where SIGCHLD is ignored, the kernel forgets how children ended
    child::make_default(Signal::SIGCHLD);
    // before any thread exists
    let signals = Signals::block(job::SIGNALS)?;
    let depth = args.depth.into();
    let agent = agent::find()?.with_sites(Path::new("/"), depth);
    if let Some(reason) = agent.shallow().filter(|_| depth == Depth::Sites) {
        complain(&format!("symbols only: {reason}"));
    }
    leftovers::adopt()?;
    let streams = Streams::spool(&signals)?;
    let mut tally = Tally::default();
    for _ in 0..args.runs {
        tally.bare(run_bare(&args.command, &streams, &signals)?);
        tally.hooked(run_hooked(&args.command, &streams, &signals, &agent, state_dir)?);
    }
    while tally.bare_runs() < ENOUGH && tally.differs() {
        tally.bare(run_bare(&args.command, &streams, &signals)?);
    }
    Ok(tally.verdict())
}

fn run_bare(command: &[OsString], streams: &Streams, signals: &Signals) -> Result<Outcome, Ending> {
    one_run(Prepared::bare(command)?, streams, signals)
}

/// One run, until nothing is left of it.
fn one_run(prepared: Prepared, streams: &Streams, signals: &Signals) -> Result<Outcome, Ending> {
    let (captured, outputs) = Captured::start()?;
    let ended = traced::run(prepared, (streams.input()?, outputs), signals)?;
    let (left, interrupted) = leftovers::end(signals, ended.interrupted)?;
    let outputs = captured.finish()?;
    match interrupted {
        Some(signal) => Err(Ending::Interrupted(signal)),
        None => Ok(Outcome::new(ended, outputs, &left)),
    }
}

fn run_hooked(
    command: &[OsString],
    streams: &Streams,
    signals: &Signals,
    agent: &Agent,
    state_dir: Option<&Path>,
) -> Result<Outcome, Ending> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    let mut place = Place::make(state_dir, agent, command, Depth::Auto)?;
    let pipeline = pipeline::start(Options {
        state_dir: place.state_dir().to_owned(),
        sinks: vec![],
        hub: None,
        without: Without::from_env(),
    })?;
    place.wait_for_socket();
    let prepared = Prepared::new(command, &place.library());
    let outcome = prepared.map_err(Ending::from).and_then(|p| one_run(p, streams, signals));
    let survivors = place.survivors();
    let (status, _) = pipeline.stop_and_list();
    if let Ok((soft, hard)) = limit {
        // the next run must start with the limits of this one, whatever the collector has raised
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
    if survivors > 0 {
        place.say_who_stays(survivors);
        place.leave();
    }
    let mut outcome = outcome?;
    outcome.allow(&place.library().to_string_lossy());
    outcome.records = status.records_received;
    outcome.lost = status.records_lost.values().sum();
    Ok(outcome)
}
