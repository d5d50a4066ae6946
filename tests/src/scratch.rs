//! A directory that is gone at the end, with every mount below it.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new directory below `/tmp`, readable for every user (containers run as others too) and with a short path
/// (addresses of Unix sockets hold 108 bytes).
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[allow(clippy::new_without_default)] // it makes a directory: not a default value
    pub fn new() -> Scratch {
        use std::os::unix::fs::PermissionsExt;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = PathBuf::from(format!("/tmp/ph-{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display())),
            }
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod of an own directory");
            return Scratch { path };
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A new directory below it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        path
    }

    /// A new file below it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, contents).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("PORTHOLE_KEEP").is_some() {
            eprintln!("kept: {}", self.path.display());
            return;
        }
        unmount_below(&self.path);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Mount points at or below a path, deepest first.
pub fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(path))
        .collect();
    found.reverse();
    found
}

fn unmount_below(path: &Path) {
    for point in mounts_below(path) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&point).status();
    }
}

/// A FIFO.
///
/// # Panics
/// If it cannot be made.
pub fn fifo(path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
    nix::unistd::mkfifo(name.as_c_str(), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("mkfifo");
}
