//! Which container a control group belongs to, by its path: for processes that did not come through porthole-runc, and to
//! check those that did.
//!
//! The rules are those of Falco's container plugin, in its order, and stricter where a host's own groups would pass for
//! containers.

mod names;
#[cfg(test)]
mod tests;

use names::{bpm, containerd, libvirt_lxc, lxc, whole_id};

/// Characters of a short id.
const SHORT: usize = 12;

/// Who makes groups of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Podman,
    Docker,
    Cri,
    Containerd,
    Lxc,
    LibvirtLxc,
    Bpm,
    Static,
}

impl Kind {
    /// In the order in which they are tried.
    const ALL: [Kind; 7] =
        [Kind::Podman, Kind::Docker, Kind::Cri, Kind::Containerd, Kind::Lxc, Kind::LibvirtLxc, Kind::Bpm];

    /// As `container.type` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Podman => "podman",
            Kind::Docker => "docker",
            Kind::Cri => "cri",
            Kind::Containerd => "containerd",
            Kind::Lxc => "lxc",
            Kind::LibvirtLxc => "libvirt-lxc",
            Kind::Bpm => "bpm",
            Kind::Static => "static",
        }
    }

    fn id(self, path: &str) -> Option<&str> {
        match self {
            Kind::Podman => whole_id(
                path,
                &[
                    ("/libpod-", ".scope"),
                    ("/libpod-", ".scope/container"),
                    ("/libpod-", ""),
                    ("/libpod-payload-", ".scope"),
                    ("/libpod-payload-", ".scope/container"),
                    ("/libpod-payload-", ""),
                ],
            ),
            // Groups of Kubernetes' pods look the same, but are not docker's own.
            Kind::Docker if path.contains("/kubepods") => None,
            Kind::Docker => whole_id(path, &[("/", ""), ("/docker-", ".scope")]),
            Kind::Cri => whole_id(
                path,
                &[
                    ("/", ""),
                    ("/crio-", ""),
                    ("/cri-containerd-", ".scope"),
                    ("/crio-", ".scope"),
                    (":cri-containerd:", ""),
                    ("/docker-", ".scope"),
                    ("/nerdctl-", ".scope"),
                ],
            ),
            Kind::Containerd => containerd(path),
            Kind::Lxc => lxc(path),
            Kind::LibvirtLxc => libvirt_lxc(path),
            Kind::Bpm => bpm(path),
            Kind::Static => None,
        }
    }
}

/// A container that a control group belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// By the form of its path.
    pub kind: Kind,
    /// As `container.id` has it.
    pub id: String,
    /// As the path has it.
    pub full_id: String,
}

/// The rules that are in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchers {
    /// Not tried.
    pub without: Vec<Kind>,
    /// Every process belongs to the container with this id.
    pub fixed: Option<String>,
}

impl Matchers {
    /// The container of a group; `None`: the host.
    pub fn of_path(&self, path: &str) -> Option<Match> {
        if let Some(id) = &self.fixed {
            return Some(Match { kind: Kind::Static, id: id.clone(), full_id: id.clone() });
        }
        let kinds = Kind::ALL.into_iter().filter(|kind| !self.without.contains(kind));
        let (kind, full_id) = kinds.into_iter().find_map(|kind| Some((kind, kind.id(path)?)))?;
        let cut = !matches!(kind, Kind::Lxc | Kind::LibvirtLxc | Kind::Bpm);
        let id = full_id.get(..SHORT).filter(|_| cut).unwrap_or(full_id);
        Some(Match { kind, id: id.to_owned(), full_id: full_id.to_owned() })
    }

    /// The container of a process, by its `/proc/PID/cgroup`: the first group that belongs to one, in any hierarchy.
    pub fn of_process(&self, cgroup_file: &str) -> Option<Match> {
        paths(cgroup_file).find_map(|path| self.of_path(path))
    }
}

/// The paths of a `/proc/PID/cgroup`: `number:controllers:path`.
pub fn paths(cgroup_file: &str) -> impl Iterator<Item = &str> {
    cgroup_file.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// Whether a process whose groups these are may belong to the container with this full id: none of them is another
/// container's. Groups that a container has made below its own, and processes that the host has put elsewhere, are its own.
pub fn may_belong(cgroup_file: &str, full_id: &str) -> bool {
    let names = |path: &str| path.contains(full_id);
    let others = |path: &str| {
        let found = Matchers::default().of_path(path);
        found.is_some_and(|m| m.full_id.len() == WHOLE && m.full_id != full_id)
    };
    paths(cgroup_file).any(names) || !paths(cgroup_file).any(others)
}

/// Characters of the id that most engines give.
const WHOLE: usize = 64;
