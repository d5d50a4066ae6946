//! What the first program of a container is, from a look at its file.
//!
//! A guess for the ledger (static programs cannot be seen) and against complaints of a foreign loader; nothing here
//! changes the container, and a file that cannot be found or understood is `unknown`.

use crate::plan::dev::{clean, covers};
use porthole_common::limits;
use porthole_registration::container::{Mount, Process};
use porthole_registration::elf::{Program, look};
use porthole_registration::file::open_within;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the first program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in `container.json`.
    pub name: &'static str,
    /// Why the agent must not be preloaded.
    pub objection: Option<&'static str>,
}

/// Not found, not readable, or nothing that can be started.
const UNKNOWN: Target = Target { name: "unknown", objection: None };
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Directories of `PATH` that are looked into. The image says how many there are.
const DIRECTORIES: usize = 256;

/// Looks at the program that `process` starts in the root file system `root`, over which `mounts` are mounted.
/// `env` is its environment.
pub fn target<'a>(root: &Path, mounts: &[Mount], process: &Process, env: impl Iterator<Item = &'a str>) -> Target {
    let Some(name) = process.args.first().filter(|name| !name.is_empty()) else { return UNKNOWN };
    let view = View { root, mounts };
    let open = |path: &str| {
        let fits = process.cwd.len() + path.len() < limits::PATH;
        fits.then(|| absolute(&process.cwd, path)).and_then(|place| view.open(&place))
    };
    let found = if name.contains('/') {
        open(name)
    } else {
        let path = env.filter_map(|e| e.strip_prefix("PATH=")).last().unwrap_or(DEFAULT_PATH);
        path.split(':').take(DIRECTORIES).find_map(|dir| open(&format!("{dir}/{name}")))
    };
    let Some(file) = found else { return UNKNOWN };
    let program = look(&file);
    let Program::Script(interpreter) = &program else { return judge(&file, &program, process) };
    // An interpreter that must not be preloaded counts; beyond that a script is a script.
    let interpreter = view.open(&clean(&String::from_utf8_lossy(interpreter)));
    let by = interpreter.map(|file| judge(&file, &look(&file), process)).filter(|t| t.objection.is_some());
    by.unwrap_or(Target { name: "script", objection: None })
}

fn judge(file: &File, program: &Program, process: &Process) -> Target {
    const S_ISUID: u32 = 0o4000;
    let other = |m: std::fs::Metadata| m.mode() & S_ISUID != 0 && m.uid() != process.uid;
    let secure = !process.no_new_privileges && file.metadata().is_ok_and(other);
    let name = if secure && *program == Program::Dynamic { "setuid" } else { program.name() };
    Target { name, objection: program.objection() }
}

fn absolute(cwd: &str, path: &str) -> String {
    clean(&if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") })
}

/// A root file system as the container will see it, near enough.
struct View<'a> {
    root: &'a Path,
    mounts: &'a [Mount],
}

