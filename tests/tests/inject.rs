//! `inject: file` and `both`: the agent is named in the container's /etc/ld.so.preload, which set-user-id programs obey,
//! too. And `depth: sites`, which says where it could not be had. Real containers over the real runc.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::events::Events;
use porthole_tests::program::{self, Outcome};
use porthole_tests::scratch::Scratch;
use porthole_tests::targets;
use porthole_tests::{rootfs, suite, tests};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const LIBRARY: &str = "/dev/porthole/libporthole.so";

struct Fixture {
    collector: Collector,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    copy(&targets::glibc("probe"), &root.join("t/setuid"), 0o4755);
    copy(&targets::glibc("sandbox"), &root.join("t/sandbox"), 0o755);
    copy(&targets::library("ctorlib"), &root.join("lib/ctorlib.so"), 0o755);
    copy(Path::new("/usr/sbin/chroot"), &root.join("bin/chroot"), 0o755);
    fs::set_permissions(root.join("etc/secret"), PermissionsExt::from_mode(0o600)).expect("an own file");
    Fixture { collector, root }
}

fn copy(from: &Path, to: &Path, mode: u32) {
    fs::copy(from, to).unwrap_or_else(|e| panic!("cannot copy {} to {}: {e}", from.display(), to.display()));
    fs::set_permissions(to, PermissionsExt::from_mode(mode)).expect("an own file");
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            everything_is_seen_and_the_environment_is_the_programs_own,
            a_setuid_program_is_seen_with_the_file_and_a_blind_spot_without,
            both_ways_load_it_once,
            the_images_own_libraries_come_first,
            processes_added_from_outside,
            a_program_below_a_filter_of_its_own,
            a_chroot_without_the_file_is_silent,
            a_user_namespace_that_may_write_its_root,
            musl_programs_are_blind_spots,
            where_the_file_cannot_be_had_the_variable_serves,
            the_root_file_system_is_as_it_was,
            depth_sites_says_what_it_could_not_have,
            nothing_was_lost,
        ],
    )
}

/// A container to be run with a configuration.
struct Run<'a> {
    collector: &'a Collector,
    bundle: Bundle,
    config: Scratch,
}

impl Drop for Run<'_> {
    /// Undone at once, because the next test has the same root file system.
    fn drop(&mut self) {
        program::run(&mut self.command(&["delete", "--force", &self.bundle.id]));
    }
}

impl Fixture {
    fn with(&self, config: Value, args: &[&str]) -> Run<'_> {
        self.with_root(&self.root, config, args)
    }

    fn with_root(&self, root: &Path, config: Value, args: &[&str]) -> Run<'_> {
        let scratch = Scratch::new();
        scratch.file("config.json", config.to_string());
        Run { collector: &self.collector, bundle: Bundle::new(root, args), config: scratch }
    }
}

impl Run<'_> {
    fn spec(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.bundle.spec);
        self.bundle.write();
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bundle.runtime(Some(&self.collector.state_dir()));
        command.env("PORTHOLE_RUNC_CONFIG", self.config.join("config.json")).args(args);
        command
    }

    fn run(&self) -> Outcome {
        program::run(self.command(&["run", "--bundle"]).arg(self.bundle.path()).arg(&self.bundle.id))
    }

    /// Runs it by runc and by porthole-runc: the same must come out.
    fn same(&self) -> Outcome {
        let (plain, ours) = (self.bundle.run(None), self.run());
        assert_eq!(plain, ours, "log: {}", self.bundle.log());
        ours
    }

    fn start(&self) {
        let out = fs::File::create(self.config.join("out")).expect("an own file");
        let mut command = self.command(&["run", "--detach", "--bundle"]);
        command.arg(self.bundle.path()).arg(&self.bundle.id).stdin(std::process::Stdio::null());
        let status = command.stdout(out.try_clone().expect("dup")).stderr(out).status().expect("porthole-runc runs");
        assert!(status.success(), "{status}: {}", self.bundle.log());
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&Events) -> bool) -> Events {
        let id = &self.bundle.id;
        self.collector.wait_for(what, |e| condition(&e.of_container(id))).of_container(id)
    }

    /// Waits for a blind spot of this reason; its detail.
    fn blind_spot(&self, reason: &str) -> String {
        let events = self.wait_for(&format!("a blind spot: {reason}"), |e| !blind(e, reason).is_empty());
        blind(&events, reason).0[0].text("porthole.detail").to_owned()
    }
}

