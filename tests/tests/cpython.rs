//! CPython's own tests of what the agent hooks, bare and hooked: each test ends in the same way.
//!
//! Some depend on timing and fail now and then, bare too. So tests that ended differently run again, three times each
//! way, and a difference is an end that one way has and the other never had. Whatever ran again is printed.

use porthole_tests::compare::Case;
use porthole_tests::program::ISOLATED;
use porthole_tests::scratch::Scratch;
use porthole_tests::skip;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Set by `scripts/test --full`.
const FULL: &str = "PORTHOLE_TEST_FULL";
const LIMIT: Duration = Duration::from_secs(900);
const AGAIN: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    Auto,
    Symbols,
}

const WAYS: [Way; 3] = [Way::Bare, Way::Auto, Way::Symbols];

/// How each test ended, by its name; one with parts may fail more than once.
type Ends = BTreeMap<String, BTreeSet<String>>;

/// Runs tests by their names.
fn run(way: Way, names: &[&str]) -> (Ends, i32) {
    let scratch = Scratch::new();
    let (ends, runner) = (scratch.join("ends"), concat!(env!("CARGO_MANIFEST_DIR"), "/targets/cpython.py"));
    let home = scratch.dir("t");
    let args: Vec<String> =
        [runner, &ends.to_string_lossy()].iter().chain(names).map(|&name| name.to_owned()).collect();
    let case = Case::new("/usr/bin/python3.11", &args)
        .inside(&ISOLATED)
        .cwd(&home)
        .env("TMPDIR", home.to_string_lossy())
        .env("TZ", "UTC")
        .env("PYTHONHASHSEED", "0")
        .limit(LIMIT);
    let outcome = match way {
        Way::Bare => case.bare(),
        Way::Auto | Way::Symbols => {
            let hooked = if way == Way::Auto { case.hooked() } else { case.symbols().hooked() };
            assert!(!hooked.events.is_empty(), "{names:?} left no event: the agent was not there: {hooked:?}");
            hooked.outcome
        }
    };
    let mut found = Ends::new();
    for line in std::fs::read_to_string(&ends).unwrap_or_default().lines() {
        let (test, end) = line.split_once('\t').unwrap_or((line, "?"));
        found.entry(test.to_owned()).or_default().insert(end.to_owned());
    }
    let told = outcome.text();
    assert!(!found.is_empty() && told.ends_with(" run"), "{way:?}: {names:?} (scripts/setup installs it): {outcome:?}");
    (found, outcome.status)
}

/// Runs the same tests each way at once: they mostly sleep.
fn each_way<T: Send>(run: impl Fn(Way) -> T + Sync) -> [T; 3] {
    let run = &run;
    std::thread::scope(|scope| {
        let threads = WAYS.map(|way| scope.spawn(move || run(way)));
        threads.map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
    })
}

/// `test` among those that are run again: a class, or a module, where its set-up failed.
fn name_to_run(test: &str) -> &str {
    test.strip_suffix(')').and_then(|t| t.split_once(" (")).map_or(test, |(_, inside)| inside)
}

fn same_ends(module: &str) {
    let module = format!("test.{module}");
    let first = each_way(|way| run(way, &[&module]));
    for (way, (ends, status)) in WAYS.iter().zip(&first) {
        let count = |end: &str| ends.values().filter(|e| e.iter().any(|e| e.starts_with(end))).count();
        let [ok, fail, error, skip] = ["ok", "fail", "error", "skip"].map(count);
        let run = ends.len();
        println!("{module} {way:?}: {run} run, {ok} ok, {fail} fail, {error} error, {skip} skip, status {status}");
    }
    let end_of = |ends: &Ends, name: &str| ends.get(name).cloned().unwrap_or_default();
    let names: BTreeSet<&String> = first.iter().flat_map(|(ends, _)| ends.keys()).collect();
    let mut wrong = vec![];
    let mut stable = true;
    for name in names {
        let before = first.each_ref().map(|(ends, _)| end_of(ends, name));
        if before.iter().all(|end| *end == before[0]) {
            continue;
        }
        stable = false;
        let again = each_way(|way| [(); AGAIN].map(|()| end_of(&run(way, &[name_to_run(name)]).0, name)));
        let told = format!("{name} ran again; bare, auto, symbols: {before:?}, then {again:?}");
        println!("{told}");
        let had = |way: usize, end: &BTreeSet<String>| before[way] == *end || again[way].contains(end);
        if again.iter().flatten().any(|end| (0..WAYS.len()).any(|way| !had(way, end))) {
            wrong.push(told);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // one test that fails makes the whole module's status bad
    let status = first.map(|(_, status)| status);
    assert!(!stable || status.iter().all(|s| *s == status[0]), "{module}: status {status:?}");
}

/// The modules that take long, mostly asleep.
fn full(module: &str) {
    if std::env::var_os(FULL).is_none() {
        skip!("CPython's {module}: takes long, runs with scripts/test --full ({FULL}=1)");
    }
    same_ends(module);
}

#[test]
fn fork() {
    same_ends("test_fork1");
}

#[test]
fn posix() {
    same_ends("test_posix");
}

#[test]
fn os() {
    same_ends("test_os");
}

#[test]
fn threading() {
    same_ends("test_threading");
}

#[test]
fn faulthandler() {
    same_ends("test_faulthandler");
}

#[test]
fn subprocess() {
    full("test_subprocess");
}

#[test]
fn signal() {
    full("test_signal");
}

#[test]
fn socket() {
    full("test_socket");
}

#[test]
fn asyncio() {
    full("test_asyncio");
}
