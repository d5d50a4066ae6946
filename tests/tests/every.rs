//! Every function that is hooked, as it fails and as it succeeds: `errno` is the function's own, and a hook allocates
//! nothing (an allocator that aborts is there to see it).

use porthole_tests::compare::Case;
use porthole_tests::program::{ISOLATED, Outcome};
use porthole_tests::scratch::Scratch;
use porthole_tests::{binaries, targets};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    Auto,
    Symbols,
}

/// Runs `every` in a new directory.
fn every(program: &Path, preload: Option<&Path>, way: Way) -> Outcome {
    let scratch = Scratch::new();
    let preload = preload.map(|library| format!("LD_PRELOAD={}", library.display()));
    let mut args: Vec<String> = preload.into_iter().collect();
    args.extend([program.display().to_string(), scratch.dir("d").display().to_string()]);
    let case = Case::new("/usr/bin/env", &args).inside(&ISOLATED);
    let hooked = match way {
        Way::Bare => return case.bare(),
        Way::Auto => case.hooked(),
        Way::Symbols => case.symbols().hooked(),
    };
    assert!(hooked.events.len() > 100, "the agent was not there: {hooked:?}");
    hooked.outcome
}

/// The same at every depth; returns what it says.
fn same(program: PathBuf, preload: Option<&Path>) -> String {
    let bare = every(&program, preload, Way::Bare);
    assert!(bare.status == 0 && !bare.text().contains("WRONG"), "bare, it is not as it should be: {bare:?}");
    for way in [Way::Auto, Way::Symbols] {
        let hooked = every(&program, preload, way);
        let (expected, found) = (bare.text(), hooked.text());
        let differing = expected.lines().zip(found.lines()).filter(|(a, b)| a != b).collect::<Vec<_>>();
        assert!(hooked == bare, "{way:?}, bare and hooked: {differing:#?}\n{}\n{}", hooked.status, hooked.errors());
    }
    bare.text()
}

/// Names of functions in lines that say how they ended.
fn named(lines: &str, end: &str) -> BTreeSet<String> {
    lines.lines().filter_map(|line| line.split_once(end)).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn errno_of_every_function() {
    let lines = same(targets::glibc("every"), None);
    let hooked: BTreeSet<String> = binaries::exports(&binaries::agent()).into_iter().collect();
    let without = |found: &BTreeSet<String>, excepted: &[&str]| {
        let left = hooked.difference(found).filter(|name| !excepted.contains(&name.as_str()));
        left.cloned().collect::<Vec<_>>()
    };
    // no glibc has finit_module; the process ends
    let never = ["finit_module", "exit", "_exit", "_Exit"];
    let fails = [&never[..], &["setfsuid", "setfsgid", "system"]].concat();
    assert_eq!(without(&named(&lines, " fails:"), &fails), [""; 0], "they fail nowhere");
    // a program that is executed has nobody to tell; modules and file handles are not for tests
    let works = [&never[..], &["init_module", "delete_module", "open_by_handle_at"]].concat();
    let mut works_now = named(&lines, " works:");
    works_now.extend(hooked.iter().filter(|name| name.contains("exec")).cloned());
    assert_eq!(without(&works_now, &works), [""; 0], "they work nowhere");
}

#[test]
fn errno_of_every_function_on_musl() {
    let lines = same(targets::musl("every"), None);
    assert!(lines.lines().count() > 150, "{lines}");
}

#[test]
fn no_hook_allocates() {
    let lines = same(targets::glibc("every"), Some(&targets::library("hostile")));
    let counted = lines.lines().filter(|line| line.ends_with(" allocations")).count();
    assert!(counted > 200 && lines.contains("opendir works: errno 1234, 1 allocations"), "{lines}");
}

/// Real programs, for which the allocator aborts when it is the agent that calls it.
#[test]
fn programs_with_an_allocator_that_the_agent_must_not_call() {
    let preload = targets::library("hostile").display().to_string();
    let python = "import os,socket,subprocess,threading\n\
                  [threading.Thread(target=os.listdir,args=('/',)).start() for _ in range(8)]\n\
                  subprocess.run(['/bin/echo','child'])\n\
                  print(socket.getaddrinfo('127.0.0.1',80)[0][4], os.fork() and os.wait()[1])\n";
    for (program, args) in [
        ("/bin/bash", ["-c", "echo $(ls /etc | wc -l); cat /etc/passwd | (read x; echo $x); type -a sh"]),
        ("/usr/bin/perl", ["-e", "open(F,'</etc/passwd'); print scalar(<F>); print `echo child`; opendir(D,'/')"]),
        ("/usr/bin/python3", ["-c", python]),
    ] {
        Case::new(program, &args).env("LD_PRELOAD", &preload).same();
    }
}
