//! Containers by porthole-runc over the real runc: everything in them is recorded under the right id, and they do
//! exactly what they do under runc.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::events::Events;
use porthole_tests::program;
use porthole_tests::scratch::mounts_below;
use porthole_tests::{binaries, rootfs, suite, tests, wait};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

struct Fixture {
    collector: Collector,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    Fixture { collector, root }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            a_container_is_recorded_and_tagged,
            a_musl_container_is_recorded,
            shells_and_scripts,
            a_user_without_rights,
            read_only_root,
            no_capabilities,
            no_new_privileges,
            exec_with_arguments,
            exec_with_a_process_file,
            create_start_kill_delete,
            the_bundle_is_as_it_was_after_delete,
            two_containers_are_kept_apart,
            a_static_entrypoint_is_named,
            output_and_errors_are_those_of_runc,
            containers_and_status_count,
            nothing_was_lost,
        ],
    )
}

impl Fixture {
    fn bundle(&self, args: &[&str]) -> Bundle {
        Bundle::new(&self.root, args)
    }

    /// Runs a bundle of `/t/probe` by runc and by porthole-runc: the same must come out, and the records be there.
    fn probe(&self, change: impl Fn(&mut Value)) -> Events {
        let bundle = self.bundle(&["/t/probe", "/etc/secret"]).with(change);
        let plain = bundle.run(None);
        assert_eq!(plain.status, 3, "plain runc: {plain:?}");
        let ours = bundle.run(Some(&self.collector.state_dir()));
        assert_eq!(plain, ours, "log: {}", bundle.log());
        self.records_of_probe(&bundle.id)
    }

    /// Waits for every record that a probe leaves, under this id and no other.
    fn records_of_probe(&self, id: &str) -> Events {
        let all = self.collector.wait_for("the records of the probe", |events| {
            let own = events.of_container(id);
            !own.execs("/t/probe").is_empty()
                && !own.opens("/etc/secret").is_empty()
                && !own.opens("/no/such/file").is_empty()
                && !own.connects("127.0.0.1").is_empty()
                && !own.execs("/bin/true").is_empty()
        });
        let own = all.of_container(id);
        assert!(own.opens("/etc/secret").0[0].succeeded(), "{own}");
        assert_eq!(own.opens("/no/such/file").0[0].text("evt.res"), "ENOENT", "{own}");
        assert_eq!(own.connects("127.0.0.1").0[0].number("evt.rawres"), Some(0), "{own}");
        assert_eq!(own.execs("/bin/true").0[0].text("proc.args"), "from-probe", "{own}");
        for event in &own.0 {
            assert_eq!(event.text("container.id"), &id[..12], "{event:?}");
        }
        own
    }
}

fn a_container_is_recorded_and_tagged(f: &Fixture) {
    // a second to live: the kernel can be asked about the process
    let events = f.probe(|spec| spec["process"]["args"] = json!(["/t/probe", "/etc/secret", "1"]));
    let open = &events.opens("/etc/secret").0[0];
    let own = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).map(|l| l.display().to_string());
    for name in ["mnt", "pid", "net", "ipc", "uts"] {
        let theirs = open.number(&format!("ns.{name}")).unwrap_or_else(|| panic!("ns.{name}: {open:?}"));
        assert_ne!(own(name).expect("own namespaces"), format!("{name}:[{theirs}]"), "a namespace of its own");
    }
    for name in ["user", "time", "cgroup"] {
        assert!(open.number(&format!("ns.{name}")).is_some(), "ns.{name}: {open:?}");
    }
    assert_eq!(open.number("proc.vpid"), Some(1), "{open:?}");
    assert!(open.number("proc.pid").is_some_and(|pid| pid > 1), "{open:?}");
    assert_eq!(open.text("proc.name"), "probe", "{open:?}");
    let starts = events.filter(|e| e.kind() == "container.start");
    assert_eq!(starts.len(), 1, "{events}");
}

fn a_musl_container_is_recorded(f: &Fixture) {
    let bundle = f.bundle(&["/t/probe-musl", "/etc/secret"]);
    let plain = bundle.run(None);
    let ours = bundle.run(Some(&f.collector.state_dir()));
    assert_eq!((plain.status, &plain), (3, &ours));
    let all = f.collector.wait_for("records of musl", |e| {
        let own = e.of_container(&bundle.id);
        !own.opens("/etc/secret").is_empty() && !own.connects("127.0.0.1").is_empty() && !own.execs("/true").is_empty()
    });
    assert_eq!(all.of_container(&bundle.id).opens("/etc/secret").0[0].text("proc.name"), "probe-musl");
}

