//! What is recorded of each call: one event with the right type, result and object, from glibc and from musl programs.

use porthole_tests::compare::Case;
use porthole_tests::events::{EXECS, Event, Events, OPENS};
use porthole_tests::scratch::Scratch;
use porthole_tests::targets::{self, Flavour};

const BOTH: [Flavour; 2] = [Flavour::Glibc, Flavour::Musl];

/// Runs `calls NAME ARG` and gives what was recorded of it.
fn calls(flavour: Flavour, args: &[&str]) -> Events {
    let hooked = Case::new(targets::build("calls", flavour), args).hooked();
    assert!(hooked.outcome.errors().is_empty(), "calls {args:?}: {:?}", hooked.outcome);
    hooked.events
}

fn one_open(flavour: Flavour, args: &[&str], path: &str) -> Event {
    let events = calls(flavour, args);
    let found = events.opens(path);
    assert_eq!(found.len(), 1, "{flavour:?} calls {args:?}: one open of {path} expected among:\n{events}");
    found.0[0].clone()
}

/// A directory with a file `f` in it.
fn directory() -> (Scratch, String) {
    let dir = Scratch::new();
    let file = dir.file("f", "text").display().to_string();
    (dir, file)
}

// -- open -------------------------------------------------------------------------------------------------------------

#[test]
fn every_form_of_open() {
    let (_dir, file) = directory();
    for call in ["open", "open64", "openat", "openat64", "fopen", "fopen64", "freopen", "freopen64"] {
        for flavour in BOTH {
            let event = one_open(flavour, &[call, &file], &file);
            assert!(event.succeeded(), "{call}: {event:?}");
            assert_eq!(event.text("evt.res"), "SUCCESS", "{call}: {event:?}");
            assert!(event.text("evt.arg.flags").contains("O_RDONLY"), "{call}: {event:?}");
        }
    }
    for call in ["__open_2", "__open64_2", "__openat_2", "__openat64_2"] {
        let event = one_open(Flavour::Glibc, &[call, &file], &file);
        assert_eq!((event.kind(), event.succeeded()), ("openat", true), "{call}: {event:?}");
    }
}

#[test]
fn every_form_of_creation() {
    let (dir, _) = directory();
    let path = dir.join("new").display().to_string();
    for flavour in BOTH {
        for (call, mode) in [("creat", 0o600), ("creat64", 0o604), ("open-create", 0o640)] {
            let event = one_open(flavour, &[call, &path], &path);
            assert!(event.succeeded(), "{call}: {event:?}");
            let shown = format!("{} {}", event.text("evt.arg.mode"), event.number("evt.arg.mode").unwrap_or(-1));
            assert!(
                shown.contains("S_IRUSR") || shown.contains(&mode.to_string()) || shown.contains(&format!("{mode:o}")),
                "{call}: mode {mode:o}: {event:?}"
            );
        }
        let event = one_open(flavour, &["fopen-w", &path], &path);
        let flags = event.text("evt.arg.flags");
        for flag in ["O_WRONLY", "O_CREAT", "O_TRUNC"] {
            assert!(flags.contains(flag), "fopen w: {event:?}");
        }
    }
}

#[test]
fn flags_are_those_given() {
    let (_dir, file) = directory();
    for flavour in BOTH {
        let event = one_open(flavour, &["open", &file], &file);
        assert!(event.text("evt.arg.flags").contains("O_CLOEXEC"), "{event:?}");
        let event = one_open(flavour, &["openat", &file], &file);
        assert!(event.text("evt.arg.flags").contains("O_NONBLOCK"), "{event:?}");
        assert!(!event.text("evt.arg.flags").contains("O_CLOEXEC"), "{event:?}");
    }
}

#[test]
fn opendir_is_an_open() {
    let (dir, _) = directory();
    let path = dir.path().display().to_string();
    for flavour in BOTH {
        let event = one_open(flavour, &["opendir", &path], &path);
        assert!(event.succeeded() && event.text("evt.arg.flags").contains("O_DIRECTORY"), "{event:?}");
    }
}

