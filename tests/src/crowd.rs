//! Crowds of processes below one collector, and the sums that must come out.

use crate::collector::Collector;
use crate::program::Running;
use crate::registered::Registered;
use crate::stream::Stream;
use crate::{usage, wait};
use serde_json::Value;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the last records of a crowd may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A crowd at work in a container.
#[derive(Debug)]
pub struct Crowd {
    running: Running,
    /// The container.
    pub container: Registered,
}

/// What a crowd has made, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Processes.
    pub members: u64,
    /// Opens of all of them.
    pub opens: u64,
}

/// Sums of one container or several: records by the collector's counters, opens by its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Processes.
    pub members: u64,
    /// Records that the agents made.
    pub produced: u64,
    /// Records that the collector has taken.
    pub received: u64,
    /// Records that it has counted as lost.
    pub lost: u64,
    /// Opens that stand in the output.
    pub told: u64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.members += other.members;
        self.produced += other.produced;
        self.received += other.received;
        self.lost += other.lost;
        self.told += other.told;
    }
}

impl Crowd {
    /// Starts a program of [`Registered::crowd`].
    pub fn start(container: Registered, mut command: Command) -> Crowd {
        let running = Running::start(command.stdout(Stdio::piped()));
        Crowd { running, container }
    }

    /// Keeps `count` members alive, each for `life` milliseconds.
    pub fn keep(state: &std::path::Path, id: &str, count: u64, life: u64, opens: u64) -> Crowd {
        let container = Registered::new(state, id);
        let command = container.crowd("keep", count, life, opens);
        Crowd::start(container, command)
    }

    /// Tells it to end; [`Crowd::end`] waits for that.
    pub fn stop(&self) {
        self.running.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// Waits until it has ended; says so to the collector.
    ///
    /// # Panics
    /// If one of its members did not end well.
    pub fn end(mut self) -> (Registered, Made) {
        let mut said = String::new();
        let mut pipe = self.running.child().stdout.take().expect("a pipe");
        pipe.read_to_string(&mut said).expect("the crowd says what it has made");
        assert_eq!(self.running.wait(), 0, "a member of {} did not end well", self.container.id());
        let mut numbers = said.split_whitespace().filter_map(|n| n.parse().ok());
        let made = Made { members: numbers.next().expect("members"), opens: numbers.next().expect("opens") };
        self.container.delete();
        (self.container, made)
    }
}

/// A container's counters once everything of it has been read.
pub fn view_at_end(collector: &Collector, id: &str) -> Value {
    let over = |view: &Value| view["state"] == "deleted";
    wait::until(&format!("the end of {id}"), PATIENCE, || collector.container(id).filter(over))
}

/// Records that did not arrive, of a container's view.
pub fn lost(view: &Value) -> u64 {
    view["lost"].as_object().map_or(0, |m| m.values().filter_map(Value::as_u64).sum())
}

/// Records that a member makes beside its opens.
pub fn records_beside_opens(collector: &Collector) -> u64 {
    let container = Registered::new(&collector.state_dir(), "measure");
    let command = container.crowd("burst", 1, 0, 50);
    let (container, made) = Crowd::start(container, command).end();
    let view = view_at_end(collector, container.id());
    assert_eq!((made, lost(&view)), (Made { members: 1, opens: 50 }, 0), "one process alone: {view}");
    view["records"].as_u64().expect("a number") - made.opens
}

/// Waits until everything of a container has come and compares: received + lost = produced, by the counters and in the
/// output.
///
/// # Panics
/// If not.
pub fn account(collector: &Collector, stream: &Stream, id: &str, made: Made, beside_opens: u64) -> Sums {
    let view = view_at_end(collector, id);
    wait::until(&format!("the last event of {id}"), PATIENCE, || stream.of(id).ended.then_some(()));
    let tally = stream.of(id);
    let sums = Sums {
        members: made.members,
        produced: made.members * beside_opens + made.opens,
        received: view["records"].as_u64().expect("a number"),
        lost: lost(&view),
        told: tally.opens,
    };
    assert!(tally.started, "the start of {id} was not told");
    assert_eq!(sums.received + sums.lost, sums.produced, "received + lost of {id}: {sums:?}, {view}");
    assert_eq!(tally.dropped, sums.lost, "the events tell of the losses of {id}: {view}");
    let missing = made.opens.checked_sub(tally.opens);
    assert!(missing.is_some_and(|n| n <= sums.lost), "opens of {id}: {tally:?} of {made:?}, {sums:?}");
    sums
}

/// The most memory that the collector was seen to take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peak(pub u64);

impl Peak {
    /// Looks.
    pub fn look(&mut self, collector: &Collector) {
        self.0 = self.0.max(usage::anonymous_kib(collector));
    }
}
