//! The one place where the stages are wired: ingest → tag → outputs.

use crate::error::Error;
use crate::event::Event;
use crate::status::{ContainerView, Status};
use std::path::PathBuf;
use std::sync::Arc;

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// JSON lines appended to a file. A collector that is restarted reads its last part and repeats nothing.
    File(PathBuf),
    /// JSON lines to standard output.
    Stdout,
}

/// Takes every event in memory (the hub of the API). Must neither block nor fail.
pub trait Publish: Send + Sync {
    /// One event, after the sinks have accepted it.
    fn publish(&self, event: &Arc<Event>);
}

/// What a pipeline needs.
pub struct Options {
    /// Directory of registered containers ([`porthole_registration::layout::state_dir`]).
    pub state_dir: PathBuf,
    /// Where events are written.
    pub sinks: Vec<Sink>,
    /// Who else gets them.
    pub hub: Option<Arc<dyn Publish>>,
    /// Kernel features not to be used although they are there (tests of the fallbacks).
    pub without: Without,
}

/// Kernel features that are left alone. [`Without::from_env`] reads `PORTHOLE_WITHOUT`, a list such as
/// `peerpidfd,pidfd,exitinfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// SO_PEERPIDFD (Linux 6.5).
    pub peerpidfd: bool,
    /// pidfd_open (Linux 5.3).
    pub pidfd: bool,
    /// Exit status by PIDFD_GET_INFO (Linux 6.15).
    pub exitinfo: bool,
}

impl Without {
    /// From the environment.
    pub fn from_env() -> Without {
        let list = std::env::var("PORTHOLE_WITHOUT").unwrap_or_default();
        let has = |name| list.split(',').any(|w| w.trim() == name);
        Without { peerpidfd: has("peerpidfd"), pidfd: has("pidfd"), exitinfo: has("exitinfo") }
    }
}

/// A running pipeline.
pub struct Pipeline {}

/// Starts the stages' threads.
///
/// # Errors
/// When another collector serves this state directory, or an output cannot be opened.
pub fn start(_options: Options) -> Result<Pipeline, Error> {
    Ok(Pipeline {})
}

impl Pipeline {
    /// Counters as of now.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// The containers, running ones first.
    pub fn containers(&self) -> Vec<ContainerView> {
        vec![]
    }

    /// Drains every ring, lets the outputs finish, ends the threads.
    pub fn stop(self) -> Status {
        Status::default()
    }
}
