//! Wrong usage, help, and commands without a collector.

mod cli_support;

use cli_support::*;
use std::process::Stdio;

fn code(args: &[&str]) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let output = run(&mut porthole(scratch.path(), args));
    (output.status.code(), out(&output), err(&output))
}

#[test]
fn wrong_usage_is_2_and_goes_to_stderr() {
    for args in [
        &[][..],
        &["nonsense"],
        &["run"],
        &["run", "ls"],
        &["events", "--filter", "x"],
        &["events", "--last", "many"],
        &["run", "--events", "-", "--", "true"],
        &["collector", "--format", "xml"],
        &["collector", "--quiet", "--format", "json"],
        &["alerts"],
    ] {
        let (code, out, err) = code(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains("Usage:") || err.contains("possible values") || err.contains("--help"), "{args:?}: {err}");
    }
}

#[test]
fn help_and_version_are_0_and_go_to_stdout() {
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "events"], &["collector", "-h"]] {
        let (code, out, err) = code(args);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
        assert!(out.contains("porthole") && !out.contains('\x1b'), "{args:?}: {out}");
    }
}

#[test]
fn without_a_collector_commands_say_what_was_tried_and_what_to_do() {
    for args in [&["events"][..], &["events", "-f"], &["containers"], &["status", "--format", "json"]] {
        let scratch = Scratch::new();
        for stale in [false, true] {
            if stale {
                // the socket of a collector that was killed
                drop(std::os::unix::net::UnixListener::bind(scratch.join("api.sock")).unwrap());
            }
            let output = run(&mut porthole(scratch.path(), args));
            assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{args:?}");
            let text = err(&output);
            let socket = scratch.join("api.sock").display().to_string();
            assert!(text.contains("no collector is running") && text.contains(&socket), "{args:?}: {text}");
            assert!(text.contains("porthole collector") && text.contains("--state-dir"), "{args:?}: {text}");
        }
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let scratch = Scratch::new();
    let file = scratch.join("c.yaml");
    std::fs::write(&file, "keep_events: 3\noutptus: {}\n").unwrap();
    let output = run(&mut porthole(scratch.path(), &["collector", "--config", file.to_str().unwrap()]));
    let text = err(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("c.yaml") && text.contains("line 2") && text.contains("outptus"), "{text}");

    let missing = run(&mut porthole(scratch.path(), &["collector", "--config", "/no/such/file"]));
    assert_eq!(missing.status.code(), Some(1));
    assert!(err(&missing).contains("/no/such/file"), "{}", err(&missing));
}

#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    let scratch = Scratch::new();
    let mut command = porthole(scratch.path(), &["--help"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(err(&output), "");
}

#[test]
fn a_mistake_in_a_filter_or_a_rules_file_is_shown_where_it_is() {
    let (status, out, err) = code(&["events", "--filter", "evt.type = openat and proc.nme = x"]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    let lines: Vec<&str> = err.lines().collect();
    let caret = lines.iter().position(|l| l.trim() == "^").unwrap_or_else(|| panic!("{err}"));
    let at = lines[caret].find('^').unwrap();
    assert!(lines[caret - 1][at..].starts_with("proc.nme") && err.contains("proc.name"), "{err}");

    let scratch = Scratch::new();
    let file = scratch.join("rules.yaml");
    let rule = |field| {
        format!("- rule: r\n  desc: d\n  condition: evt.type = openat and {field} = x\n  output: o\n  priority: INFO\n")
    };
    let name = file.to_str().unwrap();
    std::fs::write(&file, rule("proc.nme")).unwrap();
    let (status, out, err) = code(&["rules", "check", name]);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(out.contains("not taken") && out.contains("line 1") && out.contains("LOAD_ERR_COMPILE_CONDITION"), "{out}");
    assert!(out.lines().any(|l| l.trim() == "^"), "{out}");
    std::fs::write(&file, rule("proc.name")).unwrap();
    assert_eq!(code(&["rules", "check", name]).0, Some(0));
    let (_, out, _) = code(&["rules", "check", "--format", "json", name]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["falco_load_results"][0]["successful"], true);
    assert!(code(&["rules", "list", name]).1.contains("openat"));
}

#[test]
fn the_vocabulary_is_listed() {
    let (_, out, _) = code(&["fields", "proc."]);
    assert!(out.contains("proc.aname") && !out.contains("proc.env ") && !out.contains("fd.name"), "{out}");
    assert!(code(&["fields", "--all"]).1.lines().any(|l| l.starts_with("proc.env ") && l.contains("never")));
    let (_, out, _) = code(&["events", "--list"]);
    assert!(out.lines().any(|l| l.starts_with("openat ") && l.contains("flags")), "{out}");
}
