//! `kill -9` of the collector under load: every record is in the output, once.

mod support;

use porthole_common::record::{Call, Chdir};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{State, encoded, of_type, open_record};

const RECORDS: usize = 12_000;
const KILLS: u32 = 15;

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

#[test]
fn a_killed_collector_loses_nothing_and_repeats_nothing() {
    let state = State::new();
    let mut running = collector(&state);
    std::thread::sleep(Duration::from_millis(100));
    let c = state.register("killed");
    c.listening();
    let ring = c.ring("r");
    c.send(&ring.hello);
    state.wait("the start", |l| !of_type(l, "execve").is_empty());
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
        for n in 0..KILLS {
            std::thread::sleep(Duration::from_millis(40 + u64::from(n * 37 % 60)));
            running.kill().unwrap();
            running.wait().unwrap();
            running = collector(&state);
        }
    });
    let last = (RECORDS - 1).to_string();
    let lines = state.wait("the last record", |l| l.last().is_some_and(|l| l["fd.nameraw"] == *last));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.id() as i32), nix::sys::signal::Signal::SIGTERM).unwrap();
    running.wait().unwrap();
    let seqs: Vec<u64> = lines.iter().filter_map(|l| l.get("porthole.seq")?.as_u64()).collect();
    assert_eq!(seqs, (0..RECORDS as u64).collect::<Vec<_>>());
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
