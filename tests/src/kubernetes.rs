//! The files of `packaging/kubernetes`: what their pods do, on a directory that stands for a node.

use crate::binaries::{self, workspace};
use crate::program::{self, Outcome};
use crate::scratch::Scratch;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A node's root directory.
#[derive(Debug)]
pub struct Node {
    scratch: Scratch,
}

impl Node {
    /// One with this configuration of containerd, and of programs only what the pods' script calls.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(containerd: &str) -> Node {
        let scratch = Scratch::new();
        let root = scratch.dir("node");
        for dir in ["etc/containerd", "proc", "run", "tmp", "usr/bin", "lib", "lib64"] {
            scratch.dir(&format!("node/{dir}"));
        }
        std::fs::write(root.join("etc/containerd/config.toml"), containerd).expect("an own file");
        // the libraries that the programs need, and a runtime
        for program in [binaries::porthole(), binaries::porthole_runc(), PathBuf::from("/usr/sbin/runc")] {
            for library in crate::rootfs::needed(&program) {
                let inside = root.join(library.strip_prefix("/").expect("an absolute path"));
                std::fs::create_dir_all(inside.parent().expect("a directory")).expect("an own directory");
                std::fs::copy(&library, inside).expect("a copy");
            }
        }
        std::fs::copy("/usr/sbin/runc", root.join("usr/bin/runc")).expect("a copy");
        Node { scratch }
    }

    /// The configuration of its engine.
    pub fn config(&self) -> Option<String> {
        std::fs::read_to_string(self.path("etc/containerd/config.toml")).ok()
    }

    /// A path on it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.scratch.join("node").join(path)
    }

    /// What a pod does there, in an image that has the programs in the packages' places: here by a mount namespace.
    pub fn pod(&self, args: &[&str]) -> Outcome {
        let dir = binaries::dir().display().to_string();
        let script = "mkdir -p \"$HOST/../image/bin\" \"$HOST/../image/lib\" && cp \"$0\"/porthole \"$0\"/porthole-runc \
                      \"$HOST/../image/bin\" && cp \"$0\"/libporthole.so \"$HOST/../image/lib\" && exec \"$@\"";
        let image = self.scratch.join("image");
        let text = std::fs::read_to_string(directory().join("node")).expect("a file of the package");
        let text = text.replace("/usr/bin/porthole", &format!("{}/bin/porthole", image.display()));
        let text = text.replace("/usr/lib/porthole/", &format!("{}/lib/", image.display()));
        let node = self.scratch.file("porthole-node", text);
        let mut command = Command::new("sh");
        command.args(["-c", script, &dir, "sh"]).arg(node).args(args);
        program::run(command.env("HOST", self.path("")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
    }
}

/// Where the files are.
pub fn directory() -> PathBuf {
    workspace().join("packaging/kubernetes")
}

/// What the validator says of a file; the reason if there is none here.
///
/// # Errors
/// The reason.
pub fn validate(file: &Path) -> Result<Outcome, String> {
    let validator = binaries::target_dir().join("porthole-tools/bin/kubernetes-validate");
    if !validator.exists() {
        return Err(format!("{} is not there (scripts/tools)", validator.display()));
    }
    Ok(program::run(Command::new(validator).arg("--strict").arg(file)))
}
