//! `run` through porthole-runc against plain runc: the same behaviour, whatever the bundle.

mod support;

use porthole_common::limits;
use porthole_registration::share;
use porthole_registration::undo::undo;
use serde_json::json;
use std::fs;
use std::process::Command;
use support::Bench;

/// What `ls -a / /dev` shows of porthole is documented; nothing else may differ.
fn quiet(bench: &Bench) {
    bench.script("echo out; echo err >&2; cat /proc/self/cgroup >/dev/null; exit 0");
}

#[test]
fn a_good_run_is_the_same_and_registered() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    let before = fs::read(bench.config()).unwrap();
    let output = bench.same_run();
    assert!(output.status.success());
    assert_eq!(bench.logged(), "");

    let container = bench.container();
    assert_eq!((&*container.id, &*container.verb), (&*bench.id, "run"));
    assert!(["static", "dynamic"].contains(&&*container.process.target), "as Debian's busybox is: {container:?}");
    assert_eq!(container.rootfs, bench.rootfs().to_str().unwrap());
    assert_eq!(container.runtime_root, bench.root().to_str().unwrap());
    assert!(container.mount_point_made.is_empty() && container.process.args[0] == "/bin/sh");

    undo(&bench.dir()).unwrap();
    assert_eq!(fs::read(bench.config()).unwrap(), before, "undone byte for byte");
    assert!(fs::read_dir(bench.rootfs().join("dev")).unwrap().next().is_none(), "nothing is left in the root");
    assert!(!bench.rootfs().join(".porthole").exists());
}

#[test]
fn the_agent_is_in_the_process_and_its_directories_are_as_promised() {
    need_runc!();
    let bench = Bench::new();
    bench.script("dyncat /proc/self/maps; cat /proc/self/mountinfo; ls -la /dev/porthole /dev/porthole/rings; env");
    bench.edit(|spec| spec["process"]["user"]["uid"] = json!(1000));
    let text = String::from_utf8(bench.shim(&["run", &bench.id]).stdout).unwrap();
    assert!(text.contains("/dev/porthole/libporthole.so") || text.contains("/libporthole.so"), "mapped: {text}");
    assert!(text.contains("LD_PRELOAD=/dev/porthole/libporthole.so"), "{text}");
    let mount = |at: &str| text.lines().find(|l| l.split(' ').nth(4) == Some(at)).unwrap_or_else(|| panic!("{text}"));
    let share = mount("/dev/porthole");
    let size = share.split("size=").nth(1).and_then(|s| s.split('k').next()?.parse::<u64>().ok());
    // besides, there is room for what is not the container's
    assert!(share.contains(" ro,nosuid,nodev") && size.is_some_and(|kib| kib * 1024 > share::SIZE), "{share}");
    let rings = mount("/dev/porthole/rings");
    assert!(rings.contains(" rw,nosuid,nodev,noexec"), "{rings}");
    assert!(!rings.contains("shared:") && !rings.contains("master:"), "private: {rings}");
    let overflow = text.lines().find(|l| l.ends_with(" overflow")).unwrap();
    let size = (limits::RING_HEADER + limits::OVERFLOW_DATA).to_string();
    assert!(overflow.starts_with("-rw-------") && overflow.contains(&size), "{overflow}");
    assert!(text.lines().any(|l| l.starts_with("drwxrwxrwt") && l.ends_with(" rings")), "{text}");
}

#[test]
fn exit_statuses_and_failures_are_the_same() {
    need_runc!();
    let bench = Bench::new();
    bench.script("echo x; exit 7");
    assert_eq!(bench.same_run().status.code(), Some(7));
    bench.script("sh -c 'kill -9 $$'; exit $?");
    assert_eq!(bench.same_run().status.code(), Some(137));
    bench.edit(|spec| spec["process"]["args"] = json!(["/no/such/program"]));
    assert!(!bench.same_run().status.success());
    bench.edit(|spec| spec["process"]["args"] = json!([]));
    assert!(!bench.same_run().status.success());
}

#[test]
fn a_malformed_config_is_left_to_the_runtime() {
    need_runc!();
    let bench = Bench::new();
    for text in ["", "{", "[]", "{}", r#"{"ociVersion":"1.0.2","process":{"env":[1]},"root":{"path":"rootfs"}}"#] {
        fs::write(bench.config(), text).unwrap();
        assert!(!bench.same_run().status.success());
        assert_eq!(fs::read_to_string(bench.config()).unwrap(), text);
        assert!(!bench.dir().root().exists());
    }
    fs::remove_file(bench.config()).unwrap();
    assert!(!bench.same_run().status.success());
    let missing = ["run", "--bundle", "/no/such/bundle", &bench.id];
    support::assert_same(&bench.plain(&missing), &bench.shim(&missing));
    for words in [&["run"][..], &["run", "a", "b"], &["run", "--unheard-of", "x"], &["run", "a/b"], &["bogus"], &[]] {
        support::assert_same(&bench.plain(words), &bench.shim(words));
    }
}

