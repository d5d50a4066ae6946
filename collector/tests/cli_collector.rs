//! `porthole collector` and the commands that ask it.

mod cli_support;

use cli_support::*;
use nix::sys::signal::Signal;
use porthole_registration::container::{Container, Injection};
use porthole_registration::layout::ContainerDir;
use porthole_registration::life;
use porthole_registration::registry::{self, Claim};
use porthole_registration::share::{self, Agent, View};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A registered "container" whose programs run on the host.
struct Registered {
    claim: Option<Claim>,
    library: PathBuf,
}

impl Registered {
    fn new(state: &Path, id: &str, name: &str) -> Registered {
        let claim = registry::claim(state, ContainerDir::new(state, id).unwrap()).unwrap();
        share::make(claim.dir(), &Agent::load(&agent().unwrap()).unwrap(), 0, View::Host).unwrap();
        let me = std::process::id();
        let container = Container {
            id: id.into(),
            name: name.into(),
            image: "test/image:1".into(),
            rootfs: "/".into(),
            runtime_pid: me,
            runtime_start: life::start_time(me),
            injection: Injection::Preload {
                library: claim.dir().library().display().to_string(),
                inject: Default::default(),
            },
            ..Container::default()
        };
        claim.publish(&container).unwrap();
        Registered { library: claim.dir().library(), claim: Some(claim) }
    }

    fn run(&self, program: &[&str]) {
        let mut command = Command::new(program[0]);
        assert!(run(command.args(&program[1..]).env("LD_PRELOAD", &self.library)).status.success());
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let _ = claim.abandon();
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

#[test]
fn sigterm_and_sigint_end_it_with_a_summary() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scratch = Scratch::new();
        let mut collector = Collector::start(scratch.path(), &[]);
        collector.signal(Signal::SIGIO);
        collector.signal(signal);
        assert_eq!(end(&mut collector.child).code(), Some(0));
        let text = collector.stderr();
        assert!(text.contains("0 containers") && text.contains("lost 0"), "{text}");
        assert!(!scratch.join("api.sock").exists(), "the socket goes with it");
    }
}

#[test]
fn doctor_finds_the_collector_or_says_what_to_do() {
    let scratch = Scratch::new();
    let look = || {
        let output = run(&mut porthole(scratch.path(), &["doctor", "--format", "json"]));
        let findings = json(&out(&output));
        let of = |what: &str| findings.as_array().unwrap().iter().find(|f| f["what"] == what).cloned().unwrap();
        (output.status.success(), of("collector"))
    };
    let (fine, without) = look();
    assert!(!fine && without["verdict"] == "fail", "{without}");
    assert!(without["advice"].as_str().unwrap().contains("porthole collector"), "{without}");
    let _collector = Collector::start(scratch.path(), &[]);
    assert_eq!(look().1["verdict"], "ok");
    let text = out(&run(&mut porthole(scratch.path(), &["doctor"])));
    assert!(text.contains("kernel") && text.contains("losses       none of 0 records"), "{text}");
}

#[test]
fn monitors_find_health_versions_and_metrics_on_a_port_and_no_events() {
    let scratch = Scratch::new();
    // a port that is free now: this test's own
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = scratch.join("config.yaml");
    let text = format!("webserver: {{enabled: true, listen_port: {port}, k8s_healthz_endpoint: /alive}}\n");
    std::fs::write(&config, text).unwrap();
    let _collector = Collector::start(scratch.path(), &["--config", config.to_str().unwrap()]);
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/alive").ends_with("{\"status\":\"ok\"}"), "{}", ask("/alive"));
    assert!(ask("/versions").contains("\"wire\""));
    let metrics = ask("/metrics");
    assert!(metrics.contains("text/plain; version=0.0.4") && metrics.contains("\nporthole_records_received_total 0\n"));
    for path in ["/v1/events", "/v1/status", "/v1/containers", "/healthz"] {
        assert!(ask(path).starts_with("HTTP/1.1 404"), "{path}");
    }
    let other = Scratch::new();
    let taken = run(&mut porthole(other.path(), &["collector", "--config", config.to_str().unwrap()]));
    assert!(!taken.status.success() && err(&taken).contains("listen_port"), "{}", err(&taken));
}

