//! Modes and owners of everything that porthole makes: nothing is writable for all but the agent's socket and the sticky
//! directory of the rings, nothing that tells of a container can be read by others, whatever the caller's umask is.

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chown};
use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::program::{self, Outcome, Running};
use porthole_tests::scratch::Scratch;
use porthole_tests::{binaries, rootfs, suite, tests, wait};
use serde_json::{Value, json};
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

struct Fixture {
    scratch: Scratch,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let scratch = Scratch::new();
    let root = rootfs::of(&scratch);
    Fixture { scratch, root }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            whatever_the_umask_every_file_has_its_mode_and_owner,
            a_command_on_the_host_leaves_its_files_to_its_user,
            a_container_can_write_its_rings_and_nothing_else,
            no_user_of_the_host_reaches_a_containers_share,
            the_root_of_a_user_namespace_reaches_its_share,
            the_loaders_list_can_only_be_read,
            a_state_directory_of_somebody_else_is_refused,
            a_containers_directory_of_somebody_else_is_refused,
            the_selinux_module_compiles,
            the_apparmor_abstraction_is_parsed,
        ],
    )
}

/// A user of the host without any rights, and one of the container.
const NOBODY: u32 = 65_534;
const APP: u32 = 1000;

impl Fixture {
    fn sleeping(&self) -> Bundle {
        Bundle::new(&self.root, &["/bin/sleep", "1000"])
    }
}

/// Sets the umask until it is dropped.
struct Umask(Mode);

impl Umask {
    fn set(mask: u32) -> Umask {
        Umask(umask(Mode::from_bits_truncate(mask)))
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        umask(self.0);
    }
}

/// Kind and mode as `ls` tells them: `d0711`, `-0600`, `s0666`, `l`.
fn shown(meta: &Metadata) -> String {
    let kind = meta.file_type();
    let letter = match () {
        () if kind.is_symlink() => return "l".into(), // has no mode
        () if kind.is_dir() => 'd',
        () if kind.is_socket() => 's',
        () if kind.is_file() => '-',
        () => '?',
    };
    format!("{letter}{:04o}", meta.mode() & 0o7777)
}

/// What each file below a state directory is to be; `None`: nobody has described it. `walk` is the mode of a
/// container's directory.
fn described(path: &[&str], walk: &'static str) -> Option<&'static str> {
    Some(match path {
        [] => "d0711",
        ["collector.lock" | "worker.lock" | "alerts" | "alerts.1"] => "-0600",
        ["api.sock"] => "s0660",
        ["sites"] => "d0700",
        ["sites", _] => "-0600",
        ["containers"] => "d0711",
        ["containers", _] => walk,
        ["containers", _, "container.json" | "config.original" | "config.written" | "started" | "deleted" | "owed"] => {
            "-0600"
        }
        ["containers", _, "execs" | "positions"] => "d0700",
        ["containers", _, "execs" | "positions", _] => "-0600",
        ["containers", _, "share"] | ["containers", _, "share", "mnt"] => "d0755",
        ["containers", _, "share", "mnt", "libporthole.so"] => "-0755",
        ["containers", _, "share", "mnt", "ld.so.preload"] => "-0644",
        ["containers", _, "share", "mnt", "sock"] => "s0666",
        ["containers", "host", "share", "mnt", "rings"] => "l",
        ["containers", _, "share", "mnt", "rings"] => "d0755",
        ["containers", _, "share", "rings"] => "d1777",
        ["containers", _, "share", "rings", _] => "-0600",
        _ => return None,
    })
}

/// Everything at and below a path, with its names from there.
fn walk(top: &Path) -> Vec<(PathBuf, Metadata)> {
    let mut found = vec![];
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        // what has gone meanwhile needs no mode
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
        found.push((path, meta));
    }
    found
}

/// Checks every file of a state directory of this user; rings belong to one of the `writers`. Returns the files' names.
fn check(state: &Path, walk_mode: &'static str, writers: &[u32]) -> Vec<String> {
    let mut names = vec![];
    for (path, meta) in walk(state) {
        let below = path.strip_prefix(state).expect("below it");
        let parts: Vec<&str> = below.iter().map(|p| p.to_str().expect("plain names")).collect();
        let wanted = described(&parts, walk_mode)
            .unwrap_or_else(|| panic!("{} ({}) is described nowhere", path.display(), shown(&meta)));
        assert_eq!(shown(&meta), wanted, "{}", path.display());
        let ring = matches!(parts[..], ["containers", _, "share", "rings", _]);
        let owners: &[u32] = if ring { writers } else { &[0] };
        assert!(owners.contains(&meta.uid()), "{} belongs to user {}", path.display(), meta.uid());
        names.extend(parts.last().map(|name| (*name).to_owned()));
    }
    names
}