#[test]
fn a_huge_config_goes_straight_through() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    let mut text = fs::read_to_string(bench.config()).unwrap();
    text.push_str(&" ".repeat(65 << 20));
    fs::write(bench.config(), &text).unwrap();
    assert!(bench.same_run().status.success());
    assert!(bench.logged().contains("larger than"), "{}", bench.logged());
    assert_eq!(fs::metadata(bench.config()).unwrap().len(), text.len() as u64);
}

#[test]
fn a_read_only_root_with_its_own_dev_gets_the_agent() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    bench.edit(|spec| spec["root"]["readonly"] = json!(true));
    assert!(bench.same_run().status.success());
    assert!(bench.spec()["mounts"].to_string().contains("/dev/porthole/rings"));
}

#[test]
fn a_dev_of_the_host_is_never_written_to() {
    need_runc!();
    for readonly in [false, true] {
        let bench = Bench::new();
        quiet(&bench);
        let host = bench.top.join("hostdev");
        fs::create_dir(&host).unwrap();
        let nulls = Command::new("mknod").arg(host.join("null")).args(["c", "1", "3"]).status().unwrap();
        assert!(nulls.success());
        let options = if readonly { json!(["rbind", "ro"]) } else { json!(["rbind"]) };
        bench.dev_mounts(&[json!({"destination": "/dev", "type": "bind", "source": host, "options": options})]);
        bench.edit(|spec| spec["root"]["readonly"] = json!(readonly));
        let plain = bench.plain(&["run", &bench.id]);
        let left_by_runc = fs::read_dir(&host).unwrap().count();
        let ours = bench.shim(&["run", &bench.id]);
        support::assert_same(&plain, &ours);
        assert_eq!(fs::read_dir(&host).unwrap().count(), left_by_runc);
        if readonly {
            assert!(bench.reason().contains("/dev is not a tmpfs"), "{}", bench.reason());
            assert!(bench.logged().contains("is not instrumented: /dev is not a tmpfs"), "{}", bench.logged());
        } else {
            assert!(bench.container().mount_point_made.ends_with("rootfs/.porthole"));
            undo(&bench.dir()).unwrap();
        }
        assert!(!bench.rootfs().join(".porthole").exists());
    }
}

#[test]
fn without_a_dev_the_root_takes_the_share_and_is_cleaned() {
    need_runc!();
    let bench = Bench::new();
    bench.dev_mounts(&[]);
    bench.script("echo $LD_PRELOAD; ls /.porthole");
    let output = bench.shim(&["run", &bench.id]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("/.porthole/libporthole.so") && text.contains("rings"), "{text} {}", bench.logged());
    assert!(bench.rootfs().join(".porthole").is_dir());
    undo(&bench.dir()).unwrap();
    assert!(!bench.rootfs().join(".porthole").exists());

    fs::write(bench.rootfs().join(".porthole"), "the image's own").unwrap();
    quiet(&bench);
    bench.same_run();
    assert!(bench.reason().contains("has something at /.porthole"));
}

#[test]
fn a_users_own_preload_comes_first() {
    need_runc!();
    let bench = Bench::new();
    fs::copy(support::agent(), bench.rootfs().join("user.so")).unwrap();
    bench.script("echo $LD_PRELOAD");
    bench.edit(|spec| spec["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/no.so", "LD_PRELOAD=/user.so", "A=b"]));
    let output = bench.shim(&["run", &bench.id]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/user.so:/dev/porthole/libporthole.so\n");
}

#[test]
fn a_killing_filter_keeps_the_agent_out() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    bench.edit(|spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["ftruncate"], "action": "SCMP_ACT_KILL_PROCESS"}]});
    });
    let before = fs::read(bench.config()).unwrap();
    assert!(bench.same_run().status.success());
    assert!(bench.reason().contains("ftruncate") && bench.logged().contains("ftruncate"));
    assert_eq!(fs::read(bench.config()).unwrap(), before);
    assert!(!bench.dir().library().exists() && bench.dir().rings().exists());
}