impl View<'_> {
    /// Opens a regular file by its clean absolute path in the container.
    fn open(&self, path: &str) -> Option<File> {
        let Some((at, mount)) = self.mount_over(path) else {
            let file = open_within(self.root, path.trim_start_matches('/'))?;
            let real = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))).ok()?;
            let inside = format!("/{}", real.strip_prefix(self.root).ok()?.to_str()?);
            return self.mount_over(&inside).is_none().then_some(file);
        };
        if !mount.options.iter().any(|o| o == "bind" || o == "rbind") {
            return None;
        }
        match path[at.len()..].trim_start_matches('/') {
            "" => {
                let source = Path::new(&mount.source);
                open_within(source.parent()?, source.file_name()?.to_str()?)
            }
            rest => open_within(Path::new(&mount.source), rest),
        }
    }

    /// The last mount that hides this path, and its clean destination. A mount on `/` is not followed.
    fn mount_over(&self, path: &str) -> Option<(String, &Mount)> {
        let mut later_first = self.mounts.iter().rev().map(|mount| (clean(&mount.destination), mount));
        later_first.find(|(at, _)| at != "/" && covers(at, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    const PT_INTERP: u32 = 3;

    fn program(class: u8, machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 * segments.len()];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        (bytes[32], bytes[54], bytes[56]) = (64, 56, segments.len() as u8);
        for (n, kind) in segments.iter().enumerate() {
            bytes[64 + 56 * n..][..4].copy_from_slice(&kind.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn only_regular_files_below_directories_are_opened() {
        let top = std::env::temp_dir().join(format!("porthole-elf-regular-{}", std::process::id()));
        fs::create_dir_all(&top).unwrap();
        fs::write(top.join("file"), "x").unwrap();
        nix::unistd::mkfifo(&top.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open_within(&top, "file").is_some());
        // both would be waited for
        assert!(open_within(&top, "pipe").is_none());
        assert!(open_within(&top.join("pipe"), "file").is_none());
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn links_are_resolved_within_the_root_and_mounts_are_seen() {
        let top = std::env::temp_dir().canonicalize().unwrap().join(format!("porthole-elf-{}", std::process::id()));
        let root = top.join("root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::create_dir_all(top.join("volume")).unwrap();
        symlink("/usr/bin", root.join("bin")).unwrap();
        symlink("../../../../../../etc/passwd", root.join("usr/bin/escape")).unwrap();
        symlink("loop", root.join("usr/bin/loop")).unwrap();
        fs::write(root.join("usr/bin/dyn"), program(2, MACHINE, &[PT_INTERP])).unwrap();
        fs::write(root.join("usr/bin/old"), program(1, 3, &[])).unwrap();
        fs::write(root.join("usr/bin/script"), "#!/bin/dyn\n").unwrap();
        fs::write(root.join("usr/bin/foreign"), "#!/bin/old\n").unwrap();
        fs::write(top.join("volume/stat"), program(2, MACHINE, &[])).unwrap();
        let bind = |from: &str, at: &str| Mount {
            source: top.join(from).to_string_lossy().into(),
            destination: at.into(),
            r#type: "bind".into(),
            options: vec!["rbind".into()],
        };
        let mounts = [
            bind("volume", "/opt"),
            bind("volume/stat", "/sbin/init"),
            Mount { destination: "/tmp".into(), ..Mount::default() },
        ];
        let look = |args: &str, env: &str| {
            let process = Process { args: vec![args.into()], cwd: "/usr".into(), ..Process::default() };
            target(&root, &mounts, &process, env.split(' ')).name
        };
        let path = "PATH=/none:/bin";
        assert_eq!(look("dyn", path), "dynamic");
        assert_eq!(look("dyn", ""), "dynamic", "the default path");
        assert_eq!(look("bin/dyn", path), "dynamic", "relative to the working directory");
        assert_eq!(look("/bin/old", path), "word-size");
        assert_eq!((look("script", path), look("foreign", path)), ("script", "word-size"));
        assert_eq!((look("/opt/stat", path), look("/sbin/init", path)), ("static", "static"));
        fs::set_permissions(root.join("usr/bin/dyn"), fs::Permissions::from_mode(0o4755)).unwrap();
        let owner = fs::metadata(root.join("usr/bin/dyn")).unwrap().uid();
        let by = |uid: u32, no_new_privileges| {
            let process = Process { args: vec!["/bin/dyn".into()], uid, no_new_privileges, ..Process::default() };
            target(&root, &mounts, &process, "".split(' ')).name
        };
        assert_eq!((by(owner, false), by(owner + 1, false), by(owner + 1, true)), ("dynamic", "setuid", "dynamic"));
        for odd in ["escape", "loop", "none", "/tmp/x", "/usr", ""] {
            assert_eq!(look(odd, path), "unknown", "{odd}");
        }
        fs::remove_dir_all(top).unwrap();
    }
    #[test]
    fn what_an_image_says_costs_little_memory_and_few_looks() {
        // A directory that is as long as the list of directories: together they would be a terabyte.
        let name =
            |root: &str, process: &Process, env: &str| target(Path::new(root), &[], process, [env].into_iter()).name;
        let process = Process { args: vec!["x".into()], cwd: "/c".repeat(500_000), ..Process::default() };
        let many = format!("PATH={}", ":".repeat(1_000_000));
        assert_eq!(name("/", &process, &many), "unknown");
        let process = Process { cwd: "/".into(), ..process };
        let started = std::time::Instant::now();
        assert_eq!(name("/nowhere", &process, &many), "unknown");
        let long = format!("PATH=/{}", "x".repeat(1_000_000));
        assert_eq!(name("/", &process, &long), "unknown");
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }
}
