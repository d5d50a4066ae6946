//! `porthole run`: the command notices nothing, and its events arrive.

mod cli_support;

use cli_support::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run_quiet(scratch: &Scratch, command: &[&str]) -> Output {
    run(&mut porthole(scratch.path(), &[&["run", "--quiet", "--"], command].concat()))
}

fn sh(scratch: &Scratch, script: &str) -> Output {
    run_quiet(scratch, &["sh", "-c", script])
}

fn left_behind(scratch: &Scratch) -> Vec<String> {
    let entries = std::fs::read_dir(scratch.path()).unwrap().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n.starts_with("run-")).collect()
}

/// The events of a file; each line must be an object with a time and a type.
fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().all(|e| e["time"].is_string() && e["evt.type"].is_string()), "{text}");
    lines
}

#[test]
fn the_exit_status_is_the_commands() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    for status in [0, 1, 7, 255] {
        assert_eq!(sh(&scratch, &format!("exit {status}")).status.code(), Some(status));
    }
    assert_eq!(left_behind(&scratch), Vec::<String>::new());
}

#[test]
fn the_signal_that_ends_the_command_ends_porthole() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGINT, Signal::SIGPIPE, Signal::SIGSEGV] {
        let status = sh(&scratch, &format!("kill -{} $$", signal as i32)).status;
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal as i32), false), "{signal}");
    }
    assert_eq!(left_behind(&scratch), Vec::<String>::new());
}

#[test]
fn what_cannot_be_started_is_127_or_126() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let missing = run_quiet(&scratch, &["no-such-command"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(err(&missing).contains("no-such-command: command not found"), "{}", err(&missing));
    let plain = scratch.join("plain");
    std::fs::write(&plain, "x").unwrap();
    assert_eq!(run_quiet(&scratch, &[plain.to_str().unwrap()]).status.code(), Some(126));
    assert_eq!(left_behind(&scratch), Vec::<String>::new());
}

#[test]
fn signals_reach_the_command_once() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGHUP, "HUP"), (Signal::SIGUSR2, "USR2")] {
        let script = format!(
            "trap 'echo got' {name}; echo ready; n=0; while [ $n -lt 20 ]; do sleep 0.05; n=$((n+1)); done; exit 5"
        );
        let mut command = porthole(scratch.path(), &["run", "--quiet", "--", "sh", "-c", &script]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().as_deref(), Some("ready"));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(lines.collect::<Vec<_>>(), ["got"], "{name}");
        assert_eq!(end(&mut child).code(), Some(5));
    }
}

#[test]
fn standard_streams_are_passed_through_byte_for_byte() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let mut command = porthole(scratch.path(), &["run", "--", "sh", "-c", "cat; echo problem >&2"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, input);
    let text = err(&output);
    assert!(text.contains("problem\n") && text.contains("porthole: ") && text.contains("lost 0"), "{text}");
    assert_eq!(err(&sh(&scratch, "echo problem >&2")), "problem\n", "with --quiet stderr is the command's alone");
}

#[test]
fn the_command_finds_everything_as_without_porthole() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let script = "umask; ulimit -a; pwd; ls /proc/self/fd; grep -E '^Sig(Blk|Ign|Cgt)|^Seccomp|^NoNew' /proc/self/status; \
                  tr '\\0' '\\n' </proc/self/environ | grep -v -e '^LD_PRELOAD=' -e '^PORTHOLE_'";
    // dispositions and descriptors as odd as callers have them
    for setup in ["", "trap '' PIPE HUP CHLD;", "exec 7</dev/null;", "exec <&-;", "umask 077; ulimit -n 200;"] {
        let wrapped = |program: &str| format!("{setup} exec {program} sh -c \"$0\"");
        let mut bare = Command::new("sh");
        let bare = run(bare.args(["-c", &wrapped(""), script]).env_remove("PORTHOLE_LIBRARY"));
        let mut hooked = Command::new("sh");
        hooked.args(["-c", &wrapped(&format!("{} run --quiet --", env!("CARGO_BIN_EXE_porthole"))), script]);
        hooked.env("PORTHOLE_STATE_DIR", scratch.path()).env("PORTHOLE_LIBRARY", agent().unwrap());
        let hooked = run(&mut hooked);
        let strip = |text: String| text.lines().filter(|l| !l.starts_with("_=")).collect::<Vec<_>>().join("\n");
        assert_eq!(strip(out(&hooked)), strip(out(&bare)), "after {setup:?}");
        assert_eq!(err(&hooked), err(&bare), "after {setup:?}");
    }
}

