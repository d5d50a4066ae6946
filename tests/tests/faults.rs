//! Bad input and faults, at the level of whole containers: a container starts as it would with plain runc, hostile ones
//! are bounded, and the host and other containers do not notice.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::program::{self, Outcome};
use porthole_tests::scratch::Scratch;
use porthole_tests::{attack, binaries, rootfs, suite, tests};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

struct Fixture {
    // kept: the root file system lies in it
    _scratch: Scratch,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let scratch = Scratch::new();
    let root = rootfs::of(&scratch);
    Fixture { _scratch: scratch, root }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            no_collector,
            stale_socket,
            no_library,
            state_directory_cannot_be_made,
            state_directory_is_full,
            dev_bound_from_the_host,
            no_tmpfs_at_dev,
            no_tmpfs_at_dev_and_a_read_only_root,
            malformed_specs,
            huge_spec,
            missing_bundle,
            container_that_fills_its_tmpfs,
            container_that_makes_ten_thousand_files,
            container_that_remounts_its_share,
            rings_that_are_none,
            hellos_that_are_none,
        ],
    )
}

const SCRIPT: &str = "cat /etc/secret; ls /dev | head -3 >/dev/null; exit 8";

impl Fixture {
    fn bundle(&self) -> Bundle {
        Bundle::new(&self.root, &["/bin/sh", "-c", SCRIPT])
    }

    fn shell(&self, script: &str) -> Bundle {
        Bundle::new(&self.root, &["/bin/sh", "-c", script])
    }

    /// A bystander's records still come.
    fn assert_others_are_seen(&self, collector: &Collector) {
        let other = self.bundle();
        let out = other.run(Some(&collector.state_dir()));
        assert_eq!((out.status, out.text().as_str()), (8, "secret"), "{out:?}");
        collector
            .wait_for("another container's records", |e| !e.of_container(&other.id).opens("/etc/secret").is_empty());
    }
}

/// The bundle under plain runc and under ours: the same.
fn same(bundle: &Bundle, state: &Path) -> Outcome {
    let plain = without_addresses(bundle.run(None));
    let ours = without_addresses(bundle.run(Some(state)));
    assert_eq!(plain, ours, "log: {}", bundle.log());
    ours
}

/// runc itself panics over some specs; the trace it prints then has addresses that differ from run to run.
fn without_addresses(mut out: Outcome) -> Outcome {
    if out.stderr.starts_with(b"panic:") {
        out.stderr.truncate(out.stderr.iter().position(|b| *b == b'\n').unwrap_or(0));
    }
    out
}

/// The lines of the runtime's log that are ours.
fn own_lines(bundle: &Bundle) -> Vec<String> {
    bundle.log().lines().filter(|l| l.contains("porthole")).map(str::to_owned).collect()
}

// -- something is missing ---------------------------------------------------------------------------------------------

fn no_collector(f: &Fixture) {
    let state = Scratch::new();
    let out = same(&f.bundle(), &state.join("s"));
    assert_eq!(out.status, 8, "{out:?}");
}

fn stale_socket(f: &Fixture) {
    let mut collector = Collector::start();
    let bundle = f.shell("sleep 1; cat /etc/secret; cat /etc/hostname; exit 8");
    bundle.start(&collector.state_dir());
    collector.kill();
    // the socket's file is there, nobody listens
    let out = bundle.exec(&collector.state_dir(), &[&bundle.id, "/t/probe", "/etc/secret"]);
    assert_eq!(out.status, 3, "{out:?}");
    collector.restart();
    collector.wait_for("records made meanwhile", |e| {
        let own = e.of_container(&bundle.id);
        own.opens("/etc/secret").len() == 2 && own.opens("/etc/hostname").len() == 1
    });
}

fn no_library(f: &Fixture) {
    // the wrapper alone in a directory, then with a library that is none
    for contents in [None, Some(&b"not a library"[..])] {
        let dir = Scratch::new();
        std::fs::copy(binaries::porthole_runc(), dir.join("porthole-runc")).expect("a copy");
        if let Some(contents) = contents {
            dir.file("libporthole.so", contents);
        }
        let bundle = f.bundle();
        let plain = bundle.run(None);
        let mut command = Command::new(dir.join("porthole-runc"));
        command.env("PORTHOLE_STATE_DIR", dir.join("s")).arg("--log").arg(bundle.log_file());
        command.args(["--log-format", "json", "run", "--bundle"]).arg(bundle.path()).arg(&bundle.id);
        let ours = program::run(&mut command);
        assert_eq!((plain.status, &plain), (8, &ours));
        assert_eq!(own_lines(&bundle).len(), 1, "one clear line in the log ({contents:?}): {}", bundle.log());
    }
}

