//! `porthole install` and `uninstall` with live engines: what runs afterwards is recorded, then is not, and the
//! configuration is what it was; also where somebody pulls the plug halfway.

use porthole_tests::binaries;
use porthole_tests::collector::Collector;
use porthole_tests::cri::{Cri, IMAGE};
use porthole_tests::docker::{self, Docker};
use porthole_tests::events::Events;
use porthole_tests::installed::{CHANGING, DOCKER, Place, dies_at, porthole};
use porthole_tests::program::{self, Running};
use porthole_tests::{podman, rootfs, skip, suite, tests, wait};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

struct Fixture {
    collector: Collector,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    Fixture { collector, root }
}

/// Variable of the process whose mounts nobody else sees.
const ALONE: &str = "PORTHOLE_TEST_ALONE";

fn main() -> ExitCode {
    if std::env::var_os(ALONE).is_none() {
        // podman's configuration is where the machine has its own: in a mount namespace of this suite
        let mut again = Command::new("unshare");
        again.arg("--mount").arg(std::env::current_exe().expect("this program")).args(std::env::args_os().skip(1));
        panic!("unshare: {}", again.env(ALONE, "yes").exec());
    }
    suite::run(
        fixture,
        tests![
            docker_in_every_state,
            docker_is_left_alone,
            kubernetes_interface,
            imports_of_containerd,
            podman_in_every_state,
            crio_is_told,
            killed_at_every_step,
            a_full_disk,
        ],
    )
}

impl Fixture {
    /// The container's records are here, under its id.
    fn is_recorded(&self, id: &str) {
        let ready = |e: &Events| !e.of_container(id).opens("/etc/secret").is_empty();
        self.collector.wait_for("records of the container", ready);
    }

    /// What every container is registered as, in the end or not at all.
    fn is_registered(&self, id: &str) -> bool {
        self.collector.state_dir().join("containers").join(id).exists()
    }
}

