//! The same containers and commands by several engines.

use super::cases::Options;
use crate::bundle::Bundle;
use crate::program::{self, Outcome};
use crate::{cri, docker, podman};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes containers and executes commands in them. All containers are gone with it.
pub trait Engine {
    /// What it is called.
    fn name(&self) -> &'static str;
    /// Starts a container that does nothing, without a network; its full id.
    fn start(&self, options: &Options) -> String;
    /// Its first process.
    fn pid(&self, id: &str) -> String;
    /// Executes a command in a container. `how`: `user=`, `env=`, `cwd=`, `tty`.
    fn exec(&self, id: &str, how: &[&str], args: &[&str]) -> Outcome;
    /// Runs a container to its end; its full id.
    fn run(&self, options: &Options, how: &[&str], args: &[&str]) -> String;
}

/// Engines give these to every container.
const USUAL: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What a container does that is to be there for commands.
const NOTHING: [&str; 2] = ["sleep", "1000"];

/// runc itself, told to by the tests.
#[derive(Debug)]
pub struct Runc {
    root: PathBuf,
    state_dir: PathBuf,
    bundles: RefCell<Vec<Bundle>>,
}

impl Runc {
    /// Containers of this root file system.
    pub fn new(root: &Path, state_dir: &Path) -> Runc {
        Runc { root: root.into(), state_dir: state_dir.into(), bundles: RefCell::default() }
    }

    fn bundle(&self, options: &Options, how: &[&str], args: &[&str]) -> Bundle {
        let capabilities: Vec<&str> = USUAL.iter().chain(options.capabilities).copied().collect();
        Bundle::new(&self.root, args).with(|spec| {
            for set in ["bounding", "effective", "permitted"] {
                spec["process"]["capabilities"][set] = json!(capabilities);
            }
            if let Some((uid, gid)) = option(how, "user").and_then(|user| user.split_once(':')) {
                let number = |text: &str| text.parse::<u32>().expect("a number");
                spec["process"]["user"] = json!({ "uid": number(uid), "gid": number(gid) });
            }
            spec["process"]["noNewPrivileges"] = false.into();
            let mounts = spec["mounts"].as_array_mut().expect("mounts");
            if options.executable_memory {
                mounts.retain(|m| m["destination"] != "/dev/shm");
                mounts.push(json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs", "options": [] }));
            }
            // a directory of its own: this machine's may hold anything
            mounts.push(json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"] }));
            if let Some(source) = options.mount {
                mounts
                    .push(json!({ "destination": "/h", "type": "bind", "source": source, "options": ["rbind", "ro"] }));
            }
        })
    }

    fn with<T>(&self, id: &str, work: impl FnOnce(&Bundle) -> T) -> T {
        let all = self.bundles.borrow();
        work(all.iter().find(|b| b.id == id).expect("a container of this engine"))
    }
}

impl Engine for Runc {
    fn name(&self) -> &'static str {
        "runc"
    }

    fn start(&self, options: &Options) -> String {
        let bundle = self.bundle(options, &[], &NOTHING);
        bundle.start(&self.state_dir);
        let id = bundle.id.clone();
        self.bundles.borrow_mut().push(bundle);
        id
    }

    fn pid(&self, id: &str) -> String {
        let state = self.with(id, |b| program::run(b.runtime(None).args(["state", id])).ok("runc state"));
        let state: Value = serde_json::from_slice(&state.stdout).expect("runc state is JSON");
        state["pid"].to_string()
    }

    fn exec(&self, id: &str, how: &[&str], args: &[&str]) -> Outcome {
        let mut command = self.with(id, |b| b.runtime(Some(&self.state_dir)));
        command.arg("exec");
        flags(&mut command, how, "--cwd");
        command.arg(id).args(args);
        at_terminal(command, how)
    }

    fn run(&self, options: &Options, how: &[&str], args: &[&str]) -> String {
        let bundle = self.bundle(options, how, args);
        bundle.run(Some(&self.state_dir));
        bundle.id.clone()
    }
}

impl Engine for docker::Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn start(&self, options: &Options) -> String {
        let words = [&["run", "--detach", "--runtime", docker::RUNTIME][..], &limits(options)[..]].concat();
        let more = mounts(options);
        let words: Vec<&str> = words.into_iter().chain(more.iter().map(String::as_str)).collect();
        self.run(&[&words[..], &[docker::IMAGE], &NOTHING].concat()).ok("docker run").text()
    }

    fn pid(&self, id: &str) -> String {
        self.run(&["inspect", "--format", "{{.State.Pid}}", id]).ok("docker inspect").text()
    }

    fn exec(&self, id: &str, how: &[&str], args: &[&str]) -> Outcome {
        let mut command = self.command(&["exec"]);
        flags(&mut command, how, "--workdir");
        command.arg(id).args(args);
        at_terminal(command, how)
    }

