//! A "container" whose programs run on the host: registered as porthole-runc would do it, without a runtime.

use crate::{binaries, targets};
use porthole_registration::container::{Container, Injection};
use porthole_registration::layout::ContainerDir;
use porthole_registration::share::{self, Agent, View};
use porthole_registration::{life, registry};
use std::path::Path;
use std::process::{Command, Stdio};

/// A registered container. It lives as long as this process, or until [`Registered::delete`].
#[derive(Debug)]
pub struct Registered {
    dir: ContainerDir,
    id: String,
}

impl Registered {
    /// Registers a container of this id.
    ///
    /// # Panics
    /// If it cannot be registered.
    pub fn new(state: &Path, id: &str) -> Registered {
        let dir = ContainerDir::new(state, id).expect("a valid id");
        let claim = registry::claim(state, dir.clone()).expect("the directory is new");
        let agent = Agent::load(&binaries::agent()).expect("the agent");
        share::make(&dir, &agent, 0, View::Host).expect("a share");
        let me = std::process::id();
        let container = Container {
            id: id.into(),
            rootfs: "/".into(),
            created_ns: registry::now_ns(),
            runtime_pid: me,
            runtime_start: life::start_time(me),
            injection: Injection::Preload { library: dir.library().display().to_string(), inject: Default::default() },
            ..Container::default()
        };
        claim.publish(&container).expect("it is written");
        Registered { dir, id: id.to_owned() }
    }

    /// Its full id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its directory.
    pub fn dir(&self) -> &ContainerDir {
        &self.dir
    }

    /// A program of the container (`tests/targets/crowd.c`) that opens `opens` missing files, evenly over `life`
    /// milliseconds or without a pause.
    pub fn member(&self, life: u64, opens: u64) -> Command {
        let mut command = Command::new(targets::glibc("crowd"));
        command.args(["member", &life.to_string(), &opens.to_string(), &self.prefix()]);
        command.env_clear().env("LD_PRELOAD", self.dir.library());
        command.stdin(Stdio::null());
        command
    }

    /// A program beside the container that starts `count` such members: `how` is `keep` or `burst`.
    pub fn crowd(&self, how: &str, count: u64, life: u64, opens: u64) -> Command {
        let mut command = Command::new(targets::glibc("crowd"));
        command.args([how, &count.to_string(), &life.to_string(), &opens.to_string(), &self.prefix()]);
        command.env_clear().env("AGENT", self.dir.library());
        command.stdin(Stdio::null());
        command
    }

    /// What the paths of its members' opens begin with.
    pub fn prefix(&self) -> String {
        format!("/crowd/{}", self.id)
    }

    /// Says, as `porthole-runc delete` does, that it is over. A running collector then removes its directory.
    ///
    /// # Panics
    /// If it cannot be said.
    pub fn delete(&self) {
        registry::mark_deleted(&self.dir).expect("an own directory");
    }

    /// Removes its directory where no collector does.
    pub fn remove(&self) {
        let _ = registry::remove(&self.dir);
    }
}
