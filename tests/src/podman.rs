//! podman as root, with a storage of its own and porthole-runc as its runtime.

use crate::binaries;
use crate::program::{self, Outcome};
use crate::scratch::{self, Scratch};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Name of the image made of the test's root file system.
pub const IMAGE: &str = "localhost/porthole-test:1";

/// podman asks for higher limits than the tests' machine may allow.
pub(crate) const LIMITS: &str = "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n";

/// A storage of containers.
#[derive(Debug)]
pub struct Podman {
    scratch: Scratch,
}

impl Podman {
    /// Makes one whose containers are registered in `state_dir`. The reason if podman is missing or does not run here.
    ///
    /// # Errors
    /// The reason.
    pub fn new(state_dir: &Path) -> Result<Podman, String> {
        Podman::over(state_dir, Path::new(""))
    }

    /// The same; porthole-runc calls this runtime, or the one it finds if the path is empty.
    ///
    /// # Errors
    /// The reason.
    pub fn over(state_dir: &Path, runtime: &Path) -> Result<Podman, String> {
        if !Path::new("/usr/bin/podman").exists() {
            return Err("podman is not installed".into());
        }
        let scratch = Scratch::new();
        scratch.file("containers.conf", LIMITS);
        // its monitor starts the runtime with few of our variables
        let runtime = format!(
            "#!/bin/sh\nPORTHOLE_STATE_DIR='{}' PORTHOLE_RUNTIME='{}' exec '{}' \"$@\"\n",
            state_dir.display(),
            runtime.display(),
            binaries::porthole_runc().display()
        );
        let runtime = scratch.file("runtime", runtime);
        std::fs::set_permissions(runtime, Permissions::from_mode(0o755)).expect("an own file");
        let podman = Podman { scratch };
        let said = podman.run(&["info"]);
        if said.status == 0 { Ok(podman) } else { Err(format!("podman info: {}", said.errors())) }
    }

    /// A command.
    pub fn command(&self, args: &[&str]) -> Command {
        let at = |name: &str| self.scratch.join(name);
        let mut command = Command::new("/usr/bin/podman");
        command.env("CONTAINERS_CONF", at("containers.conf"));
        for (option, name) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(at(name));
        }
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "overlay"]);
        command.arg("--runtime").arg(at("runtime")).args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        program::run(&mut self.command(args))
    }

    /// Makes [`IMAGE`] of a root file system, with a label.
    ///
    /// # Panics
    /// If the import fails.
    pub fn import(&self, rootfs: &Path) {
        let tar = self.scratch.join("root.tar");
        let mut pack = Command::new("tar");
        program::run(pack.arg("-C").arg(rootfs).arg("-cf").arg(&tar).arg(".")).ok("tar");
        let file = tar.display().to_string();
        self.run(&["import", "-c", "LABEL of=image", &file, IMAGE]).ok("podman import");
        let _ = std::fs::remove_file(tar);
    }

    /// `podman inspect` of a container with a template.
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.run(&["inspect", "--format", template, container]).ok("podman inspect").text()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run(&["rm", "--all", "--force", "--time", "0"]);
        scratch::mounts_below(self.scratch.path());
    }
}
