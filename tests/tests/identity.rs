//! Containers of podman and containerd: each event says who its container is, the first ones too, and it is what the
//! engine says.

use porthole_tests::binaries;
use porthole_tests::collector::Collector;
use porthole_tests::containerd::Containerd;
use porthole_tests::events::Events;
use porthole_tests::podman::{self, Podman};
use porthole_tests::program;
use porthole_tests::{rootfs, skip, suite, tests, wait};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

struct Fixture {
    collector: Collector,
    podman: Result<Podman, String>,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    let podman = Podman::new(&collector.state_dir());
    if let Ok(podman) = &podman {
        podman.import(&root);
    }
    Fixture { podman, collector }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            podmans_containers,
            podmans_exec,
            podmans_without_porthole,
            containers_of_ctr,
            what_is_installed_is_understood
        ],
    )
}

impl Fixture {
    fn of_container(&self, id: &str, program: &str) -> Events {
        let ready = |e: &Events| {
            let own = e.of_container(id);
            !own.execs(program).is_empty() && !own.opens("/etc/secret").is_empty()
        };
        self.collector.wait_for("records of the container", ready).of_container(id)
    }

    /// What porthole-runc has found out.
    fn registered(&self, id: &str) -> Value {
        let file = self.collector.state_dir().join("containers").join(id).join("container.json");
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

fn assert_known(events: &Events, wanted: &[(&str, &str)]) {
    assert!(!events.is_empty());
    for event in &events.0 {
        for (field, value) in wanted {
            assert_eq!(event.text(field), *value, "{field} of {event:?}");
        }
    }
}

fn podmans_containers(f: &Fixture) {
    let podman = match &f.podman {
        Ok(podman) => podman,
        Err(why) => skip!("no podman: {why}"),
    };
    let options = ["--label", "team=x", "--volume", "/etc:/hostetc:ro", "--user", "1000:1000", "--network", "none"];
    let program = ["/bin/sh", "-c", "cat /etc/secret; exec sleep 60"];
    let run = [&["run", "--detach", "--name", "a-name"], &options[..], &[podman::IMAGE], &program].concat();
    let id = podman.run(&run).ok("podman run").text();
    let events = f.of_container(&id, "/bin/cat");
    assert_known(
        &events,
        &[
            ("container.type", "podman"),
            ("container.name", "a-name"),
            ("container.image", podman::IMAGE),
            ("container.image.repository", "localhost/porthole-test"),
            ("container.image.tag", "1"),
            (
                "container.image.digest",
                &podman.run(&["image", "inspect", "--format", "{{.Digest}}", podman::IMAGE]).text(),
            ),
        ],
    );
    let registered = f.registered(&id);
    let known = &registered["engines"];
    assert_eq!(known["image_id"], podman.inspect(&id, "{{.Image}}"), "{known}");
    let labels: Value = serde_json::from_str(&podman.inspect(&id, "{{json .Config.Labels}}")).expect("JSON");
    assert_eq!((&known["labels"], &known["labels"]["of"]), (&labels, &"image".into()));
    assert_eq!(known["user"], podman.inspect(&id, "{{.Config.User}}"));
    let theirs: Value = serde_json::from_str(&podman.inspect(&id, "{{json .Mounts}}")).expect("JSON");
    let pairs = [
        ("source", "Source"),
        ("destination", "Destination"),
        ("mode", "Mode"),
        ("rw", "RW"),
        ("propagation", "Propagation"),
    ];
    for (ours, name) in pairs {
        assert_eq!(known["mounts"][0][ours], theirs[0][name], "{name}: {known} {theirs}");
    }
    podman.run(&["rm", "--force", "--time", "0", &id]);
}

impl Fixture {
    /// A container that did not come through porthole-runc, as `porthole containers` has it.
    fn stranger(&self, id: &str) -> Value {
        let found = wait::until("the container is found", Duration::from_secs(30), || self.collector.container(id));
        assert_eq!((&found["registered"], &found["injection"]), (&false.into(), &"none".into()), "{found}");
        assert!(found["alive"].as_u64().is_some_and(|n| n >= 1), "{found}");
        found
    }
}

fn podmans_without_porthole(f: &Fixture) {
    let podman = match &f.podman {
        Ok(podman) => podman,
        Err(why) => skip!("no podman: {why}"),
    };
    let runtime = ["--runtime", "/usr/sbin/runc"];
    let run = ["run", "--detach", "--name", "plain", "--network", "none", podman::IMAGE, "/bin/sleep", "60"];
    let id = podman.run(&[&runtime[..], &run].concat()).ok("podman run").text();
    let found = f.stranger(&id);
    assert_eq!((&found["name"], &found["image"]), (&"plain".into(), &podman::IMAGE.into()), "{found}");
    assert_eq!((&found["engine"], &found["injection_reason"]), (&"podman".into(), &"other runtime: runc".into()));
    podman.run(&[&runtime[..], &["rm", "--force", "--time", "0", &id]].concat());
}

fn podmans_exec(f: &Fixture) {
    let podman = match &f.podman {
        Ok(podman) => podman,
        Err(why) => skip!("no podman: {why}"),
    };
    let run = ["run", "--detach", "--name", "entered", "--network", "none", podman::IMAGE, "/bin/sleep", "60"];
    let id = podman.run(&run).ok("podman run").text();
    podman.run(&["exec", "--user", "1000", &id, "/bin/cat", "/etc/secret"]).ok("podman exec");
    let events = f.of_container(&id, "/bin/cat");
    assert_known(&events, &[("container.name", "entered"), ("container.image.tag", "1")]);
    let exec = events.filter(|e| e.kind() == "container.exec");
    let exec = exec.only("container.exec");
    assert_eq!((exec.text("evt.arg.exe"), exec.number("evt.arg.uid")), ("/bin/cat", Some(1000)), "{exec:?}");
    podman.run(&["rm", "--force", "--time", "0", &id]);
}

/// The engines themselves read what `porthole install` has written.
fn what_is_installed_is_understood(f: &Fixture) {
    let dir = f.collector.scratch().dir("installed");
    let wrapper = binaries::porthole_runc().display().to_string();
    let kept = dir.join("kept").display().to_string();
    let porthole = |verb: &str, engine: &str, name: &str, options: &[&str]| {
        let config = dir.join(name).display().to_string();
        let all = [&[verb, engine, "--config", &config, "--wrapper", &wrapper, "--keep-in", &kept], options].concat();
        program::run(&mut f.collector.porthole(&all)).ok("porthole install").text()
    };
    let text_of = |name: &str| std::fs::read_to_string(dir.join(name)).expect("an own file");
    for (name, text) in [("new.toml", ""), ("old.toml", "# kept\nversion = 2\n[grpc]\nuid = 7\n")] {
        std::fs::write(dir.join(name), text).expect("an own file");
        let would = porthole("install", "containerd", name, &["--default", "--dry-run"]);
        assert!(would.contains("+  BinaryName") || would.contains("+BinaryName"), "{would}");
        assert_eq!(text_of(name), text, "--dry-run changes nothing");
        porthole("install", "containerd", name, &["--default"]);
        let mut dump = Command::new("containerd");
        let dump = program::run(dump.arg("-c").arg(dir.join(name)).args(["config", "dump"]));
        let dump = dump.ok("containerd config dump").text();
        for line in [format!("BinaryName = {wrapper:?}"), "default_runtime_name = \"porthole\"".into()] {
            assert!(dump.contains(&line), "{line}: {dump}");
        }
        porthole("uninstall", "containerd", name, &[]);
        assert_eq!(text_of(name), text);
    }
    if !std::path::Path::new("/usr/bin/podman").exists() {
        skip!("podman is not installed");
    }
    porthole("install", "podman", "porthole.conf", &["--default"]);
    let mut info = Command::new("/usr/bin/podman");
    info.env("CONTAINERS_CONF", dir.join("porthole.conf"));
    info.arg("--root").arg(dir.join("r")).arg("--runroot").arg(dir.join("rr"));
    let path = program::run(info.args(["info", "--format", "{{.Host.OCIRuntime.Path}}"])).ok("podman info").text();
    assert_eq!(path, wrapper);
}

fn containers_of_ctr(f: &Fixture) {
    let podman = match &f.podman {
        Ok(podman) => podman,
        Err(why) => skip!("no podman to make an archive of an image with: {why}"),
    };
    let archive: PathBuf = f.collector.scratch().join("image.tar");
    podman
        .run(&["save", "--format", "docker-archive", "-o", &archive.display().to_string(), podman::IMAGE])
        .ok("podman save");
    let containerd = Containerd::start(&f.collector.state_dir());
    containerd.import(&archive);
    let _ = std::fs::remove_file(&archive);
    containerd.ctr(&["run", "--detach", podman::IMAGE, "a-plain-one", "/bin/sleep", "60"]).ok("ctr run");
    let found = f.stranger("a-plain-one");
    assert_eq!((&found["image"], &found["engine"]), (&podman::IMAGE.into(), &"containerd".into()), "{found}");
    let said = containerd.run(&["--label", "team=x"], podman::IMAGE, "a-ctr", &["/t/probe", "/etc/secret"]);
    assert_eq!(said.status, 3, "{said:?}");
    let events = f.of_container("a-ctr", "/t/probe");
    let list = containerd.ctr(&["image", "ls"]).text();
    let digest = list.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest").to_owned();
    assert_known(
        &events,
        &[
            ("container.type", "containerd"),
            ("container.name", "a-ctr"),
            ("container.image", podman::IMAGE),
            ("container.image.tag", "1"),
            ("container.image.digest", &digest),
        ],
    );
}
