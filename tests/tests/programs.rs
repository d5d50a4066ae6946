//! Programs that try everything there is: stress-ng, and CPython's own tests of what the agent hooks.

use porthole_tests::compare::Case;
use porthole_tests::program::Outcome;

/// CPython's tests of a module, each with its outcome, in order.
fn outcomes(run: &Outcome) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut name = String::new();
    for line in run.errors().lines() {
        if line.starts_with("test") && line.contains(" (test.") {
            name = line.split(' ').next().unwrap_or("").to_owned();
        }
        // a test with a description has its outcome on the next line
        if let Some((_, outcome)) = line.split_once(" ... ")
            && !name.is_empty()
        {
            outcomes.push(format!("{name}: {}", outcome.trim()));
            name.clear();
        }
    }
    outcomes
}

fn same_outcomes(module: &str) {
    let case = Case::new("/usr/bin/python3.11", &["-m", "unittest", "-v", &format!("test.{module}")]).env("TZ", "UTC");
    let (bare, hooked) = (case.bare(), case.hooked());
    let expected = outcomes(&bare);
    assert!(!expected.is_empty(), "bare, {module} tests nothing (scripts/setup installs it): {bare:?}");
    assert_eq!(expected, outcomes(&hooked.outcome), "{module}: {:?}", hooked.outcome);
    assert_eq!(bare.status, hooked.outcome.status, "{module}");
    assert!(!hooked.events.is_empty(), "{module} left no event: the agent was not there");
}

#[test]
fn cpython_fork() {
    same_outcomes("test_fork1");
}

#[test]
fn cpython_posix() {
    same_outcomes("test_posix");
}

#[test]
fn stress() {
    for kind in ["fork", "vfork", "clone", "open", "dup", "close", "signal", "pthread"] {
        let (stressor, ops) = (format!("--{kind}"), format!("--{kind}-ops"));
        let case = Case::new("/usr/bin/stress-ng", &["--temp-path", "/tmp", &stressor, "1", &ops, "300", "-t", "5"]);
        let hooked = case.hooked();
        assert_eq!(hooked.outcome.status, 0, "{kind}: {:?}", hooked.outcome);
        assert!(!hooked.events.is_empty(), "{kind} left no event: the agent was not there");
    }
}
