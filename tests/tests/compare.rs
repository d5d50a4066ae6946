//! `porthole compare`: it finds what differs, and nothing where nothing does.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_tests::program::{Outcome, shell_status};
use porthole_tests::scratch::Scratch;
use porthole_tests::{binaries, wait};
use serde_json::Value;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Our entry stays visible to the command.
const SYMBOLS: &[&str] = &["--depth", "symbols"];

fn porthole(scratch: &Scratch, options: &[&str], command: &[&str]) -> Command {
    let mut porthole = Command::new(binaries::porthole());
    porthole.arg("compare").args(options).arg("--").args(command);
    porthole.env("PORTHOLE_STATE_DIR", scratch.join("s")).env("TMPDIR", scratch.dir("tmp")).env_remove("LD_PRELOAD");
    porthole
}

/// Runs it with these bytes on standard input, and checks that it leaves nothing behind.
fn compare(options: &[&str], command: &[&str], stdin: &[u8]) -> Outcome {
    let scratch = Scratch::new();
    let mut porthole = porthole(&scratch, options, command);
    porthole.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = porthole.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(stdin).expect("it reads its input");
    let out = child.wait_with_output().expect("it ends");
    empty(&scratch.join("tmp"));
    Outcome { stdout: out.stdout, stderr: out.stderr, status: shell_status(out.status) }
}

fn empty(dir: &Path) {
    let left: Vec<_> = std::fs::read_dir(dir).expect("it is there").flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn report(options: &[&str], command: &[&str], stdin: &[u8]) -> (i32, Value) {
    let all: Vec<&str> = options.iter().copied().chain(["--format", "json"]).collect();
    let out = compare(&all, command, stdin);
    let value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("no JSON: {e}: {out:?}"));
    (out.status, value)
}

/// Asserts that nobody could tell the difference, and that everything was compared.
fn same(command: &[&str], stdin: &[u8]) -> Value {
    let (status, report) = report(&[], command, stdin);
    assert_eq!(status, 0, "{command:?}: {report:#}");
    assert_eq!(report["same"], true, "{report:#}");
    assert_eq!(report["differences"], serde_json::json!([]), "{report:#}");
    report
}

fn differences(report: &Value) -> Vec<&str> {
    let list = report["differences"].as_array().expect("a list");
    list.iter().filter_map(|d| d["what"].as_str()).collect()
}

#[test]
fn programs_that_behave_the_same_have_no_difference() {
    for script in [
        "ls -l /etc",
        "exit 7",
        "kill -TERM $$",
        "kill -SEGV $$",
        "exec 7</etc/passwd 9>/dev/null 0<&-; true",
        "ulimit -n 99; trap '' HUP; trap : USR1; umask 027; exit 1",
        "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2",
        "yes | head -1",
        "(sleep 0; echo child) & wait",
    ] {
        let report = same(&["sh", "-c", script], b"");
        assert_eq!(report["state_compared"], true, "{script}: {report:#}");
        assert!(report["records"].as_u64() > Some(0), "the agent was not there: {script}: {report:#}");
        let allowed = report["allowed"].as_str().unwrap_or_default();
        assert!(allowed.starts_with("LD_PRELOAD="), "{report:#}");
    }
}

#[test]
fn what_depends_on_the_preloaded_library_is_found() {
    let script = "echo same; echo ${LD_PRELOAD:+x} >&2";
    let (status, found) = report(SYMBOLS, &["sh", "-c", script], b"");
    assert_eq!((status, differences(&found)), (1, vec!["stderr"]), "{found:#}");
    assert_eq!((&found["differences"][0]["bare"], &found["differences"][0]["hooked"]), (&"".into(), &"x".into()));

    let (status, found) = report(SYMBOLS, &["sh", "-c", "[ -z \"$LD_PRELOAD\" ]"], b"");
    assert_eq!((status, differences(&found)), (1, vec!["end"]), "{found:#}");
    assert_eq!(found["differences"][0]["bare"], "exit 0");
    assert_eq!(found["differences"][0]["hooked"], "exit 1");

    let script = "[ \"$LD_PRELOAD\" ] && exec 8</etc/passwd; [ \"$LD_PRELOAD\" ] && trap '' HUP; [ \"$LD_PRELOAD\" ] \
                  && ulimit -n 77; exit 0";
    let (status, found) = report(SYMBOLS, &["sh", "-c", script], b"");
    assert_eq!(status, 1);
    assert_eq!(differences(&found), ["SigIgn", "fd 8", "limit Max open files"], "{found:#}");

    // at every depth
    let out = compare(&[], &["sh", "-c", "grep -c libporthole /proc/self/maps; exit 0"], b"");
    assert!(out.text().contains("1 difference\n  stdout, line 1\n    bare    \"0\"\n    hooked  \""), "{out:?}");
    assert_eq!((out.status, out.errors().as_str()), (1, ""));
}

