//! `/etc/ld.so.preload` of a container: the list of libraries that glibc's loader loads into whatever is executed,
//! set-user-id programs included.
//!
//! The container sees a list of ours in its place, with the image's own lines first. The image is hostile: nothing here
//! leaves its root file system, and what is odd is a reason to leave the file alone.

use crate::file;
use crate::layout::{PRELOAD_FILE, PRELOAD_NAME};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Longest list that is merged; a line is some 40 bytes.
const LIMIT: u64 = 4096;
/// The loader that reads the file; musl's does not.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
/// The loader of 32-bit programs reads it, too, and would complain of a library that is none for it.
const OTHER_LOADER: &str = "lib/ld-linux.so.2";

/// Users or groups of a user namespace: the first one on the host, and how many.
pub type Range = (u32, u32);

/// What there is in a root file system.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The image's own list.
    pub list: Vec<u8>,
    /// There is no file; the runtime has to make one as mount point.
    pub missing: bool,
}

/// Looks whether a list can be mounted over that of the root file system `root`. `mapped` are the users and groups that
/// the container's root may act for, where it is another user on the host.
///
/// # Errors
/// Why not, in words.
pub fn look(root: &Path, mapped: Option<(&[Range], &[Range])>) -> Result<Found, String> {
    if file::open_within(root, LOADER).is_none() {
        return Err(format!("its root file system has no {LOADER}, and other loaders do not read {PRELOAD_FILE}"));
    }
    if file::open_within(root, OTHER_LOADER).is_some() {
        return Err(format!("it has {OTHER_LOADER}, which would complain in every 32-bit program"));
    }
    let etc = etc(root).map_err(|e| format!("/etc is no plain directory of its root file system: {}", e.desc()))?;
    match entry(&etc) {
        Err(Errno::ENOENT) => {
            let stat = fstat(&etc).map_err(|e| e.desc().to_owned())?;
            if !is_mapped(&stat, mapped) {
                return Err(format!("{PRELOAD_FILE} is missing, and /etc belongs to nobody of its user namespace"));
            }
            match faccessat(&etc, ".", AccessFlags::W_OK, AtFlags::AT_EACCESS) {
                Ok(()) => Ok(Found { list: Vec::new(), missing: true }),
                Err(e) => Err(format!("{PRELOAD_FILE} is missing and cannot be made: {}", e.desc())),
            }
        }
        Err(e) => Err(format!("{PRELOAD_FILE}: {}", e.desc())),
        Ok(stat) if !is_regular(&stat) => Err(format!("{PRELOAD_FILE} is no regular file")),
        Ok(_) => {
            let file = file::open_within(root, PRELOAD_FILE).ok_or("its /etc/ld.so.preload cannot be read")?;
            let mut list = Vec::new();
            file.take(LIMIT + 1).read_to_end(&mut list).map_err(|e| format!("{PRELOAD_FILE}: {e}"))?;
            if list.len() as u64 > LIMIT {
                return Err(format!("{PRELOAD_FILE} is longer than {LIMIT} bytes"));
            }
            // The loader stops at it.
            if list.contains(&0) {
                return Err(format!("{PRELOAD_FILE} holds a NUL"));
            }
            Ok(Found { list, missing: false })
        }
    }
}

/// The image's own list, with the agent behind it.
pub fn merged(mut list: Vec<u8>, library: &str) -> Vec<u8> {
    // The last line may be a comment.
    if list.last().is_some_and(|last| *last != b'\n') {
        list.push(b'\n');
    }
    list.extend_from_slice(library.as_bytes());
    list.push(b'\n');
    list
}

/// Removes the mount point that the runtime has made, if it still is one: an empty file, and not in a place that the
/// container has put in its way. What cannot be removed stays, and harms nobody.
pub fn remove_made(root: &Path) {
    let Ok(etc) = etc(root) else { return };
    if entry(&etc).is_ok_and(|stat| is_regular(&stat) && stat.st_size == 0) {
        let _ = unlinkat(&etc, PRELOAD_NAME, UnlinkatFlags::NoRemoveDir);
    }
}

