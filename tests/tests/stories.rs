//! The story of an alert: who did it, below whom, what that started and what was before; kept over a worker's end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::program::{self, Outcome};
use porthole_tests::{rootfs, wait};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

const RULES: &str = "
- rule: Secret read
  desc: somebody has opened the secret
  condition: evt.type in (open, openat) and fd.name = /etc/secret
  output: read by %proc.cmdline
  priority: WARNING
  tags: [secrets]
";

/// A shell below a shell: reads a harmless file, the secret, and starts a program whose argument obeys nobody.
const SCRIPT: &str = r#"
: </etc/hostname
bash -c ': </etc/passwd; : </etc/secret; /bin/true kid "$(printf "\033[2Jx")"; sleep 1000'
echo ended
"#;

struct Place {
    container: Bundle,
    collector: Collector,
}

impl Place {
    /// With the alert of [`SCRIPT`], whose child has been told.
    fn new() -> Place {
        let collector = Collector::start_with(|scratch| {
            let config = json!({
                "rules_files": [scratch.file("rules.yaml", RULES)],
                "stdout_output": { "enabled": false },
                "alert_stories": { "keep": 3, "records": 60 },
            });
            vec!["--config".into(), scratch.file("config.yaml", config.to_string()).display().to_string()]
        });
        let root = rootfs::of(collector.scratch());
        let container = Bundle::new(&root, &["/bin/bash", "-c", SCRIPT]);
        container.start(&collector.state_dir());
        let place = Place { container, collector };
        wait::until_true("the alert's process has started another one", || {
            place.stories().first().is_some_and(|s| place.story(&id(s))["children"][0]["name"] == "true")
        });
        place
    }

    fn alerts(&self, args: &[&str]) -> Outcome {
        program::run(&mut self.collector.porthole(&[&["alerts"], args].concat()))
    }

    fn list(&self, args: &[&str]) -> Vec<Value> {
        let out = self.alerts(&[&["list", "--format", "json"], args].concat()).ok("alerts list");
        serde_json::from_slice::<Value>(&out.stdout).expect("JSON").as_array().expect("a list").clone()
    }

    fn stories(&self) -> Vec<Value> {
        self.list(&[])
    }

    fn story(&self, id: &str) -> Value {
        let out = self.alerts(&["show", id, "--json"]).ok("alerts show");
        serde_json::from_slice(&out.stdout).expect("JSON")
    }

    fn shown(&self) -> String {
        self.alerts(&["show", &id(&self.stories()[0])[..6]]).ok("alerts show").text()
    }
}

fn id(story: &Value) -> String {
    story["id"].as_str().expect("a number").to_owned()
}

#[test]
fn an_alert_tells_its_story_and_outlives_its_worker() {
    let place = Place::new();
    let stories = place.stories();
    assert_eq!(stories.len(), 1, "{stories:?}");
    let story = place.story(&id(&stories[0]));
    assert_eq!(
        (&story["rule"], &story["container"]["full_id"]),
        (&"Secret read".into(), &(&*place.container.id).into())
    );
    assert_eq!(story["event"]["fd.name"], "/etc/secret");
    let opened: Vec<&str> =
        story["before"].as_array().expect("a list").iter().filter_map(|e| e["fd.name"].as_str()).collect();
    assert!(opened.contains(&"/etc/passwd") && opened.contains(&"/etc/hostname"), "{opened:?}");
    assert!(opened.len() <= 60 && !opened.contains(&"/etc/secret"), "{opened:?}");
    let ancestors: Vec<&str> =
        story["ancestors"].as_array().expect("a list").iter().filter_map(|a| a["name"].as_str()).collect();
    assert!(ancestors[0] == "bash" && ancestors.len() > 1, "{ancestors:?}");

    let text = place.shown();
    assert!(text.starts_with(&format!("container  {}", place.container.id)), "{text}");
    assert!(text.contains("\\x1b[2Jx") && !text.contains('\x1b'), "{text}");
    let line = |what: &str| text.lines().position(|l| l.contains(what)).unwrap_or_else(|| panic!("{what} in {text}"));
    assert!(line("◀") < line("kid \\x1b") && line("kid \\x1b") < line("before,"), "{text}");
    assert!(line("openat /etc/passwd") < line("openat /etc/secret"), "{text}");

    let worker = place.collector.worker().expect("a worker");
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it runs");
    wait::until_true("another worker", || place.collector.worker().is_some_and(|w| w != worker));
    wait::until_true("it serves", || place.alerts(&["list"]).status == 0);
    assert_eq!(place.shown(), text);
    for file in std::fs::read_dir(place.collector.state_dir()).expect("it is there").flatten() {
        if file.file_name().to_string_lossy().starts_with("alerts") {
            let meta = file.metadata().expect("it is there");
            assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, 0));
        }
    }
    // the event itself is gone with its worker
    assert_eq!(place.list(&["--filter", "proc.aname = bash and fd.name startswith /etc/s"]).len(), 1);
    assert_eq!(place.list(&["--filter", "proc.aname = sshd"]).len(), 0);
}

