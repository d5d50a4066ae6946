//! Containers in a burst, by each engine: the first record of each knows its container, also while nobody could be asked.
//!
//! Half of the containers of an engine with a daemon are started while that is stopped: from before porthole-runc is
//! called until the first record of the container's own program has been told.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::containerd::Containerd;
use porthole_tests::cri::{self, Cri};
use porthole_tests::docker::{self, Docker};
use porthole_tests::events::Events;
use porthole_tests::podman::{self, Podman};
use porthole_tests::rootless::Rootless;
use porthole_tests::{binaries, image, rootfs, skip, suite, tests, wait};
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

struct Fixture {
    collector: Collector,
    root: PathBuf,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    Fixture { root, collector }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![runc, crun, dockers, podmans, podmans_over_crun, podmans_without_privileges, of_ctr, pods],
    )
}

/// Name, and what a container's events must say.
type Wanted = Vec<(&'static str, String)>;

fn count() -> usize {
    if std::env::var_os("PORTHOLE_TEST_FULL").is_some() { 200 } else { 8 }
}

/// Starts them, four at a time, or one after the other.
fn each<T: Send>(numbers: std::ops::Range<usize>, at_once: bool, start: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let lanes = if at_once { 4 } else { 1 };
    std::thread::scope(|scope| {
        let start = &start;
        let lane = |lane| {
            let numbers = numbers.clone();
            scope.spawn(move || numbers.skip(lane).step_by(lanes).map(start).collect::<Vec<T>>())
        };
        let lanes: Vec<_> = (0..lanes).map(lane).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("containers start")).collect()
    })
}

/// Every event of these containers says who they are; the first ones, and one of their own programs, are there.
fn assert_known(events: impl Fn() -> Events, containers: &[(String, Wanted)]) {
    assert_eq!(containers.len(), count());
    let own =
        |events: &Events, id: &str| events.of_container(id).filter(|e| e.kind() == "execve" && e.succeeded()).len();
    let all = wait::until("a record of each container", Duration::from_secs(60), || {
        let events = events();
        containers.iter().all(|(id, _)| own(&events, id) > 0).then_some(events)
    });
    for (id, wanted) in containers {
        let events = all.of_container(id);
        assert_eq!(events.0[0].kind(), "container.create", "{events}");
        for event in &events.0 {
            for (field, value) in wanted {
                assert_eq!(event.text(field), value, "{field} of {event:?}");
            }
        }
    }
}

fn wanted(engine: &str, name: &str, image: &str) -> Wanted {
    let (repository, tag) = image.rsplit_once(':').expect("an image with a tag");
    [
        ("container.type", engine),
        ("container.name", name),
        ("container.image", image),
        ("container.image.repository", repository),
        ("container.image.tag", tag),
    ]
    .map(|(field, value)| (field, value.to_owned()))
    .into()
}

/// A runtime that stops its engine while it works, once it is told to.
struct Halting {
    runtime: PathBuf,
    order: PathBuf,
}

impl Halting {
    fn new(f: &Fixture, name: &str) -> Halting {
        let scratch = f.collector.scratch();
        let order = scratch.join(format!("halt-{name}"));
        let text = format!(
            "#!/bin/sh\n\
             for id; do case $id in create|start) verb=$id ;; esac; done\n\
             [ -e {order} ] && [ \"$verb\" ] || exec {runc} \"$@\"\n\
             daemon=$(cat {order})\n\
             kill -STOP $daemon\n\
             {runc} \"$@\"\nstatus=$? left=500\n\
             [ $verb = start ] || left=0\n\
             until [ $left = 0 ] || grep -q '\"evt.type\":\"execve\".*\"container.full_id\":\"'$id'\"' {events}; do\n\
             sleep 0.02; left=$((left - 1))\ndone\n\
             echo $left >>{order}-done\n\
             kill -CONT $daemon\nexit $status\n",
            order = order.display(),
            runc = binaries::porthole_runc().display(),
            events = f.collector.events_file().display(),
        );
        let runtime = scratch.file(&format!("runtime-{name}"), text);
        std::fs::set_permissions(&runtime, Permissions::from_mode(0o755)).expect("an own file");
        Halting { runtime, order }
    }

    /// The whole burst: half of it as it comes, half while the daemon is stopped.
    fn burst<T: Send>(&self, daemon: i32, start: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let mut all = each(0..count() / 2, true, &start);
        std::fs::write(&self.order, daemon.to_string()).expect("an own file");
        all.extend(each(count() / 2..count(), false, &start));
        std::fs::remove_file(&self.order).expect("an own file");
        let told = std::fs::read_to_string(format!("{}-done", self.order.display())).expect("the daemon was stopped");
        // one line for create, one for start, which says how patient it still was
        assert_eq!(told.lines().count(), count(), "{told}");
        assert_eq!(told.lines().filter(|left| *left == "0").count(), count() / 2, "a first record came late: {told}");
        all
    }
}

