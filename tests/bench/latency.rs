//! How long an event takes from the call to the reader of `porthole collector --format json`.

use super::{Worker, median};
use porthole_registration::layout;
use porthole_tests::registered::Registered;
use porthole_tests::scratch::Scratch;
use porthole_tests::{binaries, wait};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Calls a second.
const RATE: u32 = 10_000;
const SECONDS: u32 = 3;

/// Latencies in microseconds of the opens that the collector prints until it ends.
fn read(collector: &mut Child) -> std::thread::JoinHandle<Vec<f64>> {
    let lines = BufReader::new(collector.stdout.take().expect("a pipe"));
    std::thread::spawn(move || {
        let opens = lines.lines().map_while(Result::ok).filter(|l| l.contains("\"fd.name\":\"/nonexistent/"));
        opens.filter_map(|line| age(&line)).collect()
    })
}

/// How old the event of a line is. Its time begins `{"time":"2026-11-25T10:00:00.000000000Z"`.
fn age(line: &str) -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let time = line.get(9..39)?;
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<f64>().ok();
    let of_day = number(11, 13)? * 3600.0 + number(14, 16)? * 60.0 + number(17, 19)? + number(20, 29)? / 1e9;
    let now_of_day = (now.as_secs() % 86_400) as f64 + f64::from(now.subsec_nanos()) / 1e9;
    Some((now_of_day - of_day).rem_euclid(86_400.0) * 1e6)
}

pub fn run(scratch: &Scratch) {
    let state = scratch.join("latency");
    let mut command = Command::new(binaries::porthole());
    command.args(["collector", "--format", "json"]).env("PORTHOLE_STATE_DIR", &state);
    let mut collector = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the collector starts");
    wait::until_true("the collector answers", || UnixStream::connect(state.join(layout::API_SOCKET)).is_ok());
    let container = Registered::new(&state, "latency");
    let reader = read(&mut collector);
    let mut worker = Worker::start(Command::new("env").env("LD_PRELOAD", container.dir().library()));
    worker.ask(&format!("open {RATE} {SECONDS}"));
    drop(worker);
    std::thread::sleep(Duration::from_millis(300)); // what is on its way comes too
    let _ =
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(collector.id() as i32), nix::sys::signal::Signal::SIGTERM);
    let mut ages = reader.join().expect("the reader ends with the collector");
    let _ = collector.wait();
    container.remove();
    let seen = ages.len();
    let middle = median(&mut ages); // sorts them
    let late = ages.get(seen * 99 / 100).copied().unwrap_or(f64::NAN);
    println!(
        "event to reader at {RATE} a second: p50 {:.2} ms (≤ 2), p99 {:.2} ms (≤ 20); {seen} of {} events",
        middle / 1e3,
        late / 1e3,
        RATE * SECONDS
    );
}