fn state_directory_cannot_be_made(f: &Fixture) {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let bundle = f.bundle();
    same(&bundle, &file.join("below-a-file"));
    assert_eq!(own_lines(&bundle).len(), 1, "one clear line in the log: {}", bundle.log());
}

fn state_directory_is_full(f: &Fixture) {
    let scratch = Scratch::new();
    let full = scratch.dir("full");
    let mount = ["-t", "tmpfs", "-o", "size=16k,nr_inodes=8", "none"];
    program::run(Command::new("mount").args(mount).arg(&full)).ok("mount");
    for n in 0..8 {
        let _ = std::fs::write(full.join(format!("fill{n}")), [0; 8192]);
    }
    let bundle = f.bundle();
    let out = same(&bundle, &full.join("s"));
    assert_eq!(out.status, 8, "{out:?}");
    assert_eq!(own_lines(&bundle).len(), 1, "one clear line in the log: {}", bundle.log());
}

// -- /dev -------------------------------------------------------------------------------------------------------------

fn mounts(spec: &mut Value) -> &mut Vec<Value> {
    spec["mounts"].as_array_mut().expect("runc spec has mounts")
}

fn without_dev(spec: &mut Value) {
    mounts(spec).retain(|m| !m["destination"].as_str().unwrap_or_default().starts_with("/dev"));
}

