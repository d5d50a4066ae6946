//! The processes of this machine, by /proc.

use crate::event::text;
use crate::ingest::facts::{self, Stat};
use crate::redact;
use crate::status::ProcessView;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use porthole_registration::layout;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;

/// Most processes that are looked at.
const MAX_PROCESSES: usize = 1 << 16;
/// Longest list of a process's memory that is searched for the agent.
const MAPS: u64 = 4 << 20;
/// Parent of the kernel's own threads.
const KTHREADD: u32 = 2;

/// What tells whose process it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub pid: u32,
    pub stat: Stat,
    /// Its `/proc/PID/cgroup`.
    pub groups: String,
    pub pid_ns: Option<u64>,
}

/// All of them but the kernel's own, by pid.
pub(super) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let mut all: Vec<Process> = pids.filter_map(one).take(MAX_PROCESSES).collect();
    all.sort_by_key(|p| p.pid);
    all
}

fn one(pid: u32) -> Option<Process> {
    let stat = facts::stat(pid)?;
    if pid == KTHREADD || stat.ppid == KTHREADD {
        return None;
    }
    Some(Process { pid, groups: groups(pid), pid_ns: facts::pid_namespace(pid), stat })
}

/// The control groups of a process, as its file has them.
pub(super) fn groups(pid: u32) -> String {
    facts::read(&format!("/proc/{pid}/cgroup")).map(|bytes| text(&bytes)).unwrap_or_default()
}

/// What people want to know of it; `None` when it has gone.
pub(super) fn view(process: &Process) -> Option<ProcessView> {
    let pid = process.pid;
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let argv = facts::arguments(pid);
    let name = process.stat.comm.clone();
    let cmdline = match (argv.as_slice(), process.stat.state) {
        ([], b'Z') => format!("[{name}] ended, not waited for"),
        ([], _) => format!("[{name}]"),
        ([program, arguments @ ..], _) => {
            let arguments = redact::arguments(arguments);
            if arguments.is_empty() { program.clone() } else { format!("{program} {arguments}") }
        }
    };
    Some(ProcessView {
        pid,
        vpid: facts::inner_pid(pid).unwrap_or(pid),
        ppid: process.stat.ppid,
        uid,
        user: String::new(),
        name,
        cmdline,
        started_ns: started_ns(process.stat.start_ticks),
        agent: has_agent(pid),
    })
}

/// Clock ticks since the machine's start as a time of day.
pub(super) fn started_ns(ticks: u64) -> u64 {
    let read = |clock| clock_gettime(clock).map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64);
    let boot = read(ClockId::CLOCK_REALTIME).saturating_sub(read(ClockId::CLOCK_BOOTTIME));
    let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or(100);
    boot + ticks.saturating_mul(1_000_000_000 / a_second.max(1))
}

/// Whether it has mapped a file of the agent's name. (A program may map one to look as if: this is for people who look.)
fn has_agent(pid: u32) -> bool {
    let Ok(maps) = File::open(format!("/proc/{pid}/maps")) else { return false };
    let (mut maps, mut line) = (BufReader::new(maps.take(MAPS)), vec![]);
    while maps.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let path = line.trim_ascii_end();
        if path.strip_suffix(layout::LIBRARY.as_bytes()).is_some_and(|dir| dir.ends_with(b"/")) {
            return true;
        }
        line.clear();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn this_process_is_among_them_and_began_lately() {
        let me = all().into_iter().find(|p| p.pid == std::process::id()).unwrap();
        let seen = view(&me).unwrap();
        assert!(seen.cmdline.contains("porthole") && !seen.agent && seen.vpid > 0, "{seen:?}");
        let age = clock::now_ns().saturating_sub(seen.started_ns);
        assert!(age < 3600 * 1_000_000_000, "{age} ns old");
        assert!(all().iter().all(|p| p.stat.ppid != KTHREADD));
    }
}