#[test]
fn a_preloaded_library_of_the_users_keeps_its_turn() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let value = |depth: &str| {
        let mut command =
            porthole(scratch.path(), &["run", "--quiet", "--depth", depth, "--", "printenv", "LD_PRELOAD"]);
        out(&run(command.env("LD_PRELOAD", "libm.so.6")))
    };
    let text = value("symbols");
    assert!(text.starts_with("libm.so.6:/") && text.ends_with("/libporthole.so\n"), "{text}");
    // where the C library has no table of sites, our entry stays visible
    let (hidden, visible) = ("libm.so.6\n", &text[..10]);
    let text = value("auto");
    assert!(text == hidden || text.starts_with(visible), "{text}");
}

#[test]
fn an_environment_that_just_fits_still_does() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    // Linux: a string at most 128 KiB, all of them a quarter of the stack's limit, here 8 MiB; the largest that works
    let big = |n: usize| (0..16).map(move |i| (format!("V{i}"), "x".repeat(if i == 0 { n } else { 131_000 })));
    let works = |command: &mut Command, n: usize| command.envs(big(n)).stdin(Stdio::null()).output().is_ok();
    let (mut fits, mut too_large) = (0, 131_000);
    while too_large - fits > 1 {
        let middle = (fits + too_large) / 2;
        // porthole's own command line is longer than the command's, so this is the tighter fit
        let fit = works(&mut porthole(scratch.path(), &["run", "--quiet", "--", "true"]), middle);
        *if fit { &mut fits } else { &mut too_large } = middle;
    }
    let output = run(porthole(scratch.path(), &["run", "--quiet", "--", "true"]).envs(big(fits)));
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}

#[test]
fn events_go_to_the_file_as_json_lines() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let (file, missing) = (scratch.join("e.jsonl"), scratch.join("missing"));
    std::fs::write(&file, "what was there before\n").unwrap();
    let script = format!("cat /etc/hostname >/dev/null; cat {} 2>/dev/null; /bin/true; exit 3", missing.display());
    let args = ["run", "--events", file.to_str().unwrap(), "--", "sh", "-c", &script];
    let output = run(&mut porthole(scratch.path(), &args));
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(3), ""));
    let text = err(&output);
    assert!(text.starts_with("porthole: ") && text.contains("processes") && text.contains("lost 0"), "{text}");

    let events = events(&file);
    let has = |kind: &str, field: &str, value: &str| {
        events.iter().any(|e| e["evt.type"] == kind && e[field].as_str().is_some_and(|v| v.ends_with(value)))
    };
    assert!(has("execve", "proc.exepath", "/cat") && has("execve", "proc.exepath", "/true"), "{events:#?}");
    assert!(has("openat", "fd.name", "/etc/hostname"), "{events:#?}");
    let failed = events.iter().find(|e| e["fd.name"] == missing.to_str().unwrap()).expect("the failed open");
    assert_eq!((&failed["evt.res"], &failed["container.id"]), (&"ENOENT".into(), &"host".into()));
    for key in ["proc.pid", "proc.name", "proc.cmdline", "user.uid", "porthole.session", "porthole.seq"] {
        assert!(!failed[key].is_null(), "{key}: {failed:#}");
    }
    assert_eq!(left_behind(&scratch), Vec::<String>::new());
}

#[test]
fn without_a_file_events_are_lines_on_stderr() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let compact = run(&mut porthole(scratch.path(), &["run", "--", "cat", "/etc/hostname"]));
    let text = err(&compact);
    assert!(text.lines().any(|l| l.contains(" host cat[") && l.contains("openat /etc/hostname O_RDONLY")), "{text}");
    assert!(!text.contains('\x1b'), "no colour without a terminal: {text}");
    let json = run(&mut porthole(scratch.path(), &["run", "--format", "json", "--", "cat", "/etc/hostname"]));
    let lines: Vec<String> = err(&json).lines().filter(|l| l.starts_with('{')).map(str::to_owned).collect();
    assert!(lines.iter().any(|l| serde_json::from_str::<Value>(l).unwrap()["fd.name"] == "/etc/hostname"), "{lines:?}");
}