fn whatever_the_umask_every_file_has_its_mode_and_owner(f: &Fixture) {
    for mask in [0o000, 0o022, 0o077] {
        let mut collector = Collector::stopped();
        let bundle = f.sleeping();
        let kept = fs::metadata(bundle.config()).expect("an own file").mode();
        {
            let _umask = Umask::set(mask);
            collector.restart();
            bundle.start(&collector.state_dir());
            exec_and_leave(&bundle, &collector.state_dir(), APP);
        }
        let dir = collector.container_dir(&bundle.id);
        wait::until_true("rings and positions of both processes", || {
            let positions = walk(&dir.root().join("positions"));
            walk(&dir.rings()).iter().any(|(_, meta)| meta.uid() == APP) && positions.len() > 2
        });
        let names = check(&collector.state_dir(), "d0700", &[0, APP]);
        for name in ["collector.lock", "api.sock", "sites", "container.json", "config.original", "started", "sock"] {
            assert!(names.iter().any(|n| n == name), "umask {mask:03o}: no {name} among {names:?}");
        }
        let events = fs::metadata(collector.events_file()).expect("events are written").mode() & 0o7777;
        assert_eq!(events, 0o640 & !mask, "umask {mask:03o}: the events' file");
        assert_eq!(fs::metadata(bundle.config()).expect("it stays").mode(), kept, "the bundle's config.json");
    }
}

/// A process more in the container, as engines add them.
fn exec_and_leave(bundle: &Bundle, state: &Path, user: u32) {
    let mut command = bundle.runtime(Some(state));
    command.args(["exec", "--detach", "--user", &user.to_string(), &bundle.id, "/bin/sleep", "1000"]);
    // it keeps its output: a pipe would be waited for
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("porthole-runc runs").success(), "{}", bundle.log());
}

fn a_command_on_the_host_leaves_its_files_to_its_user(_: &Fixture) {
    for mask in [0o000, 0o077] {
        let scratch = Scratch::new();
        let (base, events) = (scratch.join("base"), scratch.join("events"));
        let mut command = Command::new(binaries::porthole());
        command.args(["run", "--state-dir"]).arg(&base).arg("--events").arg(&events);
        command.args(["--", "/bin/sleep", "1000"]).stderr(Stdio::null());
        let _running = {
            let _umask = Umask::set(mask);
            Running::start(&mut command)
        };
        let place = wait::until("the run's directory", std::time::Duration::from_secs(30), || {
            let place = fs::read_dir(&base).ok()?.flatten().next()?.path();
            walk(&place).iter().any(|(path, _)| path.ends_with("share/mnt/sock")).then_some(place)
        });
        // the socket gets its mode just after it is made
        wait::until_true("a ring, and the socket's mode", || {
            let all = walk(&place);
            let sock = all.iter().any(|(path, meta)| path.ends_with("sock") && meta.mode() & 0o777 == 0o666);
            sock && walk(&place.join("containers/host/share/rings")).len() > 2
        });
        check(&place, "d0711", &[0]);
        assert_eq!(shown(&fs::metadata(&base).expect("it is there")), "d0711");
        assert_eq!(fs::metadata(&events).expect("it is there").mode() & 0o7777, 0o640 & !mask);
    }
}

fn a_container_can_write_its_rings_and_nothing_else(f: &Fixture) {
    let collector = Collector::start();
    let bundle = f.sleeping();
    bundle.start(&collector.state_dir());
    let inside = |user: &str, script: &str| {
        let args = ["--user", user, &bundle.id, "/bin/sh", "-c", script];
        bundle.exec(&collector.state_dir(), &args)
    };
    let mounts = inside("0", "cat /proc/self/mountinfo").text();
    let options = |at: &str| {
        let line = mounts.lines().find(|l| l.split(' ').nth(4) == Some(at)).unwrap_or_else(|| panic!("{at}: {mounts}"));
        line.split(' ').nth(5).unwrap_or_default().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    for (at, wanted) in [
        ("/dev/porthole", ["ro", "nosuid", "nodev"].as_slice()),
        ("/dev/porthole/rings", &["rw", "nosuid", "nodev", "noexec"]),
    ] {
        let options = options(at);
        assert!(wanted.iter().all(|w| options.iter().any(|o| o == w)), "{at}: {options:?}");
    }
    for (user, script) in [
        ("0", "echo x >/dev/porthole/new"),
        ("0", "echo x >>/dev/porthole/libporthole.so"),
        ("0", "mkdir /dev/porthole/d"),
        // other users of the container: no look into root's rings, and no way to take them away
        ("1000", "cat /dev/porthole/rings/overflow"),
        ("1000", "for r in /dev/porthole/rings/*-*; do [ -O $r ] || { cat $r; exit; }; done"),
        ("1000", ": >/dev/porthole/rings/overflow"),
    ] {
        let out = inside(user, script);
        assert!(out.status != 0 && !out.errors().is_empty(), "user {user}: {script}: {out:?}");
    }
    // nothing of the registration is in sight
    let seen = inside("0", "ls -a /dev/porthole").text();
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, [".", "..", "libporthole.so", "rings", "sock"]);
}

