//! `porthole compare`: it finds what differs, and nothing where nothing does.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_tests::program::{Outcome, shell_status};
use porthole_tests::scratch::Scratch;
use porthole_tests::targets::{self, Flavour};
use porthole_tests::{binaries, wait};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
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
    assert_eq!(found["differences"][0], serde_json::json!({"what": "stderr", "line": 1, "bare": "", "hooked": "x"}));

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
    assert_eq!(report["unstable"], serde_json::json!(["stdout, lines 1, 3"]));
}

#[test]
fn an_unstable_line_does_not_hide_a_difference_in_another() {
    let script = "date +%N; echo same; echo ${LD_PRELOAD:-none}; date +%N";
    let (status, found) = report(SYMBOLS, &["sh", "-c", script], b"");
    assert_eq!((status, differences(&found)), (1, vec!["stdout"]), "{found:#}");
    assert_eq!((&found["differences"][0]["line"], &found["differences"][0]["bare"]), (&3.into(), &"none".into()));
    assert_eq!(found["unstable"], serde_json::json!(["stdout, lines 1, 4"]));
}

#[test]
fn an_empty_variable_is_no_difference() {
    let printed = "env -u PORTHOLE_STATE_DIR; sh -c 'env | grep -c LD_PRELOAD=$'";
    for (options, command) in [(SYMBOLS, &["true"] as &[_]), (&[], &["sh", "-c", printed])] {
        let scratch = Scratch::new();
        let mut porthole = porthole(&scratch, options, command);
        let out = porthole.env("LD_PRELOAD", "").stdin(Stdio::null()).output().expect("it runs");
        assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stdout));
    }
}

/// Largest resident set of a process that has ended but was not waited for, or still runs, KiB.
fn high_water(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_large_output_is_neither_kept_in_memory_nor_on_disk() {
    // half a gigabyte in few and in many lines; the last byte, at symbols depth, tells
    let large = "head -c 400000000 /dev/zero; yes | head -c 100000000; echo ${LD_PRELOAD:+x}";
    let scratch = Scratch::new();
    let mut porthole = porthole(&scratch, &["--depth", "symbols", "--format", "json"], &["sh", "-c", large]);
    let mut child = porthole.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let (mut memory, mut disk) = (0, 0);
    wait::until("it ends", std::time::Duration::from_secs(300), || {
        memory = memory.max(high_water(child.id()));
        let entries = std::fs::read_dir(scratch.join("tmp")).expect("it is there").flatten();
        disk = entries.map(|e| e.metadata().map_or(0, |m| m.len())).fold(disk, u64::max);
        child.try_wait().expect("an own child")
    });
    let out = child.wait_with_output().expect("it has ended");
    let found: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(differences(&found), ["stdout"], "{found:#}");
    assert!(memory > 1000 && memory < 100_000, "{memory} KiB at most");
    assert!(disk < 100_000, "a file of {disk} bytes");
}

#[test]
fn what_is_left_running_is_ended_and_named() {
    let scratch = Scratch::new();
    let mark = scratch.join("pids");
    // one ends by itself and what it writes counts, one has to be asked, one has to be made to
    let script = format!(
        "(sleep 0.1; echo late) & sleep 1000 & echo $! >>{0}; setsid sh -c 'trap \"\" TERM; echo $$ >>{0}; while :; do \
         sleep 0.1; done' & until [ $(wc -l <{0}) -ge 2 ]; do sleep 0.01; done",
        mark.display()
    );
    let report = same(&["sh", "-c", &script], b"");
    assert_eq!(report["left_running"], "sh, sleep", "{report:#}");
    assert_eq!(report["compared"], same(&["sh", "-c", &script], b"")["compared"]);
    let pids = std::fs::read_to_string(&mark).expect("the command has written it");
    assert!(pids.lines().count() >= 8, "{pids}");
    for pid in pids.lines() {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} is still there");
    }
    // late output is compared
    let (_, found) = self::report(SYMBOLS, &["sh", "-c", "(sleep 0.2; echo ${LD_PRELOAD:+x}) & exit 0"], b"");
    assert_eq!(differences(&found), ["stdout"], "{found:#}");
}

#[test]
fn a_program_that_gains_privileges_keeps_them() {
    let scratch = Scratch::new();
    let dir = scratch.dir("open");
    let test = dir.join("test");
    std::fs::copy("/usr/bin/test", &test).expect("coreutils");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("own file");
    let directory = scratch.dir("s");
    for path in [scratch.join("."), dir, scratch.dir("tmp"), directory] {
        mode(&path, 0o777);
    }
    mode(&test, 0o4755);
    let mut command = porthole(&scratch, &["--format", "json"], &[&test.to_string_lossy(), "-r", "/etc/shadow"]);
    let out = command.uid(65534).gid(65534).stdin(Stdio::null()).output().expect("it runs");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    assert_eq!((&report["end"], &report["same"]), (&"exit 0".into(), &true.into()), "{report:#}");
    assert_eq!((&report["state_compared"], &report["records"]), (&false.into(), &0.into()), "{report:#}");
}

#[test]
fn input_that_does_not_end_can_be_interrupted_and_is_bounded() {
    let scratch = Scratch::new();
    let mut command = porthole(&scratch, &[], &["cat"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut told = String::new();
    BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut told).expect("text");
    assert!(told.contains("waiting for the end of standard input"), "{told}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(shell_status(child.wait().expect("it ends")), 128 + Signal::SIGTERM as i32);
    empty(&scratch.join("tmp"));

    let mut endless = Command::new("yes").stdout(Stdio::piped()).spawn().expect("it starts");
    let mut command = porthole(&scratch, &[], &["head", "-1"]);
    let out = command.stdin(endless.stdout.take().expect("a pipe")).output().expect("it runs");
    let _ = endless.kill();
    let _ = endless.wait();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("larger than 256 MiB"), "{out:?}");
    empty(&scratch.join("tmp"));
}

#[test]
fn signals_that_end_the_command_are_compared() {
    for (script, end) in [("kill -KILL $$", "signal 9"), ("kill -34 $$", "signal 34")] {
        assert_eq!(same(&["sh", "-c", script], b"")["end"], end);
    }
    let (status, found) = report(SYMBOLS, &["sh", "-c", "[ -z \"$LD_PRELOAD\" ] || kill -9 $$"], b"");
    assert_eq!((status, differences(&found)), (1, vec!["end"]), "{found:#}");
}

#[test]
fn a_program_without_the_agent_is_named() {
    let program = targets::build("opens", Flavour::Static);
    let out = compare(&[], &[&program.to_string_lossy()], b"");
    assert!(out.text().contains("nothing was recorded"), "{out:?}");
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
