//! The one place where the stages are wired: ingest → tag → outputs.

use crate::census::Census;
use crate::container::Container;
use crate::error::Error;
use crate::event::{ContainerInfo, Event};
use crate::ingest::kept::Kept;
use crate::loss::{Counters, lock};
use crate::outputs::{self, Writer};
use crate::pace::Feeder;
use crate::status::{ContainerView, OutputStatus, Status, TreeView};
use crate::{clock, ingest, sys, tag};
use nix::fcntl::{Flock, FlockArg, OFlag};
use porthole_registration::{layout, registry};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
pub struct Pipeline {
    stop: Arc<AtomicBool>,
    wake: OwnedFd,
    threads: Vec<JoinHandle<()>>,
    registry: Arc<Mutex<Vec<Arc<Container>>>>,
    totals: Arc<Counters>,
    events: Arc<AtomicU64>,
    turns: Arc<AtomicU64>,
    outputs: Vec<Arc<Mutex<OutputStatus>>>,
    state_dir: PathBuf,
    started_ns: u64,
    /// How many workers its supervisor, which is the parent, had to replace; `None` without one.
    restarts: Option<u64>,
    census: Census,
    /// Held as long as the pipeline runs.
    _lock: Flock<File>,
}

/// Messages between ingest and tag, each at most a ring's batch. Beyond, the rings hold what comes.
const CHANNEL: usize = 64;
/// Batches of outputs. What stands in this queue is in front of everybody.
const BATCHES: usize = 8;

/// Starts the stages' threads.
///
/// # Errors
/// When another collector serves this state directory, or an output cannot be opened.
pub fn start(options: Options) -> Result<Pipeline, Error> {
    let lock = lock_state(&options.state_dir, layout::COLLECTOR_LOCK, Duration::ZERO)?;
    wire(options, Kept::default(), None, lock)
}

/// [`start`] for a supervisor that holds the collector's lock. A worker before this one may still be about to end.
pub(crate) fn start_worker(options: Options, kept: Kept, restarts: u64) -> Result<Pipeline, Error> {
    let lock = lock_state(&options.state_dir, layout::WORKER_LOCK, PREDECESSOR)?;
    wire(options, kept, Some(restarts), lock)
}

fn wire(options: Options, kept: Kept, restarts: Option<u64>, lock: Flock<File>) -> Result<Pipeline, Error> {
    let Options { state_dir, sinks, hub, without } = options;
    sys::survive_signals();
    let writers = sinks.iter().map(Writer::open).collect::<Result<Vec<_>, _>>()?;
    let outputs = writers.iter().map(|w| w.status.clone()).collect();
    let registry = Arc::new(Mutex::new(vec![]));
    let totals = Arc::new(Counters::default());
    let events = Arc::new(AtomicU64::new(0));
    let turns = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (woken, wake) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new(format!("cannot make a pipe: {e}")))?;
    let setup = ingest::Setup {
        state_dir: state_dir.clone(),
        registry: registry.clone(),
        totals: totals.clone(),
        without,
        kept,
        stop: stop.clone(),
        wake: woken,
        turns: turns.clone(),
    };
    let (messages, tag_in) = crossbeam_channel::bounded(CHANNEL);
    let (tagged, out_in) = crossbeam_channel::bounded(BATCHES);
    // From the last to the first: each is woken by the one before it.
    let outputs_thread = spawn("outputs", move || outputs::run(&out_in, writers, hub.as_ref()))?;
    let tagger = tag::Tagger::new(Feeder::new(tagged, Some(outputs_thread.thread().clone())), events.clone());
    let tag_thread = spawn("tag", move || tagger.run(&tag_in))?;
    let ingest = ingest::Ingest::new(setup, Feeder::new(messages, Some(tag_thread.thread().clone())))?;
    let threads = vec![spawn("ingest", move || ingest.run())?, tag_thread, outputs_thread];
    let started_ns = clock::now_ns();
    // made by the first collector that this machine had since its start, and not written since
    let since = std::fs::metadata(state_dir.join(layout::COLLECTOR_LOCK)).and_then(|meta| meta.modified()).ok();
    let since_ns = since.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos() as u64);
    Ok(Pipeline {
        stop,
        wake,
        threads,
        registry,
        totals,
        events,
        turns,
        outputs,
        state_dir,
        started_ns,
        restarts,
        census: Census::new(since_ns),
        _lock: lock,
    })
}

/// Allows this process as many descriptors as it may have: each ring takes up to four. Not done by [`start`], because
/// programs that this process executes inherit the limit.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|e| Error::new(format!("cannot start the {name} thread: {e}")))
}

