//! `porthole collector`.

use super::signals::Signals;
use super::{Stop, complain, printer, stdout, summary};
use crate::api::server::{self, View};
use crate::config::{Overrides, Plan};
use crate::container;
use crate::detect::filter::Filter;
use crate::detect::outputs::Target;
use crate::detect::stories::archive::Told;
use crate::detect::{self, Detector, Programs, files};
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
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_registration::layout;
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
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
        status.rules.extend(self.1.iter().flat_map(|d| d.matches()));
        Some(status)
    }

    fn containers(&self) -> Option<Vec<ContainerView>> {
        self.ask(Pipeline::containers)
    }

    fn census(&self, described: bool) -> Option<Vec<TreeView>> {
        self.ask(|pipeline| pipeline.census(described))
    }

    fn containers_where(&self, filter: &Filter) -> Option<Vec<ContainerView>> {
        self.ask(|p| p.containers_where(|info| filter.holds_for_container(info)))
    }

    fn stories(&self) -> Vec<Told> {
        self.1.iter().filter_map(|d| d.archive()).flat_map(|archive| archive.stories()).collect()
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
    plan.notices.iter().for_each(|notice| complain(notice));
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
    plan.stdout = plan.stdout.filter(|_| !stdout::is_null());
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
            Some(printer::start(&hub, None, Format::Compact, paint, io::stdout(), |_| stdout::end())?)
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
        stdout::end_with_the_reader()?;
    }
    let _ = control.say(&Word::Ready);

    let watched: Vec<PathBuf> = args.config.into_iter().collect();
    let mut seen = files::versions(&watched);
    let refresh = || {
        let (Some(detector), Some(alerts)) = (&detector, &plan.alerts) else { return };
        detector.second().iter().for_each(|said| complain(said));
        if !alerts.watch {
            return;
        }
        detector.refresh(alerts).iter().for_each(|said| complain(said));
        let now = files::versions(&watched);
        if std::mem::replace(&mut seen, now.clone()) != now {
            complain(&"the configuration has changed: read again, as for SIGHUP");
            let _ = kill(Pid::parent(), Signal::SIGHUP);
        }
    };
    let turns = || live.ask(Pipeline::turns).unwrap_or_default();
    let waited = serve(&signals, &control, &programs, turns, refresh);
    let mut status = live.take().map(Pipeline::stop).unwrap_or_default();
    if let Some(detector) = detector {
        finish(&detector, &control, &programs);
        status.outputs.extend(detector.status());
        status.rules.extend(detector.matches());
    }
    hub.close();
    let printed = printer.map(printer::Printer::finish);
    server.stop();
    complain(&summary::of_collector(&status));
    if stdout::is_unread() {
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

/// Until the worker shall stop; says meanwhile that it lives, as long as what `turns` counts goes on.
fn serve(
    signals: &Signals,
    control: &Control,
    programs: &Programs,
    turns: impl Fn() -> u64,
    mut refresh: impl FnMut(),
) -> Result<(), Error> {
    let mut before = None;
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
            let now = Some(turns());
            if std::mem::replace(&mut before, now) != now {
                let _ = control.say(&Word::Beat);
            }
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
