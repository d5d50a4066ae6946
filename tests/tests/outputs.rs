//! Alerts leave the machine: over HTTP and TLS to a server that takes what falcosidekick takes, that is busy, slow, away
//! and back again; and to a program, which has no rights.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::program;
use porthole_tests::scratch::Scratch;
use porthole_tests::{rootfs, wait};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const RULES: &str = "
- rule: Marked
  desc: a command of the test
  condition: evt.type = execve and evt.rawres = 0 and proc.args startswith mark-
  output: done %proc.args in %container.name
  priority: WARNING
  tags: [a]
";

/// A collector whose alerts go where `outputs` says, and a container to make some in.
struct Place {
    container: Bundle,
    collector: Collector,
}

impl Place {
    fn new(outputs: impl FnOnce(&Scratch) -> Value) -> Place {
        let collector = Collector::start_with(|scratch| {
            let mut config = json!({
                "rules_files": [scratch.file("rules.yaml", RULES)],
                "json_output": true,
                "stdout_output": { "enabled": false },
            });
            let outputs = outputs(scratch);
            for (key, value) in outputs.as_object().expect("an object") {
                config[key] = value.clone();
            }
            // JSON is YAML
            vec!["--config".into(), scratch.file("config.yaml", config.to_string()).display().to_string()]
        });
        let root = rootfs::of(collector.scratch());
        let container = Bundle::new(&root, &["/bin/sleep", "1000"]);
        container.start(&collector.state_dir());
        Place { container, collector }
    }

    /// Does what the rule is about.
    fn mark(&self, word: &str) {
        let args = [self.container.id.as_str(), "/bin/true", &format!("mark-{word}")];
        self.container.exec(&self.collector.state_dir(), &args).ok("exec");
    }

    /// The output's counters.
    fn output(&self) -> Value {
        let status = self.collector.status();
        let outputs = status["outputs"].as_array().expect("outputs").clone();
        let alerts = |o: &&Value| o["name"].as_str().is_some_and(|n| n.starts_with("alerts to"));
        outputs.iter().find(alerts).expect("an output of alerts").clone()
    }

    fn until_error(&self, word: &str) {
        wait::until_true(&format!("the status says {word}"), || {
            self.output()["error"].as_str().is_some_and(|e| e.to_lowercase().contains(word))
        });
    }
}

/// `tests/src/receiver.py`.
struct Receiver {
    child: Child,
}

