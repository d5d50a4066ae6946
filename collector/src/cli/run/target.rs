//! Whether the command's loader could load the agent: one of another architecture would complain on standard error.
//!
//! (What the command executes itself the agent looks at.)

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the identification, the word size and the machine stand in an ELF file.
const MAGIC: &[u8] = b"\x7fELF";
const CLASS: usize = 4;
const MACHINE: usize = 18;

/// Whether `name`, as a shell would find it, is a program for another kind of machine than this one.
pub fn is_foreign(name: &OsStr) -> bool {
    let Some(ours) = identity(Path::new("/proc/self/exe")) else { return false };
    let Some(path) = file(name) else { return false };
    let program = interpreter(&path).unwrap_or(path);
    identity(&program).is_some_and(|theirs| theirs != ours)
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

/// The interpreter of a script.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let head = head(path)?;
    let line = head.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let name = line.trim_ascii().split(u8::is_ascii_whitespace).next()?;
    Some(OsStr::from_bytes(name).into())
}

/// Word size and machine of an ELF file.
fn identity(path: &Path) -> Option<(u8, [u8; 2])> {
    let head = head(path)?;
    let machine = [*head.get(MACHINE)?, *head.get(MACHINE + 1)?];
    head.starts_with(MAGIC).then_some((head[CLASS], machine))
}

fn head(path: &Path) -> Option<Vec<u8>> {
    if !path.metadata().ok()?.is_file() {
        return None; // opening a FIFO would wait for its writer
    }
    let mut head = vec![0; 256];
    let read = File::open(path).ok()?.read_at(&mut head, 0).ok()?;
    head.truncate(read);
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_machines_programs_are_foreign() {
        let dir = std::env::temp_dir().join(format!("porthole-target-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.join(name), bytes).unwrap();
            std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o755)).unwrap();
            dir.join(name)
        };
        let mut other = std::fs::read("/proc/self/exe").unwrap()[..64].to_vec();
        other[CLASS] = 1;
        other[MACHINE] = 3;
        let other = write("i386", &other);
        let script = write("script", format!("#! {}\nx", other.display()).as_bytes());
        assert!(is_foreign(other.as_os_str()) && is_foreign(script.as_os_str()));
        let ours = ["sh", "/bin/sh", "no-such-command", "/no/such", "/dev/null", "/"];
        assert!(!ours.iter().any(|name| is_foreign(OsStr::new(name))));
        assert!(!is_foreign(write("short", b"\x7fELF").as_os_str()) && !is_foreign(write("text", b"").as_os_str()));
        assert_eq!(find(OsStr::new("i386"), Some(dir.as_os_str())), Some(other));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