fn shells_and_scripts(f: &Fixture) {
    let bundle = f.bundle(&["/bin/sh", "-c", "/t/script; cat /etc/secret | cat; exit 4"]);
    let plain = bundle.run(None);
    let ours = bundle.run(Some(&f.collector.state_dir()));
    assert_eq!((plain.status, &plain), (4, &ours));
    f.collector.wait_for("records of the script", |e| {
        let own = e.of_container(&bundle.id);
        own.execs("/bin/cat").len() == 3 && own.opens("/etc/hostname").len() == 1 && own.execs("/bin/true").len() == 1
    });
}

fn a_user_without_rights(f: &Fixture) {
    let events = f.probe(|spec| spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 }));
    assert_eq!(events.opens("/etc/secret").0[0].number("user.uid"), Some(1000), "{events}");
}

fn read_only_root(f: &Fixture) {
    f.probe(|spec| spec["root"]["readonly"] = true.into());
}

fn no_capabilities(f: &Fixture) {
    f.probe(|spec| spec["process"]["capabilities"] = json!({}));
}

fn no_new_privileges(f: &Fixture) {
    f.probe(|spec| {
        spec["process"]["noNewPrivileges"] = true.into();
        spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    });
}

fn exec_with_arguments(f: &Fixture) {
    let bundle = f.bundle(&["/bin/sleep", "60"]);
    bundle.start(&f.collector.state_dir());
    let out = bundle.exec(&f.collector.state_dir(), &[&bundle.id, "/t/probe", "/etc/secret"]);
    assert_eq!(out.status, 3, "{out:?}");
    f.records_of_probe(&bundle.id);
}

fn exec_with_a_process_file(f: &Fixture) {
    let bundle = f.bundle(&["/bin/sleep", "60"]);
    bundle.start(&f.collector.state_dir());
    // as engines do it: a complete process, of their own making, without our environment
    let mut process = bundle.spec["process"].clone();
    process["args"] = json!(["/t/probe", "/etc/secret"]);
    let file = bundle.path().join("process.json");
    std::fs::write(&file, process.to_string()).expect("an own file");
    let file = file.display().to_string();
    let out = bundle.exec(&f.collector.state_dir(), &["--process", &file, &bundle.id]);
    assert_eq!(out.status, 3, "{out:?}");
    let events = f.records_of_probe(&bundle.id);
    let execs = events.filter(|e| e.kind() == "container.exec");
    assert_eq!(execs.len(), 1, "the exec from outside is an event:\n{events}");
}

fn create_start_kill_delete(f: &Fixture) {
    let state = f.collector.state_dir();
    let bundle = f.bundle(&["/bin/sh", "-c", "cat /etc/secret; exec sleep 60"]);
    let runtime = |args: &[&str]| program::run(bundle.runtime(Some(&state)).args(args));
    let path = bundle.path().display().to_string();
    let pid_file = bundle.path().join("pid").display().to_string();
    // create leaves its stdio to the container: files, not pipes
    let out = std::fs::File::create(bundle.path().join("o")).expect("an own file");
    let mut create = bundle.runtime(Some(&state));
    create.args(["create", "--bundle", &path, "--pid-file", &pid_file, &bundle.id]);
    create.stdin(std::process::Stdio::null()).stdout(out.try_clone().expect("dup")).stderr(out);
    assert!(create.status().expect("porthole-runc runs").success(), "{}", bundle.log());
    f.collector.wait_for("the container's start", |e| {
        !e.of_container(&bundle.id).filter(|e| e.kind() == "container.start").is_empty()
    });
    let pid: i64 = std::fs::read_to_string(&pid_file).expect("a pid file").trim().parse().expect("a pid");
    runtime(&["start", &bundle.id]).ok("start");
    let all = f.collector.wait_for("records after start", |e| !e.of_container(&bundle.id).execs("/sleep").is_empty());
    let exec = &all.of_container(&bundle.id).execs("/sleep").0[0];
    assert_eq!(exec.number("proc.pid"), Some(pid), "the host's pid, as the runtime has it: {exec:?}");
    assert!(runtime(&["state", &bundle.id]).ok("state").text().contains("running"));
    runtime(&["kill", &bundle.id, "KILL"]).ok("kill");
    wait::until_true("the container ends", || runtime(&["state", &bundle.id]).text().contains("stopped"));
    runtime(&["delete", &bundle.id]).ok("delete");
    f.collector.wait_for("the container's end", |e| {
        !e.of_container(&bundle.id).filter(|e| e.kind() == "container.stop").is_empty()
    });
    let dir = f.collector.container_dir(&bundle.id);
    wait::until_true("the registration is gone", || !dir.root().exists());
    assert!(mounts_below(dir.root()).is_empty());
}

