//! Textual path resolution, as Falco does it: `.`, `..` and double slashes are resolved, symbolic links are kept.

use std::borrow::Cow;

/// Longest name of a descriptor; a longer one is replaced by [`TOO_LONG`].
const MAX: usize = 1024;
const TOO_LONG: &str = "/PATH_TOO_LONG";

/// `path` made absolute from directory `base` (with or without trailing slash; empty when unknown). A relative path
/// without a known base stays relative.
pub(crate) fn resolve(base: &str, path: &str) -> String {
    let absolute = path.starts_with('/');
    if !absolute && !base.starts_with('/') {
        return path.to_owned();
    }
    let base = if absolute { "" } else { base };
    let mut resolved = String::with_capacity(base.len() + path.len() + 1);
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => resolved.truncate(resolved.rfind('/').unwrap_or(0)),
            part => {
                resolved.push('/');
                resolved.push_str(part);
            }
        }
    }
    if resolved.is_empty() {
        resolved.push('/');
    }
    if resolved.len() > MAX { TOO_LONG.to_owned() } else { resolved }
}

/// The path as given, with only repeated slashes collapsed (`fd.nameraw`).
pub(crate) fn collapse(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Directory and file name of an absolute path; `/` for what lies in the root.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((directory, name)) => (directory, name),
        None => ("", path),
    }
}

/// A working directory as `proc.cwd` has it: with a trailing slash; empty stays empty.
pub(crate) fn with_slash(directory: &str) -> String {
    if directory.is_empty() || directory.ends_with('/') { directory.to_owned() } else { format!("{directory}/") }
}

/// Last part of a path, cut to the length of the kernel's `comm`.
pub(crate) fn comm(path: &str) -> &str {
    let name = split(path).1;
    let mut end = name.len().min(15);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_as_text() {
        for (base, path, want) in [
            ("/a/b/", "c", "/a/b/c"),
            ("/a/b", "../c", "/a/c"),
            ("/a", "/x//y/./z/..", "/x/y"),
            ("/", "../../etc/passwd", "/etc/passwd"),
            ("/a", "", "/a"),
            ("/a", ".", "/a"),
            ("", "rel/../x", "rel/../x"),
            ("", "/", "/"),
            ("/tmp/..", "x", "/x"),
        ] {
            assert_eq!(resolve(base, path), want, "{base} + {path}");
        }
        assert_eq!(resolve("/", &"x/".repeat(600)), TOO_LONG);
    }

    #[test]
    fn parts_and_raw_names() {
        assert_eq!(split("/etc/passwd"), ("/etc", "passwd"));
        assert_eq!(split("/etc"), ("/", "etc"));
        assert_eq!(split("/"), ("/", ""));
        assert_eq!(collapse("..//..///etc/./x"), "../../etc/./x");
        assert_eq!((with_slash("/"), with_slash("/a"), with_slash("")), ("/".into(), "/a/".into(), String::new()));
        assert_eq!(comm("/usr/bin/a-very-long-program-name"), "a-very-long-pro");
        assert_eq!(comm("/bin/ééééééééé"), "ééééééé");
    }
}
