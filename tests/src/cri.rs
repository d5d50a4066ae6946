//! Kubernetes' interface to container runtimes, as containerd serves it: pods and containers without Kubernetes, with
//! porthole-runc as the runtime handler [`HANDLER`].
//!
//! The other side of the interface is a small program of python3-grpcio, which stays for all calls.

use crate::binaries::{self, workspace};
use crate::containerd::Containerd;
use crate::image;
use crate::program;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Name of the runtime handler.
pub const HANDLER: &str = "porthole";
/// Name of the image made of the test's root file system; pods sleep in it, too.
pub const IMAGE: &str = "localhost/porthole-test:1";
/// The address of every pod that has a network of its own: nothing but loopback is in it.
pub const ADDRESS: &str = "10.88.7.9";
/// Debian's own, which sees Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// A containerd that serves the interface.
#[derive(Debug)]
pub struct Cri {
    client: Mutex<Client>,
    /// The daemon.
    pub containerd: Containerd,
}

#[derive(Debug)]
struct Client {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Cri {
    /// Starts one whose containers are registered in `state_dir`, with an image of this root file system. The reason if
    /// it cannot be spoken to here.
    ///
    /// # Errors
    /// The reason.
    ///
    /// # Panics
    /// If containerd does not come up, with its log.
    pub fn start(state_dir: &Path, rootfs: &Path) -> Result<Cri, String> {
        Cri::start_with(state_dir, rootfs, &binaries::porthole_runc())
    }

    /// The same with another program as the handler.
    ///
    /// # Errors
    /// The reason.
    ///
    /// # Panics
    /// If containerd does not come up, with its log.
    pub fn start_with(state_dir: &Path, rootfs: &Path, handler: &Path) -> Result<Cri, String> {
        let modules = Command::new(PYTHON).args(["-c", "import grpc, google.protobuf"]).output();
        if !modules.is_ok_and(|out| out.status.success()) {
            return Err(format!("{PYTHON} has no module grpc (python3-grpcio)"));
        }
        if !Path::new("/usr/bin/protoc").exists() {
            return Err("protoc (protobuf-compiler) is not installed".into());
        }
        let containerd = Containerd::start_with(state_dir, |scratch| {
            network(&scratch.dir("cni"));
            config(scratch.path(), handler)
        });
        let scratch = containerd.scratch();
        let description = json!({"Entrypoint": ["/bin/sleep", "600"], "Labels": {"of": "image"}});
        let archive = image::archive(scratch, rootfs, IMAGE, &description);
        containerd.ctr(&["-n", "k8s.io", "image", "import", &archive.display().to_string()]).ok("ctr image import");
        std::fs::remove_file(archive).expect("an own file");

        let (sources, module) = (workspace().join("tests/cri"), scratch.dir("client"));
        let mut protoc = Command::new("/usr/bin/protoc");
        protoc.arg("-I").arg(&sources).arg("--python_out").arg(&module).arg("api.proto");
        program::run(&mut protoc).ok("protoc");
        let mut command = Command::new(PYTHON);
        command.arg(sources.join("client.py")).arg(containerd.socket()).env("PYTHONPATH", module);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 starts");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let cri = Cri { client: Mutex::new(Client { child, answers }), containerd };
        cri.call("Version", &json!({}));
        Ok(cri)
    }

    /// Calls a method of `tests/cri/api.proto`; messages are in the JSON form of protocol buffers (64-bit numbers are
    /// texts, bytes are base64, what is empty is not there).
    ///
    /// # Errors
    /// What the daemon says.
    ///
    /// # Panics
    /// If the client has ended.
    pub fn try_call(&self, method: &str, request: &Value) -> Result<Value, String> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = client.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{}", json!([method, request])).expect("the client reads");
        let mut line = String::new();
        client.answers.read_line(&mut line).expect("the client answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{method}: {e}: {line:?}"));
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }

    /// [`Cri::try_call`] that must succeed.
    ///
    /// # Panics
    /// If it does not.
    pub fn call(&self, method: &str, request: &Value) -> Value {
        self.try_call(method, request).unwrap_or_else(|e| panic!("{e}\n{}", self.containerd.log()))
    }

    /// Runs a pod with porthole's handler, in namespace `ns-of-NAME`, uid `uid-of-NAME`; `more` is put over its
    /// configuration. Without a word on its namespaces, the network is the host's, and containers have a pid namespace
    /// each, as Kubernetes has it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn pod(&self, name: &str, more: Value) -> Pod<'_> {
        let mut config = json!({
            "metadata": {"name": name, "namespace": format!("ns-of-{name}"), "uid": format!("uid-of-{name}")},
            "linux": {
                "cgroup_parent": self.containerd.scratch().path().file_name().and_then(|n| n.to_str()),
                "security_context": {"namespace_options": {"network": "NODE", "pid": "CONTAINER"}},
            },
        });
        merge(&mut config, more);
        let answer = self.call("RunPodSandbox", &json!({"config": config, "runtime_handler": HANDLER}));
        Pod { cri: self, id: text(&answer, "pod_sandbox_id"), config }
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        let pods = self.try_call("ListPodSandbox", &json!({})).unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let id = json!({"pod_sandbox_id": pod["id"]});
            let _ = self.try_call("StopPodSandbox", &id).and_then(|_| self.try_call("RemovePodSandbox", &id));
        }
        let client = self.client.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = client.child.kill();
        let _ = client.child.wait();
    }
}

