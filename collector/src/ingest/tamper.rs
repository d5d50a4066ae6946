//! What only an attacker, or a bug, does to the files that a container shares with us. It is told and counted, and harms
//! that container alone.

use super::message::{Message, SessionId};
use super::{Ingest, RING_DEADLINE};
use crate::loss::Refusal;
use nix::sys::inotify::AddWatchFlags;

/// What is asked of a container's `rings/`.
pub(super) const OF_RINGS: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);
/// What is asked of its `mnt/`, where nothing changes once the socket is there. (Whoever writes the control page from the
/// host has to expect the own write here.)
pub(super) const OF_MNT: AddWatchFlags = OF_RINGS.union(AddWatchFlags::IN_MODIFY);

/// Whether this refusal is an attack, and not what haste or want of room brings about.
fn is_attack(why: Refusal) -> bool {
    matches!(
        why,
        "cgroup"
            | "connections"
            | "hello_differs"
            | "hello_malformed"
            | "hello_owner"
            | "hello_pid"
            | "ring_leased"
            | "ring_linked"
            | "ring_name"
            | "ring_no_file"
            | "ring_size"
            | "ring_version"
    )
}

impl Ingest {
    /// Something of a container is not taken: counted, and told if it is an attack.
    pub(super) fn refuse(&self, container: u64, why: Refusal) {
        let Some(container) = self.registered(container).map(|c| c.container.clone()) else { return };
        container.counters.refuse(why);
        if is_attack(why) {
            let session = container.session_prefix().into();
            self.send(Message::Tampered { container, session, what: why });
        }
    }

    /// An open ring is not as agents leave it. Told once in a row, and read on as far as it can be.
    pub(super) fn ring_tampered(&mut self, id: SessionId, what: Refusal) {
        let Some(open) = self.sessions.get_mut(&id).filter(|open| open.told != Some(what)) else { return };
        open.told = Some(what);
        let (container, session) = (open.shared.clone(), open.ring.session.clone());
        container.counters.refuse(what);
        self.send(Message::Tampered { container, session, what });
    }

    /// Something happened to a name in `rings/`. Agents neither rename nor remove a ring that has its hello, and we remove
    /// only rings that are closed.
    pub(super) fn ring_named(&mut self, container: u64, name: &str, mask: AddWatchFlags) {
        let gone = mask.intersects(AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM);
        let open = self.registered(container).and_then(|c| c.by_name.get(name)).copied();
        match open {
            Some(id) if gone => self.ring_tampered(id, "ring_unlinked"),
            Some(id) if mask.contains(AddWatchFlags::IN_MOVED_TO) => self.ring_tampered(id, "ring_replaced"),
            _ => {}
        }
        if !gone {
            self.await_ring(container, name, RING_DEADLINE);
        } else if let Some(c) = self.registered_mut(container) {
            c.closed.remove(name);
        }
    }

    /// Something was changed where the container may only read: it can mount file systems.
    pub(super) fn mnt_changed(&self, container: u64) {
        if let Some(container) = self.registered(container).map(|c| c.container.clone()) {
            container.counters.refuse("mnt_changed");
            let session = container.session_prefix().into();
            self.send(Message::Tampered { container, session, what: "mnt_changed" });
        }
    }
}
