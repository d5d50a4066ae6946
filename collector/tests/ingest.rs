//! From a ring file to JSON lines: identity, order, losses, restarts. Each test has a collector of its own.

mod support;

use porthole_collector::pipeline::{self, Options, Without};
use porthole_common::limits::HELLO_ARGV;
use porthole_common::record::{Args, Call, Chdir, Connect, Exec, ExecFailed, Exit, Hello, Injection, Target};
use porthole_common::ring::producer::reserve;
use std::fs;
use std::time::{Duration, Instant};
use support::{Line, Registered, Ring, State, encoded, hello, of_type};

fn me() -> u32 {
    std::process::id()
}

/// A container whose one process (this one) has announced itself.
fn session(state: &State, id: &str) -> (Registered, Ring) {
    let c = state.register(id);
    c.listening();
    let ring = c.ring("r-1");
    c.send(&ring.hello);
    (c, ring)
}

fn exec_record(path: &str, target: Target) -> Vec<u8> {
    exec_with(path, target, &["prog", "arg"])
}

fn exec_with(path: &str, target: Target, argv: &[&str]) -> Vec<u8> {
    let exec = Exec {
        call: Call::Execve,
        child: 0,
        dirfd: -100,
        at_flags: 0,
        res: 0,
        target: target as u8,
        injection: Injection::Kept as u8,
        path: path.as_bytes(),
        argc: argv.len() as u32,
        argv: Args::EMPTY,
    };
    encoded(|w| exec.encode(w, argv.len() as u16, argv.iter().map(|a| a.as_bytes())))
}

#[test]
fn records_become_events_with_a_verified_identity() {
    let state = State::new();
    let pipeline = state.start();
    let id = "0123456789abcdef0123456789abcdef";
    let (_c, ring) = session(&state, id);
    assert!(ring.open("/etc/passwd", 3));
    let addr = [&(libc::AF_INET as u16).to_ne_bytes()[..], &[0, 80, 127, 0, 0, 1]].concat();
    assert!(ring.write(me(), &encoded(|w| Connect { res: 0, fd: 4, addr: &addr, local: &[] }.encode(w))));
    let chdir = Chdir { call: Call::Chdir, res: 0, fd: -1, path: b"/tmp", cwd: b"/tmp" };
    assert!(ring.write(me(), &encoded(|w| chdir.encode(w))));
    assert!(ring.open("../x", -libc::ENOENT));
    let lines = state.wait("four records", |l| of_type(l, "openat").len() == 2);
    let (status, containers) = (pipeline.status(), pipeline.containers());
    pipeline.stop();

    let order: Vec<&str> = lines.iter().map(|l| l["evt.type"].as_str().unwrap()).collect();
    assert_eq!(order, ["container.create", "container.start", "execve", "openat", "connect", "chdir", "openat"]);
    let execve = &lines[2];
    assert_eq!(execve["porthole.source"], "runtime");
    for line in &lines[2..] {
        assert_eq!(line["porthole.identity"], "verified", "{line:?}");
        assert_eq!(line["container.id"], "0123456789ab");
        assert_eq!(line["container.full_id"], id);
        assert_eq!(line["container.image.repository"], "localhost/img");
        assert_eq!(line["proc.pid"], me());
        for ns in ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"] {
            assert!(line[&format!("ns.{ns}")].as_u64().unwrap() > 0);
        }
    }
    let passwd = &lines[3];
    assert_eq!((&passwd["fd.name"], &passwd["fd.num"]), (&"/etc/passwd".into(), &3.into()));
    assert_eq!((&passwd["evt.res"], &passwd["evt.rawres"]), (&"SUCCESS".into(), &3.into()));
    assert_eq!(passwd["evt.arg.flags"], "O_RDONLY|O_CLOEXEC");
    assert_eq!((&lines[4]["fd.name"], &lines[4]["fd.rport"]), (&"->127.0.0.1:80".into(), &80.into()));
    let relative = &lines[6];
    assert_eq!((&relative["fd.name"], &relative["fd.nameraw"]), (&"/x".into(), &"../x".into()));
    assert_eq!((&relative["evt.res"], &relative["proc.cwd"]), (&"ENOENT".into(), &"/tmp/".into()));
    let seqs: Vec<u64> = lines.iter().filter_map(|l| l.get("porthole.seq")?.as_u64()).collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
    assert_eq!((status.records_received, status.lost()), (4, 0));
    assert_eq!((containers[0].files, containers[0].connections, containers[0].execs), (1, 1, 1));
}

