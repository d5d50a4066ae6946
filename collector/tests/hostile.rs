//! What a container may try: refused or bounded, counted, and without effect on others.

mod support;

use nix::sys::stat::Mode;
use porthole_common::limits::{HELLO, RING_HEADER};
use porthole_common::ring::HEAD_OFFSET;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::{Registered, Ring, State, hello, of_type};

/// Waits until this much has been refused for that reason.
fn refused(pipeline: &porthole_collector::pipeline::Pipeline, reason: &str, at_least: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = pipeline.status();
        if status.refused.get(reason).is_some_and(|n| *n >= at_least) {
            return;
        }
        assert!(Instant::now() < deadline, "{reason}: {:?}", status.refused);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A well-behaved process in a container still gets its records through.
fn still_works(state: &State, c: &Registered, name: &str) {
    let ring = c.ring(name);
    c.send(&ring.hello);
    let path = format!("/fine/{name}");
    ring.open(&path, 3);
    state.wait(&path, |l| of_type(l, "openat").iter().any(|o| o["fd.name"] == *path));
}

#[test]
fn bad_hellos_are_refused_and_counted() {
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("bad-hellos");
    c.listening();
    let good = hello("r", |_| {});
    c.send(b"garbage");
    c.send(&vec![0xff; HELLO + 1000]);
    c.send(&good[..good.len() - 3]);
    c.send(&hello("../../container.json", |_| {}));
    drop(c.connect().unwrap());
    refused(&pipeline, "hello_malformed", 3);
    refused(&pipeline, "no_hello", 1);
    let silent: Vec<_> = (0..100).map(|_| c.connect().unwrap()).collect();
    refused(&pipeline, "hello_late", 60);
    drop(silent);
    c.send(&hello("no-such-ring", |_| {}));
    refused(&pipeline, "ring_gone", 1);
    still_works(&state, &c, "good");
    pipeline.stop();
}

#[test]
fn a_lease_on_a_ring_stops_nobody() {
    if !nix::unistd::geteuid().is_root() {
        return support_skip("needs root to take a lease that the collector would wait for");
    }
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("leases");
    c.listening();
    // Under a name that no ring has, so that it can be leased before the collector looks at it.
    let elsewhere = std::env::temp_dir().join(format!("porthole-leased-{}", std::process::id()));
    fs::create_dir_all(&elsewhere).unwrap();
    let ring = Ring::make(&elsewhere, "leased", &hello("leased", |_| {}));
    let hidden = c.dir.rings().join("Hidden");
    fs::write(&hidden, fs::read(&ring.path).unwrap()).unwrap();
    fs::remove_dir_all(&elsewhere).unwrap();
    let script = "import fcntl,os,sys,signal\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                  fd = os.open(sys.argv[1], os.O_RDWR)\nfcntl.fcntl(fd, 1024, fcntl.F_WRLCK)\n\
                  os.rename(sys.argv[1], sys.argv[2])\nprint('held', flush=True)\nsys.stdin.read()";
    let mut holder = std::process::Command::new("python3")
        .args(["-c", script])
        .args([hidden, c.dir.rings().join("leased")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0u8; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    // The kernel would let the collector wait for 45 seconds.
    let before = Instant::now();
    refused(&pipeline, "ring_leased", 1);
    still_works(&state, &c, "beside");
    pipeline.stop();
    assert!(before.elapsed() < Duration::from_secs(30));
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn a_program_that_the_kernel_contradicts_is_not_verified() {
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("posing");
    c.listening();
    let ring = Ring::make(&c.dir.rings(), "posing", &hello("posing", |h| h.execfn = b"/usr/bin/apt"));
    c.send(&ring.hello);
    ring.open("/by/the/poser", 3);
    let lines = state.wait("the open", |l| of_type(l, "openat").iter().any(|o| o["fd.name"] == "/by/the/poser"));
    assert_eq!(of_type(&lines, "openat")[0]["porthole.identity"], "inherited");
    pipeline.stop();
}

#[test]
fn more_pids_than_are_remembered_lose_no_record() {
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("forged-pids");
    c.listening();
    let ring = c.ring("forger");
    c.send(&ring.hello);
    let payload = support::open_record("/deep/directory", 3);
    for pid in 1000..5000 {
        ring.write_patiently(pid, &payload);
    }
    still_works(&state, &c, "beside");
    state.wait("all records of forged pids", |l| {
        of_type(l, "openat").iter().filter(|o| o["fd.name"] == "/deep/directory").count() == 4000
    });
    pipeline.stop();
}

#[test]
fn only_the_owner_of_a_ring_can_announce_it() {
    if !nix::unistd::geteuid().is_root() {
        return support_skip("needs root to give a file away");
    }
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("owners");
    c.listening();
    let foreign = c.ring("foreign");
    chown(&foreign.path, Some(12345), None).unwrap();
    c.send(&foreign.hello);
    refused(&pipeline, "hello_owner", 1);
    let other = c.ring("other");
    c.send(&hello("other", |h| h.execfn = b"/bin/forged"));
    refused(&pipeline, "hello_differs", 1);
    let pid = Ring::make(&c.dir.rings(), "pid", &hello("pid", |h| h.pid = 1));
    c.send(&pid.hello);
    refused(&pipeline, "hello_pid", 1);
    let lines = state.wait("tampering", |l| of_type(l, "porthole.tamper").len() >= 3);
    let reasons: Vec<_> = of_type(&lines, "porthole.tamper").iter().map(|l| l["porthole.reason"].clone()).collect();
    assert_eq!(reasons, ["hello_owner", "hello_differs", "hello_pid"]);
    drop(other);
    pipeline.stop();
}

#[test]
fn only_plain_files_are_opened() {
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("files");
    c.listening();
    let rings = c.dir.rings();
    symlink("/etc/shadow", rings.join("link")).unwrap();
    nix::unistd::mkfifo(&rings.join("fifo"), Mode::from_bits_truncate(0o666)).unwrap();
    fs::create_dir(rings.join("dir")).unwrap();
    refused(&pipeline, "ring_no_file", 3);
    let real = c.ring("real");
    fs::hard_link(&real.path, rings.join("second-name")).unwrap();
    refused(&pipeline, "ring_linked", 1);
    fs::write(rings.join("UPPER.case"), "x").unwrap();
    refused(&pipeline, "ring_name", 1);
    let cut = c.ring("cut");
    cut.file.set_len((RING_HEADER + 100) as u64).unwrap();
    c.send(&cut.hello);
    refused(&pipeline, "ring_size", 1);
    still_works(&state, &c, "good");
    pipeline.stop();
}

#[test]
fn a_ring_that_is_cut_or_scribbled_over_harms_itself_only() {
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("scribble");
    c.listening();
    let scribbled = c.ring("scribbled");
    c.send(&scribbled.hello);
    scribbled.open("/one", 3);
    state.wait("one", |l| !of_type(l, "openat").is_empty());
    let head = 1_000_000u64 | 77 << 32;
    scribbled.file.write_all_at(&head.to_le_bytes(), HEAD_OFFSET as u64).unwrap();
    let lines = state.wait("tampering", |l| !of_type(l, "porthole.tamper").is_empty());
    assert_eq!(of_type(&lines, "porthole.tamper")[0]["porthole.reason"], "ring_head");
    assert_eq!(of_type(&lines, "porthole.drop")[0]["porthole.reason"], "tampered");
    let cut = c.ring("cut");
    c.send(&cut.hello);
    cut.open("/two", 3);
    state.wait("two", |l| of_type(l, "openat").len() == 2);
    OpenOptions::new().write(true).open(&cut.path).unwrap().set_len(10).unwrap();
    still_works(&state, &c, "good");
    let status = pipeline.stop();
    assert_eq!(status.records_lost.get("tampered"), Some(&76));
}

#[test]
fn ten_thousand_connections_and_files_are_bounded() {
    let state = State::new();
    let pipeline = state.start();
    let (flood, calm) = (state.register("flood"), state.register("calm"));
    flood.listening();
    calm.listening();
    let begin = Instant::now();
    for n in 0..10_000 {
        if n % 2 == 0 {
            flood.send(b"garbage");
        } else {
            fs::write(flood.dir.rings().join(format!("junk-{n}")), "no ring").unwrap();
        }
        if n == 5_000 {
            still_works(&state, &calm, "meanwhile");
        }
    }
    still_works(&state, &calm, "after");
    still_works(&state, &flood, "own");
    assert!(begin.elapsed() < Duration::from_secs(60));
    let views = pipeline.containers();
    let view = |id: &str| views.iter().find(|v| v.id == id).unwrap();
    assert!(view("calm").refused.is_empty());
    let counted: u64 = view("flood").refused.values().sum();
    assert!(counted >= 4_000, "{:?}", view("flood").refused);
    pipeline.stop();
}

#[test]
fn a_flood_of_nonsense_is_told_in_sums_and_delays_no_neighbour_for_long() {
    let state = State::new();
    let pipeline = state.start();
    let (flood, calm) = (state.register("flood"), state.register("calm"));
    flood.listening();
    calm.listening();
    let rings: Vec<_> = (0..4).map(|n| flood.ring(&format!("f-{n}"))).collect();
    rings.iter().for_each(|ring| flood.send(&ring.hello));
    let neighbour = calm.ring("n");
    calm.send(&neighbour.hello);
    state.wait("both", |l| of_type(l, "execve").len() >= 2);
    let (begin, over) = (Instant::now(), AtomicBool::new(false));
    let (mut waits, mut made) = (vec![], 0);
    std::thread::scope(|scope| {
        let floods: Vec<_> = rings
            .iter()
            .map(|ring| {
                scope.spawn(|| {
                    let mut made = 0u64;
                    while !over.load(Relaxed) && begin.elapsed().as_secs() < 30 {
                        made += u64::from(ring.write(std::process::id(), b"no record"));
                    }
                    made
                })
            })
            .collect();
        for n in 0..20 {
            let asked = Instant::now();
            neighbour.open(&format!("/calm/{n}"), 3);
            state.wait("the neighbour's", |l| {
                of_type(l, "openat").last().is_some_and(|o| o["fd.name"] == *format!("/calm/{n}"))
            });
            waits.push(asked.elapsed());
        }
        over.store(true, Relaxed);
        made = floods.into_iter().map(|f| f.join().unwrap()).sum();
    });
    let seconds = begin.elapsed().as_secs() + 2;
    let status = pipeline.stop();
    waits.sort();
    eprintln!("{made} bad records in {seconds} s; the neighbour waited {:?}, at most {:?}", waits[10], waits[19]);
    let lines = state.lines();
    let drops: Vec<_> =
        of_type(&lines, "porthole.drop").into_iter().filter(|l| l["porthole.reason"] == "malformed").collect();
    let told: u64 = drops.iter().map(|l| l["porthole.count"].as_u64().unwrap()).sum();
    assert_eq!((told, status.records_lost["malformed"]), (made, made), "each is counted, and told");
    assert!(made > 10_000 && drops.len() as u64 <= seconds + 1, "{} events for {made} records", drops.len());
}

fn support_skip(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}
