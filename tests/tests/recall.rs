//! Recall: real programs below `strace -f` below `porthole run`, one execution with both views.
//!
//! Prints figures for each program, and each distinct call that was missed or is extra, once for each depth.

use porthole_tests::events::Events;
use porthole_tests::recall::judge::{Figures, KINDS, judge};
use porthole_tests::recall::{PROGRAMS, Program, Through, trace};
use porthole_tests::scratch::Scratch;
use porthole_tests::{binaries, print_skip};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

const CALLS: &str = "trace=execve,execveat,?open,openat,?openat2,?creat,open_by_handle_at,connect,clone,?clone3,?vfork";

/// Figures of each kind.
type Row = BTreeMap<&'static str, Figures>;

/// Everything is seen, and nothing but what happened: the C library's own calls too, where it can be patched.
#[test]
fn depth_auto() {
    let total = measure("auto");
    let glibc = &total[&Through::Glibc];
    for kind in KINDS {
        assert!(glibc[kind].matched > 0, "not one {kind} was recorded");
        let allowed = if kind == "open" { glibc[kind].matched / 1000 } else { 0 };
        assert_eq!(glibc[kind].searched, 0, "{kind}: tries of a search that was told as one");
        assert!(glibc[kind].missed.len() <= allowed, "{kind}: seen by the kernel alone: {:?}", glibc[kind].missed);
    }
    precise(&total);
    floors(&total, Through::Musl, [100.0, 90.0, 100.0]);
}

/// Depth `symbols` sees what programs ask for themselves.
#[test]
fn depth_symbols() {
    let total = measure("symbols");
    precise(&total);
    // most connects of the list are the C library's own, to a name service that is not there
    floors(&total, Through::Glibc, [99.0, 95.0, 30.0]);
    floors(&total, Through::Musl, [99.0, 90.0, 99.0]);
}

/// What was recorded has happened, and as it was told.
fn precise(total: &BTreeMap<Through, Row>) {
    for (through, row) in total {
        for (kind, figures) in row {
            assert!(figures.extra.is_empty(), "{through:?}: {kind} that the kernel did not see: {:?}", figures.extra);
        }
    }
}

/// Recall in the order of [`KINDS`] is not below these.
fn floors(total: &BTreeMap<Through, Row>, through: Through, floors: [f64; 3]) {
    let Some(row) = total.get(&through) else { return };
    for (kind, floor) in KINDS.into_iter().zip(floors) {
        let recall = row[kind].recall();
        assert!(recall >= floor, "{through:?}: recall of {kind} is {recall:.2} %: {:?}", row[kind].missed);
    }
}

/// Runs all programs at one depth, prints their rows, and returns the sums.
fn measure(depth: &str) -> BTreeMap<Through, Row> {
    let scratch = Scratch::new();
    let mut total: BTreeMap<Through, Row> = BTreeMap::new();
    let only = std::env::var("PORTHOLE_RECALL_ONLY").unwrap_or_default();
    for program in PROGRAMS.iter().filter(|p| p.name.contains(&only)) {
        if let Some(missing) = program.missing() {
            print_skip(&format!("recall of {}: no {missing} here", program.name));
            continue;
        }
        let row = run(program, depth, &scratch.dir(&program.name.replace([' ', ','], "-")));
        println!("{}", line(depth, program.name, &row));
        for figures in row.values() {
            let mut distinct: BTreeMap<String, usize> = BTreeMap::new();
            figures.missed.iter().for_each(|m| *distinct.entry(format!("missed {m}")).or_default() += 1);
            figures.extra.iter().for_each(|m| *distinct.entry(format!("extra {m}")).or_default() += 1);
            distinct.iter().for_each(|(what, n)| println!("    {n} x {what}"));
        }
        let sum = total.entry(program.through).or_default();
        row.into_iter().for_each(|(kind, figures)| sum.entry(kind).or_default().add(figures));
    }
    total.iter().for_each(|(through, row)| println!("{}", line(depth, &format!("all of {through:?}"), row)));
    total
}

/// One program below both.
fn run(program: &Program, depth: &str, dir: &Path) -> Row {
    let (events, trace) = (dir.join("events"), dir.join("trace"));
    let out = Command::new("timeout")
        .arg("120")
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
    let sum = |count: fn(&Figures) -> usize| row.values().map(count).sum::<usize>();
    line + &format!(
        "| left out: {} before the agent, {} without it, {} tries of a search, {} told of a vfork's parent",
        sum(|f| f.before),
        sum(|f| f.no_agent),
        sum(|f| f.searched),
        sum(|f| f.vforked)
    )
}
