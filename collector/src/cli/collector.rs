//! `porthole collector`.

use super::signals::Signals;
use super::{Stop, complain, printer, summary};
use crate::api::server::{self, View};
use crate::config::{Overrides, Plan};
use crate::container;
use crate::detect::outputs::Target;
use crate::detect::{self, Detector, Programs};
use crate::error::Error;
use crate::format::{Format, paint::Paint};
use crate::hub::{Hub, KEEP_BYTES};
use crate::ingest::kept::Kept;
use crate::pipeline::{self, Options, Pipeline, Publish, Sink, Without};
use crate::redact::{self, Redactor};
use crate::rights;
use crate::status::{ContainerView, Status, TreeView};
use crate::supervisor::control::{Control, Word};
use crate::supervisor::notify::{self, Notify};
use crate::supervisor::store::{self, Store};
use crate::supervisor::{self, Supervisor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_registration::layout;
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Collect the events of all containers that run under porthole-runc, until stopped by SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole collector                                  events as lines on the terminal
  porthole collector --quiet --events /var/log/porthole/events.jsonl
  porthole collector --format json | jq .             every event as one JSON object a line
  porthole collector --config /etc/porthole.yaml
  porthole collector -r /etc/falco/falco_rules.yaml   alerts on the terminal, by Falco's rules

With --events, a collector that is killed and started again goes on where it was: what containers do meanwhile is \
kept in their rings, as far as these are large enough. What was lost is counted and printed at the end.

Two processes: one owns the sockets and starts the other again if that ends. SIGHUP has the configuration read again, \
SIGUSR2 executes this program's file anew (after an upgrade); neither loses a record.")]
pub struct Args {
    /// Configuration file (YAML); the command line wins over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Append all events to FILE, as JSON lines
    #[arg(long, value_name = "FILE", value_parser = super::event_file)]
    events: Option<PathBuf>,
    /// Judge events by the rules in FILE, or in all rules files of a directory; may be given several times, and takes
    /// the place of the configuration's rules_files
    #[arg(short, long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Append alerts to FILE instead of standard output
    #[arg(long, value_name = "FILE", value_parser = super::event_file, requires = "rules")]
    alerts: Option<PathBuf>,
    /// Form of the events on standard output [default: compact; with rules, only alerts are printed there]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Print no events on standard output
    #[arg(long, conflicts_with = "format")]
    quiet: bool,
    /// Be the process that does the work; `porthole collector` starts it
    #[arg(long, hide = true)]
    worker: bool,
    /// Become the program of program_output; `porthole collector` does
    #[arg(long, hide = true, value_name = "COMMAND")]
    run_program: Option<String>,
}

/// The pipeline as the API sees it: gone as soon as the collector stops.
struct Live(RwLock<Option<Pipeline>>, Option<Arc<Detector>>);

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
        let mut status = self.ask(Pipeline::status)?;
        status.outputs.extend(self.1.iter().flat_map(|d| d.status()));
        Some(status)
    }

    fn containers(&self) -> Option<Vec<ContainerView>> {
        self.ask(Pipeline::containers)
    }

    fn census(&self, described: bool) -> Option<Vec<TreeView>> {
        self.ask(|pipeline| pipeline.census(described))
    }
}

pub fn main(args: Args, state_dir: Option<PathBuf>) -> Result<(), Stop> {
    match &args.run_program {
        Some(command) => Err(supervisor::program::run(command).into()),
        None if args.worker => worker(args, state_dir),
        None => supervise(args, state_dir),
    }
}

impl Args {
    fn plan(&self, state_dir: Option<PathBuf>) -> Result<Plan, Error> {
        let overrides = Overrides {
            state_dir,
            file: self.events.clone(),
            format: self.format,
            quiet: self.quiet,
            rules: self.rules.clone(),
            alerts: self.alerts.clone(),
        };
        let plan = Plan::load(self.config.as_deref(), overrides)?;
        Redactor::new(plan.redact.0, &plan.redact.1)?;
        Ok(plan)
    }
}

