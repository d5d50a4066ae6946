//! Hooks of LXC, which calls no runtime: before a container starts the agent's share is made and the container registered,
//! after it has stopped that is undone.
//!
//! `porthole install lxc` puts the hooks into a container's configuration, with the mounts of the share. The agent is named
//! to programs by the container's `/etc/ld.so.preload`, with ours mounted over it: a variable would not reach what an init
//! starts, and would be a complaint of each program where the share could not be made. The mounts are optional, the hook's
//! status is always 0: whatever fails, the container starts without porthole.

use crate::settings::Settings;
use crate::{elf, overlay};
use porthole_registration::container::{Container, Engine, Inject, Injection, VERSION};
use porthole_registration::layout::{ContainerDir, LIBRARY, MOUNT_DEV};
use porthole_registration::registry::{self, Claim};
use porthole_registration::share::{self, Agent, View, Walkers};
use porthole_registration::{file, life, preload_file};
use std::ffi::OsString;
use std::path::Path;

/// The word behind porthole-runc in a container's configuration. LXC adds its name, `lxc`, and the hook's name.
pub const VERB: &str = "lxc-hook";

/// What LXC tells a hook.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// The container's name.
    pub name: String,
    /// `pre-start` or `post-stop`.
    pub kind: String,
    /// The container's root file system.
    pub rootfs: String,
}

impl Hook {
    /// The one that this is, if it is one.
    pub fn of(words: &[OsString], variable: impl Fn(&str) -> Option<OsString>) -> Option<Hook> {
        let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
        let [VERB, name, "lxc", kind, ..] = *words else { return None };
        let rootfs = variable("LXC_ROOTFS_PATH").and_then(|path| path.into_string().ok()).unwrap_or_default();
        // `dir:` is a backend; others have no directory before the start
        let rootfs = rootfs.strip_prefix("dir:").unwrap_or(&rootfs).to_owned();
        Some(Hook { name: name.into(), kind: kind.into(), rootfs })
    }
}

/// Does what a hook is for; what went wrong.
pub fn run(hook: &Hook, settings: &Settings) -> Result<(), String> {
    let dir = ContainerDir::new(&settings.state_dir, &hook.name).ok_or("its name is none that porthole takes")?;
    match &*hook.kind {
        "pre-start" => {
            registry::prune(&settings.state_dir);
            let claim = registry::claim(&settings.state_dir, dir).map_err(|e| e.to_string())?;
            let made = start(hook, settings, &claim);
            if made.is_err() {
                claim.abandon().map_err(|e| e.to_string())?;
            }
            made
        }
        "post-stop" if dir.container_json().exists() => registry::mark_deleted(&dir).map_err(|e| e.to_string()),
        _ => Ok(()),
    }
}

fn start(hook: &Hook, settings: &Settings, claim: &Claim) -> Result<(), String> {
    let rootfs = Path::new(&hook.rootfs);
    if !rootfs.is_absolute() || !rootfs.is_dir() {
        return Err(format!("its root file system {:?} is no directory (yet)", hook.rootfs));
    }
    let list = preload_file::look(rootfs, None)?;
    let agent = Agent::load(&settings.agent()).map_err(|e| e.to_string())?;
    let agent = agent.with_sites_kept(rootfs, &settings.state_dir, settings.depth).entering_by(Inject::File);
    share::make(claim.dir(), &agent, 0, View::Container { label: "" }).map_err(|e| e.to_string())?;
    // it may have a user namespace, of which its configuration alone tells
    share::let_through(claim.dir(), Walkers::All).map_err(|e| e.to_string())?;
    let library = format!("{MOUNT_DEV}/{LIBRARY}");
    let preload_file_made = list.missing;
    let bytes = preload_file::merged(list.list, &library);
    file::publish(&claim.dir().preload_file(), &bytes, 0o644).map_err(|e| e.to_string())?;
    let monitor = monitor();
    let mut container = Container {
        version: VERSION,
        id: hook.name.clone(),
        name: hook.name.clone(),
        hostname: hook.name.clone(),
        engine: Engine::Lxc,
        created_ns: registry::now_ns(),
        rootfs: hook.rootfs.clone(),
        overlay: overlay::at(rootfs),
        runtime: "lxc".into(),
        verb: "create".into(),
        injection: Injection::Preload { library, inject: Inject::File },
        depth: settings.depth,
        preload_file_made,
        runtime_pid: monitor,
        runtime_start: life::start_time(monitor),
        ..Container::default()
    };
    container.process.args = vec!["/sbin/init".into()];
    container.process.target =
        elf::target(rootfs, &container.mounts, &container.process, std::iter::empty()).name.into();
    claim.publish(&container).map_err(|e| e.to_string())
}

/// The process that is there as long as the container: who has called the hook, by a shell or without.
fn monitor() -> u32 {
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let pid = std::os::unix::process::parent_id();
    let shell = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end().ends_with("sh"));
    if shell { parent(pid).unwrap_or(pid) } else { pid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_told_from_calls_of_engines() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let variable = |name: &str| (name == "LXC_ROOTFS_PATH").then(|| "dir:/r".into());
        let hook = Hook { name: "c".into(), kind: "pre-start".into(), rootfs: "/r".into() };
        assert_eq!(Hook::of(&words("lxc-hook c lxc pre-start"), variable), Some(hook));
        for other in ["create lxc-hook", "lxc-hook", "lxc-hook c net up", "--root lxc-hook c lxc pre-start"] {
            assert_eq!(Hook::of(&words(other), variable), None, "{other}");
        }
    }
}
