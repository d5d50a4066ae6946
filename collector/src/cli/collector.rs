//! `porthole collector`.

use super::signals::Signals;
use super::{Stop, complain, printer, summary};
use crate::api::server::{self, View};
use crate::config::{Overrides, Plan};
use crate::error::Error;
use crate::format::{Format, paint::Paint};
use crate::hub::{Hub, KEEP_BYTES};
use crate::pipeline::{self, Options, Pipeline, Sink, Without};
use crate::redact::{self, Redactor};
use crate::rights;
use crate::status::{ContainerView, Status};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_registration::layout;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Collect the events of all containers that run under porthole-runc, until stopped by SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole collector                                  events as lines on the terminal
  porthole collector --quiet --events /var/log/porthole/events.jsonl
  porthole collector --format json | jq .             every event as one JSON object a line
  porthole collector --config /etc/porthole.yaml

With --events, a collector that is killed and started again goes on where it was: what containers do meanwhile is \
kept in their rings, as far as these are large enough. What was lost is counted and printed at the end.")]
pub struct Args {
    /// Configuration file (YAML); the command line wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Append all events to FILE, as JSON lines
    #[arg(long, value_name = "FILE", value_parser = super::event_file)]
    events: Option<PathBuf>,
    /// Form of the events on standard output [default: compact]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Print no events on standard output
    #[arg(long, conflicts_with = "format")]
    quiet: bool,
}

/// The pipeline as the API sees it: gone as soon as the collector stops.
struct Live(RwLock<Option<Pipeline>>);

impl Live {
    fn ask<T>(&self, question: impl FnOnce(&Pipeline) -> T) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(question)
    }

    fn take(&self) -> Option<Pipeline> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl View for Live {
    fn status(&self) -> Option<Status> {
        self.ask(Pipeline::status)
    }

    fn containers(&self) -> Option<Vec<ContainerView>> {
        self.ask(Pipeline::containers)
    }
}

pub fn main(args: Args, state_dir: Option<PathBuf>) -> Result<(), Stop> {
    let overrides = Overrides { state_dir, file: args.events, format: args.format, quiet: args.quiet };
    let mut plan = Plan::load(args.config.as_deref(), overrides)?;
    redact::set(Redactor::new(plan.redact.0, &plan.redact.1)?);
    plan.stdout = plan.stdout.filter(|_| !stdout_is_null());
    let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT])?;
    rights::reduce()?;

    let hub = Arc::new(Hub::new(plan.keep_events, KEEP_BYTES));
    // JSON goes out through the pipeline, which waits for the reader; lines for people must not make it wait
    let printer = match plan.stdout {
        Some(Format::Compact) => {
            let paint = Paint::for_stream(&io::stdout());
            Some(printer::start(&hub, Format::Compact, paint, io::stdout(), |_| end())?)
        }
        _ => None,
    };
    let mut sinks: Vec<Sink> = plan.file.clone().map(Sink::File).into_iter().collect();
    sinks.extend((plan.stdout == Some(Format::Json)).then_some(Sink::Stdout));
    let options =
        Options { state_dir: plan.state_dir.clone(), sinks, hub: Some(hub.clone()), without: Without::from_env() };
    pipeline::raise_descriptor_limit();
    let live = Arc::new(Live(RwLock::new(Some(pipeline::start(options)?))));
    let socket = plan.state_dir.join(layout::API_SOCKET);
    let server = match server::start(&socket, plan.web.as_ref(), hub.clone(), live.clone()) {
        Ok(server) => server,
        Err(e) => {
            live.take().map(Pipeline::stop);
            return Err(e.into());
        }
    };
    if plan.stdout.is_some() {
        end_with_the_reader()?;
    }
    if io::stderr().is_terminal() {
        complain(&format!("collecting below {}; stop with Ctrl-C", plan.state_dir.display()));
    }

    let waited = signals.wait();
    let status = live.take().map(Pipeline::stop).unwrap_or_default();
    hub.close();
    let printed = printer.map(printer::Printer::finish);
    server.stop();
    complain(&summary::of_collector(&status));
    waited?;
    match printed {
        Some(printed) => super::written(printed),
        None => Ok(()),
    }
}

/// Ends the collector as a SIGTERM from outside would.
fn end() {
    let _ = kill(Pid::this(), Signal::SIGTERM);
}

/// Whether what is printed goes to `/dev/null`: then formatting it would be work for nothing.
fn stdout_is_null() -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let device = |meta: std::fs::Metadata| meta.file_type().is_char_device().then(|| meta.rdev());
    let device_of = stdout.and_then(|s| s.metadata()).ok().and_then(device);
    device_of.is_some() && device_of == std::fs::metadata("/dev/null").ok().and_then(device)
}

/// Where standard output is a pipe, ends the collector when nobody reads it any more, even if no event comes.
fn end_with_the_reader() -> Result<(), Stop> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let Ok(stdout) = stdout else { return Ok(()) };
    if !stdout.metadata().is_ok_and(|m| m.file_type().is_fifo()) {
        return Ok(());
    }
    let watch = move || {
        // asks for nothing but the errors that poll always reports: the other end was closed
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        while matches!(poll(&mut fds, PollTimeout::NONE), Err(nix::errno::Errno::EINTR)) {}
        end();
    };
    let thread = std::thread::Builder::new().name("stdout".into()).spawn(watch);
    thread.map(drop).map_err(|e| Error::new(format!("cannot start a thread: {e}")).into())
}
