//! The collector's processes are killed, stopped and replaced while twenty containers work: every record is in the output,
//! once, and no program notices.
//!
//! `PORTHOLE_TEST_FULL=1` does everything a hundred times.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::events::{EXECS, Events, OPENS};
use porthole_tests::{rootfs, wait};
use std::collections::BTreeMap;
use std::time::Duration;

const CONTAINERS: usize = 20;

/// Opens, short-lived processes, opens of forked children, connects: one of each a round, until it is told to end. Says
/// how many rounds it made, and each program that failed.
const LOAD: &str = r#"
exec 2>/dev/null
while ! [ -e /go ]; do sleep 0.05; done
i=0
while ! [ -e /end ]; do
    true </n/$i && echo wrong
    /bin/true $i || echo "true: $?"
    ( : </s/$i ) && echo wrong
    ( exec 3<>/dev/tcp/127.0.0.1/$((10000 + i)) ) && echo wrong
    i=$((i + 1))
    sleep 0.2
done
echo "ended $i"
sleep 600
"#;

fn times(plain: u32) -> u32 {
    if std::env::var_os("PORTHOLE_TEST_FULL").is_some() { 100 } else { plain }
}

/// How often the collector has told each thing that a container did.
fn told(events: &Events) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for e in &events.0 {
        let what = match e.kind() {
            kind if OPENS.contains(&kind) => e.text("fd.name").to_owned(),
            kind if EXECS.contains(&kind) && e.text("proc.exepath").ends_with("/true") => {
                format!("true {}", e.text("proc.args"))
            }
            "connect" => format!("connect {}", e.text("evt.arg.addr").trim_start_matches("127.0.0.1:")),
            _ => continue,
        };
        *told.entry(what).or_default() += 1;
    }
    told
}

fn lost(events: &Events) -> i64 {
    events.0.iter().filter(|e| e.kind() == "porthole.drop").filter_map(|e| e.number("porthole.count")).sum()
}

/// Runs the load while `act` is done to the collector so often.
fn under_load(times: u32, act: impl Fn(&mut Collector)) {
    let mut collector = Collector::start();
    let root = collector.scratch().dir("root");
    rootfs::make(&root);
    let bundles: Vec<Bundle> = (0..CONTAINERS).map(|_| Bundle::new(&root, &["/bin/bash", "-c", LOAD])).collect();
    bundles.iter().for_each(|bundle| bundle.start(&collector.state_dir()));
    std::fs::write(root.join("go"), "").expect("an own file");
    for n in 0..times {
        std::thread::sleep(Duration::from_millis(200 + u64::from(n * 37 % 150)));
        act(&mut collector);
    }
    std::fs::write(root.join("end"), "").expect("an own file");
    let rounds: Vec<usize> = bundles.iter().map(ended).collect();
    let last = |n: usize| format!("connect {}", 9999 + n);
    collector.wait_for("the last records", |e| {
        let complete = |(bundle, n): (&Bundle, &usize)| told(&e.of_container(&bundle.id)).contains_key(&last(*n));
        bundles.iter().zip(&rounds).all(complete)
    });
    let events = collector.events();
    let (mut missing, mut twice, mut drops) = (vec![], vec![], 0);
    for (bundle, rounds) in bundles.iter().zip(&rounds) {
        let own = events.of_container(&bundle.id);
        let told = told(&own);
        let made = (0..*rounds).flat_map(|n| {
            [format!("/n/{n}"), format!("true {n}"), format!("/s/{n}"), format!("connect {}", 10000 + n)]
        });
        for what in made {
            match told.get(&what) {
                None => missing.push((bundle.id[..12].to_owned(), what)),
                Some(1) => {}
                Some(n) => twice.push((bundle.id[..12].to_owned(), what, *n)),
            }
        }
        drops += lost(&own);
    }
    let made: usize = rounds.iter().map(|n| 4 * n).sum();
    println!(
        "{made} records by {CONTAINERS} containers, {} missing, {drops} lost by count, {} twice",
        missing.len(),
        twice.len()
    );
    assert!(missing.is_empty() && drops == 0, "{drops} lost, missing: {:?}", &missing[..missing.len().min(20)]);
    assert!(twice.is_empty(), "more than once: {:?}", &twice[..twice.len().min(20)]);
    assert!(made > 20 * CONTAINERS, "the load made {made} records only");
}

/// Rounds that a container's load made, once it has ended as it should.
fn ended(bundle: &Bundle) -> usize {
    wait::until_true("the load ends", || bundle.output().contains("ended"));
    let output = bundle.output();
    let rounds = output.trim().strip_prefix("ended ").and_then(|n| n.parse().ok());
    rounds.unwrap_or_else(|| panic!("a program failed: {output}"))
}

fn worker(collector: &Collector) -> Pid {
    Pid::from_raw(wait::until("the collector has a worker", Duration::from_secs(30), || collector.worker()))
}

fn signal_worker(collector: &Collector, signal: Signal) {
    let _ = kill(worker(collector), signal);
}

#[test]
fn worker_killed() {
    under_load(times(20), |c| signal_worker(c, Signal::SIGKILL));
}

#[test]
fn worker_held_for_five_seconds() {
    under_load(1, |c| {
        let worker = worker(c);
        kill(worker, Signal::SIGSTOP).expect("it runs");
        std::thread::sleep(Duration::from_secs(5));
        kill(worker, Signal::SIGCONT).expect("it runs");
    });
}

#[test]
fn worker_told_to_stop() {
    under_load(times(5), |c| signal_worker(c, Signal::SIGTERM));
}

#[test]
fn program_replaced() {
    under_load(times(5), |c| c.signal(Signal::SIGUSR2));
}

#[test]
fn supervisor_killed() {
    under_load(times(5), |c| {
        c.kill();
        c.restart();
    });
}

#[test]
fn both_killed() {
    under_load(times(5), |c| {
        signal_worker(c, Signal::SIGKILL);
        c.kill();
        c.restart();
    });
}
