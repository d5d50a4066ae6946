//! What this process costs.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
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

/// Of this process; what the kernel does not tell is 0.
pub fn own() -> Usage {
    let cpu = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |u| (u.user_time() + u.system_time()).num_milliseconds());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Usage {
        cpu_ms: u64::try_from(cpu).unwrap_or(0),
        resident_bytes: kilobytes(&status, "VmRSS:") << 10,
        anonymous_bytes: kilobytes(&status, "RssAnon:") << 10,
    }
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
        let usage = own();
        assert!(usage.resident_bytes >= usage.anonymous_bytes && usage.anonymous_bytes > 0);
        assert_eq!(kilobytes("VmRSS:\t  12 kB\nx: 3", "VmRSS:"), 12);
        assert_eq!(kilobytes("VmRSS: twelve", "VmRSS:"), 0);
    }
}
