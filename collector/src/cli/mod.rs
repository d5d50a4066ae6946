//! The command line: one file per verb.
//!
//! Exit codes: 0 fine, 1 failed, 2 wrong usage; `porthole run` has those of its command. Results go to standard
//! output, everything said about them to standard error; a reader that closes the pipe ends a command quietly.

mod alerts;
mod collector;
mod compare;
mod containers;
mod doctor;
mod events;
pub mod inherited;
mod install;
mod printer;
mod rules;
mod run;
pub(crate) mod signals;
mod status;
mod stdout;
mod summary;
mod tree;

use crate::error::Error;
use clap::{Parser, Subcommand, ValueEnum};
use porthole_registration::layout;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows what happens inside containers: processes, files, network connections.
#[derive(Debug, Parser)]
#[command(name = "porthole", version, arg_required_else_help = true, max_term_width = 120)]
struct Cli {
    /// Directory that containers are registered in, and that the collector listens in [default: /run/porthole]
    #[arg(long, global = true, value_name = "DIR", env = layout::STATE_DIR_ENV, hide_env_values = true)]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Collector(collector::Args),
    Run(run::Args),
    Compare(compare::Args),
    Events(events::Args),
    Alerts(alerts::Args),
    Rules(rules::Args),
    Fields(rules::FieldsArgs),
    Containers(containers::Args),
    Tree(tree::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Install(install::Args),
    Uninstall(install::UninstallArgs),
}

/// The form of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Listing {
    /// Aligned text for people
    #[default]
    Table,
    /// JSON for programs
    Json,
}

/// Why a command ends early.
#[derive(Debug)]
enum Stop {
    /// Nobody reads its output any more.
    Unread,
    /// It failed.
    Failed(Error),
    /// It failed, and somebody has said so.
    Said,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    use clap::CommandFactory;
    Cli::command()
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // prints help and version to standard output, errors to standard error
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let given = cli.state_dir.filter(|dir| !dir.as_os_str().is_empty());
    let state_dir = || given.clone().unwrap_or_else(layout::default_state_dir);
    let done = match cli.verb {
        Verb::Collector(args) => collector::main(args, given),
        Verb::Run(args) => return run::main(args, given),
        Verb::Compare(args) => return compare::main(args, given),
        Verb::Events(args) => events::main(args, state_dir()),
        Verb::Alerts(args) => alerts::main(args, state_dir()),
        Verb::Rules(args) => rules::main(args),
        Verb::Fields(args) => rules::fields(&args),
        Verb::Containers(args) => containers::main(args, state_dir()),
        Verb::Tree(args) => tree::main(args, state_dir()),
        Verb::Status(args) => status::main(args, state_dir()),
        Verb::Doctor(args) => doctor::main(args, state_dir()),
        Verb::Install(args) => install::main(args),
        Verb::Uninstall(args) => install::uninstall(args),
    };
    match done {
        Ok(()) | Err(Stop::Unread) => ExitCode::SUCCESS,
        Err(Stop::Said) => ExitCode::FAILURE,
        Err(Stop::Failed(error)) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, each line marked as ours.
fn complain(what: &dyn std::fmt::Display) {
    let mut err = io::stderr().lock();
    for line in what.to_string().lines() {
        // nobody is left to be told
        let _ = writeln!(err, "porthole: {line}");
    }
}

/// A file for events; `-` is refused, because whoever writes it expects something else than a file of that name.
fn event_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err("not a file; use --format json to have events as JSON without one".into()),
        path => Ok(path.into()),
    }
}

/// Writes all of `text` to standard output.
fn print(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Tells a reader that left from an output that failed.
fn written(result: io::Result<()>) -> Result<(), Stop> {
    result.map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Stop::Unread,
        _ => Stop::Failed(Error::new(format!("cannot write to standard output: {e}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_verb_has_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for verb in command.get_subcommands_mut().filter(|v| v.get_name() != "help") {
            let help = verb.render_long_help().to_string();
            assert!(help.contains("Examples:") && help.contains("\n  porthole "), "{help}");
        }
    }

    #[test]
    fn what_is_not_built_is_not_offered() {
        for args in [&["porthole", "alert"][..], &["porthole", "events", "--filter", "x and"]] {
            assert_eq!(Cli::try_parse_from(args).unwrap_err().exit_code(), 2);
        }
    }
}
