//! A container of LXC: lines at the end of its own configuration, between two marks.

use porthole_registration::layout::{ContainerDir, MOUNT_DEV};
use std::path::Path;

const BEGIN: &str = "# porthole: begin; written by `porthole install`, taken out by `porthole uninstall`\n";
const END: &str = "# porthole: end\n";

/// With the hooks, and the mounts of what the first of them makes; each of those may fail.
pub fn with(text: &str, wrapper: &str, dir: &ContainerDir) -> String {
    let inside = &MOUNT_DEV[1..];
    let mount = |from: &Path, to: &str, options: &str| {
        format!("lxc.mount.entry = {} {to} none bind,nosuid,nodev,{options},optional 0 0\n", from.display())
    };
    let mounts = [
        mount(&dir.mnt(), inside, "ro,create=dir"),
        mount(&dir.rings(), &format!("{inside}/rings"), "noexec"),
        mount(&dir.preload_file(), "etc/ld.so.preload", "ro,create=file"),
    ];
    let hooks = ["pre-start", "post-stop"].map(|hook| format!("lxc.hook.{hook} = {wrapper} lxc-hook\n"));
    let line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{line}{BEGIN}{}{}{END}", hooks.concat(), mounts.concat())
}

/// Without what stands between the marks.
pub fn without(text: &str) -> String {
    match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) if begin < end => format!("{}{}", &text[..begin], &text[end + END.len()..]),
        _ => text.to_owned(),
    }
}
