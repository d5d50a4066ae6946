//! What rules see of a container is what its engine says of it: every field of the vocabulary's `container.` and `k8s.`
//! families, against live engines.

use porthole_tests::binaries::workspace;
use porthole_tests::collector::Collector;
use porthole_tests::cri::{self, Cri};
use porthole_tests::docker::{self, Docker};
use porthole_tests::podman::{self, Podman};
use porthole_tests::{program, rootfs, skip, suite, tests, wait};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Arguments of the fields that need one; mounts and labels are those of the containers below.
const ARGUMENTS: [(&str, &[&str]); 8] = [
    ("container.mount", &["0", "1", "/etc", "/none"]),
    ("container.mount.source", &["0", "1", "/hostetc"]),
    ("container.mount.dest", &["0", "1", "/etc"]),
    ("container.mount.mode", &["0", "1", "/etc"]),
    ("container.mount.rdwr", &["0", "1", "/etc"]),
    ("container.mount.propagation", &["0", "1", "/etc"]),
    ("container.label", &["team", "empty", "none"]),
    ("k8s.pod.label", &["app", "none"]),
];

struct Fixture {
    collector: Collector,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let collector = Collector::start_with(|scratch| {
        let output: Vec<String> = fields().iter().map(|name| format!("%{name}")).collect();
        let rule = json!([{
            "rule": "Started", "desc": "every field of each container", "priority": "INFO",
            "condition": "evt.type = execve and evt.rawres = 0 and proc.args = 60", "output": output.join(" "),
        }]);
        let config = json!({
            "rules_files": [scratch.file("rules.yaml", rule.to_string())],
            "json_output": true,
            "stdout_output": { "enabled": false },
            "file_output": { "enabled": true, "keep_alive": true, "filename": scratch.join("alerts") },
        });
        // JSON is YAML
        vec!["--config".into(), scratch.file("config.yaml", config.to_string()).display().to_string()]
    });
    let root = rootfs::of(collector.scratch());
    Fixture { root, collector }
}

fn main() -> ExitCode {
    suite::run(fixture, tests![of_docker, of_docker_on_the_host, of_podman, of_cri])
}

/// The families' fields, each argument on its own.
fn fields() -> Vec<String> {
    let file = workspace().join("rules/data/fields.tsv");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut all = vec![];
    for line in text.lines().filter(|line| line.starts_with("container.") || line.starts_with("k8s.")) {
        let mut columns = line.split('\t');
        let (name, flags) = (columns.next().unwrap_or_default(), columns.nth(1).unwrap_or_default());
        let arguments = ARGUMENTS.iter().find(|(field, _)| *field == name);
        match arguments {
            Some((_, arguments)) => all.extend(arguments.iter().map(|argument| format!("{name}[{argument}]"))),
            None if flags.contains("arg-required") => all.push(format!("{name}[x]")),
            None => all.push(name.to_owned()),
        }
    }
    assert!(all.len() > 60, "{all:?}");
    all
}

/// What the engine says, in the form that the fields have.
#[derive(Default)]
struct Said {
    id: String,
    name: String,
    image: String,
    image_id: String,
    digest: String,
    engine: &'static str,
    privileged: bool,
    /// Source, destination, mode, writable, propagation.
    mounts: Vec<(String, String, String, bool, String)>,
    labels: BTreeMap<String, String>,
    ip: String,
    cni: Value,
    /// pid, network, ipc.
    host: [bool; 3],
    /// Name, namespace, uid, sandbox's id; labels.
    pod: Option<([String; 4], BTreeMap<String, String>)>,
}

