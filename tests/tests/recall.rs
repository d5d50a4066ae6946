//! Recall: real programs below `strace -f` below `porthole run`, one execution with both views.
//!
//! Prints figures for each program and kind, and each distinct call that was missed or is extra.

use porthole_tests::events::Events;
use porthole_tests::recall::{PROGRAMS, judge, trace};
use porthole_tests::{binaries, print_skip};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

const CALLS: &str = "trace=execve,execveat,?open,openat,?openat2,?creat,open_by_handle_at,connect,clone,?clone3";

#[test]
fn programs() {
    let base = std::env::temp_dir().join(format!("porthole-recall-{}", std::process::id()));
    let mut total: BTreeMap<&str, judge::Figures> = BTreeMap::new();
    for (name, script) in PROGRAMS {
        let needs = name.split(' ').next().unwrap_or(name);
        let needs = match needs {
            "python" => "python3",
            "coreutils" => "cp",
            "musl" => "musl-gcc",
            other => other,
        };
        let there = Command::new("sh").args(["-c", "command -v \"$0\"", needs]).stdout(Stdio::null()).status();
        if !there.is_ok_and(|s| s.success()) {
            print_skip(&format!("recall of {name}: no {needs} here"));
            continue;
        }
        let dir = base.join(name.replace(' ', "-"));
        let work = dir.join("work");
        std::fs::create_dir_all(&work).unwrap();
        let status = Command::new("timeout")
            .args(["60"])
            .arg(binaries::porthole())
            .args(["run", "--format", "json", "--events"])
            .arg(dir.join("events"))
            .args(["--", "strace", "-f", "-s", "65536", "-e", CALLS, "-o"])
            .arg(dir.join("trace"))
            .args(["sh", "-c", script])
            .current_dir(&work)
            // cargo's, which would send the loader through its directories
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_ne!(status.code(), Some(124), "{name}: did not end");
        let calls = trace::parse(&std::fs::read_to_string(dir.join("trace")).unwrap());
        assert!(!calls.is_empty(), "{name}: strace saw nothing");
        for (kind, f) in judge::judge(&calls, &Events::read(&dir.join("events")), "/run/porthole/") {
            println!("{}", line(name, kind, &f));
            let mut distinct: BTreeMap<String, usize> = BTreeMap::new();
            f.missed.iter().for_each(|m| *distinct.entry(format!("missed {m}")).or_default() += 1);
            f.extra.iter().for_each(|m| *distinct.entry(format!("extra {m}")).or_default() += 1);
            distinct.iter().for_each(|(what, n)| println!("    {n} x {what}"));
            let sum = total.entry(kind).or_default();
            sum.matched += f.matched;
            sum.before += f.before;
            sum.no_agent += f.no_agent;
            sum.missed.extend(f.missed);
            sum.extra.extend(f.extra);
        }
    }
    let _ = std::fs::remove_dir_all(&base);
    total.iter().for_each(|(kind, f)| println!("{}", line("total", kind, f)));
    for kind in judge::KINDS {
        assert!(total.get(kind).is_some_and(|f| f.matched > 0), "not one {kind} was recorded");
        let figures = &total[kind];
        let wrong = &figures.extra;
        assert!(wrong.is_empty(), "{kind}: recorded, but the kernel saw no such call: {wrong:?}");
        let allowed = if kind == "open" { figures.matched / 1000 } else { 0 };
        assert!(figures.missed.len() <= allowed, "{kind}: seen by the kernel alone: {:?}", figures.missed);
    }
}

fn line(name: &str, kind: &str, f: &judge::Figures) -> String {
    let percent = |other: usize| 100.0 * f.matched as f64 / ((f.matched + other).max(1)) as f64;
    format!(
        "{name:24} {kind:8} kernel {:6} recorded {:6} missed {:5} extra {:4} recall {:6.2} % precision {:6.2} % (before the agent {}, image without agent {})",
        f.matched + f.missed.len(),
        f.matched + f.extra.len(),
        f.missed.len(),
        f.extra.len(),
        percent(f.missed.len()),
        percent(f.extra.len()),
        f.before,
        f.no_agent
    )
}
