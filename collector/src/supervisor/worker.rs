//! A worker, as its supervisor sees it.

use super::control::{Control, Word};
use super::notify::MANAGED;
use super::store::{AGENT, PASSED, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// See the module.
pub(super) struct Worker {
    child: Child,
    /// Its end may be closed before the process is gone.
    control: Option<Control>,
    ready: Option<Instant>,
    heard: Instant,
    /// It has done what was asked for, and wants no successor.
    pub done: bool,
}

impl Worker {
    /// Starts one, which is this program again, and hands it the descriptors.
    pub fn start(arguments: &[OsString], store: &Store, restarts: u64) -> io::Result<Worker> {
        let (control, theirs) = Control::pair()?;
        // This very program, also when its file has been replaced: both speak the same words.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("porthole").args(arguments).stdin(theirs);
        for name in PASSED.iter().chain(&MANAGED) {
            command.env_remove(name);
        }
        let mut worker =
            Worker { child: command.spawn()?, control: Some(control), ready: None, heard: Instant::now(), done: false };
        for (name, fd) in store.iter() {
            worker.hand(Word::Kept(name.clone(), fd.try_clone()?));
        }
        worker.hand(Word::Go(restarts));
        Ok(worker)
    }

    /// Says a word that must arrive: waits for a worker that is about to read, not for one that has gone.
    pub fn hand(&mut self, word: Word) {
        let until = Instant::now() + Duration::from_secs(5);
        while let Some(control) = &self.control {
            match control.say(&word) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(()) => return,
                // It finds its end closed and ends.
                Err(_) => self.control = None,
            }
        }
    }

    /// The next word; `None` when there is none.
    pub fn hear(&mut self) -> Option<Word> {
        match self.control.as_ref()?.hear(false) {
            Ok(Some(word)) => {
                let now = Instant::now();
                self.heard = now;
                match &word {
                    Word::Ready => self.ready = Some(now),
                    Word::Done => self.done = true,
                    // only what the worker opens for containers is kept
                    Word::Keep(name, _) if !name.starts_with(AGENT) => return Some(Word::Beat),
                    _ => {}
                }
                Some(word)
            }
            Ok(None) => None,
            Err(_) => {
                self.control = None;
                None
            }
        }
    }

    /// Can be read when it has said something; nothing once it has closed its end.
    pub fn voice(&self) -> Option<BorrowedFd<'_>> {
        self.control.as_ref().map(|control| control.as_fd())
    }

    /// Asks it to stop in order.
    pub fn stop(&self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// For how long it was ready.
    pub fn ready_for(&self) -> Option<Duration> {
        self.ready.map(|since| since.elapsed())
    }

    /// For how long nothing was heard of it.
    pub fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }
}