/// A shell of a user of the host who has no rights.
fn as_nobody(script: &str) -> Outcome {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    program::run(command.args(["sh", "-c", script]))
}

fn no_user_of_the_host_reaches_a_containers_share(f: &Fixture) {
    let collector = Collector::start();
    let bundle = f.sleeping();
    bundle.start(&collector.state_dir());
    let (state, dir) = (collector.state_dir(), collector.container_dir(&bundle.id));
    wait::until_true("the socket", || dir.socket().exists());
    // from its directory: the whole path is too long for an address
    let connect = |dir: &Path, kind: &str, name: &str| {
        let (dir, address) = (dir.display(), format!("s.socket(s.AF_UNIX, s.{kind}).connect('{name}')"));
        format!("python3 -c \"import os, socket as s; os.chdir('{dir}'); {address}\"")
    };
    let packets = connect(&dir.mnt(), "SOCK_SEQPACKET", "sock");
    let api = connect(&state, "SOCK_STREAM", "api.sock");
    // shown to be the way in for who may
    for script in [&packets, &api] {
        program::run(Command::new("sh").args(["-c", script])).ok("root connects");
    }
    for script in [
        format!("ls {}", state.display()),
        format!("ls {}", state.join("containers").display()),
        format!("ls {}", dir.root().display()),
        format!("cat {}", dir.container_json().display()),
        format!("cat {}", dir.config_original().display()),
        format!("cat {}", dir.library().display()),
        format!("ls {}", dir.rings().display()),
        format!("touch {}/0-1", dir.rings().display()),
        packets,
        api,
    ] {
        let out = as_nobody(&script);
        let said = out.errors().to_lowercase();
        assert!(out.status != 0 && said.contains("permission denied"), "{script}: {} {said}", out.status);
    }
    assert!(!dir.rings().join("0-1").exists());
}

fn mapped(spec: &mut Value) {
    spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
}

fn the_root_of_a_user_namespace_reaches_its_share(f: &Fixture) {
    for mask in [0o000, 0o077] {
        let mut collector = Collector::stopped();
        let bundle = f.sleeping().with(mapped);
        {
            let _umask = Umask::set(mask);
            collector.restart();
            bundle.start(&collector.state_dir());
        }
        let id = &bundle.id;
        collector.wait_for("its first program", |e| !e.of_container(id).execs("/bin/sleep").is_empty());
        assert!(!bundle.log().contains("porthole"), "{}", bundle.log());
        check(&collector.state_dir(), "d0710", &[100_000]);
        let dir = collector.container_dir(id);
        assert_eq!(fs::metadata(dir.root()).expect("it is there").gid(), 100_000);
        let out = as_nobody(&format!("ls {}", dir.rings().display()));
        assert!(out.status != 0, "{out:?}");
    }
}

fn the_loaders_list_can_only_be_read(f: &Fixture) {
    let collector = Collector::start();
    let bundle = f.sleeping();
    let config = f.scratch.file("file.json", r#"{"inject": "file"}"#);
    let mut command = bundle.runtime(Some(&collector.state_dir()));
    command.env("PORTHOLE_RUNC_CONFIG", config).args(["run", "--detach", "--bundle"]).arg(bundle.path());
    let status = {
        let _umask = Umask::set(0);
        command.arg(&bundle.id).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    assert!(status.expect("porthole-runc runs").success(), "{}", bundle.log());
    let out = bundle.exec(&collector.state_dir(), &[&bundle.id, "/bin/sh", "-c", "echo >>/etc/ld.so.preload"]);
    assert!(out.status != 0 && out.errors().contains("Read-only"), "{out:?}");
    let names = check(&collector.state_dir(), "d0700", &[0]);
    assert!(names.iter().any(|n| n == "ld.so.preload"), "{names:?}");
}

/// What may be at a place, how it gets there, and what is said of it.
type Foul = (&'static str, fn(&Path), &'static str);

const FOUL: [Foul; 4] = [
    ("link", |at| symlink(elsewhere(at), at).expect("a new link"), "symbolic link"),
    ("others", |at| make(at, NOBODY, 0o755), "belongs to user 65534"),
    ("writable", |at| make(at, 0, 0o777), "others may write to it"),
    ("file", |at| fs::write(at, "").expect("a new file"), "exists"),
];

/// Where a link leads: a directory beside it.
fn elsewhere(at: &Path) -> PathBuf {
    let aim = at.with_file_name("elsewhere");
    make(&aim, NOBODY, 0o777);
    aim
}

fn make(at: &Path, uid: u32, mode: u32) {
    fs::create_dir(at).expect("a new directory");
    chown(at, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid))).expect("as root");
    fs::set_permissions(at, Permissions::from_mode(mode)).expect("an own directory");
}

