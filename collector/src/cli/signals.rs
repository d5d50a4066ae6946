//! Signals as things to wait for instead of interruptions.
//!
//! They are blocked before the first thread starts, so that all threads have them blocked, and read one by one. No
//! disposition is changed: what `porthole run` starts finds every signal as porthole itself found it.

use super::inherited;
use crate::error::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// `si_code` of a signal that the kernel itself sent, such as a terminal to its foreground processes.
const SI_KERNEL: i32 = 0x80;

/// Blocked signals, to be waited for.
pub struct Signals {
    /// Which signals the thread had blocked before.
    pub before: SigSet,
    queue: SignalFd,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Which.
    pub signal: Signal,
    /// Whether the kernel sent it (and, as a terminal does, to the whole process group).
    pub by_kernel: bool,
}

impl Arrived {
    /// The signal, if it asks us to stop.
    pub fn interrupts(self) -> Option<Signal> {
        let asks = matches!(self.signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT);
        asks.then_some(self.signal)
    }
}

impl AsFd for Signals {
    /// Can be read when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Signals {
    /// Blocks `wanted` in this thread and in all that it starts from now on. Those that are ignored already stay so:
    /// whoever started us (`nohup`) meant it. SIGIO is blocked and never read: the kernel sends it whenever somebody
    /// opens a ring while the collector asks whether it still has writers. SIGXFSZ likewise: a file that grows too large
    /// is an error to be told, not a death.
    pub fn block(wanted: &[Signal]) -> Result<Signals, Error> {
        let failed = |e| Error::new(format!("cannot set up signals: {e}"));
        let mut queued = SigSet::empty();
        for signal in wanted.iter().filter(|s| **s == Signal::SIGCHLD || !inherited::was_ignored(**s as i32)) {
            queued.add(*signal);
        }
        let mut blocked = queued;
        blocked.add(Signal::SIGIO);
        blocked.add(Signal::SIGXFSZ);
        let before = SigSet::thread_get_mask().map_err(failed)?;
        blocked.thread_block().map_err(failed)?;
        let queue = SignalFd::with_flags(&queued, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Signals { before, queue })
    }

    /// Waits for the next one.
    pub fn wait(&self) -> Result<Arrived, Error> {
        loop {
            match self.queue.read_signal() {
                Ok(Some(info)) => {
                    let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
                    return Ok(Arrived { signal, by_kernel: info.ssi_code == SI_KERNEL });
                }
                Ok(None) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(Error::new(format!("cannot wait for signals: {e}"))),
            }
        }
    }

    /// Waits for the next one, but no longer than this.
    pub fn wait_for(&self, time: Duration) -> Result<Option<Arrived>, Error> {
        self.wait_beside(&self.queue, time)
    }

    /// Waits for the next one, but no longer than this, nor once the other can be read.
    pub fn wait_beside(&self, other: &impl AsFd, time: Duration) -> Result<Option<Arrived>, Error> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN), PollFd::new(other.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, time) {
            Ok(1..) if fds[0].any().unwrap_or_default() => self.wait().map(Some),
            _ => Ok(None),
        }
    }
}
