//! The program of `program_output`, started when the worker asks for it.
//!
//! The worker can say *when*, and never *what*: which program it is, the supervisor reads from the configuration itself. It
//! holds no end of the pipe; the program hears from the worker, and reads its end when that closes its own. It runs without
//! a single capability ([`run`]): what it reads was written in containers.

use super::backoff::Backoff;
use crate::error::Error;
use crate::rights;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long a program may take to end when the collector does.
const LAST: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Program {
    /// What the configuration says now.
    configured: Box<dyn Fn() -> Option<String>>,
    child: Option<Child>,
    asked: bool,
    backoff: Backoff,
    start_at: Instant,
    failed: bool,
}

impl Program {
    pub fn new(configured: Box<dyn Fn() -> Option<String>>) -> Program {
        let (backoff, start_at) = (Backoff::default(), Instant::now());
        Program { configured, child: None, asked: false, backoff, start_at, failed: false }
    }

    /// The worker wants one.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// The worker has ended: nobody wants one any more, and the one that runs finds its input at an end.
    pub fn forget(&mut self) {
        self.asked = false;
    }

    /// Whether one runs, after a look.
    pub fn runs(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let status = match child.try_wait() {
            Ok(None) => return true,
            Ok(Some(status)) => status,
            Err(_) => std::process::ExitStatus::default(),
        };
        self.child = None;
        if status.success() {
            (self.backoff, self.failed) = (Backoff::default(), false);
        } else {
            self.start_at = Instant::now() + self.backoff.ended(None);
            if !std::mem::replace(&mut self.failed, true) {
                super::say(&format!("the program of program_output has failed ({status})"));
            }
        }
        false
    }

    /// Lets it work on what it was given last, for a while.
    pub fn finish(&mut self) {
        let until = Instant::now() + LAST;
        while self.runs() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// When it starts, if somebody waits for that.
    pub fn start_at(&self) -> Option<Instant> {
        Some(self.start_at).filter(|_| self.asked && self.child.is_none())
    }

    /// Starts it if that was asked for and the one before has ended; the pipe that it reads from.
    pub fn turn(&mut self, now: Instant) -> Option<OwnedFd> {
        if self.runs() || !self.asked || now < self.start_at {
            return None;
        }
        let text = (self.configured)()?;
        match start(&text) {
            Ok((child, pipe)) => {
                (self.child, self.asked) = (Some(child), false);
                Some(pipe)
            }
            Err(e) => {
                self.start_at = now + self.backoff.ended(None);
                super::say(&format!("cannot start the program of program_output: {e}; tried again"));
                None
            }
        }
    }
}

fn start(text: &str) -> io::Result<(Child, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("porthole").args(["collector", "--run-program", text]).stdin(reader);
    Ok((command.spawn()?, writer.into()))
}

/// Becomes the program, as the shell starts it, with no rights beyond those of its user.
pub(crate) fn run(text: &str) -> Error {
    if let Err(e) = rights::none() {
        return e;
    }
    let e = Command::new("/bin/sh").arg("-c").arg(text).exec();
    Error::new(format!("cannot execute /bin/sh for program_output: {e}"))
}
