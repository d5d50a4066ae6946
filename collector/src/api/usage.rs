//! What a process costs.

use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

/// CPU and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processor time used so far, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// The anonymous part of it: what no file stands behind.
    pub anonymous_bytes: u64,
}

/// Of a process; what the kernel does not tell is 0.
pub fn of(pid: u32) -> Usage {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or(100);
    let status = read("status");
    Usage {
        cpu_ms: ticks(&read("stat")) * 1000 / per_second.max(1),
        resident_bytes: kilobytes(&status, "VmRSS:") << 10,
        anonymous_bytes: kilobytes(&status, "RssAnon:") << 10,
    }
}

/// Processor time from a line of `/proc/…/stat`, whose second field is a name with anything in it.
fn ticks(stat: &str) -> u64 {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}

fn kilobytes(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_a_size() {
        let usage = of(std::process::id());
        assert!(usage.resident_bytes >= usage.anonymous_bytes && usage.anonymous_bytes > 0);
        assert_eq!(ticks("7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 5 6 20"), 42);
        assert_eq!(kilobytes("VmRSS:\t  12 kB\nx: 3", "VmRSS:"), 12);
        assert_eq!(kilobytes("VmRSS: twelve", "VmRSS:"), 0);
    }
}
