//! Waits for the command, passes signals on to it, and ends as it ended.

use super::child;
use crate::cli::signals::{Arrived, Signals};
use crate::error::Error;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use std::process::ExitCode;

/// Signals that porthole waits for.
pub const SIGNALS: &[Signal] = &[
    Signal::SIGCHLD,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Exit(u8),
    /// By this signal.
    Signal(Signal),
}

impl Ended {
    /// Ends this process in the same way; the exit code is for signals that do not end it.
    pub fn pass_on(self) -> ExitCode {
        let signal = match self {
            Ended::Exit(code) => return ExitCode::from(code),
            Ended::Signal(signal) => signal,
        };
        // the command's core is enough
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
        }
        child::make_default(signal);
        let _ = raise(signal);
        let mut blocked = SigSet::empty();
        blocked.add(signal);
        let _ = blocked.thread_unblock();
        // still here: not even a default disposition makes that one fatal
        ExitCode::from(128u8.saturating_add(signal as i32 as u8))
    }
}

/// Waits until the command ends.
pub fn wait(command: Pid, signals: &Signals) -> Result<Ended, Error> {
    let mut stopped = false;
    loop {
        let arrived = signals.wait()?;
        if arrived.signal == Signal::SIGCHLD {
            if let Some(ended) = reap(command, &mut stopped)? {
                return Ok(ended);
            }
        } else if is_for_command(arrived, stopped) {
            let _ = kill(command, arrived.signal); // it may just have ended
        }
    }
}

/// What a terminal sends reaches the whole process group, the command included; it must not get it twice.
fn is_for_command(arrived: Arrived, stopped: bool) -> bool {
    !arrived.by_kernel && (arrived.signal != Signal::SIGCONT || stopped)
}

/// Takes in what happened to the command; its end, if that is it.
fn reap(command: Pid, stopped: &mut bool) -> Result<Option<Ended>, Error> {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
    loop {
        match waitpid(command, Some(flags)) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(Some(Ended::Exit(status as u8))),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Some(Ended::Signal(signal))),
            Ok(WaitStatus::Stopped(_, signal)) => {
                *stopped = true;
                stop_too(command, signal);
            }
            Ok(WaitStatus::Continued(_)) => *stopped = false,
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            // a real-time signal, which nix has no name for, ended it
            Err(Errno::EINVAL) => return Ok(Some(Ended::Exit(255))),
            Err(e) => return Err(Error::new(format!("cannot wait for the command: {e}"))),
        }
    }
}

/// A command that its terminal stopped (Ctrl-Z) must look stopped to the shell, which watches us. The kernel ignores
/// these signals where no shell would ever continue us.
fn stop_too(command: Pid, signal: Signal) {
    let by_terminal = matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU);
    if by_terminal && getpgid(Some(command)) == Ok(getpgrp()) {
        let mut set = SigSet::empty();
        set.add(signal);
        let _ = raise(signal);
        let _ = set.thread_unblock(); // stops here, until SIGCONT
        if SIGNALS.contains(&signal) {
            let _ = set.thread_block();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_gets_a_signal_once() {
        let arrived = |signal, by_kernel| Arrived { signal, by_kernel };
        assert!(is_for_command(arrived(Signal::SIGINT, false), false));
        assert!(!is_for_command(arrived(Signal::SIGINT, true), false));
        assert!(is_for_command(arrived(Signal::SIGCONT, false), true));
        assert!(!is_for_command(arrived(Signal::SIGCONT, false), false));
    }
}
