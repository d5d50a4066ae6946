//! `porthole compare`: whether a command can tell that it runs hooked, and what that costs.

mod observed;
mod outcome;
mod report;
mod streams;
mod traced;

use super::run::{DepthArg, Refused, agent, child, job, place::Place};
use super::signals::Signals;
use super::{Stop, complain, print};
use crate::error::Error;
use crate::pipeline::{self, Options, Without};
use child::Prepared;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use outcome::{Outcome, Verdict};
use porthole_registration::share::Agent;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use streams::Streams;

/// Run a command bare and hooked, and show every difference and what the hooks cost
///
/// Both have the same input, working directory and environment. Compared are how the command ended, the bytes of its
/// standard output and standard error, and what its first process held just before it ended: environment (as the last
/// exec gave it), descriptors, limits, signal masks, capabilities, seccomp. Our entry in LD_PRELOAD is the only
/// difference that is allowed, and it is named. What already differs between two bare runs is called unstable and is no
/// difference of ours.
///
/// Standard input is read to its end first, unless it is a terminal or another device; outputs go to temporary files.
/// The first process is traced (ptrace) in both runs, so that it stops once before it ends; where that is not allowed,
/// and for a command that traces itself, what it held is not compared, and that is said.
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
    let agent = agent::find()?.with_sites(Path::new("/"), args.depth.into());
    let streams = Streams::spool()?;
    let (mut bare, mut hooked) = (vec![], vec![]);
    for _ in 0..args.runs {
        bare.push(run_bare(&args.command, &streams, &signals)?);
        hooked.push(run_hooked(&args.command, &streams, &signals, &agent, state_dir)?);
    }
    if bare.len() == 1 && !outcome::differing(&bare, &hooked).is_empty() {
        bare.push(run_bare(&args.command, &streams, &signals)?);
    }
    Ok(Verdict::of(&bare, &hooked))
}

fn run_bare(command: &[OsString], streams: &Streams, signals: &Signals) -> Result<Outcome, Ending> {
    let ended = traced::run(Prepared::bare(command)?, streams.open()?, signals)?;
    finished(ended, streams)
}

fn run_hooked(
    command: &[OsString],
    streams: &Streams,
    signals: &Signals,
    agent: &Agent,
    state_dir: Option<&Path>,
) -> Result<Outcome, Ending> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    let mut place = Place::make(state_dir, agent, command)?;
    let pipeline = pipeline::start(Options {
        state_dir: place.state_dir().to_owned(),
        sinks: vec![],
        hub: None,
        without: Without::from_env(),
    })?;
    place.wait_for_socket();
    let prepared = Prepared::new(command, &place.library());
    let ended = prepared.and_then(|p| traced::run(p, streams.open()?, signals));
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
    let mut outcome = finished(ended?, streams)?;
    outcome.allow(&place.library().to_string_lossy());
    outcome.records = status.records_received;
    outcome.lost = status.records_lost.values().sum();
    Ok(outcome)
}

fn finished(ended: traced::Ended, streams: &Streams) -> Result<Outcome, Ending> {
    match ended.interrupted {
        Some(signal) => Err(Ending::Interrupted(signal)),
        None => Ok(Outcome::new(ended, streams.outputs()?)),
    }
}