impl Said {
    /// The value of each field; `null` where it has none.
    fn expected(&self) -> Map<String, Value> {
        let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        let (repository, tag) = self.image.rsplit_once(':').expect("an image with a tag");
        let list = |labels: &BTreeMap<String, String>| {
            let each = labels.iter().map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k}:{v}") });
            text(&each.collect::<Vec<_>>().join(", "))
        };
        let whole: Vec<String> = self.mounts.iter().map(|(s, d, m, w, p)| format!("{s}:{d}:{m}:{w}:{p}")).collect();
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
        put("container.id", self.id[..12].into());
        put("container.full_id", text(&self.id));
        put("container.name", text(&self.name));
        put("container.image", text(&self.image));
        put("container.image.id", text(&self.image_id));
        put("container.image.repository", text(repository));
        put("container.image.tag", text(tag));
        put("container.image.digest", text(&self.digest));
        put("container.type", self.engine.into());
        put("container.privileged", self.privileged.into());
        put("container.mounts", text(&whole.join(",")));
        put("container.ip", text(&self.ip));
        put("container.cni.json", self.cni.clone());
        for (name, value) in
            ["container.host_pid", "container.host_network", "container.host_ipc"].iter().zip(self.host)
        {
            put(name, value.into());
        }
        put("container.labels", list(&self.labels));
        let ([pod, namespace, uid, sandbox], labels) = self.pod.clone().unwrap_or_default();
        put("k8s.pod.name", text(&pod));
        put("k8s.ns.name", text(&namespace));
        put("k8s.pod.id", text(&uid));
        put("k8s.pod.uid", text(&uid));
        put("k8s.pod.sandbox_id", text(sandbox.get(..12).unwrap_or_default()));
        put("k8s.pod.full_sandbox_id", text(&sandbox));
        put("k8s.pod.labels", list(&labels));
        put("k8s.pod.ip", if self.pod.is_some() { text(&self.ip) } else { Value::Null });
        put("k8s.pod.cni.json", if self.pod.is_some() { self.cni.clone() } else { Value::Null });
        for (field, arguments) in ARGUMENTS {
            for argument in arguments {
                let by_source = |(source, destination, ..): &&(String, String, _, _, _)| {
                    (if field.ends_with("source") { destination } else { source }) == argument
                };
                let mount = match argument.parse::<usize>() {
                    Ok(number) => self.mounts.get(number),
                    Err(_) => self.mounts.iter().find(by_source),
                };
                let value = match (field, mount) {
                    ("container.label", _) => self.labels.get(*argument).map_or(Value::Null, |v| json!(v)),
                    ("k8s.pod.label", _) => labels.get(*argument).map_or(Value::Null, |v| json!(v)),
                    ("container.mount", None) => "none".into(),
                    (_, None) => "N/A".into(),
                    ("container.mount", Some((s, d, m, w, p))) => format!("{s}:{d}:{m}:{w}:{p}").into(),
                    ("container.mount.source", Some(m)) => json!(m.0),
                    ("container.mount.dest", Some(m)) => json!(m.1),
                    ("container.mount.mode", Some(m)) => json!(m.2),
                    ("container.mount.rdwr", Some(m)) => m.3.to_string().into(),
                    ("container.mount.propagation", Some(m)) => json!(m.4),
                    _ => panic!("{field}"),
                };
                put(&format!("{field}[{argument}]"), value);
            }
        }
        all
    }
}

impl Fixture {
    /// All fields of a container, as a rule has them at its first program.
    fn told(&self, id: &str) -> Value {
        let file = self.collector.scratch().join("alerts");
        wait::until("the container's alert", Duration::from_secs(60), || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let alerts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut fields = alerts.map(|alert| alert["output_fields"].clone());
            fields.find(|fields| fields["container.full_id"] == id)
        })
    }

    fn compare(&self, said: &Said) {
        let (told, expected) = (self.told(&said.id), said.expected());
        for name in fields() {
            let told = match name.ends_with("cni.json") {
                true => told[&name].as_str().map_or(Value::Null, |json| serde_json::from_str(json).expect("JSON")),
                false => told[&name].clone(),
            };
            match (name.as_str(), expected.get(&name)) {
                // of the kernel, not of the engine
                ("container.start_ts", _) => assert!(told.as_i64().is_some_and(|ns| ns > 1_700_000_000_000_000_000)),
                ("container.duration", _) => assert!(told.as_i64().is_some_and(|ns| ns >= 0), "{told}"),
                (_, Some(expected)) => assert_eq!(told, *expected, "{name} by {}", said.engine),
                // deprecated
                (_, None) => assert_eq!(told, Value::Null, "{name} by {}", said.engine),
            }
        }
    }
}

