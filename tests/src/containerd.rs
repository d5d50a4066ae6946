//! A containerd of the tests' own, and `ctr` with porthole-runc as its runtime.

use crate::binaries;
use crate::program::{self, Outcome, Running};
use crate::scratch::{self, Scratch};
use crate::wait;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    running: Option<Running>,
    state_dir: PathBuf,
    scratch: Scratch,
}

impl Containerd {
    /// Starts a daemon whose containers are registered in `state_dir`.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn start(state_dir: &Path) -> Containerd {
        Containerd::start_with(state_dir, |_| "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n".into())
    }

    /// The same with more of its configuration, the keys of the top level first.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn start_with(state_dir: &Path, more: impl FnOnce(&Scratch) -> String) -> Containerd {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n{}[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            more(&scratch),
            at("s"),
            at("t")
        );
        scratch.file("config.toml", config);
        let mut containerd = Containerd { running: None, state_dir: state_dir.to_owned(), scratch };
        containerd.restart();
        containerd
    }

    /// Stops it if it runs, and starts it; its containers live on.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn restart(&mut self) {
        self.running = None;
        let log = std::fs::File::create(self.scratch.join("log")).expect("an own file");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "containerd", "-c"]).arg(self.config());
        command.env("PORTHOLE_STATE_DIR", &self.state_dir).stdout(Stdio::null()).stderr(log);
        self.running = Some(Running::start(&mut command));
        wait::until("containerd answers", Duration::from_secs(40), || {
            assert!(self.running.as_mut().is_some_and(Running::alive), "containerd ended:\n{}", self.log());
            (self.ctr(&["version"]).status == 0).then_some(())
        });
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.scratch.join("config.toml")
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("s")
    }

    /// A directory that goes with it.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Its pid.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> i32 {
        self.running.as_ref().expect("containerd runs").pid()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("log")).unwrap_or_default()
    }

    /// Runs `ctr` to its end.
    pub fn ctr(&self, args: &[&str]) -> Outcome {
        program::run(Command::new("ctr").arg("-a").arg(self.socket()).args(args))
    }

    /// Takes in an archive of images.
    ///
    /// # Panics
    /// If it is refused.
    pub fn import(&self, archive: &Path) {
        self.ctr(&["image", "import", &archive.display().to_string()]).ok("ctr image import");
    }

    /// Runs a container to its end.
    pub fn run(&self, options: &[&str], image: &str, id: &str, args: &[&str]) -> Outcome {
        self.run_by(&binaries::porthole_runc(), &[&["--rm"], options].concat(), image, id, args)
    }

    /// The same by another runtime.
    pub fn run_by(&self, runtime: &Path, options: &[&str], image: &str, id: &str, args: &[&str]) -> Outcome {
        let runtime = runtime.display().to_string();
        let all = [&["run", "--runc-binary", &runtime], options, &[image, id], args].concat();
        self.ctr(&all)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let left = self.ctr(&["task", "ls", "-q"]).text();
        for id in left.lines() {
            self.ctr(&["task", "rm", "--force", id]);
        }
        self.running = None;
        scratch::mounts_below(self.scratch.path());
    }
}