impl Receiver {
    fn start(scratch: &Scratch, port: u16, certificates: Option<&Certificates>) -> Receiver {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/receiver.py");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "python3"]).arg(script);
        command.args([scratch.join("got"), scratch.join("mode")]).arg(port.to_string());
        if let Some(Certificates { server, key, authority, .. }) = certificates {
            command.args([server, key, authority]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready");
        Receiver { child }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// What the receiver has taken: how often each mark.
fn got(scratch: &Scratch) -> BTreeMap<String, usize> {
    let mut got = BTreeMap::new();
    for line in std::fs::read_to_string(scratch.join("got")).unwrap_or_default().lines() {
        assert!(!line.starts_with("refused"), "{line}");
        let alert: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(alert["rule"], "Marked", "{alert}");
        let args = alert["output_fields"]["proc.args"].as_str().unwrap_or_default();
        *got.entry(args.trim_start_matches("mark-").to_owned()).or_default() += 1;
    }
    got
}

fn until_got(scratch: &Scratch, word: &str) {
    wait::until(&format!("the alert {word} arrives"), Duration::from_secs(60), || {
        got(scratch).contains_key(word).then_some(())
    });
}

#[test]
fn a_server_gets_every_alert_once_however_it_fares() {
    let port = free_port();
    let place = Place::new(
        |_| json!({ "http_output": { "enabled": true, "url": format!("http://127.0.0.1:{port}/"), "keep_alive": true } }),
    );
    let scratch = place.collector.scratch();
    let mode = |mode| drop(scratch.file("mode", mode));
    mode("ok");
    place.mark("early");
    place.until_error("refused");
    let receiver = Receiver::start(scratch, port, None);
    until_got(scratch, "early");
    mode("busy");
    place.mark("busy");
    place.until_error("503");
    mode("ok");
    until_got(scratch, "busy");
    drop(receiver);
    for word in ["away-1", "away-2"] {
        place.mark(word);
    }
    place.until_error("refused");
    let _receiver = Receiver::start(scratch, port, None);
    until_got(scratch, "away-2");
    mode("slow");
    place.mark("slow");
    place.until_error("timeout");
    mode("ok");
    until_got(scratch, "slow");
    let got = got(scratch);
    assert_eq!(got.keys().collect::<Vec<_>>(), ["away-1", "away-2", "busy", "early", "slow"]);
    assert!(got.values().all(|n| *n == 1), "{got:?}");
    let output = place.output();
    assert_eq!((&output["written"], &output["lost"]), (&5.into(), &0.into()), "{output}");
}

#[test]
fn what_a_server_cannot_be_told_is_counted_and_told_here() {
    let port = free_port();
    let place = Place::new(|_| {
        let url = format!("http://127.0.0.1:{port}/");
        json!({ "http_output": { "enabled": true, "url": url }, "outputs_queue": { "capacity": 2 } })
    });
    // one is tried again and again, two wait
    (0..5).for_each(|n| place.mark(&n.to_string()));
    wait::until_true("two are lost", || place.output()["lost"] == 2);
    wait::until_true("an event tells it", || {
        let events = program::run(&mut place.collector.porthole(&["events", "--format", "json"])).text();
        let drops = events.lines().filter(|l| l.contains("alert_output"));
        let drops = drops.map(|l| serde_json::from_str::<Value>(l).expect("an event"));
        drops.filter_map(|d| d["porthole.count"].as_u64()).sum::<u64>() == 2
    });
    let status = program::run(&mut place.collector.porthole(&["status"])).text();
    assert!(status.contains("0 written, lost 2 "), "{status}");
}

/// Made by openssl for this test.
struct Certificates {
    authority: PathBuf,
    server: PathBuf,
    key: PathBuf,
    client: PathBuf,
    client_key: PathBuf,
    other: PathBuf,
}

impl Certificates {
    fn make(scratch: &Scratch) -> Certificates {
        let dir = scratch.dir("tls");
        let script = "
            set -e
            authority() {
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$1 \\
                    -addext keyUsage=critical,keyCertSign -keyout $1.key -out $1.pem
            }
            of_authority() {
                openssl req -newkey $2 -nodes -subj /CN=$1 -keyout $1.key -out $1.csr
                echo \"basicConstraints=CA:FALSE
                subjectAltName=IP:127.0.0.1\" >ext
                openssl x509 -req -in $1.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \\
                    -extfile ext -out $1.pem
            }
            authority authority
            authority other
            of_authority server rsa:2048
            of_authority client rsa:2048
        ";
        program::run(Command::new("sh").args(["-c", script]).current_dir(&dir)).ok("openssl");
        let file = |name: &str| dir.join(name);
        Certificates {
            authority: file("authority.pem"),
            server: file("server.pem"),
            key: file("server.key"),
            client: file("client.pem"),
            client_key: file("client.key"),
            other: file("other.pem"),
        }
    }
}

#[test]
fn a_server_is_believed_by_its_certificate_and_believes_ours() {
    let scratch = Scratch::new();
    let certificates = Certificates::make(&scratch);
    scratch.file("mode", "ok");
    let port = free_port();
    let _receiver = Receiver::start(&scratch, port, Some(&certificates));
    let place = |trust: Value| {
        let Certificates { client, client_key, .. } = &certificates;
        let mut output = json!({
            "enabled": true, "url": format!("https://127.0.0.1:{port}/"),
            "mtls": true, "client_cert": client, "client_key": client_key,
        });
        output.as_object_mut().expect("an object").extend(trust.as_object().expect("an object").clone());
        Place::new(|_| json!({ "http_output": output }))
    };
    place(json!({ "ca_cert": certificates.authority })).mark("known");
    until_got(&scratch, "known");
    let doubtful = place(json!({ "ca_cert": certificates.other }));
    doubtful.mark("unknown");
    doubtful.until_error("certificate");
    drop(doubtful);
    place(json!({ "insecure": true })).mark("insecure");
    until_got(&scratch, "insecure");
    let stranger = place(json!({ "ca_cert": certificates.authority, "mtls": false }));
    stranger.mark("stranger");
    stranger.until_error("certificate");
    assert_eq!(got(&scratch).keys().collect::<Vec<_>>(), ["insecure", "known"]);
}

#[test]
fn a_wrong_configuration_is_refused_before_anything_runs() {
    let collector = Collector::stopped();
    let scratch = collector.scratch();
    let rules = scratch.file("rules.yaml", RULES);
    for (output, word) in [
        (json!({ "enabled": true, "url": "falcosidekick:2801" }), "http_output.url"),
        (json!({ "enabled": true, "url": "https://localhost/", "ca_cert": rules }), "no certificate"),
        (json!({ "enabled": true, "url": "http://localhost/", "mtls": true }), "client_cert"),
    ] {
        let config = json!({ "rules_files": [rules], "http_output": output }).to_string();
        let config = scratch.file("config.yaml", config).display().to_string();
        let outcome = program::run(&mut collector.porthole(&["collector", "--config", &config]));
        assert!(outcome.status == 1 && outcome.errors().contains(word), "{outcome:?}");
    }
}

/// The processes that have written their ids to a file.
fn pids(file: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|l| l.trim().parse().ok()).collect()
}

#[test]
fn a_program_gets_every_alert_has_no_rights_and_is_replaced() {
    let mut place = Place::new(|scratch| {
        let (pids, got) = (scratch.join("pids"), scratch.join("got"));
        let program = format!("echo $$ >>{}; exec cat >>{}", pids.display(), got.display());
        json!({ "program_output": { "enabled": true, "keep_alive": true, "program": program } })
    });
    let file = place.collector.scratch().join("pids");
    place.mark("first");
    until_got(place.collector.scratch(), "first");
    let [first] = pids(&file)[..] else { panic!("{:?}", pids(&file)) };
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).expect("it runs");
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set} in {status}");
    }
    let parent = format!("PPid:\t{}\n", place.collector.pid());
    assert!(status.contains(&parent), "the supervisor's child: {status}");

