//! What the command is: whether the agent can be preloaded into it, or somebody would complain on standard error.
//!
//! (What the command executes itself the agent looks at.)

use porthole_registration::elf::{Program, look};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What `name`, as a shell would find it, is; for a script what its interpreter is.
pub fn of(name: &OsStr) -> Program {
    let found = file(name).and_then(|path| program(&path));
    match found {
        Some(Program::Script(interpreter)) => program(Path::new(OsStr::from_bytes(&interpreter))),
        found => found,
    }
    .unwrap_or(Program::Unknown)
}

fn program(path: &Path) -> Option<Program> {
    // opening a FIFO would wait for its writer
    path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(look(&File::open(path).ok()?))
}

/// The file of the command `name`.
pub fn file(name: &OsStr) -> Option<PathBuf> {
    find(name, std::env::var_os("PATH").as_deref())
}

/// As execvp searches.
fn find(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_complains_is_objected_to() {
        let dir = std::env::temp_dir().join(format!("porthole-target-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.join(name), bytes).unwrap();
            std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o755)).unwrap();
            dir.join(name)
        };
        let mut other = std::fs::read("/proc/self/exe").unwrap()[..64].to_vec();
        (other[4], other[18], other[19]) = (1, 3, 0);
        let other = write("i386", &other);
        let script = write("script", format!("#! {}\nx", other.display()).as_bytes());
        assert!(of(other.as_os_str()) == Program::WordSize && of(script.as_os_str()) == Program::WordSize);
        let ours = ["sh", "/bin/sh", "no-such-command", "/no/such", "/dev/null", "/"];
        assert_eq!(ours.map(|name| of(OsStr::new(name)).objection()), [None; 6]);
        assert_eq!([write("short", b"\x7fELF"), write("text", b"")].map(|p| of(p.as_os_str()).objection()), [None; 2]);
        assert_eq!(find(OsStr::new("i386"), Some(dir.as_os_str())), Some(other));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
