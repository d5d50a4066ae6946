//! Numbers of the kernel's interface as Falco writes them.

use crate::event::Value;
use std::fmt::Write;

/// Not in `libc` for 64-bit targets, where it is 0 for glibc; musl sets it always.
const O_LARGEFILE: u32 = if cfg!(target_arch = "aarch64") { 0o400_000 } else { 0o100_000 };

const fn bits(flag: i32) -> u32 {
    flag as u32
}

/// Open flags, in Falco's order. Nine of ten opens have the same few.
pub(crate) fn open_flags(flags: u32) -> Value {
    match flags as i32 {
        libc::O_RDONLY => "O_RDONLY".into(),
        READ_AND_CLOSE => "O_RDONLY|O_CLOEXEC".into(),
        _ => open_flag_names(flags).into(),
    }
}

const READ_AND_CLOSE: i32 = libc::O_RDONLY | libc::O_CLOEXEC;

fn open_flag_names(flags: u32) -> String {
    let sync = flags & bits(libc::O_SYNC) == bits(libc::O_SYNC);
    let temporary = flags & bits(libc::O_TMPFILE) == bits(libc::O_TMPFILE);
    let has = |flag: i32| flags & bits(flag) != 0;
    let access = flags & bits(libc::O_ACCMODE);
    let names = [
        (flags & O_LARGEFILE != 0, "O_LARGEFILE"),
        (has(libc::O_DIRECTORY) && !temporary, "O_DIRECTORY"),
        (has(libc::O_DIRECT), "O_DIRECT"),
        (has(libc::O_TRUNC), "O_TRUNC"),
        (sync, "O_SYNC"),
        (has(libc::O_NONBLOCK), "O_NONBLOCK"),
        (has(libc::O_EXCL), "O_EXCL"),
        (has(libc::O_DSYNC) && !sync, "O_DSYNC"),
        (has(libc::O_APPEND), "O_APPEND"),
        (has(libc::O_CREAT), "O_CREAT"),
        (access == bits(libc::O_RDWR), "O_RDWR"),
        (access == bits(libc::O_WRONLY), "O_WRONLY"),
        (access == bits(libc::O_RDONLY), "O_RDONLY"),
        (has(libc::O_CLOEXEC), "O_CLOEXEC"),
        (access == 3, "O_NONE"),
        (temporary, "O_TMPFILE"),
    ];
    join(&names)
}

/// Whether an open with these flags can only give a directory.
pub(crate) fn is_directory(flags: u32) -> bool {
    let temporary = flags & bits(libc::O_TMPFILE) == bits(libc::O_TMPFILE);
    flags & bits(libc::O_DIRECTORY) != 0 && !temporary
}

/// A file mode in octal, as Falco writes it: `0644`, `0`.
pub(crate) fn mode(mode: u32) -> Value {
    if mode == 0 { "0".into() } else { format!("0{mode:o}").into() }
}

/// Permissions as Falco writes them where they are changed, in its order; `0` for none.
pub(crate) fn permissions(mode: u32) -> String {
    const NAMES: [&str; 12] = [
        "S_IXOTH", "S_IWOTH", "S_IROTH", "S_IXGRP", "S_IWGRP", "S_IRGRP", "S_IXUSR", "S_IWUSR", "S_IRUSR", "S_ISVTX",
        "S_ISGID", "S_ISUID",
    ];
    let mut bit = 0;
    or_zero(join(&NAMES.map(|name| {
        bit += 1;
        (mode >> (bit - 1) & 1 != 0, name)
    })))
}

/// Kinds of namespaces by their flags of clone, and what else unshare takes; `0` for none.
pub(crate) fn namespaces(flags: u32) -> String {
    let has = |flag: i32| flags & bits(flag) != 0;
    or_zero(join(&[
        (has(libc::CLONE_FILES), "CLONE_FILES"),
        (has(libc::CLONE_FS), "CLONE_FS"),
        (has(0x80), "CLONE_NEWTIME"),
        (has(libc::CLONE_NEWNS), "CLONE_NEWNS"),
        (has(libc::CLONE_SYSVSEM), "CLONE_SYSVSEM"),
        (has(libc::CLONE_NEWCGROUP), "CLONE_NEWCGROUP"),
        (has(libc::CLONE_NEWUTS), "CLONE_NEWUTS"),
        (has(libc::CLONE_NEWIPC), "CLONE_NEWIPC"),
        (has(libc::CLONE_NEWUSER), "CLONE_NEWUSER"),
        (has(libc::CLONE_NEWPID), "CLONE_NEWPID"),
        (has(libc::CLONE_NEWNET), "CLONE_NEWNET"),
    ]))
}

fn or_zero(text: String) -> String {
    if text.is_empty() { "0".into() } else { text }
}

fn join(names: &[(bool, &str)]) -> String {
    let mut out = String::new();
    for (_, name) in names.iter().filter(|(set, _)| *set) {
        let bar = if out.is_empty() { "" } else { "|" };
        let _ = write!(out, "{bar}{name}"); // a String takes everything
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_flags_have_falcos_names_and_order() {
        let text = |flags: i32| open_flag_names(flags as u32);
        assert_eq!(text(libc::O_RDONLY), "O_RDONLY");
        assert_eq!(text(libc::O_RDONLY | libc::O_CLOEXEC), "O_RDONLY|O_CLOEXEC");
        assert_eq!(text(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC), "O_TRUNC|O_CREAT|O_WRONLY");
        assert_eq!(
            text(libc::O_DIRECTORY | libc::O_NONBLOCK | libc::O_CLOEXEC),
            "O_DIRECTORY|O_NONBLOCK|O_RDONLY|O_CLOEXEC"
        );
        assert_eq!(text(libc::O_RDWR | libc::O_TMPFILE), "O_RDWR|O_TMPFILE");
        assert_eq!(text(libc::O_RDWR | libc::O_SYNC | libc::O_APPEND), "O_SYNC|O_APPEND|O_RDWR");
        assert_eq!(text(libc::O_DSYNC), "O_DSYNC|O_RDONLY");
        assert_eq!(open_flag_names(O_LARGEFILE), "O_LARGEFILE|O_RDONLY");
        for known in [libc::O_RDONLY as u32, READ_AND_CLOSE as u32] {
            assert_eq!(open_flags(known), open_flag_names(known).into(), "{known}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode(0), mode(0o644), mode(0o4755)), ("0".into(), "0644".into(), "04755".into()));
    }
}
