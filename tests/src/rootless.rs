//! podman without privileges: a user of the tests' own, their storage, and their collector, which lives where their
//! containers do, in podman's user namespace.

use crate::binaries;
use crate::events::Events;
use crate::podman::{self, IMAGE};
use crate::program::{self, Outcome, Running};
use crate::scratch::Scratch;
use crate::wait;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A user with a collector.
#[derive(Debug)]
pub struct Rootless {
    collector: Option<Running>,
    user: User,
    scratch: Scratch,
}

/// A user of this machine, gone at the end.
#[derive(Debug)]
struct User(String);

impl Rootless {
    /// Makes a user and starts their collector, with porthole-runc as podman's runtime. The reason if that is not
    /// possible here.
    ///
    /// # Errors
    /// The reason.
    ///
    /// # Panics
    /// If the collector does not come up.
    pub fn start() -> Result<Rootless, String> {
        for program in ["/usr/bin/podman", "/usr/bin/newuidmap", "/usr/sbin/useradd"] {
            if !Path::new(program).exists() {
                return Err(format!("{program} is not installed"));
            }
        }
        let scratch = Scratch::new();
        let user = User::new()?;
        for name in ["home", "x"] {
            program::run(Command::new("chown").arg(&user.0).arg(scratch.dir(name))).ok("chown");
        }
        scratch.file("containers.conf", podman::LIMITS);
        // the build's directory may be somebody else's
        for file in [binaries::porthole(), binaries::porthole_runc(), binaries::agent()] {
            std::fs::copy(&file, scratch.join(file.file_name().expect("a file"))).expect("a copy");
        }
        let mut rootless = Rootless { collector: None, user, scratch };
        let said = rootless.podman(&["unshare", "cat", "/proc/self/uid_map"]);
        if said.status != 0 {
            return Err(format!("podman unshare: {}", said.errors()));
        }
        let log = std::fs::File::create(rootless.scratch.join("log")).expect("an own file");
        // podman ends by a signal without a word to what it has started
        let mut command = rootless.command(&["unshare", "setpriv", "--pdeathsig", "TERM"]);
        command.arg(rootless.scratch.join("porthole")).args(["collector", "--quiet", "--events"]);
        command.arg(rootless.events_file()).stdout(Stdio::null()).stderr(log);
        rootless.collector = Some(Running::start(&mut command));
        wait::until_true("the user's collector answers", || {
            let alive = rootless.collector.as_mut().is_some_and(Running::alive);
            assert!(alive, "it ended: {:?}", std::fs::read_to_string(rootless.scratch.join("log")));
            rootless.porthole(&["status"]).status == 0
        });
        Ok(rootless)
    }

    /// A command of podman's, as the user.
    pub fn command(&self, args: &[&str]) -> Command {
        let at = |name: &str| self.scratch.join(name).display().to_string();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--reuid", &self.user.0, "--regid", &self.user.0, "--init-groups", "env"]);
        command.args(["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", &format!("HOME={}", at("home"))]);
        command.arg(format!("XDG_RUNTIME_DIR={}", at("x"))).arg(format!("CONTAINERS_CONF={}", at("containers.conf")));
        command.args(["/usr/bin/podman", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command.args(["--storage-driver", "overlay", "--runtime", &at("porthole-runc")]).args(args);
        command.current_dir("/");
        command
    }

    /// Runs podman to its end.
    pub fn podman(&self, args: &[&str]) -> Outcome {
        program::run(&mut self.command(args))
    }

    /// Runs `porthole` to its end, where the user's collector is.
    pub fn porthole(&self, args: &[&str]) -> Outcome {
        let porthole = self.scratch.join("porthole").display().to_string();
        self.podman(&[&["unshare", &porthole], args].concat())
    }

    /// Makes [`IMAGE`] of a root file system.
    ///
    /// # Panics
    /// If the import fails.
    pub fn import(&self, rootfs: &Path) {
        let tar = self.scratch.join("root.tar");
        program::run(Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(&tar).arg(".")).ok("tar");
        self.podman(&["import", &tar.display().to_string(), IMAGE]).ok("podman import");
        let _ = std::fs::remove_file(tar);
    }

    /// The user's events so far.
    pub fn events(&self) -> Events {
        Events::so_far(&self.events_file())
    }

    fn events_file(&self) -> PathBuf {
        self.scratch.join("x/events")
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        self.podman(&["rm", "--all", "--force", "--time", "0"]);
        self.collector = None;
        // ends the process that keeps podman's namespaces
        self.podman(&["system", "migrate"]);
    }
}

impl User {
    fn new() -> Result<User, String> {
        let name = format!("ph-{}", std::process::id());
        let said = program::run(Command::new("/usr/sbin/useradd").args(["--no-create-home", "--user-group", &name]));
        if said.status == 0 { Ok(User(name)) } else { Err(format!("useradd: {}", said.errors())) }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        program::run(Command::new("/usr/sbin/userdel").args(["--force", &self.0]));
    }
}