/// The container runs as under runc, and the runtime's log says why it is not seen.
fn not_instrumented(f: &Fixture, state: &Path, id: Option<&str>, foul: Foul) {
    let mut bundle = Bundle::new(&f.root, &["/bin/sh", "-c", "echo ${LD_PRELOAD-none}"]);
    if let Some(id) = id {
        bundle.id = id.to_owned();
    }
    let out = bundle.run(Some(state));
    assert_eq!((out.status, out.text().as_str()), (0, "none"), "{}: {out:?}", foul.0);
    let log = bundle.log();
    assert!(log.contains("is not instrumented") && log.contains(foul.2), "{}: {log}", foul.0);
    assert_eq!(fs::metadata(bundle.log_file()).expect("a log").mode() & 0o022, 0, "the runtime's log");
}

fn a_state_directory_of_somebody_else_is_refused(f: &Fixture) {
    for foul in FOUL {
        for below in ["", "containers"] {
            let scratch = Scratch::new();
            let state = scratch.join("s");
            if !below.is_empty() {
                make(&state, 0, 0o711);
            }
            let at = if below.is_empty() { state.clone() } else { state.join(below) };
            foul.1(&at);
            not_instrumented(f, &state, None, foul);
            let out = program::run(Command::new(binaries::porthole()).args(["collector", "--state-dir"]).arg(&state));
            let said = out.errors();
            assert_eq!(out.status, 1, "{}: {said}", foul.0);
            assert!(said.contains(&*at.to_string_lossy()) && said.contains(foul.2), "{}: {said}", foul.0);
            let left = fs::read_dir(at.with_file_name("elsewhere")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{}: nothing is made behind a link", foul.0);
        }
    }
}

fn a_containers_directory_of_somebody_else_is_refused(f: &Fixture) {
    for foul in FOUL {
        let collector = Collector::start();
        let at = collector.state_dir().join("containers/victim");
        foul.1(&at);
        not_instrumented(f, &collector.state_dir(), Some("victim"), foul);
        let left = fs::read_dir(at.with_file_name("elsewhere")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{}: nothing is made behind a link", foul.0);
        // and others are seen
        let other = f.sleeping();
        other.start(&collector.state_dir());
        collector.wait_for("another container", |e| !e.of_container(&other.id).execs("/bin/sleep").is_empty());
    }
}

fn packaging(name: &str) -> PathBuf {
    binaries::workspace().join("packaging").join(name)
}

fn the_selinux_module_compiles(f: &Fixture) {
    if !Path::new("/usr/bin/checkmodule").exists() || !Path::new("/usr/bin/semodule_package").exists() {
        porthole_tests::skip!("no checkmodule and semodule_package: the SELinux module is not compiled");
    }
    let (module, package) = (f.scratch.join("porthole.mod"), f.scratch.join("porthole.pp"));
    let mut compile = Command::new("checkmodule");
    program::run(compile.args(["-M", "-m", "-o"]).arg(&module).arg(packaging("selinux/porthole.te"))).ok("checkmodule");
    let mut pack = Command::new("semodule_package");
    pack.arg("-o").arg(&package).arg("-m").arg(&module).arg("-f").arg(packaging("selinux/porthole.fc"));
    program::run(&mut pack).ok("semodule_package");
    assert!(fs::metadata(package).expect("a package").len() > 0);
}

fn the_apparmor_abstraction_is_parsed(f: &Fixture) {
    if !Path::new("/usr/sbin/apparmor_parser").exists() {
        porthole_tests::skip!("no apparmor_parser: the AppArmor abstraction is not parsed");
    }
    let abstraction = packaging("apparmor/porthole");
    let profile = format!("profile x flags=(attach_disconnected) {{\n  #include \"{}\"\n}}\n", abstraction.display());
    let profile = f.scratch.file("profile", profile);
    // without the kernel's part, and without a cache
    let parsed = program::run(Command::new("/usr/sbin/apparmor_parser").args(["-Q", "-K"]).arg(profile));
    parsed.ok("apparmor_parser");
}
