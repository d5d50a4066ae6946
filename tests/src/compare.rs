//! The same command bare and under `porthole run`.

use crate::binaries;
use crate::events::Events;
use crate::program::{self, Outcome};
use crate::scratch::Scratch;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `porthole run` of one command, with a state directory of its own.
#[derive(Debug)]
pub struct Hooked {
    /// What came out.
    pub outcome: Outcome,
    /// What was recorded.
    pub events: Events,
}

/// A command to be run both ways.
#[derive(Clone, Debug, Default)]
pub struct Case {
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: Option<PathBuf>,
    before: Vec<String>,
    symbols: bool,
    limit: Option<Duration>,
}

impl Case {
    /// The program and its arguments.
    pub fn new<S: AsRef<str>>(program: impl AsRef<Path>, args: &[S]) -> Case {
        let mut all = vec![program.as_ref().to_string_lossy().into_owned()];
        all.extend(args.iter().map(|a| a.as_ref().to_owned()));
        Case { args: all, ..Case::default() }
    }

    /// A shell command.
    pub fn shell(script: &str) -> Case {
        Case::new("/bin/sh", &["-c", script])
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Case {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn cwd(mut self, dir: &Path) -> Case {
        self.cwd = Some(dir.to_owned());
        self
    }

    /// The beginning of a command that runs the program, or porthole with the program: see [`program::ISOLATED`].
    #[must_use]
    pub fn inside(mut self, before: &[&str]) -> Case {
        self.before = before.iter().map(|&s| s.to_owned()).collect();
        self
    }

    /// Hooked at depth `symbols` instead of `auto`.
    #[must_use]
    pub fn symbols(mut self) -> Case {
        self.symbols = true;
        self
    }

    /// How long it may take, if not [`program::LIMIT`].
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Case {
        self.limit = Some(limit);
        self
    }

    /// Runs `all`, the program itself or what runs it.
    fn run(&self, all: impl IntoIterator<Item = String>, state: Option<&Path>) -> Outcome {
        let mut all = self.before.iter().cloned().chain(all);
        let mut command = Command::new(all.next().expect("a case has a program"));
        self.prepare(command.args(all));
        command.envs(state.map(|dir| ("PORTHOLE_STATE_DIR", dir)));
        program::run_within(&mut command, self.limit.unwrap_or(program::LIMIT))
    }

    fn prepare(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("HOME", "/root");
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command.current_dir(self.cwd.as_deref().unwrap_or(Path::new("/")));
    }

    /// Without porthole.
    pub fn bare(&self) -> Outcome {
        self.run(self.args.iter().cloned(), None)
    }

    /// With it.
    pub fn hooked(&self) -> Hooked {
        let scratch = Scratch::new();
        let events = scratch.join("events");
        let depth = if self.symbols { "symbols" } else { "auto" };
        let (porthole, file) = (binaries::porthole(), events.to_string_lossy());
        let porthole = porthole.to_string_lossy();
        let porthole = [&*porthole, "run", "--quiet", "--depth", depth, "--events", &*file, "--"].map(str::to_owned);
        let outcome = self.run(porthole.into_iter().chain(self.args.iter().cloned()), Some(&scratch.join("s")));
        Hooked { outcome, events: Events::so_far(&events) }
    }

    /// Runs it both ways and asserts that nobody could tell the difference. Returns what was recorded.
    ///
    /// # Panics
    /// If stdout, stderr or the status differ, or if nothing was recorded (then nothing was compared either).
    pub fn same(&self) -> Hooked {
        let bare = self.bare();
        let hooked = self.hooked();
        assert!(bare == hooked.outcome, "{:?}\n=== bare: {bare:?}\n=== hooked: {:?}", self.args, hooked.outcome);
        assert!(!hooked.events.is_empty(), "{:?} left no event: the agent was not there", self.args);
        hooked
    }
}
