//! The process that is there all the time: it owns the sockets that others connect to, and starts the worker, again and
//! again, which does everything else.
//!
//! It reads nothing that a container sends. While no worker runs, hellos and requests wait in the sockets' queues, whose
//! length the kernel bounds, and records wait in the rings.

mod backoff;
pub(crate) mod control;
pub(crate) mod notify;
pub(crate) mod program;
pub(crate) mod store;
mod worker;

use crate::cli::signals::Signals;
use crate::error::Error;
use backoff::Backoff;
use control::Word;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::execve;
use notify::Notify;
use program::Program;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use store::{HANDED_ON, PASSED, Store};
use worker::Worker;

/// A worker that says nothing for so long is killed: nothing that it does takes a fraction of this, and a machine that
/// sleeps does not count it.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a worker may take to stop in order.
const STOP: Duration = Duration::from_secs(15);
/// Signals that a supervisor waits for.
pub(crate) const SIGNALS: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGCHLD];

/// What happens once the worker has stopped. Who asks for less than was asked for already changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// Another one starts.
    Worker,
    /// The program's file is executed, whatever version it is by now.
    Upgrade,
    /// Nothing.
    End,
}

/// What a supervisor is given.
pub(crate) struct Setup {
    /// Blocked before the first thread was started.
    pub signals: Signals,
    pub notify: Notify,
    pub store: Store,
    /// This program's file: its successor may lie there.
    pub file: PathBuf,
    /// Arguments of the worker.
    pub arguments: Vec<OsString>,
    /// Whether the configuration can be taken: asked before a worker stops for it.
    pub check: Box<dyn Fn() -> Result<(), Error>>,
    /// The program that alerts go to.
    pub program: Program,
}

/// See the module.
pub(crate) struct Supervisor {
    setup: Setup,
    worker: Option<Worker>,
    /// Workers that have ended without being asked to.
    restarts: u64,
    backoff: Backoff,
    /// When the next worker starts.
    start_at: Instant,
    next: Next,
    /// When the worker was asked to stop.
    stopping: Option<Instant>,
    /// A worker has been ready: a later one that fails is no mistake of whoever has started us.
    proven: bool,
    alive_told: Instant,
}

impl Supervisor {
    pub fn new(setup: Setup) -> Supervisor {
        let now = Instant::now();
        let (backoff, next) = (Backoff::default(), Next::Worker);
        Supervisor {
            setup,
            worker: None,
            restarts: 0,
            backoff,
            start_at: now,
            next,
            stopping: None,
            proven: false,
            alive_told: now,
        }
    }

