//! Falco's rules in real containers: what its own code says that a command fires is what fires here, and nothing else.

use porthole_tests::collector::Collector;
use porthole_tests::cri::Cri;
use porthole_tests::docker::{self, Docker};
use porthole_tests::falco::cases::{CASES, Case, Options};
use porthole_tests::falco::engines::{Engine, Runc};
use porthole_tests::falco::{self, image};
use porthole_tests::podman::Podman;
use porthole_tests::program::{self, Outcome};
use porthole_tests::{print_skip, skip, suite, tests, wait};
use serde_json::{Value, json};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// A rule of our own: everything before it has been judged.
const SENTINEL: &str = "
- rule: Sentinel
  desc: the last command of a case
  condition: evt.type = execve and proc.args startswith sentinel-
  output: '%proc.args'
  priority: DEBUG
";

struct Fixture {
    // containers are gone before what they stand on
    docker: OnceCell<Docker>,
    podman: OnceCell<Result<Podman, String>>,
    cri: OnceCell<Result<Cri, String>>,
    image: OnceCell<PathBuf>,
    runc: Runc,
    /// Running containers, by their engine and what they are like.
    containers: RefCell<Vec<(&'static str, Options, String)>>,
    #[expect(dead_code, reason = "unmounted when it goes")]
    root: Overlay,
    collector: Collector,
    sentinels: Cell<u32>,
}

/// This machine's own file system as a container's: writes go elsewhere.
struct Overlay(PathBuf);

impl Overlay {
    fn mount(collector: &Collector) -> Overlay {
        let base = collector.scratch().dir("overlay");
        mount(&["-t", "tmpfs", "porthole-test"], &base);
        for dir in ["upper", "work", "root"] {
            std::fs::create_dir(base.join(dir)).expect("a directory of our own tmpfs");
        }
        let options = format!("lowerdir=/,upperdir={0}/upper,workdir={0}/work", base.display());
        mount(&["-t", "overlay", "-o", &options, "porthole-test"], &base.join("root"));
        for (file, text) in image::TEXTS {
            let path = base.join("root").join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory of the overlay");
            std::fs::write(path, text).expect("a file of the overlay");
        }
        Overlay(base)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for path in [self.root(), self.0.clone()] {
            let _ = Command::new("umount").args(["-l"]).arg(path).stderr(std::process::Stdio::null()).status();
        }
    }
}

fn mount(options: &[&str], at: &Path) {
    program::run(Command::new("mount").args(options).arg(at)).ok("mount");
}

fn fixture() -> Fixture {
    let collector = Collector::start_with(|scratch| {
        let sentinel = scratch.file("sentinel.yaml", SENTINEL);
        let rules: Vec<PathBuf> = falco::upstream().unwrap_or_default().into_iter().chain([sentinel]).collect();
        let config = json!({
            "rules_files": rules,
            "rule_matching": "all",
            // also those that are off by default
            "rules": [{ "enable": { "rule": "*" } }],
            "json_output": true,
            "stdout_output": { "enabled": false },
            "file_output": { "enabled": true, "keep_alive": true, "filename": scratch.join("alerts") },
        });
        // JSON is YAML
        vec!["--config".into(), scratch.file("config.yaml", config.to_string()).display().to_string()]
    });
    let root = Overlay::mount(&collector);
    Fixture {
        runc: Runc::new(&root.root(), &collector.state_dir()),
        docker: OnceCell::new(),
        podman: OnceCell::new(),
        cri: OnceCell::new(),
        image: OnceCell::new(),
        containers: RefCell::default(),
        sentinels: Cell::default(),
        collector,
        root,
    }
}

fn main() -> ExitCode {
    if falco::upstream().is_none() || falco::expectations().is_none() {
        print_skip(&format!("alerts: Falco's rules and cases are not in {}", falco::folder().display()));
        return ExitCode::SUCCESS;
    }
    suite::run(
        fixture,
        tests![
            every_case_in_containers_of_runc,
            every_case_in_containers_of_docker,
            a_third_of_the_cases_in_podman,
            a_third_of_the_cases_in_pods,
            an_image_of_musl_and_a_static_program,
            an_alert_is_what_sidekick_takes,
            a_filter_is_applied_by_the_collector,
        ],
    )
}

impl Fixture {
    fn alerts(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.collector.scratch().join("alerts")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let line = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("an alert that is no JSON: {e}: {l}"));
        whole.lines().map(line).collect()
    }

