//! The directories behind a root file system that is an overlay.

use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use porthole_registration::container::Overlay;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The overlay that is mounted at `rootfs` (a canonical path) in this mount namespace.
pub fn at(rootfs: &Path) -> Option<Overlay> {
    // The list of mounts is expensive to make, and long on busy hosts.
    if statfs(rootfs).ok()?.filesystem_type() != OVERLAYFS_SUPER_MAGIC {
        return None;
    }
    // Files in /proc have no size; without room the library would read this one in many small pieces.
    let mut info = Vec::with_capacity(64 * 1024);
    File::open("/proc/self/mountinfo").ok()?.read_to_end(&mut info).ok()?;
    find(&info, rootfs)
}

pub(crate) fn find(mountinfo: &[u8], rootfs: &Path) -> Option<Overlay> {
    let rootfs = rootfs.as_os_str().as_bytes();
    // The last mount at a place is the one that is seen.
    mountinfo.split(|b| *b == b'\n').rev().find_map(|line| {
        let mut fields = line.split(|b| *b == b' ');
        let point = fields.nth(4)?;
        if unescape(point) != rootfs {
            return None;
        }
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, options) = (rest.next()?, rest.nth(1)?);
        Some((kind == b"overlay").then(|| overlay(options)))
    })?
}

fn overlay(options: &[u8]) -> Overlay {
    let mut found = Overlay::default();
    for option in split(options, b',') {
        if let Some(upper) = option.strip_prefix(b"upperdir=") {
            found.upper = text(upper);
        } else if let Some(lower) = option.strip_prefix(b"lowerdir=") {
            found.lower = split(lower, b':').iter().map(|dir| text(dir)).collect();
        } else if let Some(lower) = option.strip_prefix(b"lowerdir+=") {
            found.lower.push(text(lower));
        }
    }
    found
}

/// Splits where no backslash stands before the separator.
fn split(bytes: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for at in 0..bytes.len() {
        if bytes[at] == separator && (at == 0 || bytes[at - 1] != b'\\') {
            parts.push(&bytes[start..at]);
            start = at + 1;
        }
    }
    parts.push(&bytes[start..]);
    parts
}

/// The kernel's octal escapes first, then the overlay's own backslashes.
fn text(bytes: &[u8]) -> String {
    let bytes = unescape(bytes);
    let mut plain = Vec::with_capacity(bytes.len());
    let mut escaped = false;
    for byte in bytes {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            plain.push(byte);
            escaped = false;
        }
    }
    OsString::from_vec(plain).to_string_lossy().into_owned()
}

/// `\040` and the like.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|o| *first == b'\\' && o.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(digits) => {
                plain.push(digits.iter().fold(0u8, |n, d| n.wrapping_mul(8) + (d - b'0')));
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_is_seen_counts() {
        let info = b"1 0 0:1 / / rw - ext4 /dev/vda rw\n\
            36 1 0:2 / /var/a\\040b/merged rw,relatime shared:1 - overlay overlay rw,lowerdir=/l/X:/l/Y,upperdir=/u/d\\054e,workdir=/w\n\
            37 1 0:3 / /twice rw - overlay overlay rw,upperdir=/u\n\
            38 1 0:4 / /twice rw - tmpfs tmpfs rw\n";
        let found = find(info, Path::new("/var/a b/merged")).unwrap();
        assert_eq!(found, Overlay { upper: "/u/d,e".into(), lower: vec!["/l/X".into(), "/l/Y".into()] });
        assert_eq!(find(info, Path::new("/twice")), None);
        assert_eq!(find(info, Path::new("/other")), None);
        assert_eq!(find(b"garbage\n1 2 3\n1 2 3 4 /x\n", Path::new("/x")), None);
    }

    #[test]
    fn a_colon_in_a_name_does_not_split_it() {
        assert_eq!(overlay(br"lowerdir=/a\:b:/c,lowerdir+=/d").lower, ["/a:b", "/c", "/d"]);
    }
}
