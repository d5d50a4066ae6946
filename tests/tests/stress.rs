//! stress-ng makes calls of one kind, many and at once, with every wrong argument it knows: it ends well bare, and so it
//! does hooked.

use porthole_tests::compare::Case;
use porthole_tests::program::{ISOLATED, Outcome};
use porthole_tests::scratch::Scratch;

/// Bounded by the number of operations; the time is for a machine on which something hangs.
fn case(kind: &str, operations: &str, more: &[&str], scratch: &Scratch) -> Case {
    let (stressor, bound, dir) = (format!("--{kind}"), format!("--{kind}-ops"), scratch.path().to_string_lossy());
    // as another user: its exec stressor is not for root
    let mut args = vec!["--reuid=65534", "--regid=65534", "--clear-groups", "stress-ng", "--temp-path", &*dir];
    args.extend([&*stressor, "1", &*bound, operations, "-t", "50", "--metrics-brief"]);
    args.extend(more);
    Case::new("/usr/bin/setpriv", &args).inside(&ISOLATED).cwd(scratch.path())
}

/// How many operations it tells of, if it ended well.
fn operations(kind: &str, outcome: &Outcome) -> Option<u64> {
    let told = format!("{}\n{}", outcome.text(), outcome.errors());
    let line = told.lines().find(|line| line.contains("metrc") && line.contains(&format!(" {kind} ")))?;
    let number = line.split_whitespace().skip_while(|word| *word != kind).nth(1)?;
    number.parse().ok().filter(|_| outcome.status == 0 && told.contains("successful run completed"))
}

fn stress(kind: &str, bound: &str, more: &[&str]) {
    let scratch = Scratch::new();
    nix::unistd::chown(scratch.path(), Some(65534.into()), Some(65534.into())).expect("chown of an own directory");
    let case = case(kind, bound, more, &scratch);
    let bare = case.bare();
    assert!(operations(kind, &bare) > Some(0), "{kind} {more:?}, bare, does nothing (scripts/setup): {bare:?}");
    for case in [case.clone(), case.symbols()] {
        let hooked = case.hooked();
        assert!(operations(kind, &hooked.outcome) > Some(0), "{case:?}: {:?}", hooked.outcome);
        assert!(!hooked.events.is_empty(), "{kind} left no event: the agent was not there");
    }
}

#[test]
fn fork() {
    stress("fork", "300", &[]);
}

#[test]
fn vfork() {
    stress("vfork", "300", &[]);
}

#[test]
fn clone() {
    stress("clone", "60", &[]);
}

#[test]
fn exec() {
    for child in ["clone", "fork", "spawn", "vfork"] {
        stress("exec", "16", &["--exec-max", "4", "--exec-method", "all", "--exec-fork-method", child]);
    }
}

#[test]
fn open() {
    stress("open", "2000", &[]);
    stress("open", "300", &["--open-fd"]);
}

#[test]
fn socket() {
    for domain in ["ipv4", "ipv6"] {
        stress("sock", "30", &["--sock-domain", domain]);
    }
    for way in ["send", "sendmsg", "sendmmsg"] {
        stress("sock", "20", &["--sock-opts", way]);
    }
    stress("sockmany", "100", &[]);
}

#[test]
fn dup() {
    stress("dup", "300", &[]);
}

#[test]
fn close() {
    stress("close", "300", &[]);
}

#[test]
fn signal() {
    stress("signal", "300", &[]);
}

#[test]
fn pthread() {
    stress("pthread", "300", &[]);
}