    /// A running container of an engine that is like this, with an empty network that has an address and a way out.
    fn container(&self, engine: &dyn Engine, options: Options) -> String {
        let known = |c: &&(&'static str, Options, String)| (c.0, c.1) == (engine.name(), options);
        if let Some((_, _, id)) = self.containers.borrow().iter().find(known) {
            return id.clone();
        }
        let id = engine.start(&options);
        route(&engine.pid(&id));
        self.containers.borrow_mut().push((engine.name(), options, id.clone()));
        id
    }

    /// Executes something in a plain container of runc.
    fn inside(&self, args: &[&str]) -> Outcome {
        self.runc.exec(&self.container(&self.runc, Options::default()), &[], args)
    }

    /// Waits until everything that has been done has been judged; all alerts.
    fn judged(&self) -> Vec<Value> {
        self.sentinels.set(self.sentinels.get() + 1);
        let word = format!("sentinel-{}", self.sentinels.get());
        self.inside(&["/bin/true", &word]).ok("the sentinel");
        wait::until(&format!("the alert of {word}"), Duration::from_secs(60), || {
            let all = self.alerts();
            all.iter().any(|a| a["output_fields"]["proc.args"] == word).then_some(all)
        })
    }

    /// Does everything that the cases need beforehand, in the containers that they run in.
    fn set_up(&self, engine: &dyn Engine, cases: &[Case]) {
        let mut kinds: Vec<Options> = vec![];
        for case in cases.iter().filter(|c| !c.entry) {
            if !kinds.contains(&case.options) {
                kinds.push(case.options);
            }
        }
        for options in kinds {
            let own = cases.iter().filter(|c| !c.entry && c.options == options && !c.setup.is_empty());
            let script: Vec<&str> = own.map(|c| c.setup).collect();
            engine.exec(&self.container(engine, options), &[], &["sh", "-c", &script.join("\n")]);
        }
    }

    /// The rules that a case fires, beside our own.
    fn fired(&self, engine: &dyn Engine, case: &Case, expected: &BTreeSet<String>, before: usize) -> BTreeSet<String> {
        let id = if case.entry {
            engine.run(&case.options, case.how, case.run)
        } else {
            let id = self.container(engine, case.options);
            engine.exec(&id, case.how, case.run);
            id
        };
        self.since(before, &id, expected)
    }

    /// What a container has fired since there were so many alerts, beside our own rule.
    fn since(&self, before: usize, id: &str, expected: &BTreeSet<String>) -> BTreeSet<String> {
        let of = |all: &[Value]| -> BTreeSet<String> {
            let own = |a: &&Value| a["output_fields"]["container.id"] == id[..12] && a["rule"] != "Sentinel";
            all[before..].iter().filter(own).filter_map(|a| a["rule"].as_str()).map(str::to_owned).collect()
        };
        let started = std::time::Instant::now();
        // an exec whose outcome nobody tells is told after half a second
        while !of(&self.alerts()).is_superset(expected) && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        of(&self.judged())
    }

    /// Tries cases with an engine, one after the other.
    fn try_all(&self, engine: &dyn Engine, cases: &[Case]) {
        let expectations = falco::expectations().expect("asked before");
        let only = std::env::var("PORTHOLE_CASE").unwrap_or_default();
        let cases: Vec<Case> = cases.iter().filter(|c| only.is_empty() || c.id == only).copied().collect();
        self.set_up(engine, &cases);
        let mut before = self.judged().len();
        let mut wrong = BTreeMap::new();
        for case in &cases {
            let of_event = expectations.get(case.id).unwrap_or_else(|| panic!("no expectation of {}", case.id));
            let expected = of_event.iter().cloned().chain(case.also.iter().map(|r| (*r).into())).collect();
            let got = self.fired(engine, case, &expected, before);
            if got != expected {
                wrong.insert(case.id, format!("{got:?} instead of {expected:?}"));
            }
            before = self.alerts().len();
        }
        assert!(wrong.is_empty(), "{}: {} of {} cases:\n{wrong:#?}", engine.name(), wrong.len(), cases.len());
    }

    /// A root file system for images.
    fn image(&self) -> &Path {
        self.image.get_or_init(|| {
            let root = self.collector.scratch().dir("image");
            image::make(&root);
            root
        })
    }

    fn docker(&self) -> &Docker {
        self.docker.get_or_init(|| {
            let docker = Docker::start(&self.collector.state_dir(), &[]);
            docker.import(self.image());
            docker
        })
    }
}

/// A way out for the packets of the container with this process, which ends there: connects to anywhere are then under
/// way.
fn route(pid: &str) {
    // no network that rules take for an own one or for a host's
    let script =
        "ip address add 172.31.9.2/24 dev lo && ip link set lo up && ip route add default dev lo src 172.31.9.2";
    program::run(Command::new("nsenter").args(["-n", "-t", pid, "sh", "-c", script])).ok("a route");
}

fn every_case_in_containers_of_runc(f: &Fixture) {
    f.try_all(&f.runc, CASES);
}

fn every_case_in_containers_of_docker(f: &Fixture) {
    let all: Vec<Case> = CASES.iter().filter(|c| !c.of_runc).copied().collect();
    f.try_all(f.docker(), &all);
}

/// Every third of those that an engine knows how to do.
fn a_third(of: impl Fn(&Case) -> bool) -> Vec<Case> {
    CASES.iter().filter(|c| of(c)).step_by(3).copied().collect()
}

fn a_third_of_the_cases_in_podman(f: &Fixture) {
    let podman = f.podman.get_or_init(|| {
        let podman = Podman::new(&f.collector.state_dir())?;
        podman.import(f.image());
        Ok(podman)
    });
    match podman {
        Ok(podman) => f.try_all(podman, &a_third(|c| !c.of_runc)),
        Err(why) => skip!("no podman: {why}"),
    }
}

fn a_third_of_the_cases_in_pods(f: &Fixture) {
    match f.cri.get_or_init(|| Cri::start(&f.collector.state_dir(), f.image())) {
        Ok(cri) => {
            let some = a_third(|c| !c.of_runc && c.how.is_empty() && !c.options.executable_memory);
            assert!(some.len() * 10 >= CASES.len() * 3, "{} of {} cases", some.len(), CASES.len());
            f.try_all(cri, &some);
        }
        Err(why) => skip!("no CRI: {why}"),
    }
}

/// What busybox can do of the cases, by musl; and a static program, which fires nothing and is told to be a blind spot.
fn an_image_of_musl_and_a_static_program(f: &Fixture) {
    let root = f.collector.scratch().dir("musl");
    if let Err(why) = image::make_musl(&root) {
        skip!("no image of musl: {why}");
    }
    let docker = f.docker();
    docker.import_as(&root, "porthole-musl:1");
    let started = docker.run(&[
        "run",
        "--detach",
        "--runtime",
        docker::RUNTIME,
        "--network",
        "none",
        "porthole-musl:1",
        "probe",
        "/etc/hostname",
        "1000",
    ]);
    let id = started.ok("docker run").text();
    Engine::exec(docker, &id, &[], &["sh", "-c", "echo > /root/.ssh/id_rsa"]);
    let mut before = f.judged().len();
    let mut fired = |id: &str, rules: &[&str]| {
        let got = f.since(before, id, &rules.iter().map(|r| (*r).to_owned()).collect());
        before = f.alerts().len();
        assert_eq!(got.iter().map(String::as_str).collect::<Vec<_>>(), rules);
    };
    for (args, rules) in [
        (&["cat", "/etc/shadow"][..], &["Read sensitive file untrusted"][..]),
        (&["cat", "/etc/../etc/../etc/hostname"], &["Directory traversal monitored file read"]),
        (&["find", "/root", "-name", "id_rsa"], &["Read ssh information", "Search Private Keys or Passwords"]),
        (&["sh", "-c", "echo > /tmp/syslog"], &["Clear Log Activities"]),
        (&["ls", "/root/.ssh"], &["Read ssh information"]),
        (&["cat", "/proc/1/environ"], &["Read environment variable from /proc files"]),
        (&["cat", "/etc/hostname"], &[]),
        (&["sh", "-c", "probe-static /etc/shadow; :"], &[]),
    ] {
        Engine::exec(docker, &id, &[], args);
        fired(&id, rules);
    }
    f.collector.wait_for("the static program is told to be a blind spot", |events| {
        let blind = events.of_container(&id).filter(|e| e.kind() == "porthole.blindspot");
        !blind.filter(|e| e.0.to_string().contains("/usr/bin/probe-static")).is_empty()
    });
}

fn a_filter_is_applied_by_the_collector(f: &Fixture) {
    f.inside(&["cat", "/etc/hostname", "/etc/passwd"]);
    f.judged();
    let filter = "fd.name = /etc/hostname and proc.aname = runc and not proc.name = sh";
    let events = program::run(&mut f.collector.porthole(&["events", "--format", "json", "--filter", filter]));
    let text = events.ok("porthole events --filter").text();
    assert!(!text.is_empty());
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("an event");
        assert_eq!((&event["fd.name"], &event["proc.name"]), (&"/etc/hostname".into(), &"cat".into()), "{event}");
    }
}

