//! The life of processes: how they begin, what they become, how they end. Each case runs bare and hooked, at depth
//! `auto` and at `symbols`; all say the same, and the records tell what has happened.

use porthole_tests::compare::{Case, Hooked};
use porthole_tests::events::{Event, Events};
use porthole_tests::scratch::{self, Scratch};
use porthole_tests::{print_skip, targets};
use std::os::unix::fs::PermissionsExt;

/// Runs it bare, at depth `auto` and at `symbols`; `check` looks at the records of both.
fn lives(case: &Case, says: &str, check: impl Fn(&Hooked)) {
    let bare = case.bare();
    assert!(bare.text().contains(says), "bare, the target itself does not say {says:?}: {bare:?}");
    for case in [case.clone(), case.clone().symbols()] {
        let hooked = case.same();
        let lost = hooked.events.filter(|e| e.kind() == "porthole.drop");
        assert!(lost.is_empty(), "{lost}");
        check(&hooked);
    }
}

fn life(args: &[&str]) -> Case {
    Case::new(targets::glibc("life"), args)
}

/// The exec of /bin/cat under this name, and that it opens /etc/hostname.
fn cat<'a>(events: &'a Events, name: &str) -> &'a Event {
    let is = |e: &&Event| e.is(&["execve"]) && e.succeeded() && e.text("evt.arg.exe") == name;
    let exec = events.0.iter().filter(is).collect::<Vec<_>>();
    assert_eq!(exec.len(), 1, "one exec of {name}:\n{events}");
    let pid = exec[0].number("proc.vpid");
    let opens = events.opens("/etc/hostname").filter(|e| e.number("proc.vpid") == pid);
    assert!(name == "by-spawn" || opens.len() == 1, "{name} opens its file:\n{events}");
    exec[0]
}

fn no_blind_spot(hooked: &Hooked) {
    let spots = hooked.events.filter(|e| e.kind() == "porthole.blindspot");
    assert!(spots.is_empty(), "{spots}\n{spots:?}");
}

// -- beginning --------------------------------------------------------------------------------------------------------

#[test]
fn children_of_every_way() {
    lives(&life(&["children"]), "spawn: 0", |hooked| {
        no_blind_spot(hooked);
        let parent = hooked.events.execs("/life-glibc").only("the parent").number("proc.pid");
        for name in ["by-fork", "by-vfork", "by-clone", "by-clone-vm", "by-syscall", "by-spawn"] {
            let exec = cat(&hooked.events, name);
            assert_eq!(exec.number("proc.ppid"), parent, "{name}: {exec:?}");
            assert_ne!(exec.number("proc.pid"), parent, "{name}: {exec:?}");
        }
    });
}

#[test]
fn threads_and_one_that_executes() {
    lives(&life(&["threads"]), "", |hooked| {
        for thread in 0..8 {
            for n in 0..20 {
                hooked.events.opens(&format!("/no/such/thread-{thread}-{n}")).only("each open of each thread");
            }
        }
        let exec = cat(&hooked.events, "by-thread");
        let before = hooked.events.execs("/life-glibc").only("the process").number("proc.pid");
        assert_eq!(exec.number("proc.pid"), before, "the thread has become the process: {exec:?}");
    });
}

#[test]
fn daemon_that_closes_every_descriptor() {
    lives(&life(&["daemonised"]), "daemon: 0", |hooked| {
        cat(&hooked.events, "by-daemon");
        hooked.events.filter(|e| e.kind() == "setsid").only("setsid");
    });
}

// -- environments -----------------------------------------------------------------------------------------------------

#[test]
fn environments_cleared_replaced_and_overwritten() {
    lives(&life(&["environments"]), "environment: 0", |hooked| {
        no_blind_spot(hooked);
        assert_eq!(hooked.events.execs("/bin/cat").len(), 8, "{}", hooked.events);
        assert_eq!(hooked.events.opens("/etc/hostname").len(), 8, "each child is seen:\n{}", hooked.events);
    });
}

// -- programs ---------------------------------------------------------------------------------------------------------

fn program(scratch: &Scratch, name: &str, text: &str) -> String {
    let path = scratch.file(name, text);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("the file is made a program");
    path.display().to_string()
}

#[test]
fn scripts_whose_interpreters_are_scripts() {
    let scratch = Scratch::new();
    let mut last = program(&scratch, "s0", "#!/bin/sh\necho script \"$@\"\n");
    let mut scripts = vec![last.clone()];
    for n in 1..7 {
        last = program(&scratch, &format!("s{n}"), &format!("#!{last} argument\n"));
        scripts.push(last.clone());
    }
    let script: String = scripts.iter().map(|s| format!("{s} x; echo $?\n")).collect();
    lives(&Case::shell(&script), "script argument", |hooked| {
        no_blind_spot(hooked);
        for (n, path) in scripts.iter().enumerate() {
            let execs = hooked.events.filter(|e| e.text("evt.arg.filename") == path);
            let exec = execs.only(path);
            // Linux follows four interpreters
            if n > 4 {
                assert_eq!(exec.number("evt.rawres"), Some(-40), "{path}: {exec:?}");
                continue;
            }
            assert!(exec.succeeded() && exec.text("proc.name") == format!("s{n}"), "{path}: {exec:?}");
            assert!(["/bin/sh", "/usr/bin/dash"].contains(&exec.text("proc.exepath")), "{path}: {exec:?}");
        }
    });
}