#[test]
fn failed_opens_carry_their_errno() {
    for flavour in BOTH {
        for call in ["open", "openat", "fopen"] {
            let event = one_open(flavour, &[call, "/no/such/file"], "/no/such/file");
            assert_eq!((event.text("evt.res"), event.number("evt.rawres")), ("ENOENT", Some(-2)), "{call}: {event:?}");
        }
    }
}

#[test]
fn system_calls_are_named_as_the_library_makes_them() {
    let (_dir, file) = directory();
    for (flavour, call, kind) in [
        (Flavour::Glibc, "open", "openat"),
        (Flavour::Glibc, "fopen", "openat"),
        (Flavour::Glibc, "creat", "creat"),
        (Flavour::Musl, "open", "open"),
        (Flavour::Musl, "fopen", "open"),
        (Flavour::Musl, "openat", "openat"),
    ] {
        assert_eq!(one_open(flavour, &[call, &file], &file).kind(), kind, "{flavour:?} {call}");
    }
}

// -- directories ------------------------------------------------------------------------------------------------------

#[test]
fn relative_paths_are_resolved() {
    let (dir, _) = directory();
    let sub = dir.dir("sub").display().to_string();
    for flavour in BOTH {
        for call in ["chdir", "fchdir"] {
            let events = calls(flavour, &[call, &sub]);
            let open = events.opens(&format!("{sub}/relative"));
            let open = open.first(&format!("{flavour:?} {call}: the open after it"), &events);
            assert_eq!(open.number("evt.rawres"), Some(-2), "{open:?}");
            let change = events.filter(|e| e.kind() == call && e.succeeded());
            change.first(&format!("{flavour:?} {call} itself"), &events);
        }
        let failed = calls(flavour, &["chdir", "/no/such/dir"]);
        let change = failed.filter(|e| e.kind() == "chdir");
        assert_eq!(change.first("failed chdir", &failed).number("evt.rawres"), Some(-2));
    }
}

#[test]
fn paths_below_a_directory_descriptor_are_resolved() {
    let (dir, file) = directory();
    for flavour in BOTH {
        let event = one_open(flavour, &["openat-dir", &format!("{}:f", dir.path().display())], &file);
        assert!(event.succeeded(), "{event:?}");
    }
}

// -- exec -------------------------------------------------------------------------------------------------------------

const ECHO: &str = "/bin/echo";

fn assert_echo(event: &Event, call: &str) {
    assert_eq!(event.number("evt.rawres"), Some(0), "{call}: {event:?}");
    assert_eq!(event.text("proc.args"), "one two words", "{call}: {event:?}");
    assert_eq!(event.text("proc.exe"), "zero", "{call}: {event:?}");
    assert!(event.text("proc.exepath").ends_with(ECHO), "{call}: {event:?}");
}

#[test]
fn every_form_of_exec() {
    for flavour in BOTH {
        for (call, kind) in [
            ("execve", "execve"),
            ("execv", "execve"),
            ("execvp", "execve"),
            ("execvpe", "execve"),
            ("execl", "execve"),
            ("execlp", "execve"),
            ("execle", "execve"),
            ("fexecve", "execveat"),
            ("execveat", "execveat"),
        ] {
            if flavour == Flavour::Musl && call == "execveat" {
                continue; // musl has no such function
            }
            let events = calls(flavour, &[call, ECHO]);
            let execs = events.filter(|e| e.is(&EXECS) && e.text("proc.exe") == "zero");
            let event = execs.only(&format!("{flavour:?} {call}"));
            assert_echo(event, call);
            // musl's fexecve executes /proc/self/fd/N
            assert!(event.kind() == kind || flavour == Flavour::Musl, "{call}: {event:?}");
        }
    }
}

