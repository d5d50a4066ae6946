//! Steps of image builds are containers, too: what they execute and open is seen, with what is known of them.

use porthole_tests::binaries;
use porthole_tests::collector::Collector;
use porthole_tests::docker::{self, Docker};
use porthole_tests::events::Events;
use porthole_tests::{program, rootfs, suite, tests};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::ExitCode;

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
    suite::run(fixture, tests![of_dockers_classic_builder, of_buildkit])
}

/// Builds an image with a step that reads a file, and gives that step's events.
fn step(f: &Fixture, docker: &Docker, buildkit: bool) -> Events {
    docker.import(&f.root);
    let file = format!("/tmp/of-builder-{}", u8::from(buildkit));
    let dir = f.collector.scratch().dir("context");
    let text = format!("FROM {}\nRUN cat /etc/secret >{file}\n", docker::IMAGE);
    std::fs::write(dir.join("Dockerfile"), text).expect("an own file");
    let mut build = docker.command(&["build", "--network", "none", &dir.display().to_string()]);
    program::run(build.env("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" })).ok("docker build");
    let ended = |e: &Events| {
        let of_file = e.opens(&file);
        let ids: Vec<&str> = of_file.0.iter().map(|e| e.text("container.full_id")).collect();
        let stops = |id: &&&str| !e.of_container(id).filter(|e| e.kind() == "container.stop").is_empty();
        ids.iter().find(stops).map(|id| e.of_container(id))
    };
    let events = f.collector.wait_for("the step", |e| ended(e).is_some());
    let step = ended(&events).expect("it was just there");
    let read = step.opens("/etc/secret");
    assert!(read.only("what the step reads").text("proc.exepath").ends_with("/bin/cat"), "{read}");
    assert!(!step.execs("/bin/cat").is_empty(), "{step}");
    step
}

fn of_dockers_classic_builder(f: &Fixture) {
    let docker = Docker::start(&f.collector.state_dir(), &["--default-runtime", docker::RUNTIME]);
    for event in step(f, &docker, false).0 {
        assert_eq!(event.text("container.type"), "docker", "{event:?}");
        // the builder starts each step from the id of the image before it, which has a name only here
        assert!(!event.text("container.name").is_empty(), "{event:?}");
        assert_eq!(event.text("container.image.tag"), "1", "{event:?}");
    }
}

/// There is no setting for its runtime: it executes the `runc` that it finds.
fn of_buildkit(f: &Fixture) {
    let path = f.collector.scratch().dir("path");
    symlink(binaries::porthole_runc(), path.join("runc")).expect("a new link");
    let docker = Docker::start_in(&f.collector.state_dir(), &[], &path);
    for event in step(f, &docker, true).0 {
        assert_eq!(event.text("container.type"), "buildkit", "{event:?}");
        assert!(event.text("container.image").is_empty(), "BuildKit says nothing of images: {event:?}");
    }
}