/// The process that stays.
fn supervise(args: Args, state_dir: Option<PathBuf>) -> Result<(), Stop> {
    // before anything is opened: their numbers are known to the environment only
    let (passed, mut store) = (notify::passed(), Store::handed_on());
    let activated = passed.get(store::API).is_some();
    store.extend(passed);
    let signals = Signals::block(&supervisor::SIGNALS)?;
    pipeline::raise_descriptor_limit(); // a socket for each container, here and in the worker
    let plan = args.plan(state_dir.clone())?;
    plan.alerts.as_ref().map_or(Ok(()), detect::check)?;
    let file = std::env::current_exe().map_err(|e| Error::new(format!("cannot find this program's file: {e}")))?;
    let _lock = pipeline::lock_state(&plan.state_dir, layout::COLLECTOR_LOCK, PREDECESSOR)?;
    let socket = plan.state_dir.join(layout::API_SOCKET);
    if store.get(store::API).is_none() {
        let made = server::bind(&socket).map_err(|e| Error::io("make the API socket", &socket, e))?;
        store.keep(store::API.to_owned(), made);
    }
    if plan.stdout.is_some() && io::stderr().is_terminal() {
        complain(&format!("collecting below {}; stop with Ctrl-C", plan.state_dir.display()));
    }
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.push("--worker".into());
    let args = Arc::new(args);
    let (same, dir) = (args.clone(), state_dir.clone());
    let configured = move || same.plan(dir.clone()).ok()?.alerts?.program().map(str::to_owned);
    let program = supervisor::program::Program::new(Box::new(configured));
    let check = Box::new(move || args.plan(state_dir.clone())?.alerts.as_ref().map_or(Ok(()), detect::check));
    let notify = Notify::from_env();
    let setup = supervisor::Setup { signals, notify, store, file, arguments, check, program };
    let well = Supervisor::new(setup).run();
    if !activated {
        let _ = std::fs::remove_file(socket);
    }
    // the worker has said what was wrong
    if well? { Ok(()) } else { Err(Stop::Said) }
}

/// The process that does the work.
fn worker(args: Args, state_dir: Option<PathBuf>) -> Result<(), Stop> {
    let control = Arc::new(supervised()?);
    let mut plan = args.plan(state_dir)?;
    redact::set(Redactor::new(plan.redact.0, &plan.redact.1)?);
    container::set_label_max_len(plan.label_max_len);
    container::set_engines(plan.engines.clone());
    plan.stdout = plan.stdout.filter(|_| !stdout_is_null());
    // The terminal sends its signals to both processes; what they mean for the worker the supervisor says.
    let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2])?;
    let (mut sockets, restarts) = kept(&control)?;
    let api = sockets.remove(store::API).ok_or_else(|| Error::new("no API socket was handed over"))?;
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
    let asking = control.clone();
    let programs = Arc::new(Programs::new(move || asking.say(&Word::Program)));
    let start = |alerts| Detector::start_anyway(alerts, programs.clone(), Some(hub.clone()));
    let detector = plan.alerts.as_ref().map(start).transpose()?.map(|(detector, broken)| {
        // the supervisor has taken them: somebody has changed them since
        broken.iter().for_each(|e| complain(&format!("{e}\nno rules are judged until this is right")));
        Arc::new(detector)
    });
    if let Some(detector) = &detector {
        detector.notices().iter().for_each(|notice| complain(notice));
    }
    let publish = detector.clone().map_or(hub.clone() as Arc<dyn Publish>, |d| d);
    let options =
        Options { state_dir: plan.state_dir.clone(), sinks, hub: Some(publish), without: Without::from_env() };
    let sockets = Kept { sockets, control: Some(control.clone()) };
    let live = Arc::new(Live(RwLock::new(Some(pipeline::start_worker(options, sockets, restarts)?)), detector.clone()));
    let server = match server::start(api, plan.web.as_ref(), hub.clone(), live.clone()) {
        Ok(server) => server,
        Err(e) => {
            live.take().map(Pipeline::stop);
            return Err(e.into());
        }
    };
    let alerts_on_stdout = |a: &detect::Plan| a.outputs.targets.contains(&Target::Stdout);
    if plan.stdout.is_some() || plan.alerts.as_ref().is_some_and(alerts_on_stdout) {
        end_with_the_reader()?;
    }
    let _ = control.say(&Word::Ready);

    let refresh = || {
        if let (Some(detector), Some(alerts)) = (&detector, &plan.alerts) {
            detector.tell_losses();
            detector.refresh(alerts).iter().for_each(|said| complain(said));
        }
    };
    let waited = serve(&signals, &control, &programs, refresh);
    let mut status = live.take().map(Pipeline::stop).unwrap_or_default();
    if let Some(detector) = detector {
        finish(&detector, &control, &programs);
        status.outputs.extend(detector.status());
    }
    hub.close();
    let printed = printer.map(printer::Printer::finish);
    server.stop();
    complain(&summary::of_collector(&status));
    if UNREAD.load(Relaxed) {
        let _ = control.say(&Word::Done);
    }
    waited?;
    match printed {
        Some(printed) => super::written(printed),
        None => Ok(()),
    }
}

