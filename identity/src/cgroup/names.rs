//! The forms of paths.

use super::WHOLE;

/// What ends the name of a group that systemd has made for something of its own.
const SYSTEMD: [&str; 3] = [".service", ".slice", ".scope"];
/// First parts of paths that are not containerd's namespaces: parents that others make.
const PARENTS: [&str; 7] = ["docker", "kubepods", "libpod_parent", "libvirt", "lxc", "lxc.payload", "machine"];

/// An id of 64 hexadecimal digits between the last occurrences of a prefix and a suffix (empty: to the end).
pub fn whole_id<'a>(path: &'a str, forms: &[(&str, &str)]) -> Option<&'a str> {
    forms.iter().find_map(|(prefix, suffix)| {
        let rest = &path[path.rfind(prefix)? + prefix.len()..];
        let id = rest.strip_suffix(suffix)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (id.len() == WHOLE && id.bytes().all(hex)).then_some(id)
    })
}

/// `/NAMESPACE/ID`, the whole path. (The plugin takes any path that begins with something like a namespace, and so
/// finds containers among the groups of systemd and the parents of other engines.)
pub fn containerd(path: &str) -> Option<&str> {
    let (namespace, id) = path.strip_prefix('/')?.split_once('/')?;
    let of_systemd = |name: &str| SYSTEMD.iter().any(|end| name.ends_with(end));
    let others = PARENTS.contains(&namespace) || id.ends_with(".libvirt-lxc");
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let is_id = !id.is_empty() && id.len() <= WHOLE && is_name(id) && !id.starts_with('.');
    (is_namespace(namespace) && is_id && !others && !of_systemd(namespace) && !of_systemd(id)).then_some(id)
}

/// Letters and digits, in groups joined by one `.`, `_` or `-`.
fn is_namespace(name: &str) -> bool {
    name.split(['.', '_', '-']).all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The part behind the first of LXC's parents. (libvirt's parent of that name is another.)
pub fn lxc(path: &str) -> Option<&str> {
    if path.contains("/libvirt/lxc") {
        return None;
    }
    let forms = ["/lxc/", "/lxc.payload/", "/lxc.payload."].into_iter();
    let (at, form) = forms.filter_map(|form| Some((path.find(form)?, form))).min_by_key(|(at, _)| *at)?;
    let id = path[at + form.len()..].split('/').next()?;
    (!id.is_empty()).then_some(id)
}

/// One of three forms: `/X.libvirt-lxc`, `…-lxc\x2dX.scope[/libvirt]`, `/libvirt/lxc/X`.
pub fn libvirt_lxc(path: &str) -> Option<&str> {
    let of_scope = || {
        let rest = &path[path.find("-lxc\\x2")? + "-lxc\\x2".len()..];
        let rest = rest.strip_suffix("/libvirt").unwrap_or(rest).strip_suffix(".scope")?;
        // one more digit of the escaped character
        rest.get(1..)
    };
    let of_parent = || path.split_once("/libvirt/lxc/").map(|(_, id)| id);
    let of_suffix = || path.rsplit('/').next()?.strip_suffix(".libvirt-lxc");
    of_suffix().or_else(of_scope).or_else(of_parent).filter(|id| !id.is_empty() && !id.contains('/'))
}

/// What stands behind `bpm-`, up to `.scope` or the end.
pub fn bpm(path: &str) -> Option<&str> {
    let rest = &path[path.find("bpm-")? + "bpm-".len()..];
    let id = rest.strip_suffix(".scope").unwrap_or(rest);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!id.is_empty() && id.bytes().all(plain)).then_some(id)
}