#[test]
fn the_api_answers_and_its_socket_is_not_for_everybody() {
    let scratch = Scratch::new();
    let collector = Collector::start(scratch.path(), &["--quiet"]);
    let meta = std::fs::metadata(scratch.join("api.sock")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o660);
    if let Ok(Some(group)) = nix::unistd::Group::from_name("porthole") {
        assert_eq!(meta.gid(), group.gid.as_raw());
    }
    let body = |path: &str| collector.http(path).split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(json(&body("/healthz"))["status"], "ok");
    let versions = json(&body("/versions"));
    assert_eq!((&versions["api"][0], versions["wire"].is_u64()), (&"v1".into(), true));
    assert_eq!(registered(&json(&body("/v1/containers"))), 0);
    assert_eq!(registered(&json(&body("/v1/tree"))), 0);
    let status = json(&body("/v1/status"));
    for process in ["usage", "supervisor"] {
        assert!(status[process]["resident_bytes"].as_u64().unwrap() > 0, "{status}");
    }
    for (path, code) in [
        ("/v1/events?last=x", "400"),
        ("/v1/events?colour=red", "400"),
        ("/v1/events?container=none", "404"),
        ("/v2/events", "404"),
    ] {
        assert!(collector.http(path).starts_with(&format!("HTTP/1.1 {code}")), "{path}: {}", collector.http(path));
    }
}

/// How many came through porthole-runc: others may run on this machine.
fn registered(all: &Value) -> usize {
    all.as_array().unwrap().iter().filter(|c| c["registered"] == true).count()
}

#[test]
fn status_and_containers_are_shown_to_people_and_programs() {
    let scratch = Scratch::new();
    let collector = Collector::start(scratch.path(), &["--quiet"]);
    let ask = |args: &[&str]| {
        let output = run(&mut porthole(scratch.path(), args));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        out(&output)
    };
    let status = json(&ask(&["status", "--format", "json"]));
    assert_eq!(status["pid"].as_u64(), Some(collector.child.id().into()), "{status}");
    assert_eq!(status["state_dir"].as_str(), scratch.path().to_str());
    let text = ask(&["status"]);
    assert!(text.contains(&format!("pid {}", collector.child.id())) && text.contains("lost 0"), "{text}");
    assert_eq!(registered(&json(&ask(&["containers", "--format", "json"]))), 0);
    assert_eq!(registered(&json(&ask(&["tree", "--json"]))), 0);
    assert!(text.contains("0 registered, 0 ended, "), "{text}");
    assert_eq!(ask(&["events", "--format", "json"]), "");
}

#[test]
fn a_second_collector_of_the_same_directory_is_refused() {
    let scratch = Scratch::new();
    let _first = Collector::start(scratch.path(), &["--quiet"]);
    let second = run(&mut porthole(scratch.path(), &["collector"]));
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains(scratch.path().to_str().unwrap()), "{}", err(&second));
    assert!(run(&mut porthole(scratch.path(), &["status"])).status.success(), "the first one is undisturbed");
}

