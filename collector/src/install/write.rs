//! Writing an engine's configuration so that at each moment, that of a power failure too, it is the old one or the new one.

use crate::error::Error;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Replaces a file, or makes a new one, whose directory is there. An old one's mode, owner and being a symbolic link are
/// kept. Nothing that an engine would read is left behind by a death halfway.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, time: Option<SystemTime>) -> Result<(), Error> {
    let (path, old) = match fs::metadata(path) {
        Ok(old) => (fs::canonicalize(path).map_err(|e| Error::io("find", path, e))?, Some(old)),
        Err(e) if e.kind() == ErrorKind::NotFound => (path.to_owned(), None),
        Err(e) => return Err(Error::io("look at", path, e)),
    };
    let beside = beside(&path);
    let written = (|| {
        remove(&beside)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let mut file = file.map_err(|e| Error::io("create", &beside, e))?;
        file.write_all(bytes).map_err(|e| Error::io("write", &beside, e))?;
        let kept = (|| {
            let new = file.metadata()?;
            if let Some(old) = old.as_ref().filter(|old| (old.uid(), old.gid()) != (new.uid(), new.gid())) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.map_or(mode, |old| old.mode() & 0o7777)))?;
            time.map_or(Ok(()), |time| file.set_modified(time))
        })();
        kept.map_err(|e| Error::io("set owner and mode of", &beside, e))?;
        file.sync_all().map_err(|e| Error::io("write", &beside, e))?;
        fs::rename(&beside, &path).map_err(|e| Error::io("replace", &path, e))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    sync(&path);
    Ok(())
}

/// Removes what an earlier death has left beside a file.
pub fn tidy(path: &Path) -> Result<(), Error> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    remove(&beside(&real))
}

/// Removes a file, and what an earlier death has left beside it; that there is none is fine.
pub fn remove_for_good(path: &Path) -> Result<(), Error> {
    tidy(path)?;
    remove(path)?;
    sync(path);
    Ok(())
}

/// Where the new file grows: always the same name, so that the next run finds what one before has left. In directories of
/// which an engine reads every file (CRI-O) that is no place: it is the directory above then.
fn beside(path: &Path) -> PathBuf {
    let name = format!(".{}.porthole", path.file_name().unwrap_or_default().to_string_lossy());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let drop_in = dir.extension().is_some_and(|e| e == "d");
    let device = |dir: &Path| fs::metadata(dir).map(|meta| meta.dev()).ok();
    let above = dir.parent().filter(|above| drop_in && device(above) == device(dir));
    above.unwrap_or(dir).join(name)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// The directory's entry, too, is to outlive the power. Where that cannot be asked for the file is there all the same.
fn sync(path: &Path) {
    let _ = path.parent().and_then(|dir| File::open(dir).ok()).map(|dir| dir.sync_all());
}
