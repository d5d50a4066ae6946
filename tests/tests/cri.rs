//! Pods of Kubernetes' interface: each event says who its container and its pod are, the first ones too, and it is what
//! the interface says.

use porthole_tests::collector::Collector;
use porthole_tests::cri::{Cri, IMAGE};
use porthole_tests::events::Events;
use porthole_tests::{rootfs, skip, suite, tests, wait};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

struct Fixture {
    // its containers end before the collector
    cri: Result<Cri, String>,
    collector: Collector,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    Fixture { cri: Cri::start(&collector.state_dir(), &root), collector }
}

fn main() -> ExitCode {
    suite::run(fixture, tests![a_container_of_a_pod, commands_from_outside, a_pod_without_porthole])
}

fn a_container_of_a_pod(f: &Fixture) {
    let cri = match &f.cri {
        Ok(cri) => cri,
        Err(why) => skip!("no CRI: {why}"),
    };
    let pod = cri.pod("web", json!({"labels": {"app": "shop"}}));
    let container = pod.run("app", &["/bin/sh", "-c", "cat /etc/secret; exec sleep 60"], json!({"labels": {"a": "b"}}));
    let ready = |e: &Events| !e.of_container(&container.id).opens("/etc/secret").is_empty();
    let events = f.collector.wait_for("records of the container", ready);
    let of_container = events.of_container(&container.id);
    let kinds: Vec<&str> = of_container.0.iter().take(3).map(|e| e.kind()).collect();
    assert_eq!(kinds, ["container.create", "container.start", "execve"]);
    assert_eq!(of_container.0[0].text("evt.arg.labels"), "a:b");
    let list = cri.containerd.ctr(&["-n", "k8s.io", "image", "ls", &format!("name=={IMAGE}")]).text();
    let digest = list.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    let of_pod = [
        ("container.type", "containerd"),
        ("container.image", IMAGE),
        ("container.image.repository", "localhost/porthole-test"),
        ("container.image.tag", "1"),
        ("container.image.digest", digest),
        ("k8s.pod.name", "web"),
        ("k8s.ns.name", "ns-of-web"),
        ("k8s.pod.uid", "uid-of-web"),
        ("k8s.pod.sandbox_id", &pod.id[..12]),
    ];
    assert_all(&of_container, &of_pod);
    assert_all(&of_container, &[("container.name", "app")]);
    // the process that holds the pod's namespaces is a container, too
    let of_sandbox = events.of_container(&pod.id);
    assert!(!of_sandbox.execs("/bin/sleep").is_empty(), "{of_sandbox}");
    assert_all(&of_sandbox, &of_pod);
    container.stop();
    let stopped = |e: &Events| e.of_container(&container.id).filter(|e| e.kind() == "container.stop").len() == 1;
    assert_all(&f.collector.wait_for("its end", stopped).of_container(&container.id), &of_pod);
}

fn commands_from_outside(f: &Fixture) {
    let cri = match &f.cri {
        Ok(cri) => cri,
        Err(why) => skip!("no CRI: {why}"),
    };
    let pod = cri.pod("entered", json!({}));
    let user = json!({"linux": {"security_context": {"run_as_user": {"value": "1000"}}}});
    let container = pod.run("app", &["/bin/sleep", "60"], user);
    assert_eq!(container.exec(&["/bin/cat", "/etc/secret"]), 0);
    assert_eq!(container.exec(&["/bin/sh", "-c", "exit 7"]), 7);
    let ready = |e: &Events| e.of_container(&container.id).filter(|e| e.text("evt.arg.args") == "-c exit 7").len() == 2;
    let events = f.collector.wait_for("the second command, twice", ready).of_container(&container.id);
    assert_all(&events, &[("container.name", "app"), ("k8s.pod.name", "entered"), ("container.image.tag", "1")]);
    let execs = events.filter(|e| e.kind() == "container.exec");
    let said: Vec<_> =
        execs.0.iter().map(|e| (e.text("evt.arg.exe"), e.text("evt.arg.args"), e.number("evt.arg.uid"))).collect();
    assert_eq!(said, [("/bin/cat", "/etc/secret", Some(1000)), ("/bin/sh", "-c exit 7", Some(1000))]);
    assert_eq!(events.opens("/etc/secret").only("the file").text("proc.exepath"), "/bin/cat");
}

/// By its control groups and containerd's files, as nobody has registered it.
fn a_pod_without_porthole(f: &Fixture) {
    let root = f.collector.scratch().join("root");
    let cri = match Cri::start_with(&f.collector.state_dir(), &root, Path::new("/usr/sbin/runc")) {
        Ok(cri) => cri,
        Err(why) => skip!("no CRI: {why}"),
    };
    let pod = cri.pod("plain", json!({}));
    let container = pod.run("app", &["/bin/sleep", "60"], json!({}));
    for (id, name, reason) in [(&container.id, "app", "other runtime: runc"), (&pod.id, "plain", "pod sandbox")] {
        let found = wait::until("it is found", Duration::from_secs(30), || f.collector.container(id));
        let fields = ["registered", "name", "image", "engine", "pod_name", "pod_namespace", "injection_reason"];
        let said: Vec<_> = fields.iter().map(|field| found[*field].clone()).collect();
        let wanted = json!([false, name, IMAGE, "containerd", "plain", "ns-of-plain", reason]);
        assert_eq!(json!(said), wanted, "{found}");
    }
}

fn assert_all(events: &Events, wanted: &[(&str, &str)]) {
    assert!(!events.is_empty());
    for event in &events.0 {
        for (field, value) in wanted {
            assert_eq!(event.text(field), *value, "{field} of {event:?}");
        }
    }
}
