//! The same command bare and under `porthole run`.

use crate::binaries;
use crate::events::Events;
use crate::program::{self, Outcome};
use crate::scratch::Scratch;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    fn prepare(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").env("HOME", "/root");
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command.current_dir(self.cwd.as_deref().unwrap_or(Path::new("/")));
    }

    /// Without porthole.
    pub fn bare(&self) -> Outcome {
        let mut command = Command::new(&self.args[0]);
        self.prepare(command.args(&self.args[1..]));
        program::run(&mut command)
    }

    /// With it.
    pub fn hooked(&self) -> Hooked {
        let scratch = Scratch::new();
        let events = scratch.join("events");
        let mut command = Command::new(binaries::porthole());
        command.args(["run", "--quiet", "--events"]).arg(&events).arg("--").args(&self.args);
        self.prepare(&mut command);
        command.env("PORTHOLE_STATE_DIR", scratch.join("s"));
        let outcome = program::run(&mut command);
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
