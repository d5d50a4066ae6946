//! create, start, exec, delete; and the choice of the runtime.

mod support;

use porthole_registration::container::{Exec, Injection};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::Bench;

impl Bench {
    /// `create` and `start` of a container that sleeps.
    fn start(&self, runtime: &Path) {
        self.script("sleep 60");
        let silent = |words: &[&str]| {
            let mut command = self.command(runtime, words);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(silent(&["create", "--bundle", self.bundle().to_str().unwrap(), &self.id]), "{}", self.logged());
        assert!(silent(&["start", &self.id]), "{}", self.logged());
    }

    fn execs(&self) -> Vec<Exec> {
        let files = fs::read_dir(self.dir().execs()).unwrap().map(|f| f.unwrap().path());
        let mut execs: Vec<Exec> = files.map(|f| serde_json::from_slice(&fs::read(f).unwrap()).unwrap()).collect();
        execs.sort_by_key(|e| e.time_ns);
        execs
    }

    fn process_file(&self, env: &[&str]) -> PathBuf {
        let path = self.top.join("process.json");
        let mut process = self.spec()["process"].clone();
        process["args"] = json!(["/bin/sh", "-c", "echo in; echo $LD_PRELOAD; exit 5"]);
        process["env"] = json!(env);
        fs::write(&path, process.to_string()).unwrap();
        path
    }
}

#[test]
fn create_start_exec_delete() {
    need_runc!();
    let bench = Bench::new();
    bench.script("sleep 60");
    let before = fs::read(bench.config()).unwrap();
    bench.start(Path::new(support::SHIM));
    assert_eq!(bench.container().verb, "create");
    assert_ne!(fs::read(bench.config()).unwrap(), before);

    let file = bench.process_file(&["PATH=/bin"]);
    let exec = ["exec", "--process", file.to_str().unwrap(), &bench.id];
    let plain = bench.plain(&exec);
    let ours = bench.shim(&exec);
    assert_eq!((plain.status.code(), ours.status.code()), (Some(5), Some(5)), "{}", bench.logged());
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "in\n\n");
    assert_eq!(String::from_utf8_lossy(&ours.stdout), "in\n/dev/porthole/libporthole.so\n");

    let words = ["exec", "-u", "3:4", &bench.id, "/bin/sh", "-c", "echo $LD_PRELOAD"];
    assert_eq!(String::from_utf8_lossy(&bench.shim(&words).stdout), "/dev/porthole/libporthole.so\n");
    let execs = bench.execs();
    assert_eq!(execs.len(), 2);
    assert!(execs.iter().all(|e| e.injected && e.process.args[0] == "/bin/sh"));
    // Debian has busybox both ways.
    assert!(["static", "dynamic"].contains(&&*execs[0].process.target), "{execs:?}");
    assert_eq!((execs[1].process.uid, execs[1].process.gid), (3, 4));

    let refused = ["delete", &bench.id];
    support::assert_same(&bench.plain(&refused), &bench.shim(&refused));
    assert!(!bench.dir().deleted().exists(), "a running container stays");

    let delete = ["delete", "--force", &bench.id];
    assert!(bench.shim(&delete).status.success());
    assert_eq!(fs::read(bench.config()).unwrap(), before, "undone byte for byte");
    assert!(bench.dir().deleted().exists() && bench.dir().library().exists(), "the records wait for the collector");
    assert!(bench.shim(&delete).status.success(), "always called twice");
    let unknown = ["delete", "--force", "never-was"];
    support::assert_same(&bench.plain(&unknown), &bench.shim(&unknown));
    assert_eq!(fs::read(bench.config()).unwrap(), before);
}

#[test]
fn a_bundle_that_was_changed_meanwhile_loses_only_our_parts() {
    need_runc!();
    let bench = Bench::new();
    bench.start(Path::new(support::SHIM));
    bench.edit(|spec| spec["hostname"] = json!("changed"));
    assert!(bench.shim(&["delete", "--force", &bench.id]).status.success());
    let left = bench.spec();
    assert!(!left.to_string().contains("LD_PRELOAD") && !left.to_string().contains("/dev/porthole"));
    assert_eq!(left["hostname"], "changed");
}