/// How long a worker before this one may take to end: the kernel kills it with its supervisor.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// Makes the state directory where it is missing, and takes a lock in it, within this time.
pub(crate) fn lock_state(state_dir: &Path, name: &str, patience: Duration) -> Result<Flock<File>, Error> {
    if let Some(parent) = state_dir.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
        made.map_err(|e| Error::io("create", parent, e))?;
    }
    registry::make_state(state_dir).map_err(|e| Error::new(e.to_string()))?;
    let path = state_dir.join(name);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = file.map_err(|e| Error::io("open the lock file", &path, e))?;
    let until = Instant::now() + patience;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, nix::Error::EWOULDBLOCK)) if Instant::now() < until => file = same,
            Err((_, nix::Error::EWOULDBLOCK)) => {
                return Err(Error::new(format!(
                    "another collector serves {} (it holds {}): stop it, or choose another directory with {}",
                    state_dir.display(),
                    path.display(),
                    layout::STATE_DIR_ENV
                )));
            }
            Err((_, e)) => return Err(Error::io("lock", &path, e)),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Pipeline {
    /// Grows several times a second as long as containers are heard, also while an output is behind.
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// Counters as of now.
    pub fn status(&self) -> Status {
        // held: a container's numbers must not stand in both sums, or in none
        let registry = lock(&self.registry);
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: if self.restarts.is_some() { std::os::unix::process::parent_id() } else { std::process::id() },
            worker_pid: std::process::id(),
            worker_restarts: self.restarts.unwrap_or(0),
            started_ns: self.started_ns,
            state_dir: self.state_dir.display().to_string(),
            events: self.events.load(Relaxed),
            refused: self.totals.refused(),
            containers_deleted: self.totals.absorbed.load(Relaxed),
            sessions_total: self.totals.sessions_total.load(Relaxed),
            records_received: self.totals.received.load(Relaxed),
            records_lost: self.totals.lost(),
            outputs: self.outputs.iter().map(|o| lock(o).clone()).collect(),
            ..Default::default()
        };
        let mut sampled = (self.totals.record_ns.load(Relaxed), self.totals.record_samples.load(Relaxed));
        for container in registry.iter().map(|c| c.view()) {
            sampled.0 += container.record_ns * container.record_samples;
            sampled.1 += container.record_samples;
            *if container.state == "deleted" {
                &mut status.containers_deleted
            } else {
                &mut status.containers_running
            } += 1;
            status.sessions_open += container.sessions_open;
            status.sessions_total += container.sessions_total;
            status.records_received += container.records;
            for (reason, n) in container.lost {
                *status.records_lost.entry(reason).or_default() += n;
            }
            for (reason, n) in container.refused {
                *status.refused.entry(reason).or_default() += n;
            }
        }
        status.record_ns = u64::checked_div(sampled.0, sampled.1).unwrap_or(0);
        status
    }

    /// The containers, running ones first.
    pub fn containers(&self) -> Vec<ContainerView> {
        self.containers_where(|_| true)
    }

    /// Those of them that are wanted.
    pub fn containers_where(&self, wanted: impl Fn(&Arc<ContainerInfo>) -> bool) -> Vec<ContainerView> {
        let chosen: Vec<Arc<Container>> = lock(&self.registry).iter().filter(|c| wanted(&c.info)).cloned().collect();
        let mut views: Vec<ContainerView> = chosen.iter().map(|c| c.view()).collect();
        views.sort_by_key(|v| (v.state == "deleted", v.created_ns));
        views
    }

    /// The containers, running ones first, and then those that came without porthole; `described`: with their processes.
    /// This looks at every process of the machine.
    pub fn census(&self, described: bool) -> Vec<TreeView> {
        let registered: Vec<Arc<Container>> = {
            let mut all = lock(&self.registry).clone();
            all.sort_by_key(|c| (c.deleted.load(Relaxed), c.registration.created_ns));
            all
        };
        self.census.take(&registered, described)
    }

    /// Drains every ring, lets the outputs finish, ends the threads.
    pub fn stop(mut self) -> Status {
        self.end();
        self.status()
    }

    /// [`Pipeline::stop`], with what is known of the containers at the very end.
    pub fn stop_and_list(mut self) -> (Status, Vec<ContainerView>) {
        self.end();
        (self.status(), self.containers())
    }

    fn end(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = nix::unistd::write(&self.wake, b"!");
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.end();
    }
}
