//! Running programs with a time limit, and what came out of them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a program did, as its caller sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Everything on stdout.
    pub stdout: Vec<u8>,
    /// Everything on stderr.
    pub stderr: Vec<u8>,
    /// Exit status as a shell tells it: 128 + n after signal n.
    pub status: i32,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |b: &[u8]| String::from_utf8_lossy(&b[..b.len().min(4000)]).into_owned();
        write!(f, "status {}\n--- stdout\n{}\n--- stderr\n{}", self.status, text(&self.stdout), text(&self.stderr))
    }
}

impl Outcome {
    /// Stdout as text, trimmed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Stderr as text, trimmed.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }

    /// Itself, if the status is 0.
    ///
    /// # Panics
    /// Otherwise, with all output.
    pub fn ok(self, what: &str) -> Outcome {
        assert_eq!(self.status, 0, "{what} failed: {self:?}");
        self
    }
}

/// How long a program may take. A hang is a failure of the test, not of the machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Runs a command to its end, stdin from `/dev/null`.
///
/// # Panics
/// If it cannot be started, or does not end within [`LIMIT`].
pub fn run(command: &mut Command) -> Outcome {
    run_within(command, LIMIT)
}

/// [`run`] of a command that may take longer than others.
///
/// # Panics
/// If it cannot be started, or does not end within `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Outcome {
    // a process group of its own: what hangs is killed with its children
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("an own child can be waited for") {
            break status;
        }
        if started.elapsed() > limit {
            let _ = nix::sys::signal::killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
            panic!("{command:?} hangs: not done after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stdout = out.join().expect("the reader does not panic");
    let stderr = err.join().expect("the reader does not panic");
    Outcome { stdout, stderr, status: shell_status(status) }
}

/// The beginning of a command whose rest then runs in namespaces of its own: nothing but loopback, no process that
/// outlives it, no socket family of the hypervisor, which only some machines have, and no signal ignored, as they are in
/// a shell's background.
pub const ISOLATED: [&str; 10] = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    // not the last command, which the shell would become: the first process of a namespace is deaf to most signals
    "ip link set lo up; [ ! -e /dev/vsock ] || mount --bind /dev/null /dev/vsock; \
     env --default-signal \"$0\" \"$@\"; exit $?",
];

/// 128 + n for a program that ended by signal n.
pub fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(127))
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        all
    })
}

/// A running program that is stopped when dropped: SIGTERM, and SIGKILL if it is still there after some seconds.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    patience: Duration,
}

impl Running {
    /// Starts it; its stdin is `/dev/null`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let name = command.get_program().to_string_lossy().into_owned();
        Running { child, name, patience: Duration::from_secs(10) }
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Waits until it ends, [`LIMIT`] at most.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait(&mut self) -> i32 {
        let child = &mut self.child;
        crate::wait::until(&format!("{} ends", self.name), LIMIT, || {
            child.try_wait().expect("an own child can be waited for").map(shell_status)
        })
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let until = Instant::now() + self.patience;
        self.signal(Signal::SIGTERM);
        while self.alive() {
            if Instant::now() > until {
                eprintln!("{} does not stop: killed", self.name);
                self.kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