#[test]
fn each_kernel_feature_has_a_fallback() {
    let all = Without { peerpidfd: true, pidfd: true, exitinfo: true };
    for without in [Without { peerpidfd: true, ..Default::default() }, all] {
        let state = State::new();
        let pipeline = state.start_without(without);
        let (_c, ring) = session(&state, "fallback");
        ring.open("/x", 3);
        let lines = state.wait("an open", |l| !of_type(l, "openat").is_empty());
        assert_eq!(of_type(&lines, "openat")[0]["porthole.identity"], "verified");
        pipeline.stop();
    }
}

#[test]
fn a_ring_without_hello_is_found_and_its_process_is_a_claim() {
    let state = State::new();
    let early = state.register("early");
    let before = early.ring("before");
    before.open("/before", 3);
    let pipeline = state.start();
    early.listening();
    let after = early.ring("after");
    after.open("/after", 3);
    let lines = state.wait("both", |l| of_type(l, "openat").len() == 2);
    for line in of_type(&lines, "openat") {
        assert_eq!((&line["porthole.identity"], line.get("proc.pid")), (&"inherited".into(), None));
        assert_eq!((&line["proc.vpid"], &line["container.id"]), (&me().into(), &"early".into()));
        assert_eq!(line["proc.cwd"], "/work/");
    }
    pipeline.stop();
}

#[test]
fn an_exec_is_told_when_its_outcome_is_known() {
    let state = State::new();
    let pipeline = state.start();
    let (_c, ring) = session(&state, "execs");
    let failed = |exec| encoded(|w| ExecFailed { call: Call::Execve, errno: 2, exec }.encode(w));
    assert!(ring.write(me(), &exec_record("/no/such", Target::Unknown)) && ring.write(me(), &failed(0)));
    assert!(ring.write(me(), &exec_record("/opt/go-server", Target::Static)));
    let lines = state.wait("a blind spot", |l| !of_type(l, "porthole.blindspot").is_empty());
    pipeline.stop();
    let execs = of_type(&lines, "execve");
    assert_eq!(execs.len(), 3, "the start, the failure, the success");
    assert_eq!((&execs[1]["evt.res"], &execs[1]["porthole.seq"]), (&"ENOENT".into(), &0.into()));
    assert_eq!(execs[1]["proc.exe"], "agent", "a failed exec leaves the old program");
    assert_eq!((&execs[2]["evt.res"], &execs[2]["porthole.seq"]), (&"SUCCESS".into(), &2.into()));
    assert_eq!((&execs[2]["proc.name"], &execs[2]["proc.args"]), (&"go-server".into(), &"arg".into()));
    assert_eq!(of_type(&lines, "porthole.blindspot")[0]["porthole.reason"], "static");
}

#[test]
fn an_exec_is_confirmed_by_the_hello_of_the_new_program() {
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "confirmed");
    assert!(ring.write(me(), &exec_record("/bin/next", Target::Dynamic)));
    let next = c.ring("r-2");
    c.send(&next.hello);
    next.open("/of-next", 3);
    let lines = state.wait("the new program's open", |l| !of_type(l, "openat").is_empty());
    pipeline.stop();
    let execs = of_type(&lines, "execve");
    assert_eq!(execs.len(), 2);
    assert_eq!((&execs[1]["porthole.seq"], &execs[1]["porthole.identity"]), (&0.into(), &"verified".into()));
    assert_eq!(execs[1]["evt.arg.filename"], "/bin/next");
    assert!(of_type(&lines, "porthole.blindspot").is_empty());
}

