//! Whether a program is one of the image's, or was written into the container since.

use super::process::Person;
use crate::container::Container;
use crate::detect::wants;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Notes where the executable of a process lies, if some rule wants to know and the root file system is an overlay.
pub(super) fn note(container: &Container, person: &mut Person) {
    if !wants::upper_layer() {
        return;
    }
    let Some(overlay) = &container.registration.overlay else { return };
    let (root, upper) = (Path::new(&container.registration.rootfs), Path::new(&overlay.upper));
    let found = is_upper(root, upper, &person.process.exepath);
    if person.process.upper_layer != found {
        Arc::make_mut(&mut person.process).upper_layer = found;
    }
}

/// Whether a file of an overlay lies in its upper directory, which holds what was written. `None` where that cannot be
/// told. The container decides what lies in both: no link leads out of them, and nothing is opened for reading.
fn is_upper(root: &Path, upper: &Path, path: &str) -> Option<bool> {
    let inside = path.strip_prefix('/').filter(|p| !p.is_empty())?;
    let resolved = resolved(root, inside).unwrap_or_else(|| inside.into());
    let upper = open(upper, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let how = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let Ok(file) = look(&upper, &resolved, how) else { return Some(false) };
    let mode = SFlag::from_bits_truncate(fstat(&file).ok()?.st_mode) & SFlag::S_IFMT;
    Some(mode == SFlag::S_IFREG)
}

/// The path without links, from the root.
fn resolved(root: &Path, inside: &str) -> Option<PathBuf> {
    let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let how = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let file = look(&root, Path::new(inside), how).ok()?;
    let name = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok();
    Some(name(&file)?.strip_prefix(name(&root)?).ok()?.to_owned())
}

fn look(directory: &OwnedFd, path: &Path, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    openat2(directory.as_fd(), path, OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_was_written_lies_in_the_upper_directory() {
        let dir = std::env::temp_dir().join(format!("porthole-layers-{}", std::process::id()));
        let (root, upper) = (dir.join("root"), dir.join("upper"));
        for d in [root.join("usr/bin"), upper.join("usr/bin")] {
            std::fs::create_dir_all(d).unwrap();
        }
        symlink("usr/bin", root.join("bin")).unwrap();
        for file in ["root/usr/bin/old", "root/usr/bin/new", "upper/usr/bin/new"] {
            std::fs::write(dir.join(file), "").unwrap();
        }
        symlink("/etc/passwd", upper.join("usr/bin/link")).unwrap();
        let of = |path| is_upper(&root, &upper, path);
        let found = [of("/usr/bin/old"), of("/usr/bin/new"), of("/bin/new"), of("/bin/link"), of("/memfd:x")];
        assert_eq!(found, [Some(false), Some(true), Some(true), Some(false), Some(false)]);
        assert_eq!((of(""), is_upper(&root, &dir.join("gone"), "/bin/new")), (None, None));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