#[test]
fn programs_searched_in_path_are_named_as_found() {
    for flavour in BOTH {
        for call in ["execvp", "execvpe", "execlp"] {
            let events = calls(flavour, &[call, "echo"]);
            let execs = events.filter(|e| e.is(&EXECS) && e.succeeded() && e.text("proc.exe") == "zero");
            assert_echo(execs.only(&format!("{flavour:?} {call}")), call);
        }
    }
}

#[test]
fn every_form_of_spawn() {
    for flavour in BOTH {
        for call in ["posix_spawn", "posix_spawnp"] {
            let events = calls(flavour, &[call, ECHO]);
            let execs = events.filter(|e| e.is(&EXECS) && e.text("proc.exe") == "zero");
            let event = execs.only(&format!("{flavour:?} {call}"));
            assert_echo(event, call);
            assert_eq!(event.text("proc.pname"), format!("calls-{}", flavour_name(flavour)), "{event:?}");
        }
    }
}

#[test]
fn system_and_popen_show_the_shell_and_its_children() {
    for flavour in BOTH {
        for call in ["system", "popen"] {
            let events = calls(flavour, &[call, "/bin/cat /etc/hostname"]);
            let shell = events.filter(|e| e.is(&EXECS) && e.succeeded() && e.text("proc.cmdline").contains("-c"));
            shell.first(&format!("{flavour:?} {call}: the shell"), &events);
            events.execs("/bin/cat").first(&format!("{flavour:?} {call}: its child"), &events);
            events.opens("/etc/hostname").first(&format!("{flavour:?} {call}: what the child opens"), &events);
        }
    }
}

#[test]
fn failed_execs_carry_their_errno() {
    for flavour in BOTH {
        for call in ["execve", "execv", "execl", "execle", "execvp"] {
            let events = calls(flavour, &[call, "/no/such/program"]);
            let failed = events.filter(|e| e.is(&EXECS) && !e.succeeded());
            let event = failed.only(&format!("{flavour:?} {call}"));
            assert_eq!((event.text("evt.res"), event.number("evt.rawres")), ("ENOENT", Some(-2)), "{event:?}");
            assert!(event.0.to_string().contains("/no/such/program"), "its target is named: {event:?}");
        }
    }
}

