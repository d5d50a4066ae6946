//! The verdict over all runs, which are taken in one by one.

use super::outcome::{Cost, Outcome};
use super::stream::{Place, Stream};
use std::collections::{BTreeMap, BTreeSet};

/// The names of the two outputs.
const OUTPUTS: [&str; 2] = ["stdout", "stderr"];

/// One thing that is not the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Of an output: where it begins to differ.
    pub line: Option<usize>,
    pub bare: Option<String>,
    pub hooked: Option<String>,
}

impl From<Place> for Difference {
    fn from(Place { line, bare, hooked }: Place) -> Difference {
        Difference { line: Some(line), bare, hooked }
    }
}

/// See the module.
#[derive(Default)]
pub struct Tally {
    /// The first bare run, which all others are compared with.
    first: Option<Outcome>,
    streams: [Stream; 2],
    /// Facts that differ between bare runs.
    unstable: BTreeSet<String>,
    /// Facts that differ between the first bare run and a hooked one.
    differing: BTreeMap<String, Difference>,
    allowed: Option<String>,
    unseen: bool,
    bare: Vec<Cost>,
    hooked: Vec<Cost>,
    records: Vec<u64>,
    lost: u64,
}

impl Tally {
    /// Takes in a bare run.
    pub fn bare(&mut self, mut run: Outcome) {
        self.take(&mut run, Stream::bare);
        self.bare.push(run.cost);
        match &self.first {
            Some(first) => self.unstable.extend(first.differs(&run)),
            None => self.first = Some(run),
        }
    }

    /// Takes in a hooked run; a bare one has come before.
    pub fn hooked(&mut self, mut run: Outcome) {
        self.take(&mut run, Stream::hooked);
        self.hooked.push(run.cost);
        self.records.push(run.records);
        self.lost += run.lost;
        let Some(first) = &self.first else { return };
        for name in first.differs(&run) {
            let (bare, hooked) = (first.facts.get(&name).cloned(), run.facts.get(&name).cloned());
            self.differing.entry(name).or_insert(Difference { line: None, bare, hooked });
        }
        self.allowed = self.allowed.take().or(run.allowed);
    }

    fn take(&mut self, run: &mut Outcome, add: fn(&mut Stream, super::output::Output)) {
        self.unseen |= !run.seen;
        for (stream, output) in self.streams.iter_mut().zip(&mut run.outputs) {
            add(stream, std::mem::take(output));
        }
    }

    pub fn bare_runs(&self) -> usize {
        self.bare.len()
    }

    /// Whether there is a difference by now.
    pub fn differs(&self) -> bool {
        !self.differences().is_empty()
    }

    fn differences(&self) -> BTreeMap<String, Difference> {
        let facts = self.differing.iter().filter(|(name, _)| !self.unstable.contains(*name));
        let outputs = OUTPUTS.iter().zip(&self.streams);
        let outputs = outputs.filter_map(|(name, s)| Some(((*name).to_owned(), s.difference()?.into())));
        facts.map(|(name, difference)| (name.clone(), difference.clone())).chain(outputs).collect()
    }

    /// What all of them came to.
    pub fn verdict(self) -> Verdict {
        let outputs = OUTPUTS.iter().zip(&self.streams);
        let outputs = outputs.filter_map(|(name, s)| Some(format!("{name}, {}", s.unstable()?)));
        let facts = self.first.as_ref().map(|first| &first.facts);
        Verdict {
            differences: self.differences(),
            unstable: self.unstable.iter().cloned().chain(outputs).collect(),
            end: facts.and_then(|facts| facts.get("end")).cloned().unwrap_or_default(),
            left: facts.and_then(|facts| facts.get("left running")).cloned(),
            compared: facts.map_or(0, |facts| facts.len() + OUTPUTS.len()),
            allowed: self.allowed,
            seen: !self.unseen,
            runs: self.hooked.len(),
            bare: medians(&self.bare),
            hooked: medians(&self.hooked),
            records: median(self.records),
            lost: self.lost,
        }
    }
}

fn medians(runs: &[Cost]) -> Cost {
    let over = |what: fn(&Cost) -> u64| median(runs.iter().map(what).collect());
    Cost {
        wall_ns: over(|r| r.wall_ns),
        cpu_ns: over(|r| r.cpu_ns),
        max_rss_kb: over(|r| r.max_rss_kb),
        private_kb: over(|r| r.private_kb),
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// What is to be said.
pub struct Verdict {
    pub differences: BTreeMap<String, Difference>,
    /// Names of what differs between bare runs.
    pub unstable: Vec<String>,
    pub allowed: Option<String>,
    /// Whether what the first process held at its end was seen in every run.
    pub seen: bool,
    pub end: String,
    /// Processes that a bare run left running.
    pub left: Option<String>,
    pub compared: usize,
    /// Runs of each kind that the medians are of.
    pub runs: usize,
    pub bare: Cost,
    pub hooked: Cost,
    pub records: u64,
    pub lost: u64,
}

impl Verdict {
    /// CPU time of the command that a record has cost; of few records it says little, the agent's start is in it.
    pub fn ns_per_record(&self) -> Option<i64> {
        let more = i64::try_from(self.hooked.cpu_ns).ok()?.checked_sub_unsigned(self.bare.cpu_ns)?;
        more.checked_div(i64::try_from(self.records).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::*;

    fn run(stdout: &str, fd: &str, seen: bool) -> Outcome {
        let facts = [("end", "exit 0"), ("fd 3", fd)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut output = Output::default();
        output.push(stdout.as_bytes());
        let outputs = [output.finish(), Output::default()];
        Outcome { facts, outputs, seen, allowed: None, records: 0, lost: 0, cost: Cost::default() }
    }

    fn verdict(bare: Vec<Outcome>, hooked: Outcome) -> Verdict {
        let mut tally = Tally::default();
        bare.into_iter().for_each(|run| tally.bare(run));
        tally.hooked(hooked);
        tally.verdict()
    }

    #[test]
    fn what_two_bare_runs_disagree_about_is_no_difference() {
        let hooked = || run("c", "socket", true);
        let found = verdict(vec![run("a", "pipe", true)], hooked());
        assert_eq!(found.differences.keys().collect::<Vec<_>>(), ["fd 3", "stdout"]);
        let found = verdict(vec![run("a", "pipe", true), run("b", "pipe", true)], hooked());
        assert_eq!(found.differences.keys().collect::<Vec<_>>(), ["fd 3"]);
        assert_eq!(found.unstable, ["stdout, line 1"]);
    }

    #[test]
    fn what_was_not_seen_is_not_compared_and_outputs_always_are() {
        let found = verdict(vec![run("a", "pipe", true)], run("b", "", false));
        assert!(!found.seen);
        assert_eq!(found.differences.keys().collect::<Vec<_>>(), ["stdout"]);
    }

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median(vec![3, 1, 2]), 2);
        assert_eq!(median(vec![]), 0);
    }
}
