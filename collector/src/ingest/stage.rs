//! For the unit tests of this directory: the stage with one container made by hand.

use super::Ingest;
use super::message::{Message, SessionId};
use crate::ingest::drain::Open;
use crate::ingest::{Setup, ring};
use crate::loss::Counters;
use crate::pace::Feeder;
use crate::pipeline::Without;
use crossbeam_channel::Receiver;
use porthole_common::{limits, ring as layout_of};
use porthole_registration::layout::{self, ContainerDir};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A stage with one container, `c`, in a state directory of its own; it goes with the value.
pub struct Stage {
    pub ingest: Ingest,
    pub messages: Receiver<Message>,
    state: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.state);
    }
}

impl Stage {
    pub fn new(name: &str) -> Stage {
        let state = std::env::temp_dir().join(format!("porthole-stage-{name}-{}", std::process::id()));
        make(&state, "c");
        let setup = Setup {
            turns: Default::default(),
            state_dir: state.clone(),
            registry: Arc::default(),
            totals: Arc::new(Counters::default()),
            without: Without::default(),
            kept: Default::default(),
            stop: Arc::default(),
            wake: nix::unistd::pipe().unwrap().0,
        };
        let (tx, messages) = crossbeam_channel::unbounded();
        Stage { ingest: Ingest::new(setup, Feeder::new(tx, None)).unwrap(), messages, state }
    }

    pub fn announce(&self, text: &str) {
        fs::write(layout::containers(&self.state).join("c/container.json"), text).unwrap();
    }

    /// Registers the container; its number.
    pub fn register(&mut self) -> u64 {
        self.register_as("c")
    }

    /// Registers one of this name.
    pub fn register_as(&mut self, key: &str) -> u64 {
        make(&self.state, key);
        fs::write(layout::containers(&self.state).join(key).join("container.json"), "{}").unwrap();
        self.ingest.scan();
        *self.ingest.keys.get(key).unwrap()
    }

    /// Makes the file of an empty ring.
    pub fn make_ring(&self, container: u64, name: &str) {
        let c = self.ingest.registered(container).unwrap();
        let file = fs::File::create(c.container.dir.rings().join(name)).unwrap();
        let data_len = limits::RING_DATA_MIN;
        file.set_len((limits::RING_HEADER + data_len) as u64).unwrap();
        file.write_all_at(&layout_of::MAGIC, 0).unwrap();
        let words = [
            (layout_of::VERSION_OFFSET, u32::from(porthole_common::WIRE_VERSION)),
            (layout_of::DATA_LEN_OFFSET, data_len as u32),
            (layout_of::HELLO_LEN_OFFSET, 1),
        ];
        for (at, word) in words {
            file.write_all_at(&word.to_le_bytes(), at as u64).unwrap();
        }
    }

    /// Opens an empty ring of the container.
    pub fn open(&mut self, container: u64, name: &str, now: Instant) -> SessionId {
        self.make_ring(container, name);
        let c = self.ingest.registered(container).unwrap();
        let opened = ring::open(&c.rings, name, "c").unwrap();
        let shared = c.container.clone();
        let id = self.ingest.id();
        let open = Open::new(container, shared, Arc::new(opened.ring), Default::default(), 0, now);
        self.ingest.sessions.insert(id, open);
        id
    }
}

fn make(state: &Path, key: &str) {
    let dir = ContainerDir::new(state, key).unwrap();
    for path in [dir.execs(), dir.mnt(), dir.rings()] {
        fs::create_dir_all(path).unwrap();
    }
}