fn text(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(name, v)| (name.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

/// What `docker inspect` and `podman inspect` agree on.
fn inspected(said: &Value) -> Said {
    let mut mounts: Vec<_> = said["Mounts"].as_array().into_iter().flatten().collect();
    mounts.sort_by_key(|m| text(m, "/Destination"));
    let mount = |m: &Value| {
        let [source, destination, mode, propagation] =
            ["/Source", "/Destination", "/Mode", "/Propagation"].map(|at| text(m, at));
        (source, destination, mode, m["RW"] == true, propagation)
    };
    let host = ["/HostConfig/PidMode", "/HostConfig/NetworkMode", "/HostConfig/IpcMode"];
    Said {
        id: text(said, "/Id"),
        name: text(said, "/Name").trim_start_matches('/').to_owned(),
        image_id: text(said, "/Image").trim_start_matches("sha256:").to_owned(),
        privileged: said["HostConfig"]["Privileged"] == true,
        mounts: mounts.into_iter().map(mount).collect(),
        labels: map(&said["Config"]["Labels"]),
        ip: text(said, "/NetworkSettings/IPAddress"),
        host: host.map(|at| text(said, at) == "host"),
        ..Said::default()
    }
}

const LABELS: [&str; 4] = ["--label", "team=x", "--label", "empty="];
const MOUNTS: [&str; 4] = ["--volume", "/etc:/hostetc:ro", "--volume", "/usr:/hostusr"];

fn dockers(f: &Fixture, name: &str, options: &[&str]) {
    let docker = Docker::start(&f.collector.state_dir(), &[]);
    docker.import(&f.root);
    let container = docker.create(Some(docker::RUNTIME), &[&["--name", name], options].concat(), &["/bin/sleep", "60"]);
    container.start();
    let said: Value = serde_json::from_str(&container.inspect("{{json .}}")).expect("JSON");
    let (image, engine) = (text(&said, "/Config/Image"), "docker");
    f.compare(&Said { image, engine, ..inspected(&said) });
}

fn of_docker(f: &Fixture) {
    dockers(f, "apart", &[&["--network", "none"], &LABELS[..], &MOUNTS].concat());
}

fn of_docker_on_the_host(f: &Fixture) {
    dockers(f, "on-the-host", &["--network", "host", "--pid", "host", "--ipc", "host"]);
}

fn of_podman(f: &Fixture) {
    let podman = match Podman::new(&f.collector.state_dir()) {
        Ok(podman) => podman,
        Err(why) => skip!("no podman: {why}"),
    };
    podman.import(&f.root);
    for (name, options) in [
        ("apart", [&["--network", "none"], &LABELS[..], &MOUNTS].concat()),
        ("on-the-host", vec!["--network", "host", "--pid", "host", "--ipc", "host"]),
    ] {
        let run = [&["run", "--detach", "--name", name], &options[..], &[podman::IMAGE, "/bin/sleep", "60"]].concat();
        let id = podman.run(&run).ok("podman run").text();
        // a list, whatever the template
        let said: Value = serde_json::from_str(&podman.inspect(&id, "{{json .}}")).expect("JSON");
        let said = &said[0];
        let (digest, common) = (text(said, "/ImageDigest"), inspected(said));
        // podman 4.3 calls the host's "shareable"
        let ipc = options.ends_with(&["--ipc", "host"]);
        let host = [common.host[0], common.host[1], ipc];
        f.compare(&Said { image: text(said, "/ImageName"), digest, engine: "podman", host, ..common });
    }
}

fn of_cri(f: &Fixture) {
    let cri = match Cri::start(&f.collector.state_dir(), &f.root) {
        Ok(cri) => cri,
        Err(why) => skip!("no CRI: {why}"),
    };
    // what is to come in later must be shared on the host
    let shared = f.collector.scratch().dir("shared");
    program::run(Command::new("mount").args(["-t", "tmpfs", "porthole-test"]).arg(&shared)).ok("mount");
    program::run(Command::new("mount").arg("--make-shared").arg(&shared)).ok("mount --make-shared");
    for network in ["POD", "NODE"] {
        let namespaces = json!({"network": network, "pid": if network == "NODE" { "NODE" } else { "CONTAINER" }});
        let pod = cri.pod(
            &format!("on-{}", network.to_lowercase()),
            json!({"labels": {"app": "shop"}, "linux": {"security_context": {"namespace_options": namespaces}}}),
        );
        let mounts = json!([
            {"host_path": "/etc", "container_path": "/hostetc", "readonly": true},
            {"host_path": shared, "container_path": "/hostusr", "propagation": "PROPAGATION_HOST_TO_CONTAINER"},
        ]);
        let more = json!({"labels": {"team": "x", "empty": ""}, "mounts": mounts});
        let container = pod.run("app", &["/bin/sleep", "60"], more);
        f.compare(&by_cri(&cri, &container.status(), &pod.status(), network == "NODE"));
    }
}

fn by_cri(cri: &Cri, container: &Value, pod: &Value, host: bool) -> Said {
    let (status, of_pod) = (&container["status"], &pod["status"]);
    let mount = |m: &Value| {
        let propagation = match text(m, "/propagation").as_str() {
            "PROPAGATION_HOST_TO_CONTAINER" => "rslave",
            "PROPAGATION_BIDIRECTIONAL" => "rshared",
            _ => "private",
        };
        let (source, destination) = (text(m, "/host_path"), text(m, "/container_path"));
        (source, destination, String::new(), m["readonly"] != true, propagation.to_owned())
    };
    let list = cri.containerd.ctr(&["-n", "k8s.io", "image", "ls", &format!("name=={}", cri::IMAGE)]).text();
    let digest = list.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap_or_default();
    let id = text(of_pod, "/id");
    Said {
        id: text(status, "/id"),
        name: text(status, "/metadata/name"),
        image: text(status, "/image/image"),
        image_id: text(status, "/image_ref").trim_start_matches("sha256:").to_owned(),
        digest: digest.to_owned(),
        engine: "containerd",
        privileged: container.pointer("/info/info/config/linux/security_context/privileged")
            == Some(&Value::Bool(true)),
        mounts: status["mounts"].as_array().into_iter().flatten().map(mount).collect(),
        labels: map(&status["labels"]),
        ip: text(of_pod, "/network/ip"),
        cni: pod.pointer("/info/info/cniResult").cloned().unwrap_or_default(),
        host: [host, host, false],
        pod: Some((
            [text(of_pod, "/metadata/name"), text(of_pod, "/metadata/namespace"), text(of_pod, "/metadata/uid"), id],
            map(&of_pod["labels"]),
        )),
    }
}