#[test]
fn what_differs_between_bare_runs_is_not_counted() {
    let report = same(&["sh", "-c", "echo $$; echo same; date +%N"], b"");
    assert_eq!(report["unstable"], serde_json::json!(["stdout"]));
}

#[test]
fn each_run_has_the_same_input() {
    let text = "line\n".repeat(50_000);
    let report = same(&["sh", "-c", "cksum; [ $(id -u) ]"], text.as_bytes());
    assert_eq!(report["runs"], 1);
    // a shell that reads nothing else would tell
    let out = compare(&["--runs", "3"], &["sh", "-c", "read line && [ \"$line\" = line ]"], text.as_bytes());
    assert_eq!(out.status, 0, "{out:?}");
    assert!(out.text().contains("no difference: exit 0") && out.text().contains("runs 3"), "{out:?}");
    // a file from where it stands
    let scratch = Scratch::new();
    std::fs::write(scratch.join("in"), "one\ntwo\n").expect("an own file");
    let out = porthole(&scratch, &[], &["grep", "-q", "one"])
        .stdin(std::fs::File::open(scratch.join("in")).expect("it"))
        .output();
    assert!(out.expect("it runs").status.success());
}

#[test]
fn the_json_form_has_its_keys() {
    let (_, report) = report(&["--runs", "2"], &["true"], b"");
    for key in [
        "command",
        "runs",
        "same",
        "differences",
        "unstable",
        "allowed",
        "state_compared",
        "bare",
        "hooked",
        "ratio",
        "records",
        "lost",
        "ns_per_record",
    ] {
        assert!(report.get(key).is_some(), "{key}: {report:#}");
    }
    for side in ["bare", "hooked"] {
        for key in ["wall_ns", "max_rss_kb", "private_kb"] {
            assert!(report[side][key].as_u64() > Some(0), "{side} {key}: {report:#}");
        }
    }
    assert_eq!(report["command"], serde_json::json!(["true"]));
}

#[test]
fn wrong_usage_and_programs_that_cannot_start() {
    assert_eq!(compare(&[], &["no-such-command"], b"").status, 127);
    assert_eq!(compare(&[], &["/etc/passwd"], b"").status, 126);
    assert_eq!(compare(&["--runs", "0"], &["true"], b"").status, 2);
    assert_eq!(compare(&[], &[], b"").status, 2);
}

#[test]
fn a_reader_that_leaves_changes_nothing() {
    let scratch = Scratch::new();
    for (script, code) in [("exit 4", 0), ("[ -z \"$LD_PRELOAD\" ]", 1)] {
        let mut command = porthole(&scratch, SYMBOLS, &["sh", "-c", script]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{script}");
    }
}

#[test]
fn an_interrupt_ends_command_and_comparison() {
    for to_group in [true, false] {
        let scratch = Scratch::new();
        let mark = scratch.join("mark");
        let script = format!("echo $$ >{}; exec sleep 1000", mark.display());
        let mut command = porthole(&scratch, &[], &["sh", "-c", &script]);
        let mut child = command.stdin(Stdio::null()).process_group(0).spawn().expect("it starts");
        let pid = Pid::from_raw(child.id() as i32);
        wait::until_true("the command runs", || std::fs::read_to_string(&mark).is_ok_and(|t| t.ends_with('\n')));
        let group = if to_group { Pid::from_raw(-pid.as_raw()) } else { pid };
        kill(group, Signal::SIGINT).expect("it runs");
        assert_eq!(shell_status(child.wait().expect("it ends")), 128 + Signal::SIGINT as i32);
        let command = std::fs::read_to_string(&mark).expect("it was there");
        assert!(!Path::new("/proc").join(command.trim()).exists(), "the command is still there");
        empty(&scratch.join("tmp"));
    }
}