#[test]
fn running_again_from_the_same_bundle_replaces_the_edits() {
    need_runc!();
    let mut bench = Bench::new();
    quiet(&bench);
    let before = fs::read(bench.config()).unwrap();
    for _ in 0..3 {
        assert!(bench.shim(&["run", &bench.id]).status.success());
        assert_eq!(bench.spec()["mounts"].to_string().matches("/dev/porthole\"").count(), 1);
    }
    let first = bench.dir();
    bench.id += "-second";
    assert!(bench.shim(&["run", &bench.id]).status.success());
    let text = bench.spec().to_string();
    assert_eq!(text.matches("/dev/porthole\"").count(), 1);
    assert!(text.contains(&format!("{}/share/mnt", bench.id)));
    undo(&first).unwrap();
    assert_eq!(bench.spec().to_string(), text, "the first container has nothing left to undo");
    undo(&bench.dir()).unwrap();
    assert_eq!(fs::read(bench.config()).unwrap(), before);
}

#[test]
fn an_agent_that_cannot_be_used_is_left_out() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    let plain = bench.plain(&["run", &bench.id]);
    for (library, why) in [("/no/such/library.so", "No such file"), ("/bin/cat", "no control page")] {
        let _ = fs::remove_file(bench.log());
        let ours = bench.command(support::SHIM, &["run", &bench.id]).env("PORTHOLE_LIBRARY", library).output().unwrap();
        support::assert_same(&plain, &ours);
        assert_eq!(bench.logged().lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&bench.logged()).unwrap();
        assert_eq!(line["level"], "warning");
        assert!(line["msg"].as_str().unwrap().contains(why), "{line}");
        assert!(bench.reason().contains(why) && !bench.dir().library().exists() && bench.dir().rings().exists());
    }
}

#[test]
fn a_state_directory_that_is_full_or_impossible_stops_nothing() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    let before = fs::read(bench.config()).unwrap();
    fs::create_dir(bench.state()).unwrap();
    for size in ["size=4k,nr_inodes=2", "size=4k,nr_inodes=4", "size=4k", "size=8k"] {
        let tmpfs = ["-t", "tmpfs", "-o", size, "none"];
        assert!(Command::new("mount").args(tmpfs).arg(bench.state()).status().unwrap().success());
        assert!(bench.same_run().status.success());
        assert_eq!(bench.logged().lines().count(), 1, "{size}: {}", bench.logged());
        assert_eq!(fs::read(bench.config()).unwrap(), before, "{size}");
        assert!(Command::new("umount").arg("-l").arg(bench.state()).status().unwrap().success());
    }
    fs::remove_dir(bench.state()).unwrap();
    fs::write(bench.state(), "a file").unwrap();
    assert!(bench.same_run().status.success());
    assert_eq!(bench.logged().lines().count(), 1, "{}", bench.logged());
    fs::remove_file(bench.state()).unwrap();
}

#[test]
fn a_bundle_that_cannot_be_written_is_run_as_it_is() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    let bundle = bench.top.join("mounted");
    fs::create_dir(&bundle).unwrap();
    let mount = |words: &[&str]| assert!(Command::new("mount").args(words).arg(&bundle).status().unwrap().success());
    mount(&["--bind", bench.bundle().to_str().unwrap()]);
    mount(&["-o", "remount,bind,ro"]);
    let words = ["run", "--bundle", bundle.to_str().unwrap(), &bench.id];
    let (plain, ours) = (bench.plain(&words), bench.shim(&words));
    assert!(Command::new("umount").arg(&bundle).status().unwrap().success());
    support::assert_same(&plain, &ours);
    assert!(ours.status.success(), "{ours:?}");
    assert!(bench.reason().contains("Read-only file system"), "{}", bench.reason());
    assert_eq!(bench.logged().lines().count(), 1, "{}", bench.logged());
}

#[test]
fn a_limit_on_file_sizes_does_not_kill() {
    need_runc!();
    let bench = Bench::new();
    quiet(&bench);
    let limited = |program: &str| {
        let script = "ulimit -f 100; exec \"$0\" \"$@\"";
        let run = bench.command(program, &["run", &bench.id]);
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).args(run.get_args()).current_dir(bench.bundle());
        for (name, value) in run.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.output().unwrap()
    };
    let plain = limited("runc");
    assert!(plain.status.success(), "{plain:?}");
    support::assert_same(&plain, &limited(support::SHIM));
    assert!(bench.logged().contains("RLIMIT_FSIZE"), "{}", bench.logged());
}

#[test]
fn two_containers_of_one_name_do_not_disturb_each_other() {
    need_runc!();
    let bench = Bench::new();
    bench.script("sleep 30");
    let created = bench.command(support::SHIM, &["create", &bench.id]).stdout(std::process::Stdio::null()).status();
    assert!(created.unwrap().success(), "{}", bench.logged());
    let registered = bench.container();
    let again = bench.shim(&["create", &bench.id]);
    assert!(!again.status.success() && bench.logged().contains("lives already"), "{}", bench.logged());
    assert_eq!(bench.container(), registered);
}
