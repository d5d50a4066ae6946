//! Root file systems of other Debian releases, for their C libraries: from the archive that this machine's apt uses,
//! made once per target directory.

use crate::binaries;
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What goes in, beside what it depends on.
const PACKAGES: [&str; 8] =
    ["dash", "coreutils", "findutils", "libc-bin", "perl-base", "libstdc++6", "libc6-dev", "musl"];

/// A release other than this machine's.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its name.
    pub name: &'static str,
    /// Its root file system.
    pub root: PathBuf,
}

/// The root file system of a release, or why there is none.
///
/// # Errors
/// One line for [`crate::print_skip`].
pub fn get(name: &'static str) -> Result<Release, String> {
    static MADE: Mutex<BTreeMap<&str, Result<Release, String>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    made.entry(name).or_insert_with(|| make(name)).clone()
}

fn make(name: &'static str) -> Result<Release, String> {
    let dir = binaries::target_dir().join("porthole-releases").join(name);
    let release = Release { name, root: dir.join("root") };
    let complete = dir.join("complete");
    if complete.exists() {
        return Ok(release);
    }
    let _ = std::fs::remove_dir_all(&dir);
    download(name, &dir).map_err(|e| format!("C library of {name}: {e}"))?;
    unpack(&dir, &release.root).map_err(|e| format!("C library of {name}: {e}"))?;
    std::fs::write(complete, "").map_err(|e| e.to_string())?;
    Ok(release)
}

/// The archive of this machine's own release.
fn archive() -> Result<String, String> {
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = system.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("none");
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let all = said(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let main = all.lines().find_map(|line| line.strip_suffix(&format!(" {own} main")));
    main.map(str::to_owned).ok_or_else(|| format!("apt has no archive of {own}"))
}

fn download(name: &str, dir: &Path) -> Result<(), String> {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let archive = archive()?;
    for below in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(dir.join(below)).map_err(|e| e.to_string())?;
    }
    let keys = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
    for (file, text) in [("list", format!("deb {keys}{archive} {name} main\n")), ("status", String::new())] {
        std::fs::write(dir.join(file), text).map_err(|e| e.to_string())?;
    }
    // An apt that knows nothing of this machine: no sources, no package is installed.
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["100", "apt-get", "-q", "-y", "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root"]);
        command.args(["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "-o", "Acquire::Retries=1"]);
        let parts =
            [("Etc::sourcelist", "list"), ("State::lists", "lists"), ("State::status", "status"), ("Cache", "cache")];
        parts.iter().for_each(|(key, at)| _ = command.args(["-o", &format!("Dir::{key}={}", dir.join(at).display())]));
        said(command.args(arguments))
    };
    apt(&["update", "--error-on=any"])?;
    apt(&[&["install", "--download-only", "--no-install-recommends"], &PACKAGES[..]].concat())?;
    Ok(())
}

fn unpack(dir: &Path, root: &Path) -> Result<(), String> {
    let error = |e: std::io::Error| e.to_string();
    for below in ["dev", "proc", "sys", "tmp", "out", "t", "root", "etc", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"]
    {
        std::fs::create_dir_all(root.join(below)).map_err(error)?;
    }
    let packages = std::fs::read_dir(dir.join("cache/archives")).map_err(error)?.flatten().map(|e| e.path());
    let packages: Vec<_> = packages.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect();
    for package in &packages {
        said(Command::new("dpkg-deb").arg("-x").arg(package).arg(root))?;
    }
    // From Debian 13 on these come with a package that is not needed otherwise.
    for link in ["bin", "sbin", "lib", "lib64"] {
        if !root.join(link).exists() {
            symlink(format!("usr/{link}"), root.join(link)).map_err(error)?;
        }
    }
    let loader = root.join("lib64/ld-linux-x86-64.so.2");
    if let Ok(to) = std::fs::read_link(&loader)
        && let Ok(to) = to.strip_prefix("/")
    {
        // as the linker of this machine needs it
        std::fs::remove_file(&loader).map_err(error)?;
        symlink(Path::new("..").join(to), &loader).map_err(error)?;
    }
    if !root.join("bin/sh").exists() {
        symlink("dash", root.join("bin/sh")).map_err(error)?;
    }
    for (file, text) in [
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/hostname", "container\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ] {
        std::fs::write(root.join(file), text).map_err(error)?;
    }
    std::fs::remove_dir_all(dir.join("cache")).map_err(error)?;
    std::fs::remove_dir_all(dir.join("lists")).map_err(error)
}

/// What a command says, or the first line of its errors if it fails.
fn said(command: &mut Command) -> Result<String, String> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let program = words.map(|word| word.to_string_lossy()).find(|word| !["timeout", "100"].contains(&word.as_ref()));
    let program = program.unwrap_or_default().into_owned();
    let out = command.output().map_err(|e| format!("cannot run {program}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    Err(format!("{program} failed: {}", errors.lines().next().unwrap_or("without a word")))
}

impl Release {
    /// A program of this machine goes in below `/t`, with its libraries, to be run by [`Release::foreign`].
    ///
    /// # Panics
    /// If it cannot be copied.
    pub fn bring(&self, program: &Path) {
        let to = self.root.join("t").join(program.file_name().expect("a path of a file"));
        std::fs::create_dir_all(&to).expect("an own directory");
        for file in crate::rootfs::needed(program).iter().chain([&program.to_owned()]) {
            let copied = std::fs::copy(file, to.join(file.file_name().expect("a path of a file")));
            copied.unwrap_or_else(|e| panic!("cannot copy {}: {e}", file.display()));
        }
    }

    /// How a program of [`Release::bring`] is run: by its own loader.
    pub fn foreign(name: &str) -> Vec<String> {
        let at = format!("/t/{name}");
        let file = |name: &str| format!("{at}/{name}");
        vec![file("ld-linux-x86-64.so.2"), "--library-path".into(), at.clone(), file(name)]
    }

    /// Compiles a C or C++ target for this release, into `/t` of its root.
    ///
    /// # Panics
    /// If it does not compile.
    pub fn compile(&self, source: &Path, flags: &[&str]) -> String {
        let library = |below: &str| self.root.join(below).join("x86_64-linux-gnu");
        let (libraries, headers) = (library("usr/lib"), self.root.join("usr/include"));
        let name = source.file_stem().expect("a path of a file").to_string_lossy().into_owned();
        let cpp = source.extension().is_some_and(|e| e == "cpp");
        let mut command = Command::new(if cpp { "g++" } else { "gcc" });
        command.arg("-B").arg(&libraries).arg("-L").arg(&libraries).arg("-L").arg(library("lib"));
        command.arg(format!("-Wl,--sysroot={}", self.root.display()));
        command.arg("-isystem").arg(&headers).arg("-isystem").arg(headers.join("x86_64-linux-gnu"));
        command.args(["-O1", "-static-libstdc++", "-o"]).arg(self.root.join("t").join(&name)).arg(source).args(flags);
        // named by their paths: the links beside them are absolute
        for library in ["libpthread.so.0", "libdl.so.2"].map(|file| library("lib").join(file)) {
            command.arg(library);
        }
        said(&mut command).unwrap_or_else(|e| panic!("{} for {}: {e}", source.display(), self.name));
        format!("/t/{name}")
    }
}
