//! A small root file system for containers, of dynamic programs copied from this machine: a static busybox would show
//! nothing, as no agent can be loaded into it.

use crate::scratch::Scratch;
use crate::targets;
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs of the host that go in.
const PROGRAMS: [&str; 14] = [
    "/bin/dash",
    "/bin/bash",
    "/bin/cat",
    "/bin/ls",
    "/bin/true",
    "/bin/sleep",
    "/bin/mkdir",
    "/bin/mount",
    "/bin/touch",
    "/bin/dd",
    "/usr/bin/env",
    "/usr/bin/id",
    "/usr/bin/head",
    "/usr/bin/seq",
];

/// Targets that go in, below `/t`: built with glibc and, as `NAME-musl`, with musl.
const TARGETS: [&str; 3] = ["calls", "probe", "many"];

/// A shell script in the image, as entrypoint of tests: `#!` is followed like any other program.
const SCRIPT: &str = "#!/bin/sh\ncat /etc/hostname >/dev/null\nexec /bin/true\n";

/// One in this scratch directory: see [`make`].
///
/// # Panics
/// If something cannot be copied.
pub fn of(scratch: &Scratch) -> PathBuf {
    let root = scratch.dir("root");
    make(&root);
    root
}

/// Makes the root file system in `root`.
///
/// # Panics
/// If something cannot be copied.
pub fn make(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "t", "var", "run", "usr", "root"] {
        make_dir(&root.join(dir));
    }
    symlink("../bin", root.join("usr/bin")).expect("a new link");
    set_mode(&root.join("tmp"), 0o1777);
    for (file, text) in [
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"),
        ("etc/group", "root:x:0:\napp:x:1000:\n"),
        ("etc/hostname", "container\n"),
        ("etc/secret", "secret\n"),
    ] {
        std::fs::write(root.join(file), text).unwrap_or_else(|e| panic!("cannot write {file}: {e}"));
    }
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS.map(PathBuf::from) {
        let name = program.file_name().expect("a path of a file");
        copy(&program, &root.join("bin").join(name));
        libraries.extend(needed(&program));
    }
    symlink("dash", root.join("bin/sh")).expect("a new link");
    for name in TARGETS {
        let glibc = targets::glibc(name);
        libraries.extend(needed(&glibc));
        copy(&glibc, &root.join("t").join(name));
        copy(&targets::musl(name), &root.join("t").join(format!("{name}-musl")));
    }
    copy(&targets::build("probe", targets::Flavour::Static), &root.join("t/probe-static"));
    for library in libraries {
        let inside = root.join(library.strip_prefix("/").expect("an absolute path"));
        make_dir(inside.parent().expect("a file lies in a directory"));
        copy(&library, &inside);
    }
    // musl's loader is its C library, and musl-gcc's programs name it by this path
    copy(Path::new("/lib/ld-musl-x86_64.so.1"), &root.join("lib/ld-musl-x86_64.so.1"));
    std::fs::write(root.join("t/script"), SCRIPT).expect("a new file");
    set_mode(&root.join("t/script"), 0o755);
}

/// Shared objects that a program loads, its loader included.
pub(crate) fn needed(program: &Path) -> Vec<PathBuf> {
    let out = Command::new("ldd").arg(program).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "ldd {}: {text}", program.display());
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn make_dir(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod of an own file");
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap_or_else(|e| panic!("cannot copy {} to {}: {e}", from.display(), to.display()));
}
