//! What the tests of the command line share.
#![allow(dead_code)] // each test binary uses a part of it

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A new directory, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("porthole-cli-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The command under test, with this state directory and a plain environment.
pub fn porthole(state: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    command.args(args).env("PORTHOLE_STATE_DIR", state).env_remove("NO_COLOR").env_remove("XDG_RUNTIME_DIR");
    if let Some(agent) = agent() {
        command.env("PORTHOLE_LIBRARY", agent);
    }
    command
}

/// The release build of the agent, if there is one: `PORTHOLE_LIBRARY`, else what cargo has built.
pub fn agent() -> Option<PathBuf> {
    let named = std::env::var_os("PORTHOLE_LIBRARY").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |d| root.join(d));
    let built = target.join("release/libporthole.so");
    named.or(Some(built)).filter(|p| p.is_file())
}

/// Says why a test is skipped, past the harness' capture.
pub fn skipped(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP: {reason}");
}

/// Whether tests of real events can run; says so if not.
pub fn have_agent() -> bool {
    let have = agent().is_some();
    if !have {
        skipped("no release build of the agent; run `cargo build --release -p porthole-preload`");
    }
    have
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits for a condition, 10 s at most.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The end of a process, waited for 10 s at most.
pub fn end(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Child processes.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|n| n.parse().ok()).collect()
}

/// A collector that is killed when the test ends.
pub struct Collector {
    pub state: PathBuf,
    pub child: Child,
}

impl Collector {
    /// Starts one and waits until it answers.
    pub fn start(state: &Path, args: &[&str]) -> Collector {
        let mut command = porthole(state, &[&["collector"], args].concat());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut collector = Collector { state: state.to_owned(), child };
        until("the collector answers", || {
            if collector.child.try_wait().unwrap().is_some() {
                panic!("the collector ended at once: {}", collector.stderr());
            }
            UnixStream::connect(state.join("api.sock")).is_ok()
        });
        collector
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The process that does the work.
    pub fn worker(&self) -> u32 {
        children(self.child.id()).pop().expect("a collector has a worker")
    }

    /// What it printed on standard error until its end.
    pub fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Asks it something raw; the whole answer.
    pub fn http(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.state.join("api.sock")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