fn blind(events: &Events, reason: &str) -> Events {
    events.filter(|e| e.kind() == "porthole.blindspot" && e.text("porthole.reason") == reason)
}

fn inject(how: &str) -> Value {
    json!({ "inject": how })
}

fn as_user(spec: &mut Value) {
    spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    spec["process"]["noNewPrivileges"] = false.into();
}

fn everything_is_seen_and_the_environment_is_the_programs_own(f: &Fixture) {
    let script = "env; env -i /bin/cat /etc/hostname; /bin/ls -a /etc/.. >/dev/null; exec /t/probe /etc/secret";
    let run = f.with(inject("file"), &["/bin/sh", "-c", script]);
    let out = run.same();
    assert!(out.status == 3 && !out.text().contains("LD_PRELOAD"), "{out:?}");
    run.wait_for("every record", |e| {
        e.execs("/bin/cat").len() == 1
            && e.opens("/etc/hostname").len() == 1
            && e.opens("/etc/secret").len() == 1
            && e.connects("127.0.0.1").len() == 1
            && e.execs("/bin/true").len() == 1
    });
    // a user's process, a read-only root (whose mount point runc makes before it is), no capabilities
    let run = f.with(inject("file"), &["/t/probe", "/etc/hostname"]).spec(|spec| {
        spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        spec["process"]["capabilities"] = json!({});
        spec["root"]["readonly"] = true.into();
    });
    assert_eq!(run.same().status, 3);
    let events = run.wait_for("the user's records", |e| e.opens("/etc/hostname").len() == 1);
    assert_eq!(events.opens("/etc/hostname").0[0].number("user.uid"), Some(1000), "{events}");
    assert!(blind(&events, "env_only").is_empty(), "{events}");
}

fn a_setuid_program_is_seen_with_the_file_and_a_blind_spot_without(f: &Fixture) {
    for how in ["file", "both"] {
        // what a user sets must not keep us out
        let script = "PORTHOLE_QUIET=1 /t/setuid /etc/secret; exit 3";
        let run = f.with(inject(how), &["/bin/sh", "-c", script]).spec(as_user);
        assert!(run.same().text().starts_with("open: ok"), "only root may open it");
        let events = run.wait_for("the records of a setuid program", |e| e.opens("/etc/secret").len() == 1);
        let open = &events.opens("/etc/secret").0[0];
        assert!(open.succeeded() && open.text("proc.name") == "setuid", "{open:?}");
        assert!(blind(&events, "setuid").is_empty(), "{events}");
    }
    let run = f.with(inject("env"), &["/bin/sh", "-c", "/t/setuid /etc/secret; exit 3"]).spec(as_user);
    run.same();
    run.blind_spot("setuid");
    let events = run.wait_for("the container's end", |e| !e.filter(|e| e.kind() == "container.stop").is_empty());
    assert!(events.opens("/etc/secret").is_empty(), "{events}");
}

fn both_ways_load_it_once(f: &Fixture) {
    let run = f.with(inject("both"), &["/bin/cat", "/proc/self/maps", "/etc/hostname"]);
    let maps = run.run().ok("cat").text();
    let code = maps.lines().filter(|l| l.ends_with(LIBRARY) && l.contains("r-xp")).count();
    assert_eq!(code, 1, "{maps}");
    let events = run.wait_for("the open", |e| !e.opens("/etc/hostname").is_empty());
    assert_eq!(events.opens("/etc/hostname").len(), 1, "{events}");
}

fn the_images_own_libraries_come_first(f: &Fixture) {
    let own = f.root.join("etc/ld.so.preload");
    fs::write(&own, "# of the image\n/lib/ctorlib.so").expect("an own file");
    let run = f.with(inject("file"), &["/bin/cat", "/etc/ld.so.preload", "/proc/self/maps"]);
    let out = run.run().ok("cat").text();
    assert!(out.starts_with(&format!("# of the image\n/lib/ctorlib.so\n{LIBRARY}\n")), "{out}");
    assert!(out.contains("r-xp") && out.matches("/lib/ctorlib.so").count() > 2, "it is loaded: {out}");
    // an existing file is never removed, and not writable through the mount
    let run = f.with(inject("file"), &["/bin/sh", "-c", "echo x >/etc/ld.so.preload; exec /t/probe /etc/secret"]);
    let out = run.run();
    assert!(out.status == 3 && out.errors().contains("Read-only file system"), "{out:?}");
    // its constructor opens files of its own, before us
    run.wait_for("records behind another library", |e| {
        e.opens("/etc/secret").len() == 1 && !e.opens("/etc/passwd").is_empty()
    });
    drop(run);
    assert_eq!(fs::read_to_string(&own).expect("it is still there"), "# of the image\n/lib/ctorlib.so");
    fs::remove_file(own).expect("an own file");
}