#[test]
fn events_are_kept_filtered_followed_and_written() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.join("e.jsonl");
    let collector = Collector::start(&scratch.join("s"), &["--quiet", "--events", file.to_str().unwrap()]);
    let state = &collector.state;
    let web = Registered::new(state, "aaaa1111bbbb2222", "web\x1b[31m");
    let db = Registered::new(state, "cccc1111bbbb2222", "db");
    let ask = |args: &[&str]| out(&run(&mut porthole(state, args)));
    let kept = |args: &[&str]| lines(&ask(&[&["events", "--format", "json"], args].concat()));
    let opens = |events: &[Value], path: &str| events.iter().filter(|e| e["fd.name"] == path).count();

    let follow = porthole(state, &["events", "-f", "--container", "db", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut follow = follow.unwrap();
    // it follows as soon as it is connected; then what comes must arrive
    let (sender, followed) = std::sync::mpsc::channel();
    let reader = BufReader::new(follow.stdout.take().unwrap());
    std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(|l| drop(sender.send(l))));

    web.run(&["cat", "/etc/hostname"]);
    until("the open is kept", || opens(&kept(&[]), "/etc/hostname") == 1);
    let mut seen = vec![];
    until("the open is followed", || {
        db.run(&["cat", "/etc/passwd"]);
        seen.extend(followed.try_iter().map(|l| json(&l)));
        opens(&seen, "/etc/passwd") > 0
    });
    assert!(seen.iter().all(|e| e["container.name"] == "db"), "{seen:?}");

    for name in ["aaaa1111bbbb2222", "aaaa1111bbbb", "aaaa"] {
        let events = kept(&["--container", name]);
        assert!(opens(&events, "/etc/hostname") == 1 && opens(&events, "/etc/passwd") == 0, "{name}");
    }
    let open = kept(&["--container", "aaaa"]).into_iter().find(|e| e["fd.name"] == "/etc/hostname").unwrap();
    assert_eq!((&open["container.id"], &open["container.image"]), (&"aaaa1111bbbb".into(), &"test/image:1".into()));
    assert_eq!(kept(&["--last", "2"]).len(), 2);
    assert_eq!(opens(&lines(&std::fs::read_to_string(&file).unwrap()), "/etc/hostname"), 1);

    let compact = ask(&["events", "--container", "aaaa"]);
    assert!(compact.contains("web\\x1b[31m/aaaa cat[") && !compact.contains('\x1b'), "{compact}");
    let table = ask(&["containers"]);
    assert!(table.contains("aaaa1111bbbb  web\\x1b[31m") && table.contains("yes"), "{table}");
    let tree = ask(&["tree", "aaaa"]);
    assert!(tree.starts_with("web\\x1b[31m  test/image:1  ") && !tree.contains("db"), "{tree}");
    assert_eq!(run(&mut porthole(state, &["tree", "nosuch"])).status.code(), Some(1));

    collector.signal(Signal::SIGTERM);
    assert_eq!(end(&mut follow).code(), Some(0), "a follower ends with the collector");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let mut collector = Collector::start(&scratch.join("s"), &[]);
    let web = Registered::new(&collector.state, "aaaa1111bbbb2222", "web");
    (0..20).for_each(|_| web.run(&["cat", "/etc/hostname"]));
    until("events are kept", || !run(&mut porthole(&collector.state, &["events"])).stdout.is_empty());

    let mut events = porthole(&collector.state, &["events", "-f", "--last", "100000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 10];
    events.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    drop(events.stdout.take());
    let ended = std::cell::Cell::new(None);
    until("events notices", || {
        web.run(&["true"]);
        ended.set(events.try_wait().unwrap());
        ended.get().is_some()
    });
    assert_eq!(ended.get().unwrap().code(), Some(0));
    let mut said = String::new();
    events.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");

    // the collector's own output, a pipe, too
    drop(collector.child.stdout.take());
    assert_eq!(end(&mut collector.child).code(), Some(0));
}

#[test]
fn it_gives_up_what_it_does_not_need() {
    let scratch = Scratch::new();
    let collector = Collector::start(scratch.path(), &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", collector.worker())).unwrap();
    let of = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned();
    assert_eq!((of("NoNewPrivs:"), of("Seccomp:")), ("1".into(), "2".into()));
    let effective = u64::from_str_radix(&of("CapEff:"), 16).unwrap();
    // module, rawio, chroot, boot, net_raw, net_admin, setuid, setgid, setpcap, mknod, bpf
    for cap in [16, 17, 18, 22, 13, 12, 7, 6, 8, 27, 39] {
        assert_eq!(effective >> cap & 1, 0, "capability {cap} of {effective:x}");
    }
    assert_eq!(of("CapEff:"), of("CapPrm:"));
    // all its threads, not only the first
    for task in std::fs::read_dir(format!("/proc/{}/task", collector.worker())).unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let of_task =
            |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned();
        assert_eq!((of_task("CapEff:"), of_task("Seccomp:")), (of("CapEff:"), "2".into()));
    }
}
