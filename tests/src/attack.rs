//! Attacks on a collector from a container's files.

use crate::collector::Collector;
use std::process::Command;

/// A Python script that does on the host what a process of the container could: `RINGS`, `MNT` and `SOCK` are the
/// container's.
pub fn script(collector: &Collector, id: &str, script: &str) -> Command {
    let dir = collector.container_dir(id);
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]).env("RINGS", dir.rings()).env("MNT", dir.mnt()).env("SOCK", dir.socket());
    command
}

/// Runs one to its end.
///
/// # Panics
/// If it fails.
pub fn run(collector: &Collector, id: &str, text: &str) {
    crate::program::run(&mut script(collector, id, text)).ok("the attacking script");
}

/// Memory that a process has, in KiB.
///
/// # Panics
/// If it does not run.
pub fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("VmRSS in kB")
}
