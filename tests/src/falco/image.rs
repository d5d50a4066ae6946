//! Root file systems that the cases are tried in: of this machine's programs, and of musl's.

use crate::rootfs::needed;
use crate::{binaries, targets};
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs of the host that the cases name.
const PROGRAMS: &str = "bash dash cat ls true touch rm mv ln cp mkdir chmod echo env id find grep shred unshare passwd \
                        sleep python3";

/// Files of the host that they read, as far as they are there.
const FILES: [&str; 8] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/hosts",
    "etc/hostname",
    "etc/nsswitch.conf",
    "etc/ld.so.cache",
    "etc/login.defs",
];

/// What a machine may lack and the cases need.
pub const TEXTS: [(&str, &str); 2] = [("etc/pam.d/login", "#\n"), ("root/.bashrc", "")];

/// Makes one with glibc, bash and python3 in `root`.
///
/// # Panics
/// If something cannot be copied.
pub fn make(root: &Path) {
    frame(root);
    let programs: Vec<PathBuf> = PROGRAMS.split_whitespace().map(|name| Path::new("/usr/bin").join(name)).collect();
    let mut all: BTreeSet<PathBuf> = programs.iter().flat_map(|program| needed(program)).collect();
    for program in programs {
        // python3 is a link to the program with its version
        if let Ok(to) = std::fs::canonicalize(&program)
            && to != program
        {
            all.insert(to);
        }
        all.insert(program);
    }
    let python = std::fs::canonicalize("/usr/bin/python3").expect("python3 is installed");
    let library = Path::new("/usr/lib").join(python.file_name().expect("a program"));
    for module in std::fs::read_dir(library.join("lib-dynload")).expect("python's modules").flatten() {
        let name = module.file_name().to_string_lossy().into_owned();
        if ["_ctypes.", "_socket", "_posixsub"].iter().any(|wanted| name.starts_with(wanted)) {
            all.extend(needed(&module.path()));
        }
    }
    all.iter().for_each(|file| copy(root, file));
    symlink("dash", root.join("usr/bin/sh")).expect("a new link");
    // tests, an editor and what it was linked with are most of python's library
    let big =
        ["test", "idlelib", "lib2to3", "pydoc_data", "unittest", "distutils", "asyncio", "__pycache__", "config-*"];
    let left_out: String = big.iter().map(|name| format!(" --exclude='{}/{name}'", library.display())).collect();
    let script = format!(
        "tar -cPf - {left_out} --transform 's,^/,,' '{}' | tar -C '{}' -xf -",
        library.display(),
        root.display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().is_ok_and(|s| s.success()), "{script}");
}

/// Makes one of busybox with musl, and a static program, in `root`; the reason if there is no such busybox.
///
/// # Errors
/// The reason.
///
/// # Panics
/// If something cannot be copied.
pub fn make_musl(root: &Path) -> Result<(), String> {
    let busybox = binaries::target_dir().join("porthole-tools/bin/busybox-musl");
    if !busybox.exists() {
        return Err("scripts/tools has not made busybox-musl".into());
    }
    frame(root);
    std::fs::create_dir(root.join("root/.ssh")).expect("an own directory");
    let put = |from: &Path, to: &str| _ = std::fs::copy(from, root.join(to)).expect("a file is copied");
    put(&busybox, "usr/bin/busybox");
    for applet in ["sh", "cat", "ls", "rm", "cp", "find", "wget", "env"] {
        symlink("busybox", root.join("usr/bin").join(applet)).expect("a new link");
    }
    put(Path::new("/lib/ld-musl-x86_64.so.1"), "usr/lib/ld-musl-x86_64.so.1");
    put(&targets::musl("probe"), "usr/bin/probe");
    put(&targets::build("probe", targets::Flavour::Static), "usr/bin/probe-static");
    Ok(())
}

/// Directories, and files that are read.
fn frame(root: &Path) {
    for dir in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "etc/pam.d", "root", "var/log", "proc"]
    {
        std::fs::create_dir_all(root.join(dir)).expect("an own directory");
    }
    for dir in ["dev", "sys", "tmp", "run"] {
        std::fs::create_dir_all(root.join(dir)).expect("an own directory");
    }
    for dir in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{dir}"), root.join(dir)).expect("a new link");
    }
    let open = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(root.join("tmp"), open).expect("an own directory");
    for file in FILES {
        let _ = std::fs::copy(Path::new("/").join(file), root.join(file));
    }
    for (file, text) in TEXTS {
        std::fs::write(root.join(file), text).expect("an own file");
    }
}

/// Copies a file of the host to the same path; a link as a link.
fn copy(root: &Path, file: &Path) {
    // /lib is a link to /usr/lib, there and here
    let to = root.join(file.strip_prefix("/").expect("an absolute path"));
    std::fs::create_dir_all(to.parent().expect("a file lies in a directory")).expect("an own directory");
    if to.symlink_metadata().is_ok() {
        return;
    }
    match std::fs::read_link(file) {
        Ok(target) if file.starts_with("/usr/bin") => symlink(target, to).expect("a new link"),
        _ => _ = std::fs::copy(file, to).unwrap_or_else(|e| panic!("cannot copy {}: {e}", file.display())),
    }
}
