//! What `porthole status` and `porthole containers` show.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counters of the whole pipeline. For every ring `received + lost = produced`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Collector's version.
    pub version: String,
    /// The process to send signals to.
    pub pid: u32,
    /// The process that does the work: its worker, or itself.
    pub worker_pid: u32,
    /// Workers before it that ended without being asked to.
    pub worker_restarts: u64,
    /// Start, nanoseconds since the epoch.
    pub started_ns: u64,
    /// The state directory it serves.
    pub state_dir: String,
    /// Containers registered and not deleted.
    pub containers_running: u64,
    /// Containers whose end was seen in this run.
    pub containers_deleted: u64,
    /// Rings open now.
    pub sessions_open: u64,
    /// Rings ever opened in this run.
    pub sessions_total: u64,
    /// Records taken from rings and decoded.
    pub records_received: u64,
    /// Records that did not arrive, by reason.
    pub records_lost: BTreeMap<String, u64>,
    /// What writing a record costs its program, nanoseconds: mean of samples that agents take; 0 = no sample yet.
    pub record_ns: u64,
    /// Events made of them, and of what the collector saw itself.
    pub events: u64,
    /// Connections, hellos and ring files refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Outputs, in the order of the configuration.
    pub outputs: Vec<OutputStatus>,
    /// Rules that were true in this run, by their names.
    pub rules: Vec<RuleMatches>,
}

/// How often a rule was true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RuleMatches {
    pub rule: String,
    /// Its priority as a number: 0 = the worst.
    pub severity: u8,
    pub source: String,
    pub tags: Vec<String>,
    pub matches: u64,
}

impl Status {
    /// Sum of [`Status::records_lost`].
    pub fn lost(&self) -> u64 {
        self.records_lost.values().sum()
    }
}

/// Counters of one output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputStatus {
    /// `stdout`, `file /path`, …
    pub name: String,
    /// Events written.
    pub written: u64,
    /// Events that could not be written.
    pub lost: u64,
    /// Events left out because an earlier run of the collector had written them.
    pub repeated: u64,
    /// Last error, empty when there was none.
    pub error: String,
}

/// One container, as `porthole containers` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ContainerView {
    /// First 12 characters; `host` for `porthole run`.
    pub id: String,
    pub full_id: String,
    pub name: String,
    pub image: String,
    pub engine: String,
    pub pod_name: String,
    pub pod_namespace: String,
    /// Nanoseconds since the epoch.
    pub created_ns: u64,
    /// `running` or `deleted`.
    pub state: String,
    /// Whether it came through porthole-runc. Of any other container nothing but what stands here is known.
    pub registered: bool,
    /// `preload` or `none`.
    pub injection: String,
    /// Why not, where `injection` is `none`.
    pub injection_reason: String,
    /// Distinct processes seen.
    pub processes: u64,
    /// Processes that run now.
    pub alive: u64,
    /// Successful execs.
    pub execs: u64,
    /// Successful opens.
    pub files: u64,
    /// Connections made (or in progress).
    pub connections: u64,
    pub records: u64,
    /// See [`Status::record_ns`].
    pub record_ns: u64,
    /// Samples that this is the mean of.
    pub record_samples: u64,
    pub lost: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    pub sessions_open: u64,
    pub sessions_total: u64,
}

/// A process of a container, as `porthole tree` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessView {
    /// On the host.
    pub pid: u32,
    /// Inside the container.
    pub vpid: u32,
    /// On the host.
    pub ppid: u32,
    /// As the host has it.
    pub uid: u32,
    /// Name of the user, by the container's own list; empty = it has none there.
    pub user: String,
    /// Kernel's comm.
    pub name: String,
    /// Arguments, what is secret in them left out; of a process without any, its name in brackets.
    pub cmdline: String,
    /// Nanoseconds since the epoch.
    pub started_ns: u64,
    /// Whether the agent is in it.
    pub agent: bool,
}

/// A container with the processes that run in it now, parents before their children.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct TreeView {
    #[serde(flatten)]
    pub container: ContainerView,
    pub tree: Vec<ProcessView>,
}

impl ContainerView {
    /// What is known here, by Falco's names: for conditions about containers that came without porthole.
    pub fn named(&self) -> serde_json::Map<String, serde_json::Value> {
        let texts = [
            ("container.id", &self.id),
            ("container.full_id", &self.full_id),
            ("container.name", &self.name),
            ("container.image", &self.image),
            ("container.type", &self.engine),
            ("k8s.pod.name", &self.pod_name),
            ("k8s.ns.name", &self.pod_namespace),
        ];
        let there = texts.into_iter().filter(|(_, text)| !text.is_empty());
        there.map(|(name, text)| (name.to_owned(), text.as_str().into())).collect()
    }
}