#[test]
fn scripts_are_followed_to_their_interpreter() {
    let dir = Scratch::new();
    let script = dir.file("script", "#!/bin/sh\ncat /etc/hostname\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let events = calls(Flavour::Glibc, &["execv", &script.display().to_string()]);
    events.opens("/etc/hostname").first("what the script's child opens", &events);
    let exec = events.filter(|e| e.is(&EXECS) && e.succeeded() && e.0.to_string().contains("/script"));
    exec.first("the exec of the script", &events);
}

// -- connect ----------------------------------------------------------------------------------------------------------

#[test]
fn every_family_of_connect() {
    let dir = Scratch::new();
    let socket = dir.join("socket").display().to_string();
    for flavour in BOTH {
        let _ = std::fs::remove_file(&socket);
        for (call, arg, name) in [
            ("connect4", "", "127.0.0.1"),
            ("connect6", "", "::1"),
            ("connect-unix", socket.as_str(), socket.as_str()),
            ("connect-abstract", "porthole-test-name", "porthole-test-name"),
        ] {
            let hooked = Case::new(targets::build("calls", flavour), &[call, arg]).hooked();
            let said = hooked.outcome.text();
            assert!(said.contains("connect: ok"), "{said}");
            let found = hooked.events.connects(name);
            let event = found.first(&format!("{flavour:?} {call}"), &hooked.events);
            assert_eq!(event.number("evt.rawres"), Some(0), "{event:?}");
            if let Some(port) = said.lines().find_map(|l| l.strip_prefix("port ")) {
                assert!(event.text("fd.name").ends_with(&format!(":{port}")), "port {port}: {event:?}");
                assert_eq!(event.number("fd.sport").or(event.number("fd.rport")), port.parse().ok(), "{event:?}");
            }
        }
    }
}

#[test]
fn refused_connects_carry_their_errno() {
    for flavour in BOTH {
        let events = calls(flavour, &["connect-refused", "1"]);
        let event = events.filter(|e| e.kind() == "connect" && e.text("evt.arg.addr") == "127.0.0.1:1");
        let event = event.only(&format!("{flavour:?}"));
        assert_eq!((event.text("evt.res"), event.number("evt.rawres")), ("ECONNREFUSED", Some(-111)));
    }
}

// -- processes --------------------------------------------------------------------------------------------------------

#[test]
fn a_forked_child_is_itself() {
    let (_dir, file) = directory();
    for flavour in BOTH {
        let events = calls(flavour, &["fork", &file]);
        let forks = events.filter(|e| e.kind() == "clone" && e.number("evt.rawres").is_some_and(|n| n > 0));
        let child = forks.only(&format!("{flavour:?} fork:\n{events}")).number("evt.rawres");
        let opens = events.opens(&file);
        assert_eq!(opens.len(), 2, "both opens of the child:\n{events}");
        for open in &opens.0 {
            assert_eq!(open.number("proc.vpid"), child, "{open:?}");
            assert_eq!(open.text("proc.name"), format!("calls-{}", flavour_name(flavour)), "{open:?}");
        }
    }
}

#[test]
fn exits_carry_their_status() {
    for flavour in BOTH {
        for call in ["exit", "_exit"] {
            let events = calls(flavour, &[call, "9"]);
            let exits = events.filter(|e| e.kind() == "procexit" && e.text("proc.name").starts_with("calls"));
            let event = exits.only(&format!("{flavour:?} {call}"));
            assert_eq!(event.number("evt.arg.ret"), Some(9), "{event:?}");
        }
    }
}

#[test]
fn one_library_file_records_glibc_and_musl_programs() {
    let (_dir, file) = directory();
    let run = |flavour| format!("{} open {file}; ", targets::build("calls", flavour).display());
    let hooked = Case::shell(&format!("{}{}", run(Flavour::Glibc), run(Flavour::Musl))).same();
    let opens = hooked.events.opens(&file);
    let names: Vec<&str> = opens.0.iter().map(|e| e.text("proc.name")).collect();
    assert_eq!(names, ["calls-glibc", "calls-musl"], "{}", hooked.events);
}

#[test]
fn opens_of_other_libraries_constructors_are_kept() {
    let library = targets::library("ctorlib");
    let program = targets::linked_with("useslib", &library);
    let none: [&str; 0] = [];
    let events = Case::new(program, &none).same().events;
    assert_eq!(events.opens("/etc/hostname").len(), 1, "open before our constructor:\n{events}");
    assert_eq!(events.opens("/etc/passwd").len(), 1, "fopen before our constructor:\n{events}");
}

#[test]
fn an_emptied_environment_loses_no_child() {
    let calls = targets::glibc("calls").display().to_string();
    let events = Case::new("/usr/bin/env", &["-i", &calls, "open", "/etc/hostname"]).same().events;
    events.opens("/etc/hostname").first("an open below env -i", &events);
}

#[test]
fn sandboxed_children_are_still_recorded() {
    let events = Case::new(targets::glibc("sandbox"), &["prctl"]).same().events;
    // once before the filter, once after, five by the child, once at the end; all but the first refused
    let opens = events.opens("/etc/passwd");
    assert_eq!(opens.len(), 8, "{events}");
    assert_eq!(opens.filter(|e| e.text("evt.res") == "EACCES").len(), 7, "{events}");
}

#[test]
fn nothing_is_recorded_twice() {
    let events =
        Case::shell("for i in 1 2 3; do cat /etc/hostname; done; (cat /etc/passwd); true | cat").hooked().events;
    events.assert_once_and_in_order();
    assert_eq!(events.filter(|e| e.is(&OPENS) && e.text("fd.name") == "/etc/hostname").len(), 3, "{events}");
    assert_eq!(events.execs("/bin/cat").len(), 5, "{events}");
}

fn flavour_name(flavour: Flavour) -> &'static str {
    if flavour == Flavour::Musl { "musl" } else { "glibc" }
}