fn entries(dir: &Path) -> Vec<String> {
    let found = std::fs::read_dir(dir).map(|d| d.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut names: Vec<String> = found.into_iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn dev_bound_from_the_host(f: &Fixture) {
    let collector = Collector::start();
    for mode in ["rw", "ro"] {
        // a directory that stands for the host's /dev: a mistake here must not be made on the real one
        let host = Scratch::new();
        let dev = host.dir("dev");
        for (node, minor) in [("null", "3"), ("zero", "5")] {
            program::run(Command::new("mknod").arg(dev.join(node)).args(["c", "1", minor])).ok("mknod");
        }
        let before = entries(&dev);
        let bundle = f.bundle().with(|spec| {
            without_dev(spec);
            mounts(spec)
                .push(json!({ "destination": "/dev", "type": "bind", "source": dev, "options": ["rbind", mode] }));
        });
        let out = same(&bundle, &collector.state_dir());
        assert_eq!(out.status, 8, "{out:?}");
        assert_eq!(entries(&dev), before, "a directory was left on a host path ({mode})");
        bundle.delete(Some(&collector.state_dir()));
        assert_eq!(entries(&dev), before, "a directory was left on a host path ({mode})");
    }
}

fn no_tmpfs_at_dev(f: &Fixture) {
    let collector = Collector::start();
    let bundle = f.bundle().with(without_dev);
    let out = same(&bundle, &collector.state_dir());
    assert_eq!(out.status, 8, "{out:?}");
    collector.wait_for("records from /.porthole, or a blind spot", |e| {
        let own = e.of_container(&bundle.id);
        !own.opens("/etc/secret").is_empty() || !own.filter(|e| e.kind() == "porthole.blindspot").is_empty()
    });
    bundle.delete(Some(&collector.state_dir()));
    assert!(!entries(&f.root).contains(&".porthole".to_owned()), "left in the root: {:?}", entries(&f.root));
}

fn no_tmpfs_at_dev_and_a_read_only_root(f: &Fixture) {
    let collector = Collector::start();
    let bundle = f.bundle().with(|spec| {
        without_dev(spec);
        spec["root"]["readonly"] = true.into();
    });
    let out = same(&bundle, &collector.state_dir());
    assert_eq!(out.status, 8, "{out:?}");
}

// -- the spec ---------------------------------------------------------------------------------------------------------

fn malformed_specs(f: &Fixture) {
    let state = Scratch::new();
    let good = f.bundle().spec.to_string();
    let cases: [Vec<u8>; 12] = [
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe".to_vec(),
        good.as_bytes()[..good.len() / 2].to_vec(),
        br#"{"ociVersion":"1.0.2","process":7,"root":{"path":"x"}}"#.to_vec(),
        br#"{"ociVersion":"1.0.2","process":{"args":"sh","cwd":"/"},"root":{"path":"x"}}"#.to_vec(),
        br#"{"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/","env":5},"root":{"path":"x"}}"#.to_vec(),
        good.replace("\"mounts\":[", "\"mounts\":[7,").into_bytes(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
    ];
    for text in cases {
        let bundle = f.bundle();
        std::fs::write(bundle.config(), &text).expect("an own file");
        let out = same(&bundle, &state.join("s"));
        assert_ne!(out.status, 0, "{:?}", String::from_utf8_lossy(&text[..text.len().min(80)]));
        // engines clean up after a create that failed
        bundle.delete(Some(&state.join("s")));
        let after = std::fs::read(bundle.config()).expect("config.json");
        assert!(after == text, "the spec was changed: {}", String::from_utf8_lossy(&after[..after.len().min(200)]));
    }
}

fn huge_spec(f: &Fixture) {
    let collector = Collector::start();
    let bundle = f.bundle().with(|spec| {
        let big: serde_json::Map<String, Value> =
            (0..500).map(|n| (format!("k{n}"), "x".repeat(40_000).into())).collect();
        spec["annotations"] = big.into();
    });
    let out = same(&bundle, &collector.state_dir());
    assert_eq!(out.status, 8, "{out:?}");
    f.assert_others_are_seen(&collector);
}

fn missing_bundle(f: &Fixture) {
    let state = Scratch::new();
    let bundle = f.bundle();
    std::fs::remove_file(bundle.config()).expect("it is there");
    let out = same(&bundle, &state.join("s"));
    assert_ne!(out.status, 0, "{out:?}");
    let mut command = bundle.runtime(Some(&state.join("s")));
    let gone = program::run(command.args(["run", "--bundle", "/no/such/bundle", &bundle.id]));
    let plain = program::run(bundle.runtime(None).args(["run", "--bundle", "/no/such/bundle", &bundle.id]));
    assert_eq!(plain, gone);
    assert!(entries(&state.join("s/containers")).is_empty(), "nothing is registered");
}

// -- hostile containers -----------------------------------------------------------------------------------------------

fn container_that_fills_its_tmpfs(f: &Fixture) {
    let collector = Collector::start();
    let script = "dd if=/dev/zero of=/dev/porthole/rings/fill bs=1M count=200 2>/dev/null; cat /etc/secret; \
                  for i in 1 2 3 4 5 6 7 8 9; do cat /etc/hostname; done; ls /etc >/dev/null; exit 8";
    let bundle = f.shell(script);
    let out = bundle.run(Some(&collector.state_dir()));
    assert_eq!(out.status, 8, "programs run on when there is no room for a ring: {out:?}");
    assert_eq!(out.text().lines().count(), 10, "{out:?}");
    f.assert_others_are_seen(&collector);
}

fn container_that_makes_ten_thousand_files(f: &Fixture) {
    let collector = Collector::start();
    let script = "cd /dev/porthole/rings; i=0; while [ $i -lt 10000 ]; do true >x-$i; i=$((i+1)); done 2>/dev/null; \
                  cat /etc/secret; exit 8";
    let bundle = f.shell(script);
    let out = bundle.run(Some(&collector.state_dir()));
    assert_eq!((out.status, out.text().as_str()), (8, "secret"), "{out:?}");
    f.assert_others_are_seen(&collector);
    assert!(attack::resident_kib(worker(&collector)) < 200 * 1024, "{} KiB", attack::resident_kib(worker(&collector)));
}

fn container_that_remounts_its_share(f: &Fixture) {
    let collector = Collector::start();
    let before = std::fs::read(binaries::agent()).expect("the agent");
    let script = "mount -o remount,rw,bind /dev/porthole || mount -o remount,rw /dev/porthole; \
                  head -c 100000 /dev/zero >/dev/porthole/libporthole.so; \
                  true >/dev/porthole/new-file; exec 3>/dev/null; exit 0";
    let bundle = f.shell(script).with(|spec| {
        for set in ["bounding", "effective", "permitted"] {
            let caps = spec["process"]["capabilities"][set].as_array_mut().expect("runc spec has capabilities");
            caps.push("CAP_SYS_ADMIN".into());
        }
    });
    let victim = f.shell("sleep 2; cat /etc/secret; exit 8");
    victim.start(&collector.state_dir());
    bundle.run(Some(&collector.state_dir()));
    assert!(std::fs::read(binaries::agent()).expect("the agent") == before, "the host's library was changed");
    let theirs = collector.container_dir(&victim.id).library();
    assert!(std::fs::read(theirs).expect("the copy").len() == before.len(), "another container's copy was changed");
    collector.wait_for("the victim's records", |e| !e.of_container(&victim.id).opens("/etc/secret").is_empty());
    f.assert_others_are_seen(&collector);
}

fn refused(collector: &Collector) -> u64 {
    let status = collector.status();
    status["refused"].as_object().map_or(0, |m| m.values().filter_map(Value::as_u64).sum())
}

fn rings_that_are_none(f: &Fixture) {
    let mut collector = Collector::start();
    let bundle = f.shell("sleep 60");
    bundle.start(&collector.state_dir());
    collector.wait_for("it is registered", |e| !e.of_container(&bundle.id).is_empty());
    attack::run(
        &collector,
        &bundle.id,
        "import os,struct\n\
         os.chdir(os.environ['RINGS'])\n\
         os.symlink('/etc/passwd','link'); os.symlink('/dev/zero','zero'); os.symlink('link2','link2')\n\
         os.mkfifo('fifo'); os.mkdir('dir')\n\
         def ring(name, head, size=69632, magic=b'porthole', length=65536, hello=0):\n\
         \x20   b=bytearray(size); b[0:8]=magic; struct.pack_into('<III',b,8,1,length,hello)\n\
         \x20   struct.pack_into('<Q',b,64,head); open(name,'wb').write(b)\n\
         ring('a-huge-head', 2**64-1); ring('b-no-magic', 5, magic=b'PORTHOLE'); ring('c-length', 9, length=2**32-1)\n\
         ring('d-hello', 3<<32|100, hello=2**32-1); ring('e-backwards', 1<<63)\n\
         ring('f-garbage', 7<<32|600)\n\
         f=open('f-garbage','r+b'); f.seek(4096); f.write(os.urandom(65536)); f.close()\n\
         open('g-short','wb').write(b'porthole'); open('h-empty','wb'); open('i'*200,'wb').write(b'x')\n\
         ring('j-truncated', 7<<32|600); os.truncate('j-truncated', 5000)\n\
         ring('k-cut', 7<<32|600)\n\
         for n in range(300): os.truncate('k-cut', [0,100,4096,5000,69632][n%5])\n",
    );
    f.assert_others_are_seen(&collector);
    assert!(collector.alive());
    let events = collector.events().of_container(&bundle.id);
    assert!(!events.0.iter().any(|e| e.0.to_string().contains("root:x:0")), "a link was followed");
}

fn hellos_that_are_none(f: &Fixture) {
    let mut collector = Collector::start();
    let bundle = f.shell("sleep 60");
    bundle.start(&collector.state_dir());
    collector.wait_for("it is registered", |e| !e.of_container(&bundle.id).is_empty());
    let before = refused(&collector);
    attack::run(
        &collector,
        &bundle.id,
        "import os,socket\n\
         os.chdir(os.path.dirname(os.environ['SOCK'])) # an address holds 108 bytes\n\
         probe=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); probe.connect('sock'); probe.close()\n\
         def send(data, wait=False):\n\
         \x20   s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.setblocking(False)\n\
         \x20   try:\n\
         \x20       s.connect('sock')\n\
         \x20       if data is not None: s.send(data)\n\
         \x20   except OSError: pass\n\
         \x20   return s\n\
         for d in [b'', b'\\x00', b'\\xff'*100, os.urandom(4000), b'\\x96'+b'\\xc1'*50, b'\\xdd\\xff\\xff\\xff\\xff', b'x'*100000,\n\
         \x20         b'\\xdc\\x00\\x16\\x01\\x01\\xc4\\x10../../etc/passwd' + b'\\x00'*40]: send(d).close()\n\
         kept=[]\n\
         for n in range(10000):\n\
         \x20   s=send(None if n%2 else os.urandom(60))\n\
         \x20   if n%20==0: kept.append(s)\n\
         \x20   else: s.close()\n",
    );
    f.assert_others_are_seen(&collector);
    assert!(collector.alive());
    assert!(refused(&collector) > before, "refusals are counted: {}", collector.status());
    assert!(attack::resident_kib(worker(&collector)) < 200 * 1024, "{} KiB", attack::resident_kib(worker(&collector)));
    let open = entries(Path::new(&format!("/proc/{}/fd", worker(&collector)))).len();
    assert!(open < 1000, "{open} descriptors");
}

fn worker(collector: &Collector) -> i32 {
    collector.worker().expect("a collector has a worker")
}
