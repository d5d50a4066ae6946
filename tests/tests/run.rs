//! `porthole run`: the command's own output, status and signals, and an output file that keeps its contract.

use nix::sys::signal::Signal;
use porthole_tests::binaries;
use porthole_tests::compare::Case;
use porthole_tests::events::Events;
use porthole_tests::program::{self, Running};
use porthole_tests::scratch::Scratch;
use porthole_tests::wait;
use std::process::{Command, Stdio};

fn porthole_run(scratch: &Scratch, args: &[&str]) -> Command {
    let mut command = Command::new(binaries::porthole());
    command.args(["run", "--events"]).arg(scratch.join("events")).arg("--").args(args);
    command.env("PORTHOLE_STATE_DIR", scratch.join("s"));
    command
}

/// Keys that every event of a process has.
const OF_EVERY_EVENT: [&str; 5] = ["time", "evt.num", "evt.type", "container.id", "porthole.source"];
const OF_A_PROCESS: [&str; 10] = [
    "evt.res",
    "evt.rawres",
    "proc.pid",
    "proc.vpid",
    "proc.name",
    "proc.exepath",
    "proc.cmdline",
    "proc.cwd",
    "porthole.session",
    "porthole.seq",
];
const NAMESPACES: [&str; 8] = ["ns.mnt", "ns.pid", "ns.net", "ns.ipc", "ns.uts", "ns.user", "ns.cgroup", "ns.time"];

#[test]
fn events_have_the_keys_of_the_contract() {
    let events = Case::shell("cat /etc/hostname; sleep 0.3; cat /etc/passwd >/dev/null; sleep 0.3").hooked().events;
    for event in &events.0 {
        for key in OF_EVERY_EVENT {
            assert!(event.0.get(key).is_some(), "{key} is missing: {event:?}");
        }
        assert_eq!(event.text("container.id"), "host", "{event:?}");
        let time = event.text("time");
        assert!(time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "RFC 3339 with ns: {time}");
    }
    let numbers: Vec<i64> = events.0.iter().filter_map(|e| e.number("evt.num")).collect();
    assert!(numbers.windows(2).all(|w| w[0] < w[1]), "evt.num counts up: {numbers:?}");
    let calls =
        events.filter(|e| e.is(&["openat", "execve"]) && ["symbols", "sites"].contains(&e.text("porthole.source")));
    assert!(!calls.is_empty(), "{events}");
    for event in &calls.0 {
        for key in OF_A_PROCESS {
            assert!(event.0.get(key).is_some(), "{key} is missing: {event:?}");
        }
    }
    // the shell lives long enough for the kernel to be asked about it
    let exec = events.execs("/sleep");
    let exec = exec.first("the exec of sleep", &events);
    for key in NAMESPACES {
        assert!(exec.number(key).is_some_and(|n| n > 0), "{key}: {exec:?}");
    }
    let own = |name: &str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("own namespaces");
        link.to_string_lossy().trim_end_matches(']').rsplit('[').next().and_then(|n| n.parse().ok())
    };
    assert_eq!(exec.number("ns.mnt"), own("mnt"));
    assert_eq!(exec.number("ns.pid"), own("pid"));
    assert_eq!(exec.number("user.uid"), Some(0));
    assert!(["verified", "inherited"].contains(&exec.text("porthole.identity")), "{exec:?}");
}

#[test]
fn output_of_the_command_is_only_its_own() {
    let scratch = Scratch::new();
    let out = program::run(&mut porthole_run(&scratch, &["/bin/sh", "-c", "echo out; echo err >&2; exit 5"]));
    assert_eq!((out.status, out.text().as_str()), (5, "out"), "{out:?}");
    assert!(out.errors().lines().next().is_some_and(|l| l == "err"), "{out:?}");
    assert!(!Events::read(&scratch.join("events")).is_empty());
}

#[test]
fn a_command_that_is_not_there() {
    let scratch = Scratch::new();
    let out = program::run(&mut porthole_run(&scratch, &["/no/such/program"]));
    assert_eq!(out.status, 127, "as a shell has it: {out:?}");
    assert!(out.errors().contains("/no/such/program"), "{out:?}");
}

#[test]
fn no_command_is_a_usage_error() {
    let out = program::run(Command::new(binaries::porthole()).arg("run"));
    assert_eq!(out.status, 2, "{out:?}");
    assert!(out.errors().contains("Usage"), "{out:?}");
}

#[test]
fn signals_reach_the_command() {
    for (signal, status) in [(Signal::SIGTERM, 33), (Signal::SIGHUP, 34), (Signal::SIGINT, 35)] {
        let scratch = Scratch::new();
        let ready = scratch.join("ready").display().to_string();
        let script = format!(
            "trap 'exit 33' TERM; trap 'exit 34' HUP; trap 'exit 35' INT; : >{ready}; while :; do sleep 0.05; done"
        );
        let mut command = porthole_run(&scratch, &["/bin/sh", "-c", &script]);
        let mut running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait::until_true("the command runs", || std::path::Path::new(&ready).exists());
        running.signal(signal);
        assert_eq!(running.wait(), status, "{signal}");
    }
}

#[test]
fn death_by_a_signal_shows() {
    for (script, status) in [("kill -KILL $$", 137), ("kill -TERM $$", 143), ("kill -ABRT $$", 134)] {
        let scratch = Scratch::new();
        let out = program::run(&mut porthole_run(&scratch, &["/bin/sh", "-c", script]));
        assert_eq!(out.status, status, "{script}: {out:?}");
    }
}

#[test]
fn stdin_is_the_commands() {
    let scratch = Scratch::new();
    let porthole = binaries::porthole().display().to_string();
    let script = format!("seq 1 1000 | {porthole} run --events {}/events -- wc -l", scratch.path().display());
    let mut command = Command::new("/bin/sh");
    let out = program::run(command.args(["-c", &script]).env("PORTHOLE_STATE_DIR", scratch.join("s")));
    assert_eq!(out.text(), "1000", "{out:?}");
}

#[test]
fn nothing_is_left_behind() {
    let scratch = Scratch::new();
    program::run(&mut porthole_run(&scratch, &["/bin/true"])).ok("porthole run");
    let mounts = porthole_tests::scratch::mounts_below(scratch.path());
    assert!(mounts.is_empty(), "mounts: {mounts:?}");
    let containers = scratch.join("s/containers");
    let left: Vec<_> = std::fs::read_dir(&containers).map(|d| d.flatten().collect()).unwrap_or_default();
    assert!(left.is_empty(), "registrations: {left:?}");
}

#[test]
fn a_thousand_processes_and_nothing_lost() {
    let hooked = Case::shell("i=0; while [ $i -lt 1000 ]; do /bin/true $i; i=$((i+1)); done").hooked();
    assert_eq!(hooked.outcome.status, 0, "{:?}", hooked.outcome);
    let execs = hooked.events.execs("/bin/true");
    assert_eq!(execs.len(), 1000);
    hooked.events.assert_once_and_in_order();
    for n in [0, 499, 999] {
        execs.filter(|e| e.text("proc.args") == n.to_string()).only(&format!("true {n}"));
    }
}

#[test]
fn many_opens_are_all_there() {
    // paced: a ring holds a millisecond of opens at full speed, and more would be dropped, counted
    let script = "i=0; while [ $i -lt 300 ]; do : < /etc/hostname; i=$((i+1)); done";
    let events = Case::shell(script).hooked().events;
    let lost = events.filter(|e| e.kind() == "porthole.drop");
    assert!(lost.is_empty(), "{lost}");
    assert_eq!(events.opens("/etc/hostname").len(), 300);
}