fn text_of(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// A container of docker that is kept, its id, and whether porthole has it.
fn run_in_docker(f: &Fixture, docker: &Docker, runtime: Option<&str>) -> bool {
    let container =
        docker.create(runtime, &["--network", "none"], &["/bin/sh", "-c", "cat /etc/secret; exec sleep 60"]);
    container.start();
    let registered = f.is_registered(&container.id);
    if registered {
        f.is_recorded(&container.id);
    }
    registered
}

fn docker_in_every_state(f: &Fixture) {
    let docker = Docker::start_plain(&f.collector.state_dir(), "{}");
    docker.import(&f.root);
    let place = Place::new(docker.config(), docker.scratch().join("kept"));
    let other = "{\"runtimes\": {\"other\": {\"path\": \"/usr/sbin/runc\"}},\n\"log-level\": \"warn\"}";
    let chosen = format!("{}, \"default-runtime\": \"other\"}}", other.trim_end_matches('}'));
    for before in [None, Some("{}"), Some(DOCKER), Some(other), Some(&chosen)] {
        match before {
            Some(text) => fs::write(docker.config(), text).expect("an own file"),
            None => fs::remove_file(docker.config()).expect("an own file"),
        }
        let stamp = place.stamp();
        let would = place.run("install", "docker", &["--default", "--dry-run"]);
        assert!(would.status != 0 || would.text().contains("+"), "{would:?}");
        assert_eq!(place.stamp(), stamp, "--dry-run changes nothing");

        let said = place.run("install", "docker", &[]).ok("porthole install").text();
        assert!(said.contains("knows the runtime"), "{said}");
        assert!(run_in_docker(f, &docker, Some("porthole")), "{before:?}");
        assert!(!run_in_docker(f, &docker, None), "{before:?}: only where it is asked for");
        let again = place.run("install", "docker", &[]).ok("a second time").text();
        assert!(again.contains("nothing to change"), "{again}");
        let said = place.run("install", "docker", &["--default"]);
        if before.is_some_and(|text| text.contains("default-runtime")) {
            assert!(said.status == 1 && said.errors().contains("\"other\" already"), "{said:?}");
        } else {
            assert!(run_in_docker(f, &docker, None), "{before:?} {said:?}");
        }
        let said = place.run("uninstall", "docker", &[]).ok("porthole uninstall").text();
        assert!(said.contains("has forgotten"), "{said}");
        assert_eq!(text_of(&docker.config()).as_deref(), before);
        assert_eq!(place.stamp(), stamp, "mode, owner and time are what they were");
        // the daemon that runs on has forgotten it, too: containers need no program of porthole's
        assert!(!run_in_docker(f, &docker, None), "{before:?}");
        let info = docker.run(&["info", "--format", "{{json .Runtimes}} {{.DefaultRuntime}}"]).ok("docker info").text();
        assert!(!info.contains("porthole"), "{info}");
    }
}

fn docker_is_left_alone(f: &Fixture) {
    let dir = f.collector.scratch().dir("alone");
    let place = Place::new(dir.join("daemon.json"), dir.join("kept"));
    for (text, said) in [("{", "no JSON"), ("{\"runtimes\": 5}", "no object"), ("// x\n{}", "correct it first")] {
        fs::write(&place.config, text).expect("an own file");
        let out = place.run("install", "docker", &[]);
        assert!(out.status == 1 && out.errors().contains(said), "{out:?}");
        assert_eq!(text_of(&place.config).as_deref(), Some(text));
    }
    // a daemon that would not start with it
    fs::write(&place.config, "{}").expect("an own file");
    let config = place.config.display().to_string();
    let _fake = fake(&dir, "dockerd", "sleep 60 & wait", &["--config-file", &config, "--add-runtime", "a=/b"]);
    let out = place.run("install", "docker", &[]);
    assert!(out.status == 1 && out.errors().contains("--add-runtime"), "{out:?}");
    assert_eq!(text_of(&place.config).as_deref(), Some("{}"));
    // a program that is not there
    let out = porthole(&["install", "docker", "--config", &config, "--wrapper", "/no/such", "--keep-in", "/no/such"]);
    assert!(out.status == 1 && out.errors().contains("/no/such"), "{out:?}");
}

fn fake(dir: &Path, name: &str, script: &str, args: &[&str]) -> Running {
    let program = dir.join(name);
    fs::write(&program, format!("#!/bin/sh\necho ready >'{}/{name}.ready'\n{script}\n", dir.display()))
        .expect("an own file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("an own file");
    let running = Running::start(Command::new(&program).args(args));
    wait::until_true("it runs", || dir.join(format!("{name}.ready")).exists());
    running
}

fn kubernetes_interface(f: &Fixture) {
    let mut cri = match Cri::start(&f.collector.state_dir(), &f.root) {
        Ok(cri) => cri,
        Err(why) => skip!("no CRI: {why}"),
    };
    let config = cri.containerd.config();
    let place = Place::new(config.clone(), cri.containerd.scratch().join("kept"));
    // as the fixture has it, without porthole
    let mut skipped = false;
    let told = text_of(&config).expect("an own file");
    let lines = told.lines().filter(|line| {
        skipped = if line.starts_with('[') { line.contains("runtimes.porthole") } else { skipped };
        !skipped
    });
    let plain = lines.collect::<Vec<_>>().join("\n")
        + "\n# ours\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nNoNewKeyring = true # kept";
    fs::write(&config, &plain).expect("an own file");
    let stamp = place.stamp();
    let run = |cri: &Cri, handler: &str, name: &str| -> bool {
        let pod = json!({
            "metadata": {"name": name, "namespace": "n", "uid": name},
            "linux": {"security_context": {"namespace_options": {"network": "NODE", "pid": "CONTAINER"}}},
        });
        let request = json!({"config": pod, "runtime_handler": handler});
        let id = cri.call("RunPodSandbox", &request)["pod_sandbox_id"].as_str().expect("an id").to_owned();
        let command = ["/bin/sh", "-c", "cat /etc/secret; exec sleep 60"];
        let container = json!({"metadata": {"name": "app"}, "image": {"image": IMAGE}, "command": command});
        let request = json!({"pod_sandbox_id": id, "config": container, "sandbox_config": pod});
        let made = cri.call("CreateContainer", &request)["container_id"].as_str().expect("an id").to_owned();
        cri.call("StartContainer", &json!({"container_id": made}));
        let registered = f.is_registered(&made);
        if registered {
            f.is_recorded(&made);
        }
        cri.call("StopPodSandbox", &json!({"pod_sandbox_id": id}));
        cri.call("RemovePodSandbox", &json!({"pod_sandbox_id": id}));
        registered
    };
    let said = place.run("install", "containerd", &[]).ok("porthole install").text();
    assert!(said.contains("restart"), "{said}");
    let installed = text_of(&config).expect("an own file");
    assert!(installed.matches("NoNewKeyring = true").count() == 2 && installed.contains("# kept"), "{installed}");
    restart(&mut cri);
    assert!(run(&cri, "porthole", "asked"), "a RuntimeClass");
    assert!(!run(&cri, "", "usual"), "only where it is asked for");
    place.run("install", "containerd", &["--default"]).ok("porthole install --default");
    restart(&mut cri);
    assert!(run(&cri, "", "default"));
    place.run("uninstall", "containerd", &[]).ok("porthole uninstall");
    assert_eq!((text_of(&config).as_deref(), place.stamp()), (Some(&*plain), stamp));
    restart(&mut cri);
    assert!(!run(&cri, "", "after"));
    assert!(cri.try_call("RunPodSandbox", &json!({"config": {}, "runtime_handler": "porthole"})).is_err());
}

/// The file that is changed is the one that containerd goes by, and what stands in the others is left to it.
fn imports_of_containerd(f: &Fixture) {
    let dir = f.collector.scratch().dir("imports");
    let main = format!(
        "version = 2\nimports = [\"{}/more/*.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"main:1\"\n",
        dir.display()
    );
    let more = "version = 2\n# a drop-in\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
                runtime_type = \"io.containerd.runc.v2\"\noptions = { NoNewKeyring = true }\n";
    let (place, drop_in) = (Place::new(dir.join("config.toml"), dir.join("kept")), dir.join("more/50-own.toml"));
    let dump = || {
        let mut dump = Command::new("containerd");
        let dump = program::run(dump.arg("-c").arg(&place.config).args(["config", "dump"]));
        // the files that were read are listed in any order
        let lines = dump.ok("containerd config dump").text();
        lines.lines().filter(|line| !line.starts_with("imports = ")).collect::<Vec<_>>().join("\n")
    };
    fs::create_dir(dir.join("more")).expect("an own directory");
    fs::write(&place.config, &main).expect("an own file");
    for (text, changed) in [("[grpc]\nuid = 7\n", &place.config), (more, &drop_in)] {
        fs::write(&drop_in, text).expect("an own file");
        let before = dump();
        place.run("install", "containerd", &["--default"]).ok("porthole install");
        assert!(text_of(changed).is_some_and(|text| text.contains("porthole")), "{changed:?}");
        let told = dump();
        assert!(told.contains("default_runtime_name = \"porthole\"") && told.contains("porthole-runc"), "{told}");
        assert_eq!(told.matches("NoNewKeyring = true").count(), 2 * before.matches("NoNewKeyring = true").count());
        place.run("uninstall", "containerd", &[]).ok("porthole uninstall");
        assert_eq!((text_of(&place.config).as_deref(), text_of(&drop_in).as_deref()), (Some(&*main), Some(text)));
        assert_eq!(dump(), before);
    }
}

fn restart(cri: &mut Cri) {
    cri.containerd.restart();
    wait::until_true("the interface answers again", || cri.try_call("Version", &json!({})).is_ok());
}

fn podman_in_every_state(f: &Fixture) {
    if !Path::new("/usr/bin/podman").exists() {
        skip!("podman is not installed");
    }
    let dir = f.collector.scratch().dir("podman");
    let (etc, at) = (dir.join("etc"), |name: &str| dir.join(name).display().to_string());
    program::run(Command::new("cp").args(["-a", "/etc/containers"]).arg(&etc)).ok("cp");
    let limits = "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n";
    fs::write(etc.join("containers.conf"), limits).expect("an own file");
    let runtime = format!(
        "#!/bin/sh\nPORTHOLE_STATE_DIR='{}' exec '{}' \"$@\"\n",
        f.collector.state_dir().display(),
        binaries::porthole_runc().display()
    );
    fs::write(dir.join("porthole-runc"), runtime).expect("an own file");
    fs::set_permissions(dir.join("porthole-runc"), fs::Permissions::from_mode(0o755)).expect("an own file");
    program::run(Command::new("mount").arg("--bind").arg(&etc).arg("/etc/containers")).ok("mount");
    let (root, run, tmp) = (at("root"), at("run"), at("tmp"));
    let podman = |args: &[&str]| {
        let own = ["--root", &root, "--runroot", &run, "--tmpdir", &tmp, "--cgroup-manager", "cgroupfs"];
        let all = [&own[..], &["--events-backend", "file", "--storage-driver", "overlay"], args].concat();
        program::run(Command::new("/usr/bin/podman").args(all))
    };
    let tar = at("root.tar");
    program::run(Command::new("tar").arg("-C").arg(&f.root).args(["-cf", &tar, "."])).ok("tar");
    podman(&["import", &tar, podman::IMAGE]).ok("podman import");
    let run = |options: &[&str]| -> bool {
        let program =
            ["--detach", "--network", "none", podman::IMAGE, "/bin/sh", "-c", "cat /etc/secret; exec sleep 60"];
        let id = podman(&[options, &["run"], &program].concat()).ok("podman run").text();
        let registered = f.is_registered(&id);
        if registered {
            f.is_recorded(&id);
        }
        podman(&["rm", "--force", "--time", "0", &id]).ok("podman rm");
        registered
    };
    let (wrapper, kept) = (at("porthole-runc"), at("kept"));
    let tell = |verb: &str, more: &[&str]| {
        let all = [&[verb, "podman", "--wrapper", &wrapper, "--keep-in", &kept], more].concat();
        porthole(&all).ok("porthole").text()
    };
    let own = etc.join("containers.conf.d");
    let list = || fs::read_dir(&own).map(|dir| dir.count()).ok();
    for others in [None, Some(1)] {
        if others.is_some() {
            fs::create_dir(&own).expect("an own directory");
            // with runtimes of its own
            fs::write(own.join("10-x.conf"), "[engine.runtimes]\nother = [\"/usr/sbin/runc\"]\n").expect("an own file");
        }
        tell("install", &["--dry-run"]);
        assert_eq!(list(), others, "--dry-run changes nothing");
        tell("install", &[]);
        assert!(run(&["--runtime", "porthole"]), "{others:?}");
        assert!(!run(&["--runtime", "runc"]), "{others:?}: only where it is asked for");
        tell("install", &["--default"]);
        assert!(run(&[]), "{others:?}: every container");
        tell("uninstall", &[]);
        assert_eq!(list(), others, "what was there, and nothing else");
        assert!(!run(&["--runtime", "runc"]), "{others:?}");
    }
    program::run(Command::new("umount").arg("/etc/containers")).ok("umount");
}

fn crio_is_told(f: &Fixture) {
    let dir = f.collector.scratch().dir("crio");
    let conf = f.collector.scratch().dir("crio/crio.conf.d");
    let script = format!("trap 'echo told >>\"{}/told\"' HUP\nwhile :; do sleep 0.1; done", dir.display());
    let _fake = fake(&dir, "crio", &script, &["--config-dir", &conf.display().to_string()]);
    let place = Place::new(conf.join("99-porthole.conf"), dir.join("kept"));
    let told = |times: usize| {
        wait::until_true("it was told", || text_of(&dir.join("told")).unwrap_or_default().lines().count() == times);
    };
    let said = place.run("install", "crio", &[]).ok("porthole install").text();
    assert!(said.contains("SIGHUP"), "{said}");
    told(1);
    place.run("install", "crio", &["--default", "--no-reload"]).ok("porthole install");
    place.run("uninstall", "crio", &[]).ok("porthole uninstall");
    told(2);
    assert_eq!(fs::read_dir(&conf).expect("an own directory").count(), 0);
}

/// SIGKILL at each system call that changes something, one after the other: the configuration is always the old or the
/// new one, nothing lies beside it that an engine would read, and the next run of either verb makes it good.
fn killed_at_every_step(f: &Fixture) {
    let dir = f.collector.scratch().dir("killed");
    for (engine, name, before) in
        [("docker", "daemon.json", Some(DOCKER)), ("crio", "crio.conf.d/99-porthole.conf", None)]
    {
        let home = dir.join(engine).join(name.replace('/', "-"));
        let place = Place::new(home.join(name), home.join("kept"));
        fs::create_dir_all(place.config.parent().expect("a directory")).expect("an own directory");
        if let Some(text) = before {
            fs::write(&place.config, text).expect("an own file");
        }
        let stamp = place.stamp();
        place.run("install", engine, &[]).ok("porthole install");
        let installed = text_of(&place.config);
        place.run("install", engine, &["--default"]).ok("porthole install --default");
        let default = text_of(&place.config);
        let states = [before.map(str::to_owned), installed, default];
        let mut deaths = 0;
        // from nothing to installed, from there to the default, and out
        for (verb, options, from) in [("install", &[][..], 0), ("install", &["--default"], 1), ("uninstall", &[], 2)] {
            for call in CHANGING {
                for n in 1.. {
                    for arrive in [&[][..], &["--default"]].iter().take(from) {
                        place.run("install", engine, arrive).ok("porthole install");
                    }
                    let died = dies_at(call, n, &place, verb, engine, options);
                    let (found, when) = (text_of(&place.config), format!("{engine} {verb} killed at {call} {n}"));
                    assert!(states.contains(&found), "{when}: {found:?}");
                    if engine == "crio" {
                        let dir = fs::read_dir(place.config.parent().expect("a directory")).expect("an own directory");
                        assert_eq!(dir.count(), found.iter().len(), "CRI-O reads every file");
                    }
                    if n % 2 == 0 {
                        place.run("install", engine, &["--default"]).ok(&when);
                        assert_eq!(text_of(&place.config), states[2], "{when}");
                    }
                    place.run("uninstall", engine, &[]).ok(&when);
                    assert_eq!(text_of(&place.config).as_deref(), before, "{when}");
                    assert_eq!((place.stamp(), place.litter()), (stamp, vec![]), "{when}");
                    if !died {
                        break;
                    }
                    deaths += 1;
                }
            }
        }
        assert!(deaths >= 20, "{deaths} deaths only: what is injected does not match what is called");
    }
}

fn a_full_disk(f: &Fixture) {
    let disk = f.collector.scratch().dir("disk");
    program::run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&disk)).ok("mount");
    let place = Place::new(disk.join("daemon.json"), disk.join("kept"));
    fs::write(&place.config, DOCKER).expect("an own file");
    let stamp = place.stamp();
    let fill = || fs::write(disk.join("full"), vec![0; 1 << 20]).is_err();
    assert!(fill());
    let out = place.run("install", "docker", &[]);
    assert!(out.status == 1 && out.errors().contains("No space left"), "{out:?}");
    assert_eq!((text_of(&place.config).as_deref(), place.stamp()), (Some(DOCKER), stamp));
    fs::remove_file(disk.join("full")).expect("an own file");
    place.run("install", "docker", &[]).ok("porthole install");
    let installed = text_of(&place.config);
    assert!(fill());
    let out = place.run("uninstall", "docker", &[]);
    assert!(out.status == 1 && out.errors().contains("No space left"), "{out:?}");
    assert_eq!(text_of(&place.config), installed, "what is there works on");
    fs::remove_file(disk.join("full")).expect("an own file");
    place.run("uninstall", "docker", &[]).ok("porthole uninstall");
    assert_eq!((text_of(&place.config).as_deref(), place.stamp()), (Some(DOCKER), stamp));
    assert_eq!(docker::RUNTIME, "porthole");
}
