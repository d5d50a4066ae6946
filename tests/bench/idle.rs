//! What a collector takes while nothing happens: a thousand instrumented processes that sleep.

use porthole_tests::collector::Collector;
use porthole_tests::crowd::Crowd;
use porthole_tests::{usage, wait};
use std::time::{Duration, Instant};

const CONTAINERS: u64 = 50;
const MEMBERS: u64 = 20;
/// Longer than the collector looks often at a ring that has become quiet.
const QUIET: Duration = Duration::from_secs(35);

pub fn run() {
    let collector = Collector::start();
    row("no container", &collector);
    let crowd = |n| Crowd::keep(&collector.state_dir(), &format!("idle-{n}"), MEMBERS, 100_000_000, 1);
    let crowds: Vec<Crowd> = (0..CONTAINERS).map(crowd).collect();
    let all = CONTAINERS * (MEMBERS + 1); // each container has a ring that belongs to no process
    wait::until("all sessions", Duration::from_secs(180), || {
        (collector.status()["sessions_open"].as_u64() >= Some(all)).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    row("1000 processes, just gone to sleep", &collector);
    std::thread::sleep(QUIET);
    row("1000 processes, asleep for half a minute", &collector);
    crowds.iter().for_each(Crowd::stop);
    crowds.into_iter().for_each(|crowd| drop(crowd.end()));
}

/// Ten seconds of the collector.
fn row(what: &str, collector: &Collector) {
    let (before, start) = (usage::cpu(collector), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let share = 100.0 * (usage::cpu(collector) - before) / start.elapsed().as_secs_f64();
    let anonymous = usage::anonymous_kib(collector);
    println!("{:<50}{share:>6.1} % of a core, anonymous memory {anonymous} KiB (≤ 65536)", format!("idle: {what}"));
}
