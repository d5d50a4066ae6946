//! Files that are either the old ones or the new ones, never half of each.

use crate::error::{Context, Error, Result};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// The file cannot be read, is no regular file, or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // O_NONBLOCK: a FIFO in the place of the file must not make the caller wait.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).context("read", path)?;
    let meta = file.metadata().context("read", path)?;
    if !meta.is_file() {
        return Err(Error::new("read", path, io::Error::other("not a regular file")));
    }
    let too_large = || Error::new("read", path, io::Error::other(format!("larger than {limit} bytes")));
    if meta.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize + 1);
    file.take(limit + 1).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Opens a regular file below a directory, symbolic links resolved as if that were the root. (Linux 5.6; before, there
/// is none.)
///
/// Nothing is opened for reading before it is known to be a regular file: a pipe in place of the root would be waited
/// for, and a device node of the image would act on the host.
pub fn open_within(root: &Path, path: &str) -> Option<File> {
    let path_only = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let directory = nix::fcntl::open(root, path_only | OFlag::O_DIRECTORY, Mode::empty()).ok()?;
    let how =
        OpenHow::new().flags(path_only).resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let found = File::from(openat2(&directory, path, how).ok()?);
    if !found.metadata().ok()?.is_file() {
        return None;
    }
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(again).ok()
}

/// Writes a new file of this mode, whatever the umask says; it appears at `path` complete or not at all.
///
/// # Errors
/// The directory cannot be written, or is full.
pub fn publish(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_beside(path, bytes, |file| file.set_permissions(Permissions::from_mode(mode)))
}

/// Replaces the contents of an existing file at once, keeping its mode and owner. A symbolic link stays one.
///
/// # Errors
/// The file does not exist, or its directory cannot be written, or is full; the file is untouched then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = &fs::canonicalize(path).context("replace", path)?;
    let old = fs::metadata(path).context("replace", path)?;
    write_beside(path, bytes, |file| {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
    })
}

/// Makes one directory of this mode, whatever the umask says. One that exists is left as it is.
///
/// # Errors
/// It cannot be made, or something else has its name.
pub fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)).context("set the mode of", path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(Error::new("create the directory", path, e)),
    }
}

/// [`make_dir`] for a directory that others' word must not be taken for: one that exists is refused if it is a symbolic
/// link, belongs to another user, or can be written by others.
///
/// # Errors
/// It cannot be made, or it is refused.
pub fn make_own_dir(path: &Path, mode: u32) -> Result<()> {
    make_dir(path, mode)?;
    let meta = fs::symlink_metadata(path).context("look at", path)?;
    let me = geteuid().as_raw();
    let why = if !meta.is_dir() {
        "it is a symbolic link".into()
    } else if meta.uid() != me {
        format!("it belongs to user {}, and this is user {me}", meta.uid())
    } else if meta.mode() & 0o022 != 0 {
        format!("others may write to it (mode {:03o})", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    let advice = "look at who made it, then remove it or use another state directory";
    Err(Error::new("trust", path, io::Error::other(format!("{why}; {advice}"))))
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::new("remove", path, e)),
        _ => Ok(()),
    }
}

fn write_beside(path: &Path, bytes: &[u8], finish: impl FnOnce(&File) -> io::Result<()>) -> Result<()> {
    let temporary = temporary(path);
    let written = (|| {
        remove(&temporary)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let mut file = file.context("create", &temporary)?;
        file.write_all(bytes).context("write", &temporary)?;
        finish(&file).context("set owner and mode of", &temporary)?;
        fs::rename(&temporary, path).context("replace", path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A hidden name in the same directory, which no other process uses.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.porthole-{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_link_to_it() {
        let dir = std::env::temp_dir().join(format!("porthole-file-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, link) = (dir.join("config.json"), dir.join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("config.json", &link).unwrap();

        replace(&link, b"new").unwrap();

        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing else is left behind");
        assert!(replace(&dir.join("none"), b"x").is_err());
        assert!(read(&file, 2).unwrap_err().to_string().contains("larger than 2 bytes"));
        assert!(read(&dir, 2).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