    /// Runs until it is told to end; whether all was well.
    pub fn run(mut self) -> Result<bool, Error> {
        loop {
            let now = Instant::now();
            if self.worker.is_none() {
                match self.next {
                    Next::End => return Ok(true),
                    Next::Upgrade => self.execute(),
                    Next::Worker if now >= self.start_at => self.start()?,
                    Next::Worker => {}
                }
            }
            self.wait(now)?;
            self.listen();
            if let Some(worker) = &mut self.worker
                && let Some(pipe) = self.setup.program.turn(Instant::now())
            {
                worker.hand(Word::Kept(store::PROGRAM.to_owned(), pipe));
            }
            if let Some(status) = self.worker.as_mut().and_then(Worker::ended) {
                self.listen(); // its last words
                if let Some(well) = self.buried(status) {
                    return Ok(well);
                }
            }
            self.look_after(Instant::now());
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        match Worker::start(&self.setup.arguments, &self.setup.store, self.restarts) {
            Ok(worker) => self.worker = Some(worker),
            Err(e) if self.proven => {
                say(&format!("cannot start a worker: {e}; tried again"));
                self.start_at = Instant::now() + self.backoff.ended(None);
            }
            Err(e) => return Err(Error::new(format!("cannot start a worker: {e}"))),
        }
        Ok(())
    }

    /// Waits for a signal, a word, or the time of something.
    fn wait(&mut self, now: Instant) -> Result<(), Error> {
        let mut until = now + Duration::from_secs(1);
        if self.worker.is_none() {
            until = until.min(self.start_at);
        }
        until = self.setup.program.start_at().map_or(until, |at| until.min(at));
        if let Some(every) = self.setup.notify.watchdog {
            until = until.min(self.alive_told + every);
        }
        let left = until.saturating_duration_since(now).as_millis() as u32 + 1;
        let mut fds = vec![PollFd::new(self.setup.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.worker.as_ref().and_then(Worker::voice).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
        if fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN)) {
            let arrived = self.setup.signals.wait()?;
            self.signalled(arrived.signal);
        }
        Ok(())
    }

    fn signalled(&mut self, signal: Signal) {
        let next = match signal {
            Signal::SIGTERM | Signal::SIGINT => Next::End,
            Signal::SIGUSR2 => Next::Upgrade,
            // Falco opens its files anew for SIGUSR1; another worker does
            Signal::SIGHUP | Signal::SIGUSR1 => Next::Worker,
            _ => return,
        };
        if next < self.next {
            return;
        }
        if next == Next::Worker
            && let Err(e) = (self.setup.check)()
        {
            return say(&format!("{e}\nthe collector goes on as before"));
        }
        self.next = next;
        self.setup.notify.say(if next == Next::End { "STOPPING=1" } else { "RELOADING=1" });
        let now = Instant::now();
        match &self.worker {
            Some(worker) => {
                self.stopping = Some(now);
                worker.stop();
            }
            None => self.start_at = now,
        }
    }

    /// Hears what the worker says.
    fn listen(&mut self) {
        while let Some(word) = self.worker.as_mut().and_then(Worker::hear) {
            match word {
                Word::Ready => {
                    self.proven = true;
                    self.setup.notify.say("READY=1");
                }
                Word::Keep(name, fd) => {
                    self.setup.notify.keep(&name, &fd);
                    self.setup.store.keep(name, fd);
                }
                Word::Forget(name) => {
                    self.setup.notify.forget(&name);
                    self.setup.store.forget(&name);
                }
                Word::Program => self.setup.program.ask(),
                _ => {}
            }
        }
    }

    /// The worker has ended. Whether all was well, if nothing else is to be done.
    fn buried(&mut self, status: ExitStatus) -> Option<bool> {
        let worker = self.worker.take()?;
        self.setup.program.forget();
        let asked = self.stopping.take().is_some();
        if self.next == Next::End || worker.done {
            self.setup.program.finish();
            // one that had not begun to wait for signals is ended by them
            return Some(status.success() || status.signal() == Some(Signal::SIGTERM as i32));
        }
        if !self.proven && !asked && status.code().is_some() {
            // it has said why
            return Some(false);
        }
        let wait = if asked { Duration::ZERO } else { self.backoff.ended(worker.ready_for()) };
        self.start_at = Instant::now() + wait;
        if !asked {
            self.restarts += 1;
            say(&format!("the worker has ended ({status}); another one starts in {} ms", wait.as_millis()));
        }
        None
    }

    /// Becomes the program that lies where this one was started from.
    fn execute(&mut self) {
        self.next = Next::Worker;
        self.setup.program.finish();
        let Err(error) = self.succeed();
        self.setup.store.take_back();
        say(&format!("cannot execute {}: {error}; the collector goes on as it is", self.setup.file.display()));
    }

    fn succeed(&self) -> io::Result<Infallible> {
        let list = self.setup.store.hand_on()?;
        let mut environment: Vec<OsString> = vec![format!("{HANDED_ON}={}", list.as_raw_fd()).into()];
        for (name, value) in std::env::vars_os().filter(|(name, _)| PASSED.iter().all(|passed| name != passed)) {
            environment.push([name, value].join(OsStr::new("=")));
        }
        let text =
            |texts: Vec<OsString>| texts.into_iter().map(|t| CString::new(t.into_vec())).collect::<Result<_, _>>();
        let (arguments, environment): (Vec<_>, Vec<_>) = (text(std::env::args_os().collect())?, text(environment)?);
        let program = CString::new(self.setup.file.clone().into_os_string().into_vec())?;
        // Signals stay blocked: one that comes meanwhile waits for the successor, where it would end this process.
        Ok(execve(&program, &arguments, &environment)?)
    }

    fn look_after(&mut self, now: Instant) {
        if self.setup.notify.watchdog.is_some_and(|every| now >= self.alive_told + every) {
            self.alive_told = now;
            self.setup.notify.say("WATCHDOG=1");
        }
        let late = self.stopping.is_some_and(|since| now.duration_since(since) > STOP);
        if let Some(worker) = &mut self.worker {
            if late {
                say("the worker does not stop: killed");
                worker.kill();
            } else if worker.silent_for(now) > SILENCE {
                say(&format!("the worker has said nothing for {} s: killed", SILENCE.as_secs()));
                worker.kill();
            }
        }
    }
}

fn say(text: &str) {
    for line in text.lines() {
        eprintln!("porthole: {line}");
    }
}