#[test]
fn an_exec_whose_record_comes_late_is_told_once() {
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "late-record");
    let succeeded = |l: &[Line]| of_type(l, "execve").iter().filter(|l| l["evt.res"] == "SUCCESS").count();
    state.wait("the entry", |l| succeeded(l) == 1);
    let long = "x".repeat(HELLO_ARGV);
    for (n, name) in ["r-2", "r-3"].into_iter().enumerate() {
        let called = support::now_ns();
        // the second program has more arguments than its hello has room for
        let more = |h: &mut Hello| (h.argc, h.execfn) = (2 + n as u32, if n == 0 { h.execfn } else { b"../given" });
        let next = Ring::make(&c.dir.rings(), name, &hello(name, more));
        c.send(&next.hello);
        state.wait("it is not waited for longer", |l| succeeded(l) == 2 + n);
        let failed = ExecFailed { call: Call::Execve, errno: 2, exec: 3 * n as u32 };
        let (failed, tried) = (encoded(|w| failed.encode(w)), exec_record("/no/such", Target::Unknown));
        let record = exec_with("/bin/next", Target::Static, &["agent", "-x", &long]);
        ring.write_together(called, me(), &[&tried, &failed, &record]);
    }
    ring.open("/last", 3);
    state.wait("the last", |l| !of_type(l, "openat").is_empty());
    let (lines, status) = (state.lines(), pipeline.stop());
    let all = state.lines();
    assert_eq!(all.len(), lines.len(), "nothing was waiting: {all:#?}");
    assert_eq!(succeeded(&lines), 3, "the entry and two programs: {lines:#?}");
    assert_eq!(of_type(&lines, "execve").len(), 5, "and two failures");
    assert!(of_type(&lines, "porthole.blindspot").is_empty(), "both programs have said hello");
    let given =
        of_type(&lines, "execve").into_iter().find(|l| l.get("evt.rawarg.filename") == Some(&"../given".into()));
    assert_eq!(given.map(|l| &l["evt.arg.filename"]), Some(&"/given".into()), "as its exec has named it: {lines:#?}");
    let more = of_type(&lines, "porthole.arguments");
    assert_eq!(more.len(), 1, "only what the hello had no room for");
    assert_eq!((&more[0]["evt.arg.args"], &more[0]["porthole.seq"]), (&format!("-x {long}").into(), &5.into()));
    assert_eq!((status.records_received, status.lost()), (7, 0));
}

#[test]
fn a_hello_that_comes_after_its_program_was_given_up_is_no_other_program() {
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "stalled");
    assert!(ring.write(me(), &exec_record("/bin/next", Target::Dynamic)));
    let blind = |l: &[Line]| of_type(l, "porthole.blindspot").len();
    let lines = state.wait("it is called a blind spot", |l| blind(l) == 1);
    assert_eq!(of_type(&lines, "porthole.blindspot")[0]["porthole.reason"], "no_hello");
    let next = c.ring("r-2");
    c.send(&next.hello);
    next.open("/of-next", 3);
    let lines = state.wait("the new program's open", |l| !of_type(l, "openat").is_empty());
    assert_eq!(of_type(&lines, "execve").len(), 2, "the entry and one program: {lines:#?}");
    pipeline.stop();
}

#[test]
fn an_exec_that_fails_starts_no_program_however_its_ring_is_read() {
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "tries");
    let succeeded = |l: &[Line]| of_type(l, "execve").iter().filter(|l| l["evt.res"] == "SUCCESS").count();
    state.wait("the entry", |l| succeeded(l) == 1);
    // The second program's records wait for the record of its exec; meanwhile it tries one file and executes another.
    let called = support::now_ns();
    let second = c.ring("r-2");
    c.send(&second.hello);
    assert!(second.write(me(), &exec_record("/no/such", Target::Unknown)));
    std::thread::sleep(Duration::from_millis(5)); // read by a look of its own
    let failed = ExecFailed { call: Call::Execve, errno: 2, exec: 0 };
    assert!(second.write(me(), &encoded(|w| failed.encode(w))));
    assert!(second.write(me(), &exec_record("/bin/third", Target::Dynamic)));
    let third = c.ring("r-3");
    c.send(&third.hello);
    std::thread::sleep(Duration::from_millis(5));
    ring.write_together(called, me(), &[&exec_record("/bin/second", Target::Dynamic)]);
    third.open("/of-third", 3);
    state.wait("the third program's open", |l| !of_type(l, "openat").is_empty());
    pipeline.stop();
    let lines = state.lines();
    assert_eq!(succeeded(&lines), 3, "{lines:#?}");
    let tried: Vec<_> = of_type(&lines, "execve").into_iter().filter(|l| l["evt.arg.filename"] == "/no/such").collect();
    assert_eq!(tried.len(), 1);
    assert_eq!(tried[0]["evt.res"], "ENOENT");
}

