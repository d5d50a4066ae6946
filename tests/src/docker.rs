//! A docker daemon of the tests' own: own data, socket and containerd; no bridge, no iptables, nothing left behind.

use crate::binaries;
use crate::program::{self, Outcome, Running};
use crate::scratch::{self, Scratch};
use crate::wait;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Debian's client; a newer alien one may stand before it in `PATH`.
const CLIENT: &str = "/usr/bin/docker";

/// Name of the runtime in the daemon's configuration.
pub const RUNTIME: &str = "porthole";
/// Name of the image made of the test's root file system.
pub const IMAGE: &str = "porthole-test:1";

/// A running dockerd.
#[derive(Debug)]
pub struct Docker {
    running: Option<Running>,
    /// What its configuration was before porthole was told to it; `None`: it is not our business.
    original: Option<&'static str>,
    scratch: Scratch,
}

impl Docker {
    /// Starts a daemon whose containers are registered in `state_dir`, with more daemon options if any.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn start(state_dir: &Path, options: &[&str]) -> Docker {
        Docker::start_with(state_dir, options, &binaries::porthole_runc())
    }

    /// The same; what the daemon looks up in `PATH` is looked for in this directory first.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn start_in(state_dir: &Path, options: &[&str], path: &Path) -> Docker {
        Docker::told_of(&binaries::porthole_runc(), state_dir, options, Some(path))
    }

    /// The same with another program as the runtime.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn start_with(state_dir: &Path, options: &[&str], wrapper: &Path) -> Docker {
        Docker::told_of(wrapper, state_dir, options, None)
    }

    fn told_of(wrapper: &Path, state_dir: &Path, options: &[&str], path: Option<&Path>) -> Docker {
        let scratch = Scratch::new();
        scratch.file("daemon.json", CONFIG);
        install("install", &scratch, wrapper);
        Docker::launch(scratch, state_dir, options, path, Some(CONFIG))
    }

    /// One that porthole was not told to, with a configuration of the test's.
    ///
    /// # Panics
    /// If it does not come up, with its log.
    pub fn start_plain(state_dir: &Path, config: &str) -> Docker {
        let scratch = Scratch::new();
        scratch.file("daemon.json", config);
        Docker::launch(scratch, state_dir, &[], None, None)
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.scratch.join("daemon.json")
    }

    /// A directory that goes with it.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn launch(
        scratch: Scratch,
        state_dir: &Path,
        options: &[&str],
        path: Option<&Path>,
        original: Option<&'static str>,
    ) -> Docker {
        let config = scratch.join("daemon.json");
        let log = std::fs::File::create(scratch.join("log")).expect("an own file");
        // dies with this process, whatever ends it
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "dockerd", "--config-file"]).arg(config);
        for (option, name) in [("--data-root", "d"), ("--exec-root", "e"), ("--pidfile", "pid")] {
            command.arg(option).arg(scratch.join(name));
        }
        command.arg("-H").arg(format!("unix://{}", scratch.join("s").display()));
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
        command.args(["--ip-masq=false", "--exec-opt", "native.cgroupdriver=cgroupfs"]);
        command.arg(format!("--cgroup-parent={}", cgroup(&scratch))).args(options);
        command.env("PORTHOLE_STATE_DIR", state_dir).env_remove("DOCKER_HOST");
        if let Some(path) = path {
            let rest = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{rest}", path.display()));
        }
        command.stdout(Stdio::null()).stderr(log);
        let mut docker = Docker { running: Some(Running::start(&mut command)), original, scratch };
        wait::until("dockerd answers", Duration::from_secs(40), || {
            assert!(docker.running.as_mut().is_some_and(Running::alive), "dockerd ended:\n{}", docker.log());
            let out = docker.command(&["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            out.is_ok_and(|s| s.success()).then_some(())
        });
        docker
    }

    /// Makes [`IMAGE`] of a root file system. The health check is for containers that ask for none.
    ///
    /// # Panics
    /// If the import fails.
    pub fn import(&self, rootfs: &Path) {
        self.import_as(rootfs, IMAGE);
    }

    /// The same by another name.
    ///
    /// # Panics
    /// If the import fails.
    pub fn import_as(&self, rootfs: &Path, image: &str) {
        let script = format!(
            "tar -C '{}' -cf - . | {CLIENT} -H unix://{} import -c 'CMD [\"/bin/true\"]' - {image}",
            rootfs.display(),
            self.socket().display()
        );
        program::run(Command::new("sh").args(["-c", &script])).ok("docker import");
    }

    /// A client's command.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        // no configuration of the user's, no warnings about it
        command.env("DOCKER_CONFIG", self.scratch.join("c")).env_remove("DOCKER_CONTEXT");
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(args);
        command
    }

    /// Runs a client's command to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let mut out = program::run(&mut self.command(args));
        out.stderr = without_warnings(&out.stderr);
        out
    }

    /// Creates a container with the porthole runtime (or docker's own), and gives its full id.
    ///
    /// # Panics
    /// If docker refuses.
    pub fn create(&self, runtime: Option<&str>, options: &[&str], args: &[&str]) -> Container<'_> {
        let mut all = vec!["create"];
        if let Some(runtime) = runtime {
            all.extend(["--runtime", runtime]);
        }
        all.extend(options);
        all.push(IMAGE);
        all.extend(args);
        let id = self.run(&all).ok(&format!("docker {all:?}")).text();
        let id = id.lines().last().unwrap_or_default().to_owned();
        assert_eq!(id.len(), 64, "docker create gives a full id: {id:?}");
        Container { docker: self, id }
    }

    /// Its pid.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> i32 {
        self.running.as_ref().expect("dockerd runs").pid()
    }

    /// What the daemon has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.scratch.join("s")
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let all = self.run(&["ps", "-aq"]).text();
        let ids: Vec<&str> = all.lines().collect();
        if !ids.is_empty() {
            self.run(&[&["rm", "-f"], &ids[..]].concat());
        }
        self.running = None;
        for group in cgroup_directories(&cgroup(&self.scratch)) {
            let _ = std::fs::remove_dir(group);
        }
        let left = scratch::mounts_below(self.scratch.path());
        if let Some(original) = self.original {
            install("uninstall", &self.scratch, &binaries::porthole_runc());
            let config = std::fs::read_to_string(self.config()).unwrap_or_default();
            if config != original && !std::thread::panicking() {
                panic!("porthole uninstall has not restored the configuration: {config}");
            }
        }
        if !left.is_empty() {
            eprintln!("dockerd left mounts, now removed: {left:?}");
        }
    }
}