fn the_bundle_is_as_it_was_after_delete(f: &Fixture) {
    let bundle = f.bundle(&["/bin/true"]);
    let before = std::fs::read(bundle.config()).expect("config.json");
    let listing = |dir: &std::path::Path| f.collector.listing(dir);
    let root_before = listing(&f.root);
    let dev_before = listing(&f.root.join("dev"));
    bundle.start(&f.collector.state_dir());
    bundle.delete(Some(&f.collector.state_dir())).ok("delete");
    let after = std::fs::read(bundle.config()).expect("config.json");
    assert!(after == before, "config.json is not what it was: {}", String::from_utf8_lossy(&after));
    assert_eq!((listing(&f.root), listing(&f.root.join("dev"))), (root_before, dev_before), "the root file system");
    let again = bundle.run(None);
    assert_eq!(again.status, 0, "plain runc over the same bundle: {again:?}");
}

fn two_containers_are_kept_apart(f: &Fixture) {
    let script = |name: &str| format!("for i in 1 2 3 4 5 6 7 8; do cat /tmp/only-{name}; done 2>/dev/null; exit 0");
    let one = f.bundle(&["/bin/sh", "-c", &script("one")]);
    let two = f.bundle(&["/bin/sh", "-c", &script("two")]);
    one.start(&f.collector.state_dir());
    two.start(&f.collector.state_dir());
    let all = f.collector.wait_for("both", |e| {
        e.of_container(&one.id).opens("/tmp/only-one").len() == 8
            && e.of_container(&two.id).opens("/tmp/only-two").len() == 8
    });
    assert!(all.of_container(&one.id).opens("/tmp/only-two").is_empty());
    assert!(all.of_container(&two.id).opens("/tmp/only-one").is_empty());
}

fn a_static_entrypoint_is_named(f: &Fixture) {
    let bundle = f.bundle(&["/t/probe-static", "/etc/secret"]);
    let plain = bundle.run(None);
    let ours = bundle.run(Some(&f.collector.state_dir()));
    assert_eq!((plain.status, &plain), (3, &ours));
    // no agent can be in it, but its dynamic child is seen, and the runtime tells what it started
    f.collector.wait_for("the child of a static program", |e| {
        let own = e.of_container(&bundle.id);
        own.filter(|e| e.kind() == "container.start").len() == 1
    });
}

fn output_and_errors_are_those_of_runc(f: &Fixture) {
    let state = f.collector.state_dir();
    let both = |args: &[&str]| {
        let plain = program::run(Command::new("runc").args(args));
        let mut ours = Command::new(binaries::porthole_runc());
        (plain, program::run(ours.args(args).env("PORTHOLE_STATE_DIR", &state)))
    };
    for args in [
        &["--version"][..],
        &["list", "-q"],
        &["state", "no-such-container"],
        &["kill", "no-such-container", "KILL"],
        &["delete", "no-such-container"],
        &["delete", "--force", "no-such-container"],
        &["exec", "no-such-container", "true"],
        &["start", "no-such-container"],
        &["run", "--bundle", "/no/such/bundle", "x"],
        &["create", "x/y"],
        &["no-such-command"],
        &["run"],
        &[],
    ] {
        let (plain, ours) = both(args);
        assert_eq!(unnamed(plain), unnamed(ours), "{args:?}");
    }
}

/// runc's messages start with the time, and call the program by the name it was started by.
fn unnamed(mut out: program::Outcome) -> program::Outcome {
    let ours = binaries::porthole_runc().display().to_string();
    let same = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(&ours, "runc").replace("porthole-runc", "runc");
        let lines = text.lines().map(|l| l.split_once("level=").map_or(l, |(_, rest)| rest));
        lines.collect::<Vec<_>>().join("\n").into_bytes()
    };
    out.stdout = same(&out.stdout);
    out.stderr = same(&out.stderr);
    out
}

fn containers_and_status_count(f: &Fixture) {
    let bundle = f.bundle(&["/bin/sh", "-c", "/t/probe /etc/secret; sleep 60"]);
    bundle.start(&f.collector.state_dir());
    f.records_of_probe(&bundle.id);
    let view = f.collector.container(&bundle.id).expect("it is listed");
    assert_eq!((view["state"].as_str(), view["injection"].as_str()), (Some("running"), Some("preload")), "{view}");
    // sh, probe, true, sleep; the probe's connect; more than its one open
    assert!(view["processes"].as_u64() >= Some(3), "{view}");
    assert!(view["execs"].as_u64() >= Some(3), "{view}");
    assert!(view["files"].as_u64() >= Some(1), "{view}");
    assert_eq!(view["connections"].as_u64(), Some(1), "{view}");
    let status = f.collector.status();
    assert!(status["records_received"].as_u64() > Some(10), "{status}");
    assert!(status["containers_running"].as_u64() >= Some(1), "{status}");
}

fn nothing_was_lost(f: &Fixture) {
    // stands last: over everything that ran before
    f.collector.assert_nothing_lost();
    f.collector.events().assert_once_and_in_order();
}