/// A pod that runs; gone with this value, and all its containers.
#[derive(Debug)]
pub struct Pod<'a> {
    cri: &'a Cri,
    /// The sandbox's full id.
    pub id: String,
    /// What it was asked for.
    pub config: Value,
}

impl<'a> Pod<'a> {
    /// Creates a container of [`IMAGE`] with these words as its command; `more` is put over its configuration.
    ///
    /// # Panics
    /// If it is refused.
    pub fn create(&self, name: &str, command: &[&str], more: Value) -> Container<'a> {
        let namespaces = &self.config["linux"]["security_context"]["namespace_options"];
        let mut config = json!({
            "metadata": {"name": name}, "image": {"image": IMAGE}, "command": command,
            "linux": {"security_context": {"namespace_options": namespaces}},
        });
        merge(&mut config, more);
        let request = json!({"pod_sandbox_id": self.id, "config": config, "sandbox_config": self.config});
        Container { cri: self.cri, id: text(&self.cri.call("CreateContainer", &request), "container_id") }
    }

    /// The same, and starts it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn run(&self, name: &str, command: &[&str], more: Value) -> Container<'a> {
        let container = self.create(name, command, more);
        container.start();
        container
    }

    /// `PodSandboxStatus`: `status` and `info`, whose texts are JSON where they can be.
    ///
    /// # Panics
    /// If there is none.
    pub fn status(&self) -> Value {
        informed(self.cri.call("PodSandboxStatus", &json!({"pod_sandbox_id": self.id, "verbose": true})))
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        let id = json!({"pod_sandbox_id": self.id});
        let _ = self.cri.try_call("StopPodSandbox", &id).and_then(|_| self.cri.try_call("RemovePodSandbox", &id));
    }
}

/// A container of a pod; it goes with its pod.
#[derive(Debug)]
pub struct Container<'a> {
    cri: &'a Cri,
    /// Its full id.
    pub id: String,
}

impl Container<'_> {
    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self) {
        self.cri.call("StartContainer", &json!({"container_id": self.id}));
    }

    /// `ExecSync`: the status.
    ///
    /// # Panics
    /// If it cannot be executed.
    pub fn exec(&self, command: &[&str]) -> i64 {
        let request = json!({"container_id": self.id, "cmd": command, "timeout": "30"});
        self.cri.call("ExecSync", &request)["exit_code"].as_i64().unwrap_or(0)
    }

    /// `ContainerStatus`, see [`Pod::status`].
    ///
    /// # Panics
    /// If there is none.
    pub fn status(&self) -> Value {
        informed(self.cri.call("ContainerStatus", &json!({"container_id": self.id, "verbose": true})))
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// If it cannot be ended.
    pub fn stop(&self) {
        self.cri.call("StopContainer", &json!({"container_id": self.id, "timeout": "0"}));
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}")).to_owned()
}

/// Objects are put into each other, anything else replaces what is there.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

fn informed(mut status: Value) -> Value {
    for (_, text) in status.get_mut("info").and_then(Value::as_object_mut).into_iter().flatten() {
        let parsed = text.as_str().and_then(|text| serde_json::from_str(text).ok());
        *text = parsed.unwrap_or(text.take());
    }
    status
}

fn config(dir: &Path, handler: &Path) -> String {
    format!(
        "[plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = {IMAGE:?}\ndisable_apparmor = true\nrestrict_oom_score_adj = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {cni:?}\nconf_dir = {cni:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{HANDLER}]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{HANDLER}.options]\nBinaryName = {runc:?}\n",
        cni = dir.join("cni"),
        runc = handler,
    )
}

/// A network's configuration and plugins, which say what an address is and make nothing.
fn network(dir: &Path) {
    let result = json!({
        "cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "/proc/self/ns/net"}],
        "ips": [{"version": "4", "interface": 0, "address": format!("{ADDRESS}/16")}], "dns": {},
    });
    let versions = json!({"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]});
    let script = format!(
        "#!/bin/sh\ncat >/dev/null\ncase $CNI_COMMAND in ADD) echo '{result}' ;; VERSION) echo '{versions}' ;; esac\n"
    );
    for name in ["loopback", "told"] {
        std::fs::write(dir.join(name), &script).expect("an own file");
        std::fs::set_permissions(dir.join(name), Permissions::from_mode(0o755)).expect("an own file");
    }
    let list = json!({"cniVersion": "0.4.0", "name": "tests", "plugins": [{"type": "told"}]});
    std::fs::write(dir.join("10-tests.conflist"), list.to_string()).expect("an own file");
}