/// A container of the tests' daemon, removed at the end.
#[derive(Debug)]
pub struct Container<'a> {
    docker: &'a Docker,
    /// Full id.
    pub id: String,
}

impl Container<'_> {
    /// Starts it and waits for its end; its output and status.
    pub fn run(&self) -> Outcome {
        self.docker.run(&["start", "--attach", &self.id])
    }

    /// Starts it in the background.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self) {
        self.docker.run(&["start", &self.id]).ok("docker start");
    }

    /// `docker exec`.
    pub fn exec(&self, options: &[&str], args: &[&str]) -> Outcome {
        self.docker.run(&[&["exec"], options, &[&self.id], args].concat())
    }

    /// `docker inspect` with a template.
    pub fn inspect(&self, template: &str) -> String {
        self.docker.run(&["inspect", "--format", template, &self.id]).text()
    }

    /// Files that the container changed in its image: `docker diff`.
    pub fn changes(&self) -> String {
        self.docker.run(&["diff", &self.id]).ok("docker diff").text()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.docker.run(&["rm", "-f", &self.id]);
    }
}

/// The daemon's configuration before porthole is told to it, in a form that no serializer makes.
const CONFIG: &str = "{ \"log-level\":\"warn\" ,\n\t\"max-concurrent-downloads\": 2\n}";

/// `porthole install docker`, or `uninstall`, as people do it.
fn install(verb: &str, scratch: &Scratch, wrapper: &Path) {
    let mut command = Command::new(binaries::porthole());
    command.args([verb, "docker", "--config"]).arg(scratch.join("daemon.json"));
    command.arg("--wrapper").arg(wrapper).arg("--keep-in").arg(scratch.join("kept"));
    program::run(&mut command).ok("porthole install");
}

fn cgroup(scratch: &Scratch) -> String {
    let name = scratch.path().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("/{name}")
}

/// The directories of a cgroup in every hierarchy.
fn cgroup_directories(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut all = vec![root.join(&name[1..])];
    let hierarchies = std::fs::read_dir(root).map(|d| d.flatten().collect::<Vec<_>>()).unwrap_or_default();
    all.extend(hierarchies.into_iter().map(|h| h.path().join(&name[1..])));
    all
}

fn without_warnings(stderr: &[u8]) -> Vec<u8> {
    stderr.split_inclusive(|b| *b == b'\n').filter(|l| !l.starts_with(b"WARNING:")).flatten().copied().collect()
}