/// What falcosidekick asks of an alert before it takes it.
fn an_alert_is_what_sidekick_takes(f: &Fixture) {
    f.inside(&["cat", "/etc/shadow"]);
    let all = f.judged();
    let priorities =
        ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"].map(Value::from);
    for alert in &all {
        let keys: Vec<&str> = alert.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time"]);
        assert!(priorities.contains(&alert["priority"]) && alert["rule"].as_str().is_some_and(|r| !r.is_empty()));
        let fields = alert["output_fields"].as_object().filter(|f| !f.is_empty()).expect("fields");
        assert!(fields.keys().is_sorted() && fields["evt.time"].is_u64(), "{alert}");
        for name in ["k8s.ns.name", "k8s.pod.name"] {
            assert!(fields.get(name).is_none_or(|v| v.is_null() || v.is_string()), "{alert}");
        }
        let output = alert["output"].as_str().unwrap_or("");
        let (time, rest) = output.split_once(": ").expect("a time");
        assert_eq!(time.len(), "hh:mm:ss.nnnnnnnnn".len(), "{output}");
        assert!(rest.starts_with(&format!("{} ", alert["priority"].as_str().unwrap_or(""))), "{output}");
    }
    let read = all.iter().rfind(|a| a["output_fields"]["proc.cmdline"] == "cat /etc/shadow").expect("the alert");
    let fields = &read["output_fields"];
    assert_eq!((&fields["fd.name"], &fields["proc.tty"]), (&"/etc/shadow".into(), &0.into()), "{read}");
    assert_eq!((&fields["user.uid"], &fields["user.loginuid"]), (&0.into(), &(-1).into()), "{read}");
    assert_eq!(read["source"], "syscall", "{read}");
}
