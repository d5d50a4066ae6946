//! Where the programs under test are. Always release builds: a debug agent is inert, and tests of it would prove nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Environment variable with the directory of the release binaries; `scripts/test` sets it.
pub const BIN_DIR_ENV: &str = "PORTHOLE_BIN_DIR";

/// Root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The directory that cargo builds into.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |d| workspace().join(d))
}

/// Directory of the release binaries.
///
/// # Panics
/// If there are none, or if the agent there exports no hook.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = std::env::var_os(BIN_DIR_ENV).map_or_else(|| target_dir().join("release"), PathBuf::from);
        for name in ["porthole", "porthole-runc", "libporthole.so"] {
            let file = dir.join(name);
            assert!(
                file.is_file(),
                "{} is not built: run `cargo build --release --workspace`, or set {BIN_DIR_ENV}",
                file.display()
            );
        }
        let exported = exports(&dir.join("libporthole.so"));
        assert!(
            exported.iter().any(|name| name == "execve"),
            "{} exports no execve: it is a debug build, which does nothing; build it with --release",
            dir.join("libporthole.so").display()
        );
        dir
    })
}

/// The command line and collector.
pub fn porthole() -> PathBuf {
    dir().join("porthole")
}

/// The runc wrapper.
pub fn porthole_runc() -> PathBuf {
    dir().join("porthole-runc")
}

/// The agent.
pub fn agent() -> PathBuf {
    dir().join("libporthole.so")
}

/// Names that a shared object defines and exports.
pub fn exports(library: &Path) -> Vec<String> {
    let out = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().expect("nm runs");
    assert!(out.status.success(), "nm {}: {}", library.display(), String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().filter_map(|l| l.split(' ').nth(2)).map(str::to_owned).collect()
}
