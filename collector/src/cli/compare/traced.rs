//! Runs a command to its end and looks at it just before that.
//!
//! The command's first process is traced, bare and hooked alike: nothing is changed in it, and the kernel stops it
//! twice for us, after each exec (what environment it was given) and when it ends, with its descriptors, limits and
//! memory still there. Where tracing is not allowed, these are not compared, and that is said.

#![allow(unsafe_code)]

use super::observed::{self, State};
use crate::cli::run::Refused;
use crate::cli::run::child::Prepared;
use crate::cli::signals::Signals;
use crate::error::Error;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::unix::process::CommandExt;
use std::time::Instant;

/// How a run ended, and what it took.
pub struct Ended {
    /// The kernel's status word.
    status: i32,
    /// From the start to the end, nanoseconds.
    pub wall_ns: u64,
    /// User and system time of the command and of the descendants that were waited for.
    pub cpu_ns: u64,
    /// What the first process held just before it ended.
    pub state: Option<State>,
    /// We were asked to stop meanwhile.
    pub interrupted: Option<Signal>,
}

impl Ended {
    /// `exit 3`, `signal 15`.
    pub fn how(&self) -> String {
        if libc::WIFSIGNALED(self.status) {
            return format!("signal {}", libc::WTERMSIG(self.status));
        }
        format!("exit {}", libc::WEXITSTATUS(self.status))
    }
}

/// Standard input, output and error of a command.
pub type Stdio = (File, [PipeWriter; 2]);

/// Starts the command with these streams and waits until it ends.
pub fn run(prepared: Prepared, (input, [output, errors]): Stdio, signals: &Signals) -> Result<Ended, Refused> {
    let trace = !prepared.gains_privilege();
    let started = Instant::now();
    let pid = prepared.start_as(&signals.before, |command| {
        command.stdin(input).stdout(output).stderr(errors);
        if trace {
            // SAFETY: between fork and exec it makes one system call.
            unsafe { command.pre_exec(traced) };
        }
    })?;
    let mut watch = Watch { pid, started, first: true, environ: vec![], state: None, wall_ns: None };
    let mut interrupted = None;
    loop {
        if let Some((status, cpu_ns)) = watch.collect()? {
            let wall_ns = watch.wall_ns.unwrap_or_else(|| elapsed(started));
            return Ok(Ended { status, wall_ns, cpu_ns, state: watch.state, interrupted });
        }
        let arrived = signals.wait()?;
        interrupted = arrived.interrupts().or(interrupted);
        // a terminal has told the whole process group itself
        if arrived.signal != Signal::SIGCHLD && !arrived.by_kernel {
            let _ = kill(pid, arrived.signal);
        }
    }
}

/// Lets the parent trace this process. If it may not, the stops do not come, and that is said.
fn traced() -> io::Result<()> {
    // SAFETY: this request takes no pointer.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    Ok(())
}

fn elapsed(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

struct Watch {
    pid: Pid,
    started: Instant,
    /// No stop has come yet.
    first: bool,
    environ: Vec<u8>,
    state: Option<State>,
    wall_ns: Option<u64>,
}

impl Watch {
    /// Handles all that has happened; the end, if that is among it. Orphans that fell to us are taken in as well.
    fn collect(&mut self) -> Result<Option<(i32, u64)>, Error> {
        loop {
            let mut status = 0;
            // SAFETY: all zeroes is a valid value of this structure of numbers.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            let how = libc::WNOHANG | libc::__WALL;
            // SAFETY: both pointers lead to variables that live during the call.
            match unsafe { libc::wait4(-1, &raw mut status, how, &raw mut usage) } {
                0 => return Ok(None),
                -1 => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(Error::new(format!("cannot wait for the command: {e}"))),
                },
                pid if pid != self.pid.as_raw() => {}
                _ if libc::WIFSTOPPED(status) => self.stopped(status),
                _ if libc::WIFCONTINUED(status) => {}
                _ => return Ok(Some((status, nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime)))),
            }
        }
    }

    fn stopped(&mut self, status: i32) {
        let (event, signal) = (status >> 16, libc::WSTOPSIG(status));
        let mut pass_on = 0;
        match event {
            libc::PTRACE_EVENT_EXIT => {
                self.wall_ns = Some(elapsed(self.started));
                self.state = observed::state(self.pid, &self.environ);
            }
            libc::PTRACE_EVENT_EXEC => self.environ = observed::environ(self.pid),
            _ if self.first && signal == libc::SIGTRAP => {
                let options = libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
                self.ask(libc::PTRACE_SETOPTIONS, options);
                self.environ = observed::environ(self.pid);
            }
            _ if self.is_stop_of_group() => {} // goes on at once: nobody but us could continue it
            _ => pass_on = signal,
        }
        self.first = false;
        self.ask(libc::PTRACE_CONT, pass_on);
    }

    fn is_stop_of_group(&self) -> bool {
        // SAFETY: all zeroes is a valid value of this structure of numbers.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the kernel writes at most one siginfo_t to a variable that lives during the call.
        unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, self.pid.as_raw(), none, &raw mut info) == -1 }
    }

    /// A request whose failure means that the process is gone, which the next wait tells.
    fn ask(&self, request: libc::c_uint, data: libc::c_int) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: neither request takes a pointer to memory of ours.
        unsafe { libc::ptrace(request, self.pid.as_raw(), none, libc::c_long::from(data)) };
    }
}

fn nanoseconds(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_usec).unwrap_or(0) * 1000
}