#[test]
fn processes_that_outlive_the_command_are_told_of_and_keep_working() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let (go, done) = (scratch.join("go"), scratch.join("done"));
    let script = format!(
        "(while [ ! -e {} ]; do sleep 0.05; done; /bin/ls / >/dev/null; echo fine) >{} 2>&1 & exit 0",
        go.display(),
        done.display()
    );
    let output = run(&mut porthole(scratch.path(), &["run", "--events", "/dev/null", "--", "sh", "-c", &script]));
    assert_eq!(output.status.code(), Some(0));
    assert!(err(&output).contains("still run"), "{}", err(&output));
    assert_eq!(left_behind(&scratch).len(), 1, "they keep their library");
    std::fs::write(&go, "").unwrap();
    until("the survivor ends", || std::fs::read_to_string(&done).unwrap() == "fine\n");
    until("the next run removes what they left", || {
        sh(&scratch, "exit 0");
        left_behind(&scratch).is_empty()
    });
}

#[test]
fn an_unprivileged_user_can_run_it() {
    if !have_agent() {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return skipped("not root: the other tests run unprivileged already");
    }
    let scratch = Scratch::new();
    // where nobody can reach it, whatever the modes of the build directory are
    let copy = |from: &Path, name: &str| std::fs::copy(from, scratch.join(name)).map(|_| scratch.join(name)).unwrap();
    let program = copy(Path::new(env!("CARGO_BIN_EXE_porthole")), "porthole");
    copy(&agent().unwrap(), "libporthole.so");
    let file = scratch.join("e.jsonl");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]);
    command.arg("\"$0\" run --format json -- cat /etc/hostname 2>&1 >/dev/null; echo $?").arg(&program);
    for name in ["PORTHOLE_STATE_DIR", "PORTHOLE_LIBRARY", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    let text = out(&run(command.current_dir("/")));
    std::fs::write(&file, text.lines().filter(|l| l.starts_with('{')).map(|l| format!("{l}\n")).collect::<String>())
        .unwrap();
    assert!(text.ends_with("\n0\n") && text.contains("lost 0"), "{text}");
    let open = events(&file).into_iter().find(|e| e["fd.name"] == "/etc/hostname").expect("the open");
    assert_eq!(open["user.uid"], 65534);
}

#[test]
fn a_command_that_becomes_another_user_keeps_the_agent() {
    if !have_agent() {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return skipped("not root: nobody else to become");
    }
    let base = Scratch::new();
    let (program, state) = (env!("CARGO_BIN_EXE_porthole"), base.path().display());
    let script = format!(
        "umask 077; {program} run --state-dir {state} --format json -- \
         setpriv --reuid=65534 --regid=65534 --clear-groups cat /etc/hostname"
    );
    let output = run(Command::new("sh").args(["-c", &script]).env("PORTHOLE_LIBRARY", agent().unwrap()));
    let text = err(&output);
    assert!(output.status.success() && !text.contains("ERROR: ld.so"), "{text}");
    let opens = |l: &&str| l.contains("/etc/hostname") && l.contains("\"proc.name\":\"cat\"");
    assert!(text.lines().filter(opens).count() >= 1, "{text}");
}

#[test]
fn a_file_size_limit_is_an_error_and_no_death() {
    if !have_agent() {
        return;
    }
    let scratch = Scratch::new();
    let script = format!("ulimit -f 1; exec {} run -- echo started", env!("CARGO_BIN_EXE_porthole"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("PORTHOLE_STATE_DIR", scratch.path());
    let output = run(command.env("PORTHOLE_LIBRARY", agent().unwrap()));
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{output:?}");
    assert!(err(&output).contains("too large"), "{}", err(&output));
    assert_eq!(left_behind(&scratch), Vec::<String>::new());
}

#[test]
fn a_library_that_is_no_agent_is_refused_before_anything_starts() {
    let scratch = Scratch::new();
    let library = scratch.join("l.so");
    std::fs::write(&library, "no agent").unwrap();
    for (path, why) in [(library.clone(), "control page"), (scratch.join("none"), "No such file")] {
        let mut command = porthole(scratch.path(), &["run", "--", "echo", "started"]);
        let output = run(command.env("PORTHOLE_LIBRARY", &path));
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
        assert!(err(&output).contains("PORTHOLE_LIBRARY") && err(&output).contains(why), "{}", err(&output));
    }
}