#[test]
fn every_record_is_received_or_lost_with_a_reason() {
    let state = State::new();
    let c = state.register("lossy");
    let ring = c.ring("full");
    let mut made = 0;
    while ring.open("/some/file", 3) {
        made += 1;
    }
    for _ in 0..4 {
        assert!(!ring.open("/dropped", 3));
    }
    let pipeline = state.start();
    state.wait("the drop", |l| !of_type(l, "porthole.drop").is_empty());
    assert!(ring.write(me(), b"\x93\xcc\x63no record"));
    assert!(reserve(&ring, 40, false).is_ok(), "reserved, never committed");
    ring.open("/last", 3);
    let lines = state.wait("the last", |l| of_type(l, "openat").iter().any(|o| o["fd.name"] == "/last"));
    let status = pipeline.stop();
    let head = porthole_common::ring::Head::unpack(porthole_common::ring::producer::Shared::head(&ring));
    let lost = |reason: &str| status.records_lost.get(reason).copied().unwrap_or(0);
    assert_eq!(status.records_received, made + 1);
    assert_eq!((lost("ring_full"), lost("malformed"), lost("writer_died")), (5, 1, 1));
    assert_eq!(status.records_received + status.lost(), u64::from(head.sequence));
    let told: Vec<(&str, u64)> = of_type(&lines, "porthole.drop")
        .iter()
        .map(|l| (l["porthole.reason"].as_str().unwrap(), l["porthole.count"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("ring_full", 5), ("malformed", 1), ("writer_died", 1)]);
}

#[test]
fn a_collector_that_starts_again_goes_on_where_the_other_ended() {
    let state = State::new();
    let pipeline = state.start();
    let (_c, ring) = session(&state, "again");
    for n in 0..100 {
        ring.write_patiently(me(), &support::open_record(&format!("/a/{n}"), 3));
    }
    state.wait("100", |l| of_type(l, "openat").len() == 100);
    let chdir = Chdir { call: Call::Chdir, res: 0, fd: -1, path: b"/deep", cwd: b"/deep" };
    ring.write(me(), &encoded(|w| chdir.encode(w)));
    pipeline.stop();

    for n in 100..150 {
        assert!(ring.open(&format!("b/{n}"), 3));
    }
    let pipeline = state.start();
    let lines = state.wait("150", |l| of_type(l, "openat").len() >= 150);
    pipeline.stop();
    let seqs: Vec<u64> = lines.iter().filter_map(|l| l.get("porthole.seq")?.as_u64()).collect();
    assert_eq!(seqs, (0..=150).collect::<Vec<_>>());
    assert_eq!(of_type(&lines, "container.start").len(), 1);
    assert_eq!(of_type(&lines, "execve").len(), 1);
    let last = lines.last().unwrap();
    assert_eq!((&last["fd.name"], &last["porthole.identity"]), (&"/deep/b/149".into(), &"verified".into()));
    assert_eq!(last["proc.pid"], me());
}

#[test]
fn a_deleted_container_is_drained_told_and_removed() {
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "gone");
    ring.open("/last", 3);
    let exit = Exit { call: Call::Exit, status: 3 };
    ring.write(me(), &encoded(|w| exit.encode(w)));
    drop(ring);
    fs::write(c.dir.deleted(), "").unwrap();
    let lines = state.wait("the stop", |l| !of_type(l, "container.stop").is_empty());
    assert_eq!(of_type(&lines, "openat").len(), 1);
    assert_eq!(lines.last().unwrap()["evt.type"], "container.stop");
    let deadline = Instant::now() + Duration::from_secs(5);
    while c.dir.root().exists() {
        assert!(Instant::now() < deadline, "the directory stays");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(pipeline.containers()[0].state, "deleted");
    assert_eq!(pipeline.stop().containers_deleted, 1);
}

#[test]
fn one_collector_serves_a_state_directory() {
    let state = State::new();
    let first = state.start();
    let options = || Options { state_dir: state.path.clone(), sinks: vec![], hub: None, without: Without::default() };
    let refused = pipeline::start(options()).err().unwrap().to_string();
    assert!(refused.contains("another collector"), "{refused}");
    first.stop();
    pipeline::start(options()).unwrap().stop();
}

#[test]
fn a_hello_that_comes_late_tells_who_it_was() {
    let state = State::new();
    let pipeline = state.start();
    let c = state.register("late");
    c.listening();
    let ring = Ring::make(&c.dir.rings(), "r", &hello("r", |_| {}));
    ring.open("/claimed", 3);
    state.wait("the first", |l| of_type(l, "openat").len() == 1);
    c.send(&ring.hello);
    std::thread::sleep(Duration::from_millis(100));
    ring.open("/verified", 3);
    let lines = state.wait("the second", |l| of_type(l, "openat").len() == 2);
    pipeline.stop();
    let grades: Vec<&serde_json::Value> = of_type(&lines, "openat").iter().map(|l| &l["porthole.identity"]).collect();
    assert_eq!(grades, ["inherited", "verified"]);
}

#[test]
fn what_records_cost_is_told_by_samples_and_nonsense_is_left_out() {
    use porthole_common::ring::{COST_OFFSET, SAMPLES_OFFSET};
    use std::os::unix::fs::FileExt;
    let state = State::new();
    let pipeline = state.start();
    let (_c, ring) = session(&state, "0123456789abcdef0123456789abcdef");
    let put = |cost: u64, samples: u64| {
        ring.file.write_all_at(&cost.to_le_bytes(), COST_OFFSET as u64).unwrap();
        ring.file.write_all_at(&samples.to_le_bytes(), SAMPLES_OFFSET as u64).unwrap();
    };
    let opens = |n: usize| state.wait("opens", |l| of_type(l, "openat").len() == n);
    put(900, 3);
    assert!(ring.open("/a", 3));
    opens(1);
    let told = |what: &str| {
        let c = &pipeline.containers()[0];
        assert_eq!((c.record_ns, c.record_samples), (300, 3), "{what}");
    };
    told("three samples of 300 ns");
    for (n, (cost, samples)) in [(u64::MAX, 4), (901, u64::MAX), (0, 0)].into_iter().enumerate() {
        put(cost, samples);
        assert!(ring.open("/b", 3));
        opens(n + 2);
        told("nonsense");
    }
    assert_eq!(pipeline.status().record_ns, 300);
    pipeline.stop();
}

#[test]
fn secrets_in_arguments_reach_neither_events_nor_saved_state() {
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "0123456789abcdef0123456789abcdef");
    let exec = Exec {
        call: Call::Execve,
        child: 0,
        dirfd: -100,
        at_flags: 0,
        res: 0,
        target: Target::Static as u8,
        injection: Injection::Kept as u8,
        path: b"/usr/bin/psql",
        argc: 4,
        argv: Args::EMPTY,
    };
    let argv = [&b"psql"[..], b"--password", b"hunter2", b"postgres://app:hunter2@db/x"];
    assert!(ring.write(me(), &encoded(|w| exec.encode(w, 4, argv.into_iter()))));
    let of_psql = |l: &&support::Line| l["evt.arg.exe"] == "psql";
    let lines = state.wait("the exec", |l| of_type(l, "execve").iter().any(of_psql));
    let args = of_type(&lines, "execve").into_iter().find(|l| of_psql(l)).map(|l| &l["evt.arg.args"]);
    assert_eq!(args.and_then(|a| a.as_str()), Some("--password *** postgres://app:***@db/x"));
    std::thread::sleep(Duration::from_millis(300)); // a ring of this age has its position saved
    pipeline.stop();
    let grep = std::process::Command::new("grep").args(["-rl", "--exclude=r-1", "hunter2"]).arg(&state.path).output();
    let found = grep.expect("grep runs").stdout;
    assert!(found.is_empty(), "{}", String::from_utf8_lossy(&found));
    drop(c);
}

#[test]
fn a_position_is_kept_before_writers_may_overwrite_what_was_read() {
    use porthole_common::ring::TAIL_OFFSET;
    use std::os::unix::fs::FileExt;
    let state = State::new();
    let pipeline = state.start();
    let (c, ring) = session(&state, "0123456789abcdef0123456789abcdef");
    // an eighth of the smallest ring is released; a file for its own sake comes later
    for n in 0..40 {
        assert!(ring.open(&format!("/etc/file-{n}"), 3));
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut tail = [0u8; 4];
    while tail == [0; 4] {
        assert!(Instant::now() < deadline, "nothing was released");
        ring.file.read_exact_at(&mut tail, TAIL_OFFSET as u64).unwrap();
    }
    assert!(c.dir.root().join("positions/r-1").exists());
    pipeline.stop();
}