/// The supervisor's end, from which a worker is started. The kernel kills the worker when its supervisor is gone: the next
/// one's worker goes on at once.
fn supervised() -> Result<Control, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(format!("--worker is for `porthole collector` itself: {e}"));
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(|e| failed(&e))?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| failed(&e))?;
    let _ = prctl::set_name(c"porthole-worker");
    Ok(Control::inherited(stdin))
}

/// What the supervisor has kept, by name, and how many workers it had to replace.
fn kept(control: &Control) -> Result<(HashMap<String, OwnedFd>, u64), Error> {
    let mut kept = HashMap::new();
    loop {
        match control.hear(true) {
            Ok(Some(Word::Kept(name, fd))) => drop(kept.insert(name, fd)),
            // said by one that may have gone before the kernel was asked to tell us
            Ok(Some(Word::Go(restarts))) if control.hear(false).is_ok() => return Ok((kept, restarts)),
            Ok(_) => {}
            Err(e) => return Err(Error::new(format!("--worker is for `porthole collector` itself: {e}"))),
        }
    }
}

/// Until the worker shall stop; says meanwhile that it lives.
fn serve(signals: &Signals, control: &Control, programs: &Programs, refresh: impl Fn()) -> Result<(), Error> {
    let mut beaten = Instant::now();
    loop {
        let left = BEAT.saturating_sub(beaten.elapsed());
        let arrived = signals.wait_beside(control, left)?;
        if arrived.is_some_and(|a| a.signal == Signal::SIGTERM) {
            return Ok(());
        }
        if hear(control, programs).is_err() {
            return Ok(());
        }
        if beaten.elapsed() >= BEAT {
            beaten = Instant::now();
            let _ = control.say(&Word::Beat);
            refresh();
        }
    }
}

/// Takes what the supervisor hands over, if anything; an error when it is gone.
fn hear(control: &Control, programs: &Programs) -> io::Result<()> {
    if let Some(Word::Kept(name, pipe)) = control.hear(false)?
        && name == store::PROGRAM
    {
        programs.give(pipe);
    }
    Ok(())
}

/// Lets the outputs of alerts write what they have, and hands them the programs that they ask for meanwhile.
fn finish(detector: &Detector, control: &Control, programs: &Programs) {
    std::thread::scope(|scope| {
        let outputs = scope.spawn(|| detector.stop());
        while !outputs.is_finished() {
            let _ = hear(control, programs);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// A supervisor that was killed while it started a worker has left that its lock until the worker's program is executed.
const PREDECESSOR: Duration = Duration::from_secs(1);
/// How often the supervisor hears from us.
const BEAT: Duration = Duration::from_secs(1);
/// Nobody reads standard output any more.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Ends the collector as a SIGTERM from outside would.
fn end() {
    UNREAD.store(true, Relaxed);
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