fn processes_added_from_outside(f: &Fixture) {
    let run = f.with(inject("file"), &["/bin/sleep", "60"]);
    run.start();
    let mut process = run.bundle.spec["process"].clone();
    process["args"] = json!(["/bin/sh", "-c", "env; exec /t/probe /etc/secret"]);
    let file = run.config.file("process.json", process.to_string()).display().to_string();
    let out = program::run(&mut run.command(&["exec", "--process", &file, &run.bundle.id]));
    assert!(out.status == 3 && !out.text().contains("LD_PRELOAD"), "{out:?}");
    let events = run.wait_for("the records of an added process", |e| e.opens("/etc/secret").len() == 1);
    assert_eq!(events.filter(|e| e.kind() == "container.exec").len(), 1, "{events}");
    assert!(blind(&events, "not_injected").is_empty(), "{events}");
}

fn a_program_below_a_filter_of_its_own(f: &Fixture) {
    for how in ["file", "both", "env"] {
        let run = f.with(inject(how), &["/t/sandbox", "prctl", "exec"]);
        let out = run.same();
        assert!(out.text().contains("child's status 400"), "{how}: {out:?}");
        run.blind_spot("sandboxed");
    }
}

fn a_chroot_without_the_file_is_silent(f: &Fixture) {
    let inner = f.root.join("inner");
    rootfs::make(&inner);
    let run = f.with(inject("file"), &["/bin/chroot", "/inner", "/bin/cat", "/etc/hostname"]).spec(|spec| {
        for set in ["bounding", "effective", "permitted"] {
            let list = spec["process"]["capabilities"][set].as_array_mut().expect("runc spec has them");
            list.push("CAP_SYS_CHROOT".into());
        }
    });
    assert_eq!(run.same().status, 0);
    run.blind_spot("library_unreachable");
    fs::remove_dir_all(inner).expect("an own directory");
}

fn a_user_namespace_that_may_write_its_root(f: &Fixture) {
    let own = f.collector.scratch().dir("mapped");
    let copied = program::run(Command::new("cp").arg("-a").arg(f.root.join(".")).arg(&own));
    copied.ok("cp");
    let mapped = |spec: &mut Value| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
    };
    // runc could not make the mount point: the variable serves
    let run = f.with_root(&own, inject("file"), &["/t/probe", "/etc/hostname"]).spec(mapped);
    let out = run.run();
    assert_eq!(out.status, 3, "{out:?}");
    assert!(run.blind_spot("env_only").contains("user namespace"));
    run.wait_for("the records by the variable", |e| e.opens("/etc/hostname").len() == 1);

    chown(own.join("etc"), Some(100_000), Some(100_000)).expect("as root");
    let run = f.with_root(&own, inject("file"), &["/t/probe", "/etc/hostname"]).spec(mapped);
    let out = run.run();
    assert_eq!(out.status, 3, "{out:?} {}", run.bundle.log());
    let events = run.wait_for("the records by the file", |e| e.opens("/etc/hostname").len() == 1);
    assert!(blind(&events, "env_only").is_empty(), "{events}");
    drop(run);
    assert!(!own.join("etc/ld.so.preload").exists(), "the mount point is gone");
}

fn musl_programs_are_blind_spots(f: &Fixture) {
    let run = f.with(inject("file"), &["/bin/sh", "-c", "/t/probe-musl /etc/hostname; sleep 3; exit 3"]);
    run.same();
    run.blind_spot("no_hello");
    let run = f.with(inject("both"), &["/bin/sh", "-c", "/t/probe-musl /etc/hostname; exit 3"]);
    run.same();
    run.wait_for("the records of musl", |e| e.opens("/etc/hostname").len() == 1);
}

