//! OCI bundles, and runc or porthole-runc over them.

use crate::binaries;
use crate::program::{self, Outcome};
use crate::scratch::Scratch;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bundle with a config.json of our own.
#[derive(Debug)]
pub struct Bundle {
    scratch: Scratch,
    /// The container's id.
    pub id: String,
    /// The specification; [`Bundle::write`] puts it down.
    pub spec: Value,
}

impl Bundle {
    /// A bundle over a root file system that runs `args` in namespaces of its own, network included.
    ///
    /// # Panics
    /// If `runc spec` fails.
    pub fn new<S: AsRef<str>>(rootfs: &Path, args: &[S]) -> Bundle {
        let scratch = Scratch::new();
        let spec = program::run(Command::new("runc").arg("spec").current_dir(scratch.path())).ok("runc spec");
        drop(spec);
        let text = std::fs::read(scratch.join("config.json")).expect("runc spec has written it");
        let mut spec: Value = serde_json::from_slice(&text).expect("runc writes JSON");
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = args.iter().map(|a| a.as_ref()).collect::<Vec<_>>().into();
        spec["root"] = json!({ "path": rootfs, "readonly": false });
        // an id like an engine's: 64 characters, the first 12 of them unique on this machine
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:0<64}", format!("{:08x}{n:04x}", std::process::id()));
        let bundle = Bundle { scratch, id, spec };
        bundle.write();
        bundle
    }

    /// Changes the spec and writes it.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Bundle {
        change(&mut self.spec);
        self.write();
        self
    }

    /// Writes config.json.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self) {
        std::fs::write(self.config(), serde_json::to_vec_pretty(&self.spec).expect("a value")).expect("an own file");
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Its config.json.
    pub fn config(&self) -> PathBuf {
        self.scratch.join("config.json")
    }

    /// The runtime's log.
    pub fn log_file(&self) -> PathBuf {
        self.scratch.join("log.json")
    }

    /// The runtime's log as text.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// porthole-runc (with this state directory) or plain runc, with `--root` and `--log` of this bundle.
    pub fn runtime(&self, state_dir: Option<&Path>) -> Command {
        let mut command = match state_dir {
            Some(dir) => {
                let mut command = Command::new(binaries::porthole_runc());
                command.env("PORTHOLE_STATE_DIR", dir);
                command
            }
            None => Command::new("runc"),
        };
        command.arg("--root").arg(self.scratch.join("r")).arg("--log").arg(self.log_file());
        command.args(["--log-format", "json"]);
        command
    }

    /// `run`: to its end.
    pub fn run(&self, state_dir: Option<&Path>) -> Outcome {
        program::run(self.runtime(state_dir).arg("run").arg("--bundle").arg(self.path()).arg(&self.id))
    }

    /// `run --detach`, as engines do with create and start.
    pub fn start(&self, state_dir: &Path) {
        self.start_by(self.runtime(Some(state_dir)));
    }

    /// The same by a command that [`Bundle::runtime`] has made.
    pub fn start_by(&self, mut command: Command) {
        let command = command.args(["run", "--detach", "--bundle"]).arg(self.path()).arg(&self.id);
        // the container keeps stdio open: a pipe would be waited for
        let file = std::fs::File::create(self.scratch.join("out")).expect("an own file");
        let status = command.stdin(std::process::Stdio::null()).stdout(file.try_clone().expect("dup")).stderr(file);
        let status = status.status().expect("porthole-runc runs");
        assert!(status.success(), "run --detach: {status}: {}\n{}", self.output(), self.log());
    }

    /// What a container started by [`Bundle::start`] has written.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.scratch.join("out")).unwrap_or_default()
    }

    /// `exec`, to its end.
    pub fn exec<S: AsRef<std::ffi::OsStr>>(&self, state_dir: &Path, args: &[S]) -> Outcome {
        program::run(self.runtime(Some(state_dir)).arg("exec").args(args))
    }

    /// `delete --force`.
    pub fn delete(&self, state_dir: Option<&Path>) -> Outcome {
        program::run(self.runtime(state_dir).args(["delete", "--force"]).arg(&self.id))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.delete(None);
    }
}