    fn run(&self, options: &Options, how: &[&str], args: &[&str]) -> String {
        let mut command = self.command(&["create", "--runtime", docker::RUNTIME]);
        flags(command.args(limits(options)).args(mounts(options)), how, "--workdir");
        let id = program::run(command.arg(docker::IMAGE).args(args)).ok("docker create").text();
        docker::Docker::run(self, &["start", "--attach", &id]).ok("docker start");
        docker::Docker::run(self, &["rm", &id]).ok("docker rm");
        id
    }
}

impl Engine for podman::Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn start(&self, options: &Options) -> String {
        let mut command = self.command(&["run", "--detach"]);
        command.args(limits(options)).args(mounts(options)).arg(podman::IMAGE).args(NOTHING);
        program::run(&mut command).ok("podman run").text()
    }

    fn pid(&self, id: &str) -> String {
        self.inspect(id, "{{.State.Pid}}")
    }

    fn exec(&self, id: &str, how: &[&str], args: &[&str]) -> Outcome {
        let mut command = self.command(&["exec"]);
        flags(&mut command, how, "--workdir");
        command.arg(id).args(args);
        at_terminal(command, how)
    }

    fn run(&self, options: &Options, how: &[&str], args: &[&str]) -> String {
        let mut command = self.command(&["create"]);
        flags(command.args(limits(options)).args(mounts(options)), how, "--workdir");
        let id = program::run(command.arg(podman::IMAGE).args(args)).ok("podman create").text();
        podman::Podman::run(self, &["start", "--attach", &id]).ok("podman start");
        podman::Podman::run(self, &["rm", &id]).ok("podman rm");
        id
    }
}

/// Kubernetes' interface knows neither users nor terminals of commands that are waited for.
impl Engine for cri::Cri {
    fn name(&self) -> &'static str {
        "CRI"
    }

    fn start(&self, options: &Options) -> String {
        self.held("case", options, &NOTHING)
    }

    fn pid(&self, id: &str) -> String {
        let status = self.call("ContainerStatus", &json!({ "container_id": id, "verbose": true }));
        let info: Value = serde_json::from_str(status["info"]["info"].as_str().unwrap_or("")).expect("JSON");
        info["pid"].to_string()
    }

    fn exec(&self, id: &str, how: &[&str], args: &[&str]) -> Outcome {
        assert!(how.is_empty(), "ExecSync does not know {how:?}");
        let said = self.call("ExecSync", &json!({ "container_id": id, "cmd": args, "timeout": "30" }));
        Outcome { stdout: vec![], stderr: vec![], status: said["exit_code"].as_i64().unwrap_or(0) as i32 }
    }

    fn run(&self, options: &Options, how: &[&str], args: &[&str]) -> String {
        assert!(how.is_empty(), "containers of CRI are not run as {how:?}");
        self.held("entry", options, args)
    }
}

impl cri::Cri {
    /// A container in a pod of its own, which goes with the engine.
    fn held(&self, name: &str, options: &Options, args: &[&str]) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = json!({ "network": "POD", "pid": "CONTAINER" });
        let config = json!({ "linux": { "security_context": { "namespace_options": own } } });
        let pod = self.pod(&format!("cases-{}", NEXT.fetch_add(1, Ordering::Relaxed)), config);
        let added: Vec<&str> = options.capabilities.iter().map(|name| name.trim_start_matches("CAP_")).collect();
        let mut more = json!({ "linux": { "security_context": { "capabilities": { "add_capabilities": added } } } });
        if let Some(source) = options.mount {
            more["mounts"] = json!([{ "container_path": "/h", "host_path": source, "readonly": true }]);
        }
        let id = pod.run(name, args, more).id.clone();
        std::mem::forget(pod);
        id
    }
}

fn option<'a>(how: &[&'a str], name: &str) -> Option<&'a str> {
    how.iter().find_map(|h| h.split_once('=').filter(|(n, _)| *n == name).map(|(_, value)| value))
}

/// Options of `exec`, which runc names as docker does, but for the directory.
fn flags(command: &mut Command, how: &[&str], directory: &str) {
    for (option, name) in [("--user", "user"), ("--env", "env"), (directory, "cwd")] {
        if let Some(value) = self::option(how, name) {
            command.arg(option).arg(value);
        }
    }
    if how.contains(&"tty") {
        command.arg("--tty");
    }
}

/// Runs a command, with a terminal if `how` says so.
fn at_terminal(mut command: Command, how: &[&str]) -> Outcome {
    if !how.contains(&"tty") {
        return program::run(&mut command);
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|w| format!("'{}'", w.to_string_lossy())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    program::run(&mut script)
}

/// Options of docker and podman.
fn limits(options: &Options) -> Vec<&'static str> {
    let mut all = vec!["--network", "none"];
    all.extend(options.capabilities.iter().flat_map(|name| ["--cap-add", *name]));
    if options.executable_memory {
        all.extend(["--tmpfs", "/dev/shm:exec"]);
    }
    all
}

fn mounts(options: &Options) -> Vec<String> {
    options.mount.map(|source| format!("--volume={source}:/h:ro")).into_iter().collect()
}
