//! Where the suites' programs come from: Debian, this workspace, and `scripts/tools`.

use super::programs::Program;
use crate::{binaries, targets};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What programs are found in. Debian's come before what a developer's own `PATH` has.
pub fn path() -> String {
    // the programs of tests/src/bin lie beside the directory of the suites
    let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    let rust = Path::new(env!("CARGO")).parent().map(Path::to_owned);
    let debian = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let made = [targets::dir(), binaries::target_dir().join("porthole-tools/bin")];
    let all: Vec<String> =
        debian.into_iter().chain(made).chain(own).chain(rust).map(|d| d.display().to_string()).collect();
    all.join(":")
}

impl Program {
    /// The whole environment that it runs in: the scripts' output is to be the same everywhere.
    pub fn environment() -> Vec<(&'static str, String)> {
        vec![("LC_ALL", "C".into()), ("PATH", path())]
    }

    /// The command that runs it.
    pub fn command(&self) -> Vec<String> {
        let mut command: Vec<String> = vec![];
        if self.alone {
            command.extend(["unshare", "--net", "--"].map(str::to_owned));
        }
        let lo = if self.alone { "ip link set lo up || exit\n" } else { "" };
        // an own directory each time: the script may run twice
        let script = format!(
            "{lo}export HOME=$(mktemp -d); cd \"$HOME\" || exit\n(\n{}\n)\nstatus=$?; cd /; rm -rf \"$HOME\"; exit $status",
            self.script
        );
        command.extend(["sh".into(), "-c".into(), script]);
        command
    }

    /// Compiles what it needs of this workspace, and says which command is not there.
    pub fn missing(&self) -> Option<&'static str> {
        match self.name {
            "C, musl" => drop(targets::musl("jobs")),
            "C++" => drop(targets::cpp("library")),
            _ => {}
        }
        let there = |command: &str| {
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", command]).env("PATH", path()).output();
            found.is_ok_and(|out| out.status.success())
        };
        self.needs.iter().find(|command| !there(command)).copied()
    }
}
