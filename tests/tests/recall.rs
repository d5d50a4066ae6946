//! Recall: real programs below `strace -f` below `porthole run`, one execution with both views.
//!
//! Prints figures for each program, and with its reason each distinct call that was excluded or missed, at each depth.

use porthole_tests::events::Events;
use porthole_tests::recall::judge::{Figures, KINDS, judge};
use porthole_tests::recall::reasons::why;
use porthole_tests::recall::{PROGRAMS, Program, Through, trace};
use porthole_tests::scratch::Scratch;
use porthole_tests::{binaries, print_skip};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

const CALLS: &str = "trace=execve,execveat,?open,openat,?openat2,?creat,open_by_handle_at,connect,clone,?clone3,?vfork";

/// Figures of each kind.
type Row = BTreeMap<&'static str, Figures>;

/// Sums of all programs whose calls go the same way.
type Sums = BTreeMap<Through, Row>;

/// Everything is seen, and nothing but what happened: the C library's own calls too, where it can be patched.
#[test]
fn depth_auto() {
    let sums = measure("auto");
    for kind in KINDS {
        assert!(sums[&Through::Glibc][kind].matched > 0, "not one {kind} was recorded");
        let searched = &sums[&Through::Glibc][kind].searched;
        assert!(searched.is_empty(), "{kind}: tries of a search that was told as one: {searched:?}");
    }
    complete("auto", &sums);
    floors(&sums, Through::Musl, [100.0, 90.0, 100.0]);
    floors(&sums, Through::Raw, [100.0, 0.0, 0.0]);
}

/// Depth `symbols` sees what programs ask for themselves.
#[test]
fn depth_symbols() {
    let sums = measure("symbols");
    complete("symbols", &sums);
    // most connects of the list are the C library's own, to a name service that is not there
    floors(&sums, Through::Glibc, [100.0, 95.0, 30.0]);
    floors(&sums, Through::Musl, [100.0, 90.0, 100.0]);
    floors(&sums, Through::Raw, [100.0, 0.0, 0.0]);
}

/// Recall of what can be seen: all but one open of a thousand. What was recorded has happened, and as it was told.
fn complete(depth: &str, sums: &Sums) {
    for (&through, row) in sums {
        for (kind, figures) in row {
            let missed: Vec<&String> = figures.missed.iter().filter(|m| why(through, depth, m).is_none()).collect();
            let allowed = if *kind == "open" { figures.matched / 1000 } else { 0 };
            assert!(missed.len() <= allowed, "{through:?}: {kind} that the kernel alone saw: {missed:?}");
            assert!(figures.extra.is_empty(), "{through:?}: {kind} that the kernel did not see: {:?}", figures.extra);
            let without = &figures.no_agent;
            assert!(without.is_empty(), "{through:?}: {kind} of programs without the agent: {without:?}");
        }
    }
}

/// Recall in the order of [`KINDS`], with what cannot be seen, is not below these.
fn floors(sums: &Sums, through: Through, floors: [f64; 3]) {
    let Some(row) = sums.get(&through) else { return };
    for (kind, floor) in KINDS.into_iter().zip(floors) {
        let recall = row[kind].recall();
        assert!(recall >= floor, "{through:?}: recall of {kind} is {recall:.2} %: {:?}", row[kind].missed);
    }
}

/// Runs all programs at one depth, prints their rows, and returns the sums.
fn measure(depth: &str) -> Sums {
    let scratch = Scratch::new();
    let mut sums = Sums::new();
    let only = std::env::var("PORTHOLE_RECALL_ONLY").unwrap_or_default();
    for program in PROGRAMS.iter().filter(|p| p.name.contains(&only)) {
        if let Some(missing) = program.missing() {
            print_skip(&format!("recall of {}: no {missing} here", program.name));
            continue;
        }
        let row = run(program, depth, &scratch.dir(&program.name.replace([' ', ','], "-")));
        println!("{}", line(depth, program.name, &row));
        row.values().for_each(|figures| list(figures, |missed| why(program.through, depth, missed)));
        let sum = sums.entry(program.through).or_default();
        row.into_iter().for_each(|(kind, figures)| sum.entry(kind).or_default().add(figures));
    }
    sums.iter().for_each(|(through, row)| println!("{}", line(depth, &format!("all of {through:?}"), row)));
    sums
}

/// Prints each distinct call that was not simply recorded, with the reason.
fn list(figures: &Figures, why: impl Fn(&str) -> Option<&'static str>) {
    let mut distinct: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let told = [
        (&figures.before, "excluded, the loader's before the agent runs"),
        (&figures.no_agent, "MISSED, in a program without the agent"),
        (&figures.searched, "excluded, a try of a search that is told as one exec"),
        (&figures.vforked, "recorded as its parent's, a vfork child's"),
        (&figures.extra, "EXTRA, not seen by the kernel"),
    ];
    let told = told.iter().flat_map(|(calls, reason)| calls.iter().map(|call| (*reason, call.as_str())));
    let missed = figures.missed.iter().map(|call| (why(call).unwrap_or("MISSED, without a reason"), call.as_str()));
    told.chain(missed).for_each(|call| *distinct.entry(call).or_default() += 1);
    distinct.iter().for_each(|((reason, call), n)| println!("    {reason}: {n} x {call}"));
}

/// One program below both.
fn run(program: &Program, depth: &str, dir: &Path) -> Row {
    let (events, trace) = (dir.join("events"), dir.join("trace"));
    let out = Command::new("timeout")
        .arg("300")
        .arg(binaries::porthole())
        .args(["run", "--depth", depth, "--format", "json", "--events"])
        .arg(&events)
        .args(["--", "strace", "-f", "-s", "65536", "-e", CALLS, "-o"])
        .arg(&trace)
        .args(program.command())
        .env_clear()
        .envs(Program::environment())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run timeout: {e}"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert_ne!(out.status.code(), Some(124), "{}: did not end: {said}", program.name);
    let text = std::fs::read(&trace).unwrap_or_else(|e| panic!("{}: no trace: {e}: {said}", program.name));
    let calls = trace::parse(&String::from_utf8_lossy(&text));
    assert!(!calls.is_empty(), "{}: strace saw nothing: {said}", program.name);
    judge(&calls, &Events::read(&events), "/run/porthole/")
}

/// `NAME | exec 6/6 | open 128/128 | connect 0/0 | left out: 6 before the agent, 0 in images without it`
fn line(depth: &str, name: &str, row: &Row) -> String {
    let mut line = format!("{depth:8} {name:24}");
    for kind in KINDS {
        let f = &row[kind];
        let (seen, recall) = (f.matched + f.missed.len(), f.recall());
        line += &format!("| {kind} {:>5} of {seen:<5} {recall:6.2} % ", f.matched);
        if !f.extra.is_empty() {
            line += &format!("precision {:.2} % ", f.precision());
        }
    }
    let sum = |of: fn(&Figures) -> &Vec<String>| row.values().map(|f| of(f).len()).sum::<usize>();
    line + &format!(
        "| left out: {} before the agent, {} without it, {} tries of a search, {} told of a vfork's parent",
        sum(|f| &f.before),
        sum(|f| &f.no_agent),
        sum(|f| &f.searched),
        sum(|f| &f.vforked)
    )
}