#[test]
fn programs_that_cannot_be_executed() {
    let scratch = Scratch::new();
    let dir = scratch.path().display().to_string();
    program(&scratch, "text", "echo from text $1\n");
    program(&scratch, "loop", "#!./loop\n");
    scratch.file("denied", "");
    lives(&life(&["failures", &dir]), "from text argument", |hooked| {
        no_blind_spot(hooked);
        for (name, errno) in [("none", -2), ("denied", -13), ("text", -8), ("text/none", -20), ("loop", -40)] {
            let path = format!("{dir}/{name}");
            let of = |e: &Event| e.is(&["execve"]) && e.text("evt.arg.filename") == path && !e.succeeded();
            let failed = hooked.events.filter(of);
            assert!(failed.0.iter().all(|e| e.number("evt.rawres") == Some(errno)), "{name}: {failed}");
            assert!(!failed.is_empty(), "{name}: {failed}\n{}", hooked.events);
        }
        // execvp makes a script of it
        let shells =
            hooked.events.filter(|e| e.is(&["execve"]) && e.succeeded() && e.text("proc.args").contains("./text"));
        assert!(!shells.is_empty(), "{}", hooked.events);
    });
}

// -- identity, namespaces, sandboxes ----------------------------------------------------------------------------------

#[test]
fn another_user_from_here_on() {
    lives(&life(&["identity"]), "nobody: 0", |hooked| {
        no_blind_spot(hooked);
        hooked.events.opens("/no/such/file/of/nobody").only("as nobody");
        let set = hooked.events.filter(|e| e.kind() == "setuid" && e.text("evt.arg.uid").is_empty());
        assert_eq!(set.only("setuid").number("evt.arg.uid"), Some(65534));
        assert_eq!(cat(&hooked.events, "by-nobody").number("user.uid"), Some(65534));
    });
}

#[test]
fn namespaces_of_its_own() {
    lives(&life(&["unshared"]), "pids: ok", |hooked| {
        no_blind_spot(hooked);
        let before = hooked.events.execs("/life-glibc");
        let before = before.only("the program").number("ns.pid");
        // their numbers are those of another namespace than the ring's they are recorded in
        for name in ["by-first", "by-second"] {
            let execs = hooked.events.filter(|e| e.is(&["execve"]) && e.text("evt.arg.exe") == name);
            assert_ne!(execs.only(name).number("ns.pid"), before, "{execs:?}");
        }
        assert_eq!(hooked.events.opens("/etc/hostname").len(), 2, "{}", hooked.events);
    });
}

#[test]
fn strict_seccomp() {
    lives(&life(&["strict"]), "child: 9", |hooked| {
        assert_eq!(hooked.events.opens("/no/such/file/before").len(), 3, "{}", hooked.events);
    });
}

// -- small stacks, cancellation ---------------------------------------------------------------------------------------

#[test]
fn thread_with_the_smallest_stack() {
    lives(&life(&["small-stack"]), "size: 0\n0 wrong", |hooked| {
        let opens = hooked.events.opens("/no/such/file/on/a/small/stack");
        assert_eq!(opens.len(), 3 + 30, "{}", hooked.events);
    });
}

#[test]
fn signal_handler_on_a_small_stack() {
    // what the loader needs to find `open` at its first call is not counted
    for room in ["1024", "2048"] {
        let case = life(&["signal-stack", room]).env("LD_BIND_NOW", "1");
        lives(&case, "stack: 0\n0 wrong", |hooked| {
            assert_eq!(hooked.events.opens("/no/such/file/in/handler").len(), 20, "{}", hooked.events);
        });
    }
}

#[test]
fn threads_cancelled_in_hooked_calls() {
    let scratch = Scratch::new();
    let fifo = scratch.join("fifo");
    scratch::fifo(&fifo);
    lives(&life(&["cancelled", &fifo.display().to_string()]), "7: canceled, cleaned 8", |_| {});
}

// -- end --------------------------------------------------------------------------------------------------------------

/// Whether the kernel tells of the end of a process that has been waited for (pidfd, Linux 6.15).
fn kernel_tells() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 15)
}

#[test]
fn ends_by_exit_and_by_signals() {
    let script = "sh -c 'exit 42'; echo $?; sh -c 'exec true'; echo $?; \
                  sh -c 'kill -TERM $$'; echo $?; sh -c 'kill -KILL $$'; echo $?";
    if !kernel_tells() {
        print_skip("ends by signals: before Linux 6.15 nobody tells of them");
    }
    lives(&Case::shell(script), "42\n0\n143\n137", |hooked| {
        let end = |line: &str| {
            let ends = hooked.events.filter(|e| e.kind() == "procexit" && e.text("proc.cmdline") == line);
            ends.only(line).clone()
        };
        assert_eq!(end("sh -c exit 42").number("evt.arg.ret"), Some(42));
        assert_eq!(end("true").number("evt.arg.ret"), Some(0));
        if kernel_tells() {
            assert_eq!(end("sh -c kill -TERM $$").number("evt.arg.sig"), Some(15));
            assert_eq!(end("sh -c kill -KILL $$").number("evt.arg.sig"), Some(9));
        }
    });
}