fn where_the_file_cannot_be_had_the_variable_serves(f: &Fixture) {
    let root = f.collector.scratch().dir("odd");
    program::run(Command::new("cp").arg("-a").arg(f.root.join(".")).arg(&root)).ok("cp");
    let own = root.join("etc/ld.so.preload");
    let falls_back = |why: &str, change: &dyn Fn(&mut Value)| {
        let run = f.with_root(&root, inject("file"), &["/t/probe", "/etc/hostname"]).spec(change);
        assert_eq!(run.same().status, 3, "{why}");
        assert!(run.bundle.log().contains(why), "{why}: {}", run.bundle.log());
        let detail = run.blind_spot("env_only");
        assert!(detail.contains(why), "{why}: {detail}");
        run.wait_for("the records", |e| e.opens("/etc/hostname").len() == 1);
    };
    let _ = fs::remove_file(&own); // the mount point of a container that was being deleted meanwhile
    symlink("../../../../../../etc/hostname", &own).expect("a new link");
    falls_back("no regular file", &|_| ());
    fs::remove_file(&own).expect("an own file");
    falls_back("a mount of the container's own is at /etc", &|spec| {
        let etc = json!({"destination": "/etc", "type": "bind", "source": root.join("etc"), "options": ["bind"]});
        spec["mounts"].as_array_mut().expect("a list").push(etc);
    });
    assert!(!own.exists(), "nothing was made in a volume");
    fs::write(root.join("lib/ld-linux.so.2"), "").expect("an own file");
    falls_back("32-bit", &|_| ());
    fs::remove_file(root.join("lib/ld-linux.so.2")).expect("an own file");

    // a root file system that nobody can write
    let mount = |args: &[&str]| program::run(Command::new("mount").args(args).arg(&root)).ok("mount");
    mount(&["--bind", &root.display().to_string()]);
    mount(&["-o", "remount,bind,ro"]);
    falls_back("cannot be made: Read-only file system", &|_| ());
    program::run(Command::new("umount").arg(&root)).ok("umount");
}

fn the_root_file_system_is_as_it_was(f: &Fixture) {
    let listing = || {
        let out = program::run(Command::new("find").arg(&f.root).args(["-printf", "%p %y %m %s %l\\n"]));
        let mut lines: Vec<String> = out.ok("find").text().lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let before = listing();
    let run = f.with(inject("both"), &["/bin/true"]);
    let config = fs::read(run.bundle.config()).expect("config.json");
    run.start();
    let made = fs::metadata(f.root.join("etc/ld.so.preload")).expect("the mount point that runc makes");
    assert_eq!(made.len(), 0, "an image made of it now has an empty file more");
    program::run(&mut run.command(&["delete", "--force", &run.bundle.id])).ok("delete");
    assert!(fs::read(run.bundle.config()).expect("config.json") == config, "config.json is not what it was");
    assert_eq!(listing(), before);
}

fn depth_sites_says_what_it_could_not_have(f: &Fixture) {
    let sites = json!({ "depth": "sites" });
    let run = f.with(sites.clone(), &["/bin/sh", "-c", "/bin/cat /etc/hostname; /t/probe-musl /etc/hostname; exit 3"]);
    run.same();
    assert!(run.blind_spot("symbols_only").contains("musl"));
    let events = run.wait_for("cat's open", |e| e.opens("/etc/hostname").len() == 2);
    let of_cat = events.opens("/etc/hostname").filter(|e| e.text("proc.name") == "cat");
    assert_eq!(of_cat.only("cat's open").text("porthole.source"), "sites");
    assert_eq!(blind(&events, "symbols_only").len(), 1, "{events}");

    // a C library that is not understood: another file under its name, while the loader uses that of another directory
    let root = f.collector.scratch().dir("unknown");
    program::run(Command::new("cp").arg("-a").arg(f.root.join(".")).arg(&root)).ok("cp");
    fs::create_dir_all(root.join("opt")).expect("an own directory");
    let libc = root.join("lib/x86_64-linux-gnu/libc.so.6");
    fs::rename(&libc, root.join("opt/libc.so.6")).expect("an own file");
    let run = f.with_root(&root, sites, &["/t/probe", "/etc/hostname"]).spec(|spec| {
        spec["process"]["env"].as_array_mut().expect("a list").push("LD_LIBRARY_PATH=/opt".into());
    });
    assert_eq!(run.same().status, 3);
    let events = run.wait_for("its open", |e| e.opens("/etc/hostname").len() == 1);
    assert!(run.blind_spot("symbols_only").contains("no glibc"), "{events}");
    assert!(run.bundle.log().contains("symbols only: there is no glibc"), "{}", run.bundle.log());
    assert_eq!(blind(&events, "symbols_only").len(), 1, "{events}");
}

fn nothing_was_lost(f: &Fixture) {
    f.collector.assert_nothing_lost();
    f.collector.events().assert_once_and_in_order();
}