/// `/etc`, only as a directory: behind a link it may be one that is mounted later, or shared with others.
fn etc(root: &Path) -> nix::Result<OwnedFd> {
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = nix::fcntl::open(root, directory, Mode::empty())?;
    let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(&root, "etc", OpenHow::new().flags(directory).resolve(inside))
}

fn entry(etc: &OwnedFd) -> nix::Result<FileStat> {
    fstatat(etc, PRELOAD_NAME, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG
}

/// Root of a user namespace may write what belongs to one of its users and one of its groups.
fn is_mapped(stat: &FileStat, mapped: Option<(&[Range], &[Range])>) -> bool {
    let among = |ranges: &[Range], id: u32| ranges.iter().any(|(from, n)| id >= *from && id - from < *n);
    mapped.is_none_or(|(users, groups)| among(users, stat.st_uid) && among(groups, stat.st_gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn image(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("porthole-preload-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("lib64")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join(LOADER), "").unwrap();
        root
    }

    fn refused(root: &Path, why: &str) {
        let reason = look(root, None).unwrap_err();
        assert!(reason.contains(why), "{reason}");
    }

    #[test]
    fn the_images_own_lines_come_first() {
        let root = image("own");
        let own = root.join("etc/ld.so.preload");
        assert_eq!(look(&root, None).unwrap(), Found { list: vec![], missing: true });
        fs::write(&own, "/a.so /b.so # both").unwrap();
        let found = look(&root, None).unwrap();
        assert!(!found.missing);
        assert_eq!(merged(found.list, "/l.so"), b"/a.so /b.so # both\n/l.so\n");
        assert_eq!(merged(b"/a.so\n".to_vec(), "/l.so"), b"/a.so\n/l.so\n");
        assert_eq!(merged(vec![], "/l.so"), b"/l.so\n");
        fs::write(&own, [0]).unwrap();
        refused(&root, "NUL");
        fs::write(&own, vec![b'x'; LIMIT as usize + 1]).unwrap();
        refused(&root, "longer");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_an_image_may_have_in_the_way() {
        let root = image("odd");
        let (etc, own) = (root.join("etc"), root.join("etc/ld.so.preload"));
        symlink("/etc/hostname", &own).unwrap();
        refused(&root, "no regular file");
        fs::remove_file(&own).unwrap();
        nix::unistd::mkfifo(&own, Mode::S_IRWXU).unwrap();
        refused(&root, "no regular file");
        fs::remove_dir_all(&etc).unwrap();
        refused(&root, "no plain directory");
        symlink("lib64", &etc).unwrap();
        refused(&root, "no plain directory");
        fs::remove_file(&etc).unwrap();
        fs::create_dir(&etc).unwrap();
        fs::create_dir(root.join("lib")).unwrap();
        fs::write(root.join(OTHER_LOADER), "").unwrap();
        refused(&root, "32-bit");
        fs::remove_file(root.join(LOADER)).unwrap();
        refused(&root, "no lib64");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_mount_point_is_made_only_by_who_may() {
        let root = image("users");
        let me = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let (users, groups) = ([(me.0, 1)], [(me.1, 1)]);
        assert!(look(&root, Some((&users, &groups))).unwrap().missing);
        let strangers = [(me.0.wrapping_add(100_000), 65_536)];
        assert!(look(&root, Some((&strangers, &groups))).unwrap_err().contains("user namespace"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn only_an_empty_file_of_the_image_itself_is_removed() {
        let root = image("remove");
        let own = root.join("etc/ld.so.preload");
        fs::write(&own, "x").unwrap();
        remove_made(&root);
        assert!(own.exists());
        fs::write(&own, "").unwrap();
        remove_made(&root);
        assert!(!own.exists());
        // the container may have moved its /etc and put a link to the host's there
        let elsewhere = root.join("elsewhere");
        fs::rename(root.join("etc"), &elsewhere).unwrap();
        symlink(&elsewhere, root.join("etc")).unwrap();
        fs::write(elsewhere.join("ld.so.preload"), "").unwrap();
        remove_made(&root);
        assert!(elsewhere.join("ld.so.preload").exists());
        fs::remove_dir_all(root).unwrap();
    }
}