#[test]
fn alerts_are_found_by_container_and_condition_and_bounded() {
    let place = Place::new();
    assert_eq!(place.list(&["--filter", "proc.aname = bash and evt.dir = <"]).len(), 1);
    assert_eq!(place.list(&["--filter", "proc.name = cat"]).len(), 0);
    assert_eq!(place.list(&["--container", &place.container.id[..12]]).len(), 1);
    assert_eq!(place.list(&["--container", "nobody"]).len(), 0);
    let wrong = place.alerts(&["list", "--filter", "proc.name = sh and proc.nme = x"]);
    let lines: Vec<String> = wrong.errors().lines().map(str::to_owned).collect();
    let caret = lines.iter().position(|l| l.trim() == "^").unwrap_or_else(|| panic!("{wrong:?}"));
    let at = lines[caret].find('^').expect("just found");
    assert!(wrong.status == 2 && lines[caret - 1][at..].starts_with("proc.nme"), "{wrong:?}");
    assert_eq!(place.alerts(&["show", "zzzz"]).status, 1);
    assert!(place.alerts(&["show", "0000"]).errors().contains("alerts list"));

    for _ in 0..5 {
        let args = [place.container.id.as_str(), "/bin/cat", "/etc/secret"];
        place.container.exec(&place.collector.state_dir(), &args).ok("exec");
    }
    let matches = || place.collector.status()["rules"][0]["matches"].clone();
    wait::until_true("six alerts", || matches() == 6);
    wait::until_true("three are kept", || place.stories().len() == 3);
    assert_eq!(place.list(&["--last", "1"]), place.stories()[2..]);
    assert_eq!(place.list(&["--filter", "proc.name = bash and proc.aname = bash"]).len(), 0, "the first is gone");
    let metrics = program::run(
        std::process::Command::new("curl")
            .args(["-s", "--unix-socket"])
            .arg(place.collector.state_dir().join("api.sock"))
            .arg("http://localhost/metrics"),
    )
    .ok("curl")
    .text();
    let falcos = "falcosecurity_falco_rules_matches_total{priority=\"4\",rule_name=\"Secret read\",source=\"syscall\",tag_secrets=\"true\"} 6";
    for line in [falcos, "porthole_alerts_total{rule=\"Secret read\"} 6"] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    let status = program::run(&mut place.collector.porthole(&["status"])).text();
    assert!(status.contains("6: Secret read 6"), "{status}");
}

#[test]
fn the_same_conditions_choose_containers_and_what_a_run_shows() {
    let place = Place::new();
    let containers = |filter: &str| {
        let all = place.collector.json(&["containers", "--format", "json", "--filter", filter]);
        all.as_array().expect("a list").len()
    };
    assert_eq!(containers(&format!("container.full_id = {} and container.type = runc", place.container.id)), 1);
    assert_eq!(containers("container.image startswith registry.example/ or proc.name exists"), 0);
    let scratch = place.collector.scratch();
    let events = scratch.join("run");
    let file = scratch.file("plain", "");
    let own = scratch.file("own.yaml", RULES.replace("/etc/secret", &file.display().to_string()));
    let mut run = std::process::Command::new(porthole_tests::binaries::porthole());
    run.args(["run", "--filter", "evt.type in (open, openat) and fd.name endswith /plain", "--rules"]).arg(&own);
    run.arg("--alerts").arg(scratch.join("run-alerts")).arg("--events").arg(&events);
    run.args(["--", "sh", "-c", "cat \"$1\" \"$1\" /etc/hostname", "sh"]).arg(&file);
    let outcome = program::run(&mut run).ok("porthole run");
    assert!(outcome.errors().contains("alerts 2: Secret read 2"), "{outcome:?}");
    let text = std::fs::read_to_string(&events).expect("events");
    let shown: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert!(shown.len() == 2 && shown.iter().all(|e| e["fd.name"] == *file.display().to_string()), "{text}");
}