#[test]
fn a_container_that_plain_runc_made_is_not_touched() {
    need_runc!();
    let bench = Bench::new();
    bench.start(Path::new("runc"));
    let file = bench.process_file(&["PATH=/bin"]);
    let before = fs::read(&file).unwrap();
    let exec = ["exec", "--process", file.to_str().unwrap(), &bench.id];
    support::assert_same(&bench.plain(&exec), &bench.shim(&exec));
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(bench.shim(&["delete", "--force", &bench.id]).status.success());
    assert_eq!(bench.logged(), "");
}

#[test]
fn a_root_of_a_user_namespace_reaches_the_share() {
    need_runc!();
    let bench = Bench::new();
    let all = ["-R", "100000:100000"];
    assert!(Command::new("chown").args(all).arg(bench.rootfs()).status().unwrap().success());
    bench.script("echo $LD_PRELOAD; dyncat /dev/null; echo x >/dev/porthole/rings/y && : >>/dev/porthole/rings/overflow && ls /dev/porthole/rings");
    bench.edit(|spec| {
        let map = json!([{"containerID": 0, "hostID": 100000, "size": 65536}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    });
    let output = bench.shim(&["run", &bench.id]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text,
        "/dev/porthole/libporthole.so\noverflow\ny\n",
        "{} {}",
        bench.logged(),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A runtime that says how it was called, instead of running anything.
fn echo(dir: &Path, name: &str, words: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(dir).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{words}\n")).unwrap();
    assert!(Command::new("chmod").arg("755").arg(&path).status().unwrap().success());
    path
}

#[test]
fn words_descriptors_and_signals_reach_the_runtime_unchanged() {
    need_runc!();
    let bench = Bench::new();
    let show = "printf '<%s>' \"$@\"; ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status; exit 42";
    let fake = echo(&bench.top.join("bin"), "fake", show);
    let words = ["state", "", "a b", "--x=\n", "*"];
    let plain = bench.command(&fake, &words).output().unwrap();
    let ours = bench.command(support::SHIM, &words).env("PORTHOLE_RUNTIME", &fake).output().unwrap();
    support::assert_same(&plain, &ours);
    assert_eq!(ours.status.code(), Some(42));
    // closed descriptors stay closed
    let closed = |program: &Path| {
        let script = format!("exec {} state <&- 2>&-", program.display());
        Command::new("sh").arg("-c").arg(script).env("PORTHOLE_RUNTIME", &fake).output().unwrap()
    };
    support::assert_same(&closed(&fake), &closed(Path::new(support::SHIM)));
}

#[test]
fn it_never_becomes_itself() {
    need_runc!();
    let bench = Bench::new();
    let (first, second) = (bench.top.join("a"), bench.top.join("b"));
    fs::create_dir_all(&first).unwrap();
    fs::create_dir_all(&second).unwrap();
    fs::copy(support::SHIM, first.join("runc")).unwrap();
    fs::copy(support::SHIM, first.join("crun")).unwrap();
    symlink(support::SHIM, second.join("runc")).unwrap();
    fs::hard_link(first.join("runc"), second.join("youki")).unwrap();
    // no other runtime that this machine may have
    let third = bench.top.join("c");
    fs::create_dir_all(&third).unwrap();
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|runc| Path::new(runc).exists()).unwrap();
    symlink(runc, third.join("runc")).unwrap();
    let path = format!("{}:{}:{}", first.display(), second.display(), third.display());
    let plain = bench.plain(&["--version"]);
    let installed = |setting: &Path| {
        let mut command = bench.command(first.join("runc"), &["--version"]);
        command.env("PATH", &path).env("PORTHOLE_RUNTIME", setting).output().unwrap()
    };
    for setting in ["", "runc", "crun", "/no/such/runtime"].map(PathBuf::from).into_iter().chain([second.join("runc")])
    {
        support::assert_same(&plain, &installed(&setting));
    }
    // a script that means the real one and gets us
    let script = echo(&bench.top, "script", "exec runc \"$@\"");
    support::assert_same(&plain, &installed(&script));

    bench.script("echo once");
    let mut command = bench.command(first.join("runc"), &["run", &bench.id]);
    let output = command.env("PATH", &path).env("PORTHOLE_RUNTIME", &script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "once\n", "{}", bench.logged());
    assert!(matches!(bench.container().injection, Injection::Preload { .. }));
    assert_eq!(bench.logged(), "");
}

#[test]
fn without_a_runtime_it_says_so() {
    need_runc!();
    let bench = Bench::new();
    let output = bench.command(support::SHIM, &["state", "x"]).env("PATH", "/none").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_str(&bench.logged()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("set PORTHOLE_RUNTIME"), "{line}");
}
