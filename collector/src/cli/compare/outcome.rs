//! What one run came to.

use super::observed::{self, Facts};
use super::output::Output;
use super::traced::Ended;

/// Facts that are known however much could be seen of the process.
const ALWAYS: [&str; 2] = ["end", "left running"];

/// One run.
pub struct Outcome {
    /// How it ended, what it held at its end, what it left.
    pub facts: Facts,
    /// Standard output and standard error.
    pub outputs: [Output; 2],
    /// Whether it was seen what it held.
    pub seen: bool,
    /// Our entry in its environment.
    pub allowed: Option<String>,
    pub records: u64,
    pub lost: u64,
    pub cost: Cost,
}

/// What a run took, or medians over runs.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Cost {
    pub wall_ns: u64,
    pub cpu_ns: u64,
    pub max_rss_kb: u64,
    pub private_kb: u64,
}

impl Outcome {
    /// A run that ended so, wrote this to standard output and standard error, and left these running.
    pub fn new(ended: Ended, outputs: [Output; 2], left: &[String]) -> Outcome {
        let how = ended.how();
        let (wall_ns, cpu_ns) = (ended.wall_ns, ended.cpu_ns);
        let (seen, state) = (ended.state.is_some(), ended.state.unwrap_or_default());
        let mut facts = state.facts;
        facts.insert("end".into(), how);
        if !left.is_empty() {
            facts.insert("left running".into(), left.join(", "));
        }
        let cost = Cost { wall_ns, cpu_ns, max_rss_kb: state.max_rss_kb, private_kb: state.private_kb };
        Outcome { facts, outputs, seen, allowed: None, records: 0, lost: 0, cost }
    }

    /// Takes out the one difference that is allowed, also where the command has written it (`env`).
    pub fn allow(&mut self, library: &str) {
        self.allowed = observed::without_our_entry(&mut self.facts, library);
        let written = self.outputs.iter_mut().map(|output| output.without(&format!("LD_PRELOAD={library}")));
        if written.fold(false, |any, here| any | here) {
            self.allowed = Some(format!("LD_PRELOAD={library}, also as a line of output"));
        }
    }

    /// Names of facts that are not the same; what only one of the two could be asked for is not compared.
    pub fn differs(&self, other: &Outcome) -> Vec<String> {
        let both = self.seen && other.seen;
        let names = self.facts.keys().chain(other.facts.keys().filter(|k| !self.facts.contains_key(*k)));
        let asked = |name: &&String| both || ALWAYS.contains(&name.as_str());
        names.filter(asked).filter(|n| self.facts.get(*n) != other.facts.get(*n)).cloned().collect()
    }
}
