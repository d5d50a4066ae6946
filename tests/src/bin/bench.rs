//! What porthole costs: the same calls bare and hooked, taking turns, as medians and ratios. Prints, and never fails
//! for being slow: machines differ, and shared ones change by the minute.
//!
//! `porthole-bench [ROUNDS [real|latency|idle]]`; `scripts/bench` builds and runs it; the second word runs that part alone.

#[path = "../../bench/idle.rs"]
mod idle;
#[path = "../../bench/latency.rs"]
mod latency;
#[path = "../../bench/real.rs"]
mod real;

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::scratch::Scratch;
use porthole_tests::targets::{self, Flavour};
use porthole_tests::{binaries, rootfs, usage, wait};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A worker (`tests/bench/worker.c`), bare or below `porthole run`.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(command: &mut Command) -> Worker {
        let worker = targets::bench("worker", Flavour::Glibc);
        command.arg(worker).arg("/bin/true").arg(targets::bench("true", Flavour::Musl));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the worker starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Worker { child, input, output }
    }

    fn ask(&mut self, what: &str) -> f64 {
        let input = self.input.as_mut().expect("it is open until the end");
        writeln!(input, "{what}").expect("the worker reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the worker answers");
        line.trim().parse().unwrap_or_else(|e| panic!("the worker says {line:?} to {what:?}: {e}"))
    }

    /// Processor time of its process (for a hooked one that is the collector), in seconds.
    fn cpu(&self) -> f64 {
        usage::cpu_of(self.child.id() as i32)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None; // its end
        let _ = self.child.wait();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn pretty(ns: f64) -> String {
    match ns {
        n if n < 10_000.0 => format!("{n:.0} ns"),
        n if n < 10_000_000.0 => format!("{:.1} µs", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}

fn row(what: &str, bare: &mut [f64], hooked: &mut [f64], goal: &str) {
    // the ratio of each pair first: what changes slowly falls out
    let mut ratios: Vec<f64> = bare.iter().zip(hooked.iter()).map(|(b, h)| h / b).collect();
    let (ratio, bare, hooked) = (median(&mut ratios), median(bare), median(hooked));
    let more = pretty((hooked - bare).abs());
    let sign = if hooked < bare { '-' } else { '+' };
    println!(
        "{what:<44}{:>11}{:>11}{:>12}{ratio:>8.2}   {goal}",
        pretty(bare),
        pretty(hooked),
        format!("{sign}{more}")
    );
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(60);
    let scratch = Scratch::new();
    match std::env::args().nth(2).as_deref() {
        Some("real") => return real::run(&scratch, rounds),
        Some("latency") => return latency::run(&scratch),
        Some("idle") => return idle::run(),
        _ => {}
    }
    let mut hooked = Command::new(binaries::porthole());
    hooked.args(["run", "--events"]).arg(scratch.join("events")).arg("--");
    hooked.env("PORTHOLE_STATE_DIR", scratch.join("s"));
    let mut hooked = Worker::start(&mut hooked);
    let mut bare = Worker::start(Command::new("env").env_remove("LD_PRELOAD"));

    heading("call", "bare", "hooked");
    // A burst fits into a ring; between bursts the collector catches up. Processes take turns one by one, and more
    // often: they are what a busy machine disturbs most.
    for (name, ask, times, pause, goal) in [
        ("open of a missing file, bursts of 200", "open 200", 5, 2, "≤ 1.15"),
        ("open of a missing file, without a pause", "open 20000", 1, 0, "(a full ring drops, and counts)"),
        ("fork, exec, exit: /bin/true (glibc)", "true 1", 15, 1, "≤ 1.10"),
        ("fork, exec, exit: true of musl", "musl 1", 15, 1, "≤ 1.35"),
        ("TCP socket, connect, accept, close", "tcp 50", 5, 2, "≤ 1.05"),
        ("UDP connect, bursts of 200", "udp 200", 5, 2, "≤ 1.20"),
        ("nothing (what measuring costs)", "none 100000", 1, 0, "1.00"),
    ] {
        let (mut b, mut h) = (vec![], vec![]);
        for round in 0..rounds * times + 3 {
            // who begins changes, so that neither always runs on the other's caches
            let mut turn = |first: bool| {
                let (worker, times) = if first { (&mut bare, &mut b) } else { (&mut hooked, &mut h) };
                let ns = worker.ask(ask);
                if round >= 3 {
                    times.push(ns);
                }
                std::thread::sleep(Duration::from_millis(pause));
            };
            turn(round % 2 == 0);
            turn(round % 2 != 0);
        }
        row(name, &mut b, &mut h, goal);
    }

    println!();
    println!(
        "{:<44}{:>11}{:>11}{:>12}{:>8}   collector",
        "opens a second, paced", "bare", "hooked", "difference", "ratio"
    );
    for rate in [100, 1_000, 10_000] {
        let seconds = 3;
        let mut b = [bare.ask(&format!("open {rate} {seconds}"))];
        let (before, start) = (hooked.cpu(), Instant::now());
        let mut h = [hooked.ask(&format!("open {rate} {seconds}"))];
        let share = 100.0 * (hooked.cpu() - before) / start.elapsed().as_secs_f64();
        row(&format!("{rate}"), &mut b, &mut h, &format!("{share:.1} % of a core"));
    }
    let (before, start) = (hooked.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    println!("{:<86}   {:.1} % of a core", "idle", 100.0 * (hooked.cpu() - before) / start.elapsed().as_secs_f64());
    // as fast as it can: more than a ring holds is dropped, and counted
    let mut b = [bare.ask("open 1000000")];
    let (before, start) = (hooked.cpu(), Instant::now());
    let mut h = [hooked.ask("open 1000000")];
    let share = 100.0 * (hooked.cpu() - before) / start.elapsed().as_secs_f64();
    row("a million without a pause", &mut b, &mut h, &format!("{share:.1} % of a core"));
    drop(bare);
    drop(hooked); // says what it recorded and lost
    latency::run(&scratch);
    idle::run();

    println!();
    real::run(&scratch, rounds);
    println!();
    containers(&scratch, rounds);
}

/// The runtime wrapper: what it adds to each verb, over a runtime that does nothing; and a container's whole life.
fn containers(scratch: &Scratch, rounds: usize) {
    heading("porthole-runc over nothing", "nothing", "wrapped");
    let root = scratch.dir("root");
    rootfs::make(&root);
    let bundle = Bundle::new(&root, &["/bin/true"]);
    // a collector runs, as in real life: it removes what `delete` has marked
    let collector = Collector::start();
    let state = collector.state_dir();
    let gone = || wait::until_true("the registration is gone", || !collector.container_dir(&bundle.id).root().exists());
    let path = bundle.path().to_string_lossy().into_owned();
    let nothing = targets::bench("true", Flavour::Static);
    let process = bundle.path().join("process.json").to_string_lossy().into_owned();
    let verbs: [(&str, &[&str]); 4] = [
        ("create", &["create", "--bundle", &path, &bundle.id]),
        ("exec", &["exec", "--process", &process, &bundle.id]),
        ("state (passes through)", &["state", &bundle.id]),
        ("delete", &["delete", &bundle.id]),
    ];
    let mut times = vec![(vec![], vec![]); verbs.len()];
    for _ in 0..rounds * 3 {
        for ((_, args), (b, h)) in verbs.iter().zip(&mut times) {
            std::fs::write(&process, bundle.spec["process"].to_string()).expect("an own file");
            b.push(time(Command::new(&nothing).args(*args)));
            let mut wrapped = Command::new(binaries::porthole_runc());
            wrapped.args(*args).env("PORTHOLE_STATE_DIR", &state).env("PORTHOLE_RUNTIME", &nothing);
            h.push(time(&mut wrapped));
        }
        gone();
    }
    for ((name, _), (b, h)) in verbs.iter().zip(&mut times) {
        row(name, b, h, "≤ 0.7 ms more");
    }

    println!();
    heading("with runc", "runc", "porthole");
    let life = |state: Option<&Path>| {
        let start = Instant::now();
        time(bundle.runtime(state).args(["run", "--detach", "--bundle", &path, &bundle.id]));
        // `true` is gone soon; delete must not wait for it
        time(bundle.runtime(state).args(["delete", "--force", &bundle.id]));
        start.elapsed().as_nanos() as f64
    };
    let (mut b, mut h) = (vec![], vec![]);
    for _ in 0..rounds {
        b.push(life(None));
        h.push(life(Some(&state)));
        gone();
    }
    row("a container: create, start, delete", &mut b, &mut h, "≤ 1.05");
}

fn heading(what: &str, bare: &str, hooked: &str) {
    println!("{what:<44}{bare:>11}{hooked:>11}{:>12}{:>8}   goal", "difference", "ratio");
}

/// Runs a command that must succeed; nanoseconds.
fn time(command: &mut Command) -> f64 {
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it runs");
    let taken = start.elapsed().as_nanos() as f64;
    assert!(status.success(), "{command:?}: {status}");
    taken
}
