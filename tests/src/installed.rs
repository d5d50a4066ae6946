//! `porthole install` and `uninstall` of a configuration of the test's.

use crate::binaries;
use crate::program::{self, Outcome};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

/// A configuration of docker as people write it.
pub const DOCKER: &str = "{ \"log-level\":\"warn\" ,\n\t\"max-concurrent-downloads\": 2\n}";
/// System calls that change what is on a disk, and those around them.
pub const CHANGING: [&str; 10] =
    ["write", "rename", "unlink", "rmdir", "mkdir", "fsync", "fchmod", "fchown", "utimensat", "flock"];

/// A configuration, and where it is kept what it was.
#[derive(Debug)]
pub struct Place {
    /// The configuration.
    pub config: PathBuf,
    kept: PathBuf,
}

impl Place {
    /// Of these paths.
    pub fn new(config: PathBuf, kept: PathBuf) -> Place {
        Place { config, kept }
    }

    /// Runs `porthole VERB ENGINE` with it.
    pub fn run(&self, verb: &str, engine: &str, more: &[&str]) -> Outcome {
        porthole(&[&self.args(verb, engine).each_ref().map(String::as_str), more].concat())
    }

    /// The same for containers that are registered in this state directory.
    pub fn run_in(&self, state: &str, verb: &str, engine: &str, more: &[&str]) -> Outcome {
        let args = self.args(verb, engine);
        let mut command = Command::new(binaries::porthole());
        program::run(command.args(args).args(more).env("PORTHOLE_STATE_DIR", state))
    }

    /// Mode, owner and time of change; `None`: there is none.
    pub fn stamp(&self) -> Option<(u32, u32, u32, SystemTime)> {
        let meta = std::fs::metadata(&self.config).ok()?;
        Some((meta.mode(), meta.uid(), meta.gid(), meta.modified().ok()?))
    }

    /// Files beside the configuration, above it, and in what is kept, that are none of it.
    pub fn litter(&self) -> Vec<PathBuf> {
        let dir = self.config.parent();
        let dirs = [dir, dir.and_then(|dir| dir.parent()), Some(&*self.kept)];
        let entries = dirs.into_iter().flatten().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
        entries.map(|entry| entry.path()).filter(|path| path.is_file() && *path != self.config).collect()
    }

    fn args(&self, verb: &str, engine: &str) -> [String; 8] {
        let (config, kept) = (self.config.display().to_string(), self.kept.display().to_string());
        let wrapper = binaries::porthole_runc().display().to_string();
        [verb, engine, "--config", &config, "--wrapper", &wrapper, "--keep-in", &kept].map(str::to_owned)
    }
}

/// Runs `porthole` to its end.
pub fn porthole(args: &[&str]) -> Outcome {
    program::run(Command::new(binaries::porthole()).args(args))
}

/// Runs `porthole VERB ENGINE` under strace, killed when it is about to do its n-th `call`; whether there were as many.
///
/// # Panics
/// If it ends in another way.
pub fn dies_at(call: &str, n: usize, place: &Place, verb: &str, engine: &str, more: &[&str]) -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "-e", &format!("inject={call}:signal=KILL:when={n}")]);
    let out = program::run(command.arg(binaries::porthole()).args(place.args(verb, engine)).args(more));
    match out.status {
        0 => false,
        137 => true,
        _ => panic!("porthole {verb} {engine}, killed at {call} {n}: {out:?}"),
    }
}
