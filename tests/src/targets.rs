//! The C programs of `tests/targets/`, compiled once per target directory and compiler.

use crate::binaries;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which C library a target is linked with, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// gcc, the system's glibc.
    Glibc,
    /// musl-gcc, dynamic.
    Musl,
    /// gcc -static: no loader, so no agent.
    Static,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Flavour::Glibc => "glibc",
            Flavour::Musl => "musl",
            Flavour::Static => "static",
        }
    }

    fn compiler(self) -> &'static str {
        if self == Flavour::Musl { "musl-gcc" } else { "gcc" }
    }
}

/// The target `name` (of `tests/targets/NAME.c`) with glibc.
pub fn glibc(name: &str) -> PathBuf {
    build(name, Flavour::Glibc)
}

/// The target with musl.
pub fn musl(name: &str) -> PathBuf {
    build(name, Flavour::Musl)
}

/// The target, compiled if it is not yet or has changed since.
///
/// # Panics
/// If it does not compile.
pub fn build(name: &str, flavour: Flavour) -> PathBuf {
    let source = source(&format!("targets/{name}.c"));
    let flags: &[&str] = if flavour == Flavour::Static { &["-static"] } else { &[] };
    compile(&source, &format!("{name}-{}", flavour.name()), flavour.compiler(), flags)
}

/// The C++ target `NAME-cpp`.
pub fn cpp(name: &str) -> PathBuf {
    compile(&source(&format!("targets/{name}.cpp")), &format!("{name}-cpp"), "g++", &["-std=c++17"])
}

/// Where compiled targets lie.
pub fn dir() -> PathBuf {
    binaries::target_dir().join("porthole-targets")
}

/// The shared object of `tests/targets/NAME.c`.
pub fn library(name: &str) -> PathBuf {
    compile(&source(&format!("targets/{name}.c")), &format!("{name}.so"), "gcc", &["-shared", "-fPIC"])
}

/// A target linked with a shared object of [`library`].
pub fn linked_with(name: &str, library: &Path) -> PathBuf {
    let stem = library.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let library = library.to_string_lossy().into_owned();
    compile(
        &source(&format!("targets/{name}.c")),
        &format!("{name}-with-{stem}"),
        "gcc",
        &["-Wl,--no-as-needed", &library],
    )
}

/// Compiles a program of `tests/bench/`.
pub fn bench(name: &str, flavour: Flavour) -> PathBuf {
    let output = format!("bench-{name}-{}", flavour.name());
    compile(&source(&format!("bench/{name}.c")), &output, flavour.compiler(), &[])
}

/// Compiles one file of `tests/`.
///
/// # Panics
/// With the compiler's messages if it does not compile.
pub fn compile(source: &Path, output: &str, compiler: &str, flags: &[&str]) -> PathBuf {
    let dir = dir();
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    let binary = dir.join(output);
    if is_newer(&binary, source) {
        return binary;
    }
    // compiled beside and renamed: several tests, and several test programs, may ask at the same time
    let unique = format!("{output}.{}.{:?}", std::process::id(), std::thread::current().id());
    let temporary = dir.join(unique.replace(['(', ')'], "-"));
    let out = Command::new(compiler)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-result", "-o"])
        .arg(&temporary)
        .arg(source)
        .args(flags)
        .arg("-pthread")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {compiler} (scripts/setup installs it): {e}"));
    assert!(out.status.success(), "{compiler} {} failed:\n{}", source.display(), String::from_utf8_lossy(&out.stderr));
    std::fs::rename(&temporary, &binary).unwrap_or_else(|e| panic!("cannot make {}: {e}", binary.display()));
    binary
}

fn source(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn is_newer(binary: &Path, source: &Path) -> bool {
    let time = |p: &Path| std::fs::metadata(p).and_then(|m| m.modified()).ok();
    matches!((time(binary), time(source)), (Some(b), Some(s)) if b > s)
}
