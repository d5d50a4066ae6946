//! Containers: found by inotify or at start, and watched. (Taken in: `registrations.rs`; let go: `ends.rs`.)

use super::Ingest;
use super::registrations::{Registered, Version};
use crate::error::Error;
use nix::sys::inotify::{AddWatchFlags, Inotify, WatchDescriptor};
use porthole_registration::layout::{self, ContainerDir};
use std::fs;
use std::time::Instant;

/// Whose doings a watch is about. The host's may wake us; a container's processes would pay for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Host,
    Inside,
}

/// Which directory a watch is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// All containers.
    State,
    /// One container's directory, not registered yet or to be deleted.
    Container,
    Execs,
    Rings,
    Mnt,
}

/// A container as this stage knows it.
pub(super) struct Watched {
    pub key: String,
    pub shared: Option<Registered>,
    pub watches: Vec<(Side, WatchDescriptor)>,
    /// Since when it is to go.
    pub ending: Option<Instant>,
    /// The version of its announcement that could not be read: it is neither read nor complained about again.
    pub unreadable: Option<Version>,
    /// Something else was missing, and complained about.
    pub incomplete: bool,
    /// Whether its runtime has been seen to know it: one that is forgotten later is dead, although nobody said so.
    pub alive_seen: bool,
}

impl Watched {
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }
}

impl Ingest {
    /// Watches the directory of all containers.
    pub(super) fn watch_state(&mut self) -> Result<(), Error> {
        let path = layout::containers(&self.setup.state_dir);
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        let wd = self.host.add_watch(&path, flags).map_err(|e| Error::io("watch", &path, e))?;
        self.watches.insert((Side::Host, wd), (0, Watch::State));
        Ok(())
    }

    /// Looks at every directory of a container.
    pub(super) fn scan(&mut self) {
        let Ok(entries) = fs::read_dir(layout::containers(&self.setup.state_dir)) else { return };
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str() {
                self.appear(name);
            }
        }
    }

    pub(super) fn inotify(&self, side: Side) -> &Inotify {
        match side {
            Side::Host => &self.host,
            Side::Inside => &self.inside,
        }
    }

    pub(super) fn read_inotify(&mut self, side: Side) {
        let Ok(events) = self.inotify(side).read_events() else { return };
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                self.setup.totals.refuse("inotify_overflow");
                self.scan();
                self.rescan_rings();
                continue;
            }
            let Some(&(id, watch)) = self.watches.get(&(side, event.wd)) else { continue };
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.watches.remove(&(side, event.wd));
                continue;
            }
            let Some(name) = event.name.as_deref().and_then(|n| n.to_str()) else { continue };
            match watch {
                Watch::State => self.appear(name),
                Watch::Container if name == "container.json" => self.register(id),
                Watch::Container if name == "deleted" => self.end(id),
                Watch::Container => {}
                Watch::Execs => self.exec_added(id, name),
                Watch::Rings => self.ring_named(id, name, event.mask),
                Watch::Mnt => self.mnt_changed(id),
            }
        }
    }

    /// A directory below `containers/`. Its announcement may be there already, or come later.
    fn appear(&mut self, key: &str) {
        let Some(dir) = ContainerDir::new(&self.setup.state_dir, key) else { return };
        if let Some(&id) = self.keys.get(key) {
            return self.register(id);
        }
        let flags = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        let Ok(wd) = self.host.add_watch(dir.root(), flags) else { return };
        let id = self.id();
        self.watches.insert((Side::Host, wd), (id, Watch::Container));
        let watched = Watched {
            key: key.to_owned(),
            shared: None,
            watches: vec![(Side::Host, wd)],
            ending: None,
            unreadable: None,
            incomplete: false,
            alive_seen: false,
        };
        self.containers.insert(id, watched);
        self.keys.insert(key.to_owned(), id);
        self.register(id);
    }

    pub(super) fn registered(&self, id: u64) -> Option<&Registered> {
        self.containers.get(&id)?.shared.as_ref()
    }

    pub(super) fn registered_mut(&mut self, id: u64) -> Option<&mut Registered> {
        self.containers.get_mut(&id)?.shared.as_mut()
    }
}
