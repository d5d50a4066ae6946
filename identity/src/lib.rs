//! Who a container is, from what its engine has written down on this host, and from control groups.
//!
//! Nobody is asked: an engine that is busy, stopped or replaced makes no difference, and the answer is there before the
//! container's first process runs. Everything read here is somebody else's file: it is opened only where its engine
//! alone can have written it, bounded, and believed only where it names this very container.

mod bolt;
pub mod cgroup;
mod cni;
mod containerd;
mod crio;
mod docker;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod image;
mod podman;
mod probes;
pub mod spec;
pub mod trusted;
mod values;

pub use values::bind;

use porthole_registration::bounds;
use porthole_registration::container::{Container, Engine};

/// A container that no engine has made: its id is its name, and a tool that unpacked its image may have noted that.
fn by_hand(c: &mut Container) {
    const IMAGE: &str = "org.opencontainers.image.ref.name";
    if c.engine != Engine::Runc {
        return;
    }
    if c.name.is_empty() {
        c.name.clone_from(&c.id);
    }
    if c.image.is_empty() {
        c.image = c.annotations.get(IMAGE).cloned().unwrap_or_default();
    }
}

/// Adds what the engine's own files say to what the spec has said. What cannot be found is left as it is.
pub fn complete(container: &mut Container) {
    // Found or not: nothing else depends on it.
    let _ = match container.engine {
        Engine::Docker => docker::complete(container),
        Engine::Podman => podman::complete(container),
        Engine::Containerd | Engine::Cri => containerd::complete(container),
        Engine::CriO => crio::complete(container),
        Engine::BuildKit | Engine::Lxc | Engine::Host | Engine::Runc => None,
    };
    by_hand(container);
    bounds::container(container);
}
