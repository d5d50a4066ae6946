//! What the first program of a container is, from a look at its file.
//!
//! A guess for the ledger (static programs cannot be seen) and against complaints of a foreign loader; nothing here
//! changes the container, and a file that cannot be found or understood is `unknown`.

use crate::plan::dev::{clean, covers};
use porthole_registration::container::{Mount, Process};
use porthole_registration::file::open_within;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Loads libraries through a loader of this machine's kind.
pub const DYNAMIC: &str = "dynamic";
/// Has no loader.
pub const STATIC: &str = "static";
/// Begins with `#!`.
pub const SCRIPT: &str = "script";
/// For another machine, or of another word size.
pub const OTHER_ARCHITECTURE: &str = "other-architecture";
/// Not found, not readable, or nothing of the above.
pub const UNKNOWN: &str = "unknown";

const PT_INTERP: u32 = 3;
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// Looks at the program that `process` starts in the root file system `root`, over which `mounts` are mounted.
/// `env` is its environment.
pub fn target<'a>(
    root: &Path,
    mounts: &[Mount],
    process: &Process,
    env: impl Iterator<Item = &'a str>,
) -> &'static str {
    let Some(name) = process.args.first().filter(|name| !name.is_empty()) else { return UNKNOWN };
    let places: Vec<String> = if name.contains('/') {
        vec![absolute(&process.cwd, name)]
    } else {
        let path = env.filter_map(|e| e.strip_prefix("PATH=")).last().unwrap_or(DEFAULT_PATH);
        path.split(':').map(|dir| absolute(&process.cwd, &format!("{dir}/{name}"))).collect()
    };
    let view = View { root, mounts };
    let Some(file) = places.iter().find_map(|place| view.open(place)) else { return UNKNOWN };
    match kind(&file) {
        Kind::Elf(kind) => kind,
        // A foreign interpreter is foreign; beyond that a script is a script.
        Kind::Script(interpreter) => match view.open(&interpreter).map(|file| kind(&file)) {
            Some(Kind::Elf(OTHER_ARCHITECTURE)) => OTHER_ARCHITECTURE,
            _ => SCRIPT,
        },
    }
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

enum Kind {
    Elf(&'static str),
    /// Path of the interpreter.
    Script(String),
}

fn kind(file: &File) -> Kind {
    let mut head = [0u8; 4096];
    let read = file.read_at(&mut head, 0).unwrap_or(0);
    classify(&head[..read])
}

fn classify(head: &[u8]) -> Kind {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
        let word = line.split(|b| b" \t".contains(b)).find(|w| !w.is_empty()).unwrap_or_default();
        return Kind::Script(clean(&String::from_utf8_lossy(word)));
    }
    Kind::Elf(elf(head).unwrap_or(UNKNOWN))
}

fn elf(head: &[u8]) -> Option<&'static str> {
    let number = |at: usize, len: usize| {
        let bytes = head.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
    };
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let (class_64, little_endian) = (number(4, 1)? == 2, number(5, 1)? == 1);
    if !class_64 || !little_endian || number(18, 2)? != u64::from(MACHINE) {
        return Some(OTHER_ARCHITECTURE);
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for n in 0..count {
        let at = table.checked_add(n * size)?;
        if number(usize::try_from(at).ok()?, 4)? == u64::from(PT_INTERP) {
            return Some(DYNAMIC);
        }
    }
    Some(STATIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

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
    fn kinds_of_programs() {
        let of = |bytes: &[u8]| elf(bytes).unwrap_or(UNKNOWN);
        assert_eq!(of(&program(2, MACHINE, &[1, PT_INTERP])), DYNAMIC);
        assert_eq!(of(&program(2, MACHINE, &[1, 2])), STATIC);
        assert_eq!(of(&program(1, 3, &[1])), OTHER_ARCHITECTURE);
        assert_eq!(of(&program(2, MACHINE + 1, &[])), OTHER_ARCHITECTURE);
        assert_eq!(of(b"hello"), UNKNOWN);
        let whole = program(2, MACHINE, &[1, PT_INTERP]);
        (0..whole.len()).for_each(|cut| _ = of(&whole[..cut]));
        assert!(matches!(classify(b"#! /bin/sh -e\n"), Kind::Script(s) if s == "/bin/sh"));
        assert!(matches!(classify(b"#!"), Kind::Script(s) if s == "/"));
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
            target(&root, &mounts, &process, env.split(' '))
        };
        let path = "PATH=/none:/bin";
        assert_eq!(look("dyn", path), DYNAMIC);
        assert_eq!(look("dyn", ""), DYNAMIC, "the default path");
        assert_eq!(look("bin/dyn", path), DYNAMIC, "relative to the working directory");
        assert_eq!(look("/bin/old", path), OTHER_ARCHITECTURE);
        assert_eq!((look("script", path), look("foreign", path)), (SCRIPT, OTHER_ARCHITECTURE));
        assert_eq!((look("/opt/stat", path), look("/sbin/init", path)), (STATIC, STATIC));
        for odd in ["escape", "loop", "none", "/tmp/x", "/usr", ""] {
            assert_eq!(look(odd, path), UNKNOWN, "{odd}");
        }
        fs::remove_dir_all(top).unwrap();
    }
}