fn bundles(f: &Fixture, runtime: Option<&Path>) {
    let state = f.collector.state_dir();
    let bundles = each(0..count(), true, |_| {
        let bundle = Bundle::new(&f.root, &["/bin/sleep", "60"])
            .with(|spec| spec["annotations"] = json!({"org.opencontainers.image.ref.name": "registry:5000/app:1.2"}));
        let mut command = bundle.runtime(Some(&state));
        command.envs(runtime.map(|runtime| ("PORTHOLE_RUNTIME", runtime)));
        bundle.start_by(command);
        bundle
    });
    let of = |b: &Bundle| (b.id.clone(), wanted("runc", &b.id, "registry:5000/app:1.2"));
    assert_known(|| f.collector.events(), &bundles.iter().map(of).collect::<Vec<_>>());
    for bundle in &bundles {
        let mut delete = bundle.runtime(Some(&state));
        delete.envs(runtime.map(|runtime| ("PORTHOLE_RUNTIME", runtime)));
        porthole_tests::program::run(delete.args(["delete", "--force", &bundle.id])).ok("delete");
    }
}

fn runc(f: &Fixture) {
    bundles(f, None);
}

/// crun; it does not run where control groups are of both versions, so the second's are put out of its sight.
fn crun_of(f: &Fixture) -> Option<PathBuf> {
    const HIDE: &str = "umount /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun \"$@\"";
    let script = format!("#!/bin/sh\nexec unshare -m sh -c '{HIDE}' crun \"$@\"\n");
    let script = f.collector.scratch().file("crun", script);
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("an own file");
    Path::new("/usr/bin/crun").exists().then_some(script)
}

fn crun(f: &Fixture) {
    let Some(crun) = crun_of(f) else { skip!("crun is not installed") };
    bundles(f, Some(&crun));
}

fn dockers(f: &Fixture) {
    let halting = Halting::new(f, "docker");
    let docker = Docker::start_with(&f.collector.state_dir(), &[], &halting.runtime);
    docker.import(&f.root);
    let all = halting.burst(docker.pid(), |n| {
        let (name, label) = (format!("burst-{n}"), format!("n={n}"));
        // for any other network docker has the runtime call the daemon
        let options = ["--network", "host", "--label", &label, "--name", &name];
        let run = [&["run", "--detach", "--runtime", docker::RUNTIME], &options[..], &[docker::IMAGE, "/bin/true"]];
        (docker.run(&run.concat()).ok("docker run").text(), wanted("docker", &name, docker::IMAGE))
    });
    assert_known(|| f.collector.events(), &all);
}

fn podmans_by(f: &Fixture, runtime: &Path) {
    let podman = match Podman::over(&f.collector.state_dir(), runtime) {
        Ok(podman) => podman,
        Err(why) => skip!("no podman: {why}"),
    };
    podman.import(&f.root);
    let all = each(0..count(), true, |n| {
        let name = format!("burst-{n}");
        let run = ["run", "--detach", "--network", "none", "--name", &name, podman::IMAGE, "/bin/true"];
        (podman.run(&run).ok("podman run").text(), wanted("podman", &name, podman::IMAGE))
    });
    assert_known(|| f.collector.events(), &all);
}

fn podmans(f: &Fixture) {
    podmans_by(f, Path::new(""));
}

fn podmans_over_crun(f: &Fixture) {
    let Some(crun) = crun_of(f) else { skip!("crun is not installed") };
    podmans_by(f, &crun);
}

fn podmans_without_privileges(f: &Fixture) {
    let podman = match Rootless::start() {
        Ok(podman) => podman,
        Err(why) => skip!("no podman without privileges: {why}"),
    };
    podman.import(&f.root);
    let all = each(0..count(), true, |n| {
        let name = format!("burst-{n}");
        let run = ["run", "--detach", "--network", "none", "--name", &name, podman::IMAGE, "/bin/true"];
        (podman.podman(&run).ok("podman run").text(), wanted("podman", &name, podman::IMAGE))
    });
    assert_known(|| podman.events(), &all);
}

fn of_ctr(f: &Fixture) {
    let halting = Halting::new(f, "ctr");
    let containerd = Containerd::start(&f.collector.state_dir());
    let archive = image::archive(f.collector.scratch(), &f.root, cri::IMAGE, &json!({}));
    containerd.import(&archive);
    let all = halting.burst(containerd.pid(), |n| {
        let name = format!("burst-of-ctr-{n}");
        containerd.run_by(&halting.runtime, &["--detach"], cri::IMAGE, &name, &["/bin/true"]).ok("ctr run");
        let wanted = wanted("containerd", &name, cri::IMAGE);
        (name, wanted)
    });
    assert_known(|| f.collector.events(), &all);
}

fn pods(f: &Fixture) {
    let halting = Halting::new(f, "cri");
    let cri = match Cri::start_with(&f.collector.state_dir(), &f.root, &halting.runtime) {
        Ok(cri) => cri,
        Err(why) => skip!("no CRI: {why}"),
    };
    let pods = each(0..count() / 4, false, |n| cri.pod(&format!("pod-{n}"), json!({})));
    let all = halting.burst(cri.containerd.pid(), |n| {
        let (pod, name) = (&pods[n / 4], format!("burst-{n}"));
        let container = pod.run(&name, &["/bin/true"], json!({}));
        let mut wanted = wanted("containerd", &name, cri::IMAGE);
        let of = |field, what: &str| (field, format!("{what}pod-{}", n / 4));
        wanted.extend([of("k8s.pod.name", ""), of("k8s.ns.name", "ns-of-"), of("k8s.pod.uid", "uid-of-")]);
        wanted.push(("k8s.pod.sandbox_id", pod.id[..12].to_owned()));
        (container.id, wanted)
    });
    assert_known(|| f.collector.events(), &all);
}
