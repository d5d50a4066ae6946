//! The collector's processes are killed, stopped and replaced while containers work: every record is in the output, once,
//! and no program notices.
//!
//! `PORTHOLE_TEST_FULL=1`: a hundred times, while twenty containers work.

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::events::{EXECS, Events, OPENS};
use porthole_tests::{rootfs, wait};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Ten opens, a short-lived process, an open of a forked child, a connect: a round, again and again until it is told to
/// end. Says how many rounds it made, and each program that failed.
const LOAD: &str = r#"
exec 2>/dev/null
while ! [ -e /go ]; do sleep 0.05; done
i=0
while ! [ -e /end ]; do
    for n in 0 1 2 3 4 5 6 7 8 9; do true </n/$i.$n && echo wrong; done
    /bin/true $i || echo "true: $?"
    ( : </s/$i ) && echo wrong
    ( exec 3<>/dev/tcp/127.0.0.1/$((10000 + i)) ) && echo wrong
    i=$((i + 1))
    sleep 0.5
done
echo "ended $i"
sleep 600
"#;

fn full() -> bool {
    std::env::var_os("PORTHOLE_TEST_FULL").is_some()
}

fn times(plain: u32) -> u32 {
    if full() { 100 } else { plain }
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

/// Runs the load while `act`, which has a name, is done to the collector so often.
fn under_load(name: &str, times: u32, act: impl Fn(&mut Collector)) -> Collector {
    // one load at a time: two would be more than a moderate one for a small machine
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut collector = Collector::start_replaceable();
    let containers = if full() { 20 } else { 6 };
    let root = rootfs::of(collector.scratch());
    let bundles: Vec<Bundle> = (0..containers).map(|_| Bundle::new(&root, &["/bin/bash", "-c", LOAD])).collect();
    bundles.iter().for_each(|bundle| bundle.start(&collector.state_dir()));
    std::fs::write(root.join("go"), "").expect("an own file");
    for n in 0..times {
        // often while it starts, too
        std::thread::sleep(Duration::from_millis(100 + u64::from(n * 337 % 900)));
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
            let others = [format!("true {n}"), format!("/s/{n}"), format!("connect {}", 10000 + n)];
            (0..10).map(move |open| format!("/n/{n}.{open}")).chain(others)
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
    let made: usize = rounds.iter().map(|n| 13 * n).sum();
    println!(
        "{name} {times} times, {containers} containers: {made} records made, {} told, {drops} counted as lost, {} twice",
        made - missing.len(),
        twice.len()
    );
    assert!(missing.is_empty() && drops == 0, "{drops} lost, missing: {:?}", &missing[..missing.len().min(20)]);
    if let Some((id, what, _)) = twice.first() {
        let args = what.trim_start_matches("true ");
        let both = events.filter(|e| e.text("container.full_id").starts_with(id) && e.text("proc.args") == args);
        panic!("more than once: {:?}, the first:\n{both}", &twice[..twice.len().min(20)]);
    }
    assert!(made > 20 * containers, "the load made {made} records only");
    collector
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
    let collector = under_load("worker killed", times(12), |c| signal_worker(c, Signal::SIGKILL));
    let status = collector.status();
    assert!(status["worker_restarts"].as_u64() >= Some(u64::from(times(12)) / 2), "{status}");
}

#[test]
fn worker_held_for_five_seconds() {
    under_load("worker held for 5 s", if full() { 10 } else { 1 }, |c| {
        let worker = worker(c);
        kill(worker, Signal::SIGSTOP).expect("it runs");
        std::thread::sleep(Duration::from_secs(5));
        kill(worker, Signal::SIGCONT).expect("it runs");
    });
}

/// One of a process's threads.
fn thread(process: Pid, name: &str) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
    let is = |path: &std::path::Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|n| n.trim() == name);
    let found = tasks.map(|t| t.path()).find(|path| is(path)).expect("the thread");
    Pid::from_raw(found.file_name().and_then(|n| n.to_str()?.parse().ok()).expect("a number"))
}

/// The other threads go on, the one that says "I live" among them.
#[test]
fn a_worker_that_hears_no_container_any_more_is_replaced() {
    under_load("ingest held", 1, |c| {
        let worker = worker(c);
        let ingest = thread(worker, "ingest");
        ptrace::seize(ingest, ptrace::Options::empty()).expect("it may be traced");
        ptrace::interrupt(ingest).expect("it is traced");
        let another = || {
            // its end is ours to see, before the supervisor sees the process's
            let _ = waitpid(ingest, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            c.worker().filter(|new| *new != worker.as_raw())
        };
        wait::until("another worker", Duration::from_secs(90), another);
    });
}

#[test]
fn worker_told_to_stop() {
    under_load("worker told to stop", times(5), |c| signal_worker(c, Signal::SIGTERM));
}

#[test]
fn program_replaced() {
    under_load("program replaced", times(5), |c| {
        c.replace_program();
        c.signal(Signal::SIGUSR2);
        wait::until_true("both processes are of the new file", || c.runs_its_file());
    });
}

#[test]
fn supervisor_killed() {
    under_load("supervisor killed", times(5), |c| {
        c.kill();
        c.restart();
    });
}

#[test]
fn both_killed() {
    under_load("both killed", times(5), |c| {
        signal_worker(c, Signal::SIGKILL);
        c.kill();
        c.restart();
    });
}
