//! Falco's rules in real containers: what its own code says that a command fires is what fires here, and nothing else.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::falco::{self, cases::CASES, cases::Case, cases::Options};
use porthole_tests::program::{self, Outcome};
use porthole_tests::{print_skip, suite, tests, wait};
use serde_json::{Value, json};
use std::cell::RefCell;
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

struct Fixture {
    /// Running containers, by what they are like. Gone before what they stand on.
    containers: RefCell<Vec<(Options, Bundle)>>,
    root: Overlay,
    collector: Collector,
    sentinels: RefCell<u32>,
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
        // what a machine may lack and the cases need
        for (file, text) in [("etc/pam.d/login", "#\n"), ("root/.bashrc", "")] {
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
            "json_output": true,
            "stdout_output": { "enabled": false },
            "file_output": { "enabled": true, "keep_alive": true, "filename": scratch.join("alerts") },
        });
        // JSON is YAML
        vec!["--config".into(), scratch.file("config.yaml", config.to_string()).display().to_string()]
    });
    let root = Overlay::mount(&collector);
    Fixture { collector, root, containers: RefCell::default(), sentinels: RefCell::default() }
}

fn main() -> ExitCode {
    if falco::upstream().is_none() || falco::expectations().is_none() {
        print_skip(&format!("alerts: Falco's rules and cases are not in {}", falco::folder().display()));
        return ExitCode::SUCCESS;
    }
    suite::run(
        fixture,
        tests![
            every_case_fires_what_it_must_and_nothing_else,
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

    fn bundle(&self, options: Options, args: &[&str]) -> Bundle {
        let capabilities: Vec<&str> = USUAL.iter().chain(options.capabilities).copied().collect();
        Bundle::new(&self.root.root(), args).with(|spec| {
            for set in ["bounding", "effective", "permitted"] {
                spec["process"]["capabilities"][set] = json!(capabilities);
            }
            spec["process"]["noNewPrivileges"] = false.into();
            // a directory of its own: this machine's may hold anything
            let tmp = json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"] });
            spec["mounts"].as_array_mut().expect("mounts").push(tmp);
            if let Some(source) = options.mount {
                let mount =
                    json!({ "destination": "/h", "type": "bind", "source": source, "options": ["rbind", "ro"] });
                spec["mounts"].as_array_mut().expect("mounts").push(mount);
            }
        })
    }

    /// Does something in a running container that is like this.
    fn inside<T>(&self, options: Options, work: impl FnOnce(&Bundle) -> T) -> T {
        let known = self.containers.borrow().iter().any(|(o, _)| *o == options);
        if !known {
            let bundle = self.bundle(options, &["sleep", "1000"]);
            bundle.start(&self.collector.state_dir());
            route(&bundle);
            self.containers.borrow_mut().push((options, bundle));
        }
        let all = self.containers.borrow();
        work(all.iter().find(|(o, _)| *o == options).map(|(_, b)| b).expect("just started"))
    }

    fn exec(&self, bundle: &Bundle, how: &[&str], args: &[&str]) -> Outcome {
        let mut command = bundle.runtime(Some(&self.collector.state_dir()));
        command.arg("exec");
        let mut tty = false;
        for option in how {
            match option.split_once('=') {
                Some((name, value)) => drop(command.arg(format!("--{name}")).arg(value)),
                None => tty = true,
            }
        }
        if tty {
            command.arg("--tty");
        }
        command.arg(&bundle.id).args(args);
        if !tty {
            return program::run(&mut command);
        }
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|w| format!("'{}'", w.to_string_lossy())).collect();
        let mut script = Command::new("script");
        script.args(["-qec", &line.join(" "), "/dev/null"]).env("PORTHOLE_STATE_DIR", self.collector.state_dir());
        program::run(&mut script)
    }

    /// Waits until everything that has been done has been judged; all alerts.
    fn judged(&self) -> Vec<Value> {
        *self.sentinels.borrow_mut() += 1;
        let word = format!("sentinel-{}", self.sentinels.borrow());
        self.inside(Options::default(), |b| self.exec(b, &[], &["/bin/true", &word]).ok("the sentinel"));
        wait::until(&format!("the alert of {word}"), Duration::from_secs(20), || {
            let all = self.alerts();
            all.iter().any(|a| a["output_fields"]["proc.args"] == word).then_some(all)
        })
    }

    /// The rules that a case has fired.
    fn fired(&self, case: &Case, expected: &BTreeSet<String>) -> BTreeSet<String> {
        let full_id = if case.entry {
            let bundle = self.bundle(case.options, case.run);
            let before = self.alerts().len();
            bundle.run(Some(&self.collector.state_dir()));
            return self.since(before, &bundle.id, expected);
        } else {
            self.inside(case.options, |bundle| {
                if !case.setup.is_empty() {
                    self.exec(bundle, &[], &["sh", "-c", case.setup]);
                }
                bundle.id.clone()
            })
        };
        self.judged();
        let before = self.alerts().len();
        self.inside(case.options, |bundle| self.exec(bundle, case.how, case.run));
        self.since(before, &full_id, expected)
    }

    /// What a container has fired since there were so many alerts.
    fn since(&self, before: usize, full_id: &str, expected: &BTreeSet<String>) -> BTreeSet<String> {
        let of = |all: &[Value]| -> BTreeSet<String> {
            let own = |a: &&Value| a["output_fields"]["container.id"] == full_id[..12] && a["rule"] != "Sentinel";
            all[before..].iter().filter(own).filter_map(|a| a["rule"].as_str()).map(str::to_owned).collect()
        };
        let started = std::time::Instant::now();
        // an exec whose outcome nobody tells is told after half a second
        while !of(&self.alerts()).is_superset(expected) && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        of(&self.judged())
    }
}

/// A way out for the container's packets, which ends there: connects to anywhere are then under way.
fn route(bundle: &Bundle) {
    let state = program::run(bundle.runtime(None).args(["state"]).arg(&bundle.id)).ok("runc state");
    let state: Value = serde_json::from_slice(&state.stdout).expect("runc state is JSON");
    let pid = state["pid"].to_string();
    let script = "ip address add 10.99.0.2/24 dev lo && ip link set lo up && ip route add default dev lo src 10.99.0.2";
    program::run(Command::new("nsenter").args(["-n", "-t", &pid, "sh", "-c", script])).ok("a route");
}

fn every_case_fires_what_it_must_and_nothing_else(f: &Fixture) {
    let expectations = falco::expectations().expect("asked before");
    let mut wrong = BTreeMap::new();
    let only = std::env::var("PORTHOLE_CASE").unwrap_or_default();
    for case in CASES.iter().filter(|c| only.is_empty() || c.id == only) {
        let of_event = expectations.get(case.id).unwrap_or_else(|| panic!("no expectation of {}", case.id));
        let expected: BTreeSet<String> =
            of_event.iter().cloned().chain(case.also.iter().map(|r| (*r).into())).collect();
        let got = f.fired(case, &expected);
        if got != expected {
            wrong.insert(case.id, format!("{:?} instead of {expected:?}", got));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{wrong:#?}", wrong.len(), CASES.len());
}

fn a_filter_is_applied_by_the_collector(f: &Fixture) {
    f.inside(Options::default(), |b| f.exec(b, &[], &["cat", "/etc/hostname", "/etc/passwd"]));
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
    f.inside(Options::default(), |b| f.exec(b, &[], &["cat", "/etc/shadow"]));
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
