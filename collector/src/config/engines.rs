//! Which engines' containers are looked for, and how: keys of Falco's container plugin.

use crate::error::Error;
use porthole_identity::cgroup::Kind;
use serde::Deserialize;

/// What the configuration says of engines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engines {
    /// Containers of these that run without porthole are not looked for.
    pub without: Vec<Kind>,
    /// What every container is taken for, whoever it is.
    pub fixed: Option<Static>,
}

/// Values of `engines.static`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Static {
    /// `container.id`.
    pub id: String,
    /// `container.name`.
    pub name: String,
    /// `container.image`.
    pub image: String,
}

/// As written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawEngines {
    docker: RawEngine,
    podman: RawEngine,
    containerd: RawEngine,
    cri: RawEngine,
    lxc: RawEngine,
    libvirt_lxc: RawEngine,
    bpm: RawEngine,
    r#static: RawStatic,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawEngine {
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStatic {
    enabled: bool,
    container_id: String,
    container_name: String,
    container_image: String,
}

impl RawEngines {
    pub(crate) fn plan(self) -> Result<Engines, Error> {
        let all = [
            (Kind::Docker, self.docker),
            (Kind::Podman, self.podman),
            (Kind::Containerd, self.containerd),
            (Kind::Cri, self.cri),
            (Kind::Lxc, self.lxc),
            (Kind::LibvirtLxc, self.libvirt_lxc),
            (Kind::Bpm, self.bpm),
        ];
        let off = all.into_iter().filter(|(_, raw)| raw.enabled == Some(false));
        let given = self.r#static;
        if given.enabled && given.container_id.is_empty() {
            return Err(Error::new("engines.static: container_id is missing; it is what every event gets"));
        }
        let fixed = Static { id: given.container_id, name: given.container_name, image: given.container_image };
        Ok(Engines { without: off.map(|(kind, _)| kind).collect(), fixed: given.enabled.then_some(fixed) })
    }
}
