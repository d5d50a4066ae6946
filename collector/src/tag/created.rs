//! What is told when a container is made: by whom it is run, and what it may do that others may not.

use super::lifecycle::started;
use crate::event::{ContainerInfo, Mount, Value};
use porthole_registration::container::Process;

/// Capabilities that containers have unless somebody asks for more.
const USUAL: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Directories of the host that are its own business: they, and all below.
const SENSITIVE: [&str; 13] = [
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib/modules",
    "/proc",
    "/root",
    "/run/systemd",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/kubelet",
];

/// Names of sockets by which engines are commanded.
const SOCKETS: [&str; 6] =
    ["docker.sock", "containerd.sock", "crio.sock", "podman.sock", "cri-dockerd.sock", "dockershim.sock"];

/// `evt.arg.*` of the event.
pub(super) fn created(info: &ContainerInfo, process: &Process) -> Vec<(&'static str, Value)> {
    let mut fields = started(process);
    let added: Vec<&str> = process.capabilities.iter().map(String::as_str).filter(|c| !USUAL.contains(c)).collect();
    let mounts: Vec<&str> = info.mounts.iter().filter(|m| is_sensitive(m)).map(|m| m.text.as_str()).collect();
    let ports: Vec<String> = info
        .ports
        .iter()
        .map(|p| format!("{}:{}->{}/{}", p.host_ip, p.host_port, p.container_port, p.protocol))
        .collect();
    fields.push(("evt.arg.privileged", Value::Flag(info.privileged)));
    for (name, text) in [
        ("evt.arg.user", info.user.to_string()),
        ("evt.arg.capabilities", added.join(" ")),
        ("evt.arg.host_namespaces", info.shared.join(" ")),
        ("evt.arg.sensitive_mounts", mounts.join(",")),
        ("evt.arg.ports", ports.join(" ")),
        ("evt.arg.labels", info.labels.text.to_string()),
    ] {
        if !text.is_empty() {
            fields.push((name, text.into()));
        }
    }
    fields
}

/// Whether a mount gives a container what is the host's. What engines themselves mount from below these directories (a
/// container's own files) is not meant.
fn is_sensitive(mount: &Mount) -> bool {
    const OWN: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    let source = mount.source.as_str();
    let below = |dir: &str| source.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let socket = source.rsplit('/').next().is_some_and(|name| SOCKETS.contains(&name));
    let own = OWN.contains(&mount.destination.as_str()) || ["/dev/shm", "/run/secrets"].contains(&&*mount.destination);
    !own && (source == "/" || socket || SENSITIVE.iter().any(|dir| below(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dangerous_is_told() {
        let mount = |source: &str, at: &str| Mount::new(source, at, "", true, "");
        let info = ContainerInfo {
            privileged: true,
            mounts: vec![
                mount("/etc", "/h"),
                mount("/etcetera", "/e"),
                mount("/x/docker.sock", "/s"),
                mount("/var/lib/docker/containers/1/hosts", "/etc/hosts"),
                mount("/", "/host"),
                mount("proc", "/proc"),
            ],
            shared: vec!["pid", "ipc"],
            ..ContainerInfo::default()
        };
        let process = Process { capabilities: vec!["CAP_CHOWN".into(), "CAP_SYS_ADMIN".into()], ..Process::default() };
        let fields = created(&info, &process);
        let get = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        assert_eq!(get("evt.arg.privileged"), Some(Value::Flag(true)));
        assert_eq!(get("evt.arg.capabilities"), Some("CAP_SYS_ADMIN".into()));
        assert_eq!(get("evt.arg.host_namespaces"), Some("pid ipc".into()));
        let mounts = "/etc:/h::true:,/x/docker.sock:/s::true:,/:/host::true:";
        assert_eq!(get("evt.arg.sensitive_mounts"), Some(mounts.into()));
        assert_eq!(get("evt.arg.user"), None);
    }
}
