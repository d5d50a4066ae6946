//! A collector with a state directory of its own.

use crate::binaries;
use crate::events::{Events, Growing};
use crate::program::{self, Running};
use crate::scratch::Scratch;
use crate::wait;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A running `porthole collector`.
#[derive(Debug)]
pub struct Collector {
    // stopped before its directory goes
    running: Option<Running>,
    program: PathBuf,
    scratch: Scratch,
    events: Mutex<Growing>,
    options: Vec<String>,
}

impl Collector {
    /// Starts one and waits until it serves.
    pub fn start() -> Collector {
        let mut collector = Collector::stopped();
        collector.restart();
        collector
    }

    /// One that is not started yet: its state directory alone.
    pub fn stopped() -> Collector {
        Collector {
            running: None,
            program: binaries::porthole(),
            scratch: Scratch::new(),
            events: Mutex::default(),
            options: vec![],
        }
    }

    /// Starts one with more options, and waits until it serves.
    pub fn start_with(options: impl FnOnce(&Scratch) -> Vec<String>) -> Collector {
        let mut collector = Collector::stopped();
        collector.options = options(&collector.scratch);
        collector.restart();
        collector
    }

    /// Starts one whose program's file is its own, and can be replaced.
    pub fn start_replaceable() -> Collector {
        let mut collector = Collector::stopped();
        collector.replace_program();
        collector.restart();
        collector
    }

    /// Puts a new file where its program lies, as an upgrade does.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn replace_program(&mut self) {
        let (new, place) = (self.scratch.join("porthole.new"), self.scratch.join("porthole"));
        std::fs::copy(binaries::porthole(), &new).expect("a copy of the program");
        std::fs::rename(new, &place).expect("an own file");
        self.program = place;
    }

    /// Whether all its processes run the file that lies there now.
    pub fn runs_its_file(&self) -> bool {
        let inode = |path: &Path| std::fs::metadata(path).map(|meta| meta.ino()).ok();
        let current = inode(&self.program);
        let runs = |pid: i32| inode(&PathBuf::from(format!("/proc/{pid}/exe"))) == current;
        runs(self.pid()) && self.worker().is_some_and(runs)
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.scratch.join("s")
    }

    /// A directory for the test's own files, gone with the collector.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The file that every event is written to.
    pub fn events_file(&self) -> PathBuf {
        self.scratch.join("events")
    }

    /// Events written so far.
    pub fn events(&self) -> Events {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.so_far(&self.events_file()).clone()
    }

    /// Waits until the events fulfil a condition; returns them all.
    ///
    /// # Panics
    /// With what there is when it takes too long.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Events) -> bool) -> Events {
        let started = std::time::Instant::now();
        loop {
            let events = self.events();
            if condition(&events) {
                return events;
            }
            assert!(
                started.elapsed() < program::LIMIT,
                "{what}: not within {:?}. Status: {}\nEvents ({}):\n{events}\nLog:\n{}",
                program::LIMIT,
                self.try_status(),
                events.len(),
                self.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Starts it (again).
    pub fn restart(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        // dies with the test that started it, whatever ends that
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(&self.program);
        command.args(["collector", "--quiet", "--events"]).arg(self.events_file()).args(&self.options);
        command.env("PORTHOLE_STATE_DIR", self.state_dir());
        command.stdout(Stdio::null()).stderr(log);
        let mut running = Running::start(&mut command);
        let socket = self.state_dir().join(porthole_registration::layout::API_SOCKET);
        wait::until_true("the collector answers", || {
            assert!(running.alive(), "the collector ended at once:\n{}", self.log());
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        self.running = Some(running);
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.running.take().expect("the collector runs").kill();
    }

    /// Stops it in order (SIGTERM).
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        self.running.as_ref().expect("the collector runs").signal(signal);
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::alive)
    }

    /// Its pid.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> i32 {
        self.running.as_ref().expect("the collector runs").pid()
    }

    /// The process that does the work, once there is one.
    ///
    /// # Panics
    /// If the collector does not run.
    pub fn worker(&self) -> Option<i32> {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|n| n.parse().ok())
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// A `porthole` command with this state directory.
    pub fn porthole(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binaries::porthole());
        command.args(args).env("PORTHOLE_STATE_DIR", self.state_dir());
        command
    }

    /// Runs a `porthole` command that must succeed; returns its stdout as JSON.
    ///
    /// # Panics
    /// If it fails or says something else.
    pub fn json(&self, args: &[&str]) -> Value {
        let out = program::run(&mut self.porthole(args)).ok(&format!("porthole {args:?}"));
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("porthole {args:?}: {e}: {out:?}"))
    }

    /// `porthole status`.
    pub fn status(&self) -> Value {
        self.json(&["status", "--format", "json"])
    }

    /// `porthole containers`, one of them by full id.
    pub fn container(&self, full_id: &str) -> Option<Value> {
        let all = self.json(&["containers", "--format", "json"]);
        let list = all.as_array().cloned().unwrap_or_default();
        list.into_iter().find(|c| c["full_id"] == full_id)
    }

    /// Asserts that no record was lost so far.
    ///
    /// # Panics
    /// If one was.
    pub fn assert_nothing_lost(&self) {
        let status = self.status();
        let lost = &status["records_lost"];
        let sum: u64 = lost.as_object().map_or(0, |m| m.values().filter_map(Value::as_u64).sum());
        assert_eq!(sum, 0, "records were lost: {lost}");
    }

    fn try_status(&self) -> String {
        program::run(&mut self.porthole(&["status"])).text()
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.join("log")
    }

    /// The container directory of one id.
    pub fn container_dir(&self, id: &str) -> porthole_registration::layout::ContainerDir {
        porthole_registration::layout::ContainerDir::new(&self.state_dir(), id).expect("a valid id")
    }

    /// What lies below a path of the state directory.
    pub fn listing(&self, below: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(below).map(|d| d.flatten().collect::<Vec<_>>()).unwrap_or_default();
        entries.into_iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.running = None;
    }
}