    kill(Pid::from_raw(first), Signal::SIGKILL).expect("it runs");
    wait::until_true("it is gone", || !Path::new(&format!("/proc/{first}/exe")).exists());
    place.mark("second");
    until_got(place.collector.scratch(), "second");
    let worker = place.collector.worker().expect("a worker");
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it runs");
    place.mark("third");
    until_got(place.collector.scratch(), "third");
    place.collector.signal(Signal::SIGHUP);
    place.mark("fourth");
    until_got(place.collector.scratch(), "fourth");
    assert!(pids(&file).len() >= 3, "a program for each");
    place.mark("last");
    place.collector.stop();
    assert!(got(place.collector.scratch()).contains_key("last"), "what was there at the end arrives, too");
}

#[test]
fn a_program_for_each_alert() {
    let place = Place::new(|scratch| {
        let (pids, got) = (scratch.join("pids"), scratch.join("got"));
        let program = format!("cat >>{}; echo $$ >>{}", got.display(), pids.display());
        json!({ "program_output": { "enabled": true, "program": program } })
    });
    let words = ["1", "2", "3"];
    words.iter().for_each(|word| place.mark(word));
    let scratch = place.collector.scratch();
    words.iter().for_each(|word| until_got(scratch, word));
    wait::until_true("three programs have ended", || pids(&scratch.join("pids")).len() == 3);
}

#[test]
fn what_changes_is_read_again_and_what_is_broken_changes_nothing() {
    let file = |scratch: &Scratch, name: &str| {
        let output = json!({ "enabled": true, "keep_alive": true, "filename": scratch.join(name) });
        json!({ "file_output": output, "engine": { "kind": "modern_ebpf" }, "log_level": "info" })
    };
    let place = Place::new(|scratch| file(scratch, "got"));
    let scratch = place.collector.scratch();
    let until_said = |what: &str| wait::until_true(what, || place.collector.log().contains(what));
    for ignored in ["engine is Falco's", "log_level is Falco's"] {
        assert_eq!(place.collector.log().matches(ignored).count(), 1, "{}", place.collector.log());
    }
    scratch.file("rules.yaml", RULES.replace("proc.args", "proc.arg"));
    until_said("the rules are judged as before");
    place.mark("old");
    until_got(scratch, "old");
    scratch.file("rules.yaml", RULES.replace("tags: [a]", "tags: [new]"));
    until_said("the rules have changed: 1");
    place.mark("new");
    until_got(scratch, "new");
    let text = std::fs::read_to_string(scratch.join("got")).expect("alerts");
    assert!(text.lines().last().is_some_and(|l| l.contains("\"tags\":[\"new\"]")), "{text}");

    let worker = place.collector.worker();
    scratch.file("config.yaml", "rules_files: {");
    until_said("the collector goes on as before");
    assert_eq!(place.collector.worker(), worker);
    let config = |name: &str| {
        let mut config = file(scratch, name);
        config["rules_files"] = json!([scratch.join("rules.yaml")]);
        config["json_output"] = true.into();
        config["stdout_output"] = json!({ "enabled": false });
        config.to_string()
    };
    scratch.file("config.yaml", config("other"));
    wait::until_true("another worker", || place.collector.worker().is_some_and(|w| Some(w) != worker));
    place.mark("other");
    wait::until_true("the alert is where the new configuration says", || {
        std::fs::read_to_string(scratch.join("other")).is_ok_and(|text| text.contains("mark-other"))
    });
}
