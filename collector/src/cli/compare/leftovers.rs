//! What a command leaves running when its first process ends: waited for a moment, so that its output is whole, then
//! ended, so that the next run finds the machine as this one did (a daemon would keep its port).

use crate::cli::signals::Signals;
use crate::error::Error;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// How long it may take to end by itself, on a busy machine too.
const ALONE: Duration = Duration::from_secs(3);
/// How long it may take to end when it was asked to.
const ASKED: Duration = Duration::from_secs(2);
/// How long we try at all; a process that hangs in the kernel does not even heed SIGKILL.
const AT_ALL: Duration = Duration::from_secs(10);
/// How often those are sought that a process which has just ended left behind.
const SEEK: Duration = Duration::from_millis(50);

/// Makes this process the one that descendants fall to when their parents end.
pub fn adopt() -> Result<(), Error> {
    prctl::set_child_subreaper(true).map_err(|e| Error::new(format!("cannot adopt what the command leaves: {e}")))
}

/// Ends what is left. Names of those that had to be ended, and the signal that asked us to stop meanwhile.
pub fn end(signals: &Signals, mut interrupted: Option<Signal>) -> Result<(Vec<String>, Option<Signal>), Error> {
    let start = Instant::now();
    let (mut names, mut asked): (Vec<String>, _) = (vec![], BTreeSet::new());
    let mut patience = if interrupted.is_some() { Duration::ZERO } else { ALONE };
    while reap() && start.elapsed() < AT_ALL {
        let waited = start.elapsed();
        let left = if waited >= patience { children() } else { vec![] };
        if asked.is_empty() {
            names = left.iter().map(|(_, name)| name.clone()).collect();
        }
        for (pid, _) in left {
            if waited >= patience + ASKED {
                let _ = kill(pid, Signal::SIGKILL);
            } else if asked.insert(pid) {
                let _ = kill(pid, Signal::SIGTERM).and_then(|()| kill(pid, Signal::SIGCONT));
            }
        }
        if let Some(signal) = signals.wait_for(SEEK)?.and_then(|arrived| arrived.interrupts()) {
            interrupted = Some(signal);
            patience = patience.min(waited);
        }
    }
    names.sort();
    Ok((names, interrupted))
}

/// Takes in those that have ended; whether there are others.
fn reap() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) if status.pid().is_none() => return true,
            Err(Errno::ECHILD) => return false,
            _ => {}
        }
    }
}

/// Our children, and their names.
fn children() -> Vec<(Pid, String)> {
    let ours = std::process::id().to_string();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        let (name, behind) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = behind.split_ascii_whitespace();
        let ended = matches!(fields.next(), Some("Z" | "X"));
        (!ended && fields.next() == Some(&ours)).then(|| (Pid::from_raw(pid), name.to_owned()))
    })
    .collect()
}
