//! The collector is killed, stopped, replaced under load: every record is in the output, once.

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use porthole_common::record::{Call, Chdir};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{State, encoded, of_type, open_record};

const RECORDS: usize = 12_000;
const TIMES: u32 = 15;

fn collector(state: &State) -> Child {
    Command::new(env!("CARGO_BIN_EXE_porthole"))
        .args(["collector", "--quiet", "--state-dir"])
        .arg(&state.path)
        .arg("--events")
        .arg(state.events())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A running collector, and what is done to it.
struct Running<'a> {
    state: &'a State,
    child: Child,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // a test that has failed leaves nothing behind
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running<'_> {
    fn signal(&self, pid: u32, signal: Signal) {
        // it may be gone by itself
        let _ = kill(Pid::from_raw(pid as i32), signal);
    }

    /// Its worker, when it has one.
    fn worker(&self) -> u32 {
        let pid = self.child.id();
        let mut worker = None;
        wait("the collector has a worker", || {
            let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            worker = text.split_whitespace().next().and_then(|n| n.parse().ok());
            worker.is_some()
        });
        worker.unwrap()
    }

    fn killed(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = collector(self.state);
    }
}

#[test]
fn killed() {
    under_load(TIMES, |c| c.killed());
}

#[test]
fn worker_killed() {
    under_load(TIMES, |c| c.signal(c.worker(), Signal::SIGKILL));
}

#[test]
fn worker_killed_then_its_supervisor() {
    under_load(TIMES, |c| {
        c.signal(c.worker(), Signal::SIGKILL);
        c.killed();
    });
}

#[test]
fn worker_told_to_stop() {
    under_load(TIMES, |c| c.signal(c.worker(), Signal::SIGTERM));
}

#[test]
fn worker_held() {
    under_load(3, |c| {
        let worker = c.worker();
        c.signal(worker, Signal::SIGSTOP);
        std::thread::sleep(Duration::from_secs(2));
        c.signal(worker, Signal::SIGCONT);
    });
}

#[test]
fn program_replaced() {
    under_load(TIMES, |c| c.signal(c.child.id(), Signal::SIGUSR2));
}

#[test]
fn configuration_read_again() {
    under_load(TIMES, |c| c.signal(c.child.id(), Signal::SIGHUP));
}

/// Writes records while `act` is done to the collector again and again.
fn under_load(times: u32, act: impl Fn(&mut Running)) {
    let state = State::new();
    let mut running = Running { state: &state, child: collector(&state) };
    std::thread::sleep(Duration::from_millis(100));
    let c = state.register("killed");
    c.listening();
    let ring = c.ring("r");
    c.send(&ring.hello);
    state.wait("the start", |l| !of_type(l, "execve").is_empty());
    // a ring that is younger has none, and is its process's by its own word after a restart
    wait("the position is kept", || c.dir.root().join("positions/r").exists());
    let me = std::process::id();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..RECORDS {
                if n % 1000 == 500 {
                    let cwd = format!("/dir/{n}");
                    let chdir = Chdir { call: Call::Chdir, res: 0, fd: -1, path: cwd.as_bytes(), cwd: cwd.as_bytes() };
                    ring.write_patiently(me, &encoded(|w| chdir.encode(w)));
                } else {
                    ring.write_patiently(me, &open_record(&n.to_string(), 3));
                }
                if n % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        for n in 0..times {
            std::thread::sleep(Duration::from_millis(40 + u64::from(n * 37 % 60)));
            act(&mut running);
        }
    });
    let last = (RECORDS - 1).to_string();
    let lines = state.wait("the last record", |l| l.last().is_some_and(|l| l["fd.nameraw"] == *last));
    assert!(running.child.try_wait().unwrap().is_none(), "it runs on");
    running.signal(running.child.id(), Signal::SIGTERM);
    assert!(running.child.wait().unwrap().success());
    let seqs: Vec<u64> = lines.iter().filter_map(|l| l.get("porthole.seq")?.as_u64()).collect();
    let wrong = seqs.iter().zip(0..).find(|(seq, n)| **seq != *n);
    assert_eq!((wrong, seqs.len()), (None, RECORDS), "{:#?}", of_type(&lines, "porthole.drop"));
    assert_eq!(of_type(&lines, "container.start").len(), 1);
    assert_eq!(of_type(&lines, "execve").len(), 1);
    for line in of_type(&lines, "openat") {
        let n: usize = line["fd.nameraw"].as_str().unwrap().parse().unwrap();
        let cwd = match (n + 500) / 1000 {
            0 => "/work".to_owned(),
            moved => format!("/dir/{}", moved * 1000 - 500),
        };
        assert_eq!(line["fd.name"], format!("{cwd}/{n}"));
        assert_eq!(line["porthole.identity"], "verified");
    }
}
