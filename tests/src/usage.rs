//! What a collector takes of the machine: all its processes together.

use crate::collector::Collector;

/// The collector and the processes it has started.
fn processes(collector: &Collector) -> Vec<i32> {
    let own = collector.pid();
    let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    std::iter::once(own).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
}

/// Memory that no file stands behind, in KiB.
pub fn anonymous_kib(collector: &Collector) -> u64 {
    let of = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    processes(collector).into_iter().map(of).sum()
}

/// Open descriptors.
pub fn descriptors(collector: &Collector) -> usize {
    let of = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    processes(collector).into_iter().map(of).sum()
}

/// Processor time since they were started, in seconds.
pub fn cpu(collector: &Collector) -> f64 {
    processes(collector).into_iter().map(cpu_of).sum()
}

/// The same of one process.
pub fn cpu_of(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
