//! Files that nobody but their engine, or root, can have written.

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::geteuid;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a regular file, no link, that belongs to this user or to root and that others cannot write.
pub fn open(path: &Path) -> Option<File> {
    // O_NONBLOCK: a pipe in its place must not be waited for.
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path).ok()?;
    let meta = file.metadata().ok()?;
    let owned = meta.uid() == 0 || meta.uid() == geteuid().as_raw();
    (meta.is_file() && owned && meta.mode() & 0o022 == 0).then_some(file)
}

/// The whole of such a file, if it has at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata().ok()?.len().min(limit)).ok()? + 1);
    file.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}

/// The same as JSON.
pub fn json(path: &Path, limit: u64) -> Option<serde_json::Value> {
    serde_json::from_slice(&read(path, limit)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_pipes_and_files_of_others_are_not_read() {
        let dir = std::env::temp_dir().join(format!("porthole-trusted-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, link, pipe) = (dir.join("file"), dir.join("link"), dir.join("pipe"));
        fs::write(&file, "[1]").unwrap();
        symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(read(&file, 3).as_deref(), Some(&b"[1]"[..]));
        assert_eq!((json(&file, 3).is_some(), read(&file, 2)), (true, None));
        for other in [&link, &pipe, &dir, &dir.join("none")] {
            assert_eq!(read(other, 100), None, "{other:?}");
        }
        for (mode, fine) in [(0o660, false), (0o606, false), (0o644, true)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&file, 100).is_some(), fine, "{mode:o}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
