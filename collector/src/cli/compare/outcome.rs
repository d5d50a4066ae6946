//! What runs came to, and the verdict over all of them.

use super::observed::{self, Facts};
use super::traced::Ended;
use std::collections::BTreeMap;

/// One run.
pub struct Outcome {
    /// How it ended, what it wrote, what it held at its end.
    facts: Facts,
    /// Whether it was seen what it held.
    seen: bool,
    /// Our entry in its environment.
    allowed: Option<String>,
    pub records: u64,
    pub lost: u64,
    wall_ns: u64,
    cpu_ns: u64,
    max_rss_kb: u64,
    private_kb: u64,
}

impl Outcome {
    /// A run that ended so and wrote this to standard output and standard error.
    pub fn new(ended: Ended, [output, errors]: [Vec<u8>; 2]) -> Outcome {
        let how = ended.how();
        let (seen, state) = (ended.state.is_some(), ended.state.unwrap_or_default());
        let mut facts = state.facts;
        facts.insert("end".into(), how);
        facts.insert("stdout".into(), text(output));
        facts.insert("stderr".into(), text(errors));
        Outcome {
            facts,
            seen,
            allowed: None,
            records: 0,
            lost: 0,
            wall_ns: ended.wall_ns,
            cpu_ns: ended.cpu_ns,
            max_rss_kb: state.max_rss_kb,
            private_kb: state.private_kb,
        }
    }

    /// Takes out the one difference that is allowed.
    pub fn allow(&mut self, library: &str) {
        self.allowed = observed::without_our_entry(&mut self.facts, library);
    }

    /// Names of what is not the same; what only one of the two could be asked for is not compared.
    fn differs(&self, other: &Outcome) -> Vec<String> {
        let both = self.seen && other.seen;
        let names = self.facts.keys().chain(other.facts.keys().filter(|k| !self.facts.contains_key(*k)));
        let asked = |name: &&String| both || ["end", "stdout", "stderr"].contains(&name.as_str());
        names.filter(asked).filter(|n| self.facts.get(*n) != other.facts.get(*n)).cloned().collect()
    }
}

/// Bytes as they are; those that are no text in an unambiguous notation.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().escape_ascii().to_string())
}

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub bare: Option<String>,
    pub hooked: Option<String>,
}

/// Every hooked run against the first bare one.
pub fn differing(bare: &[Outcome], hooked: &[Outcome]) -> BTreeMap<String, Difference> {
    let mut found = BTreeMap::new();
    let Some(first) = bare.first() else { return found };
    for run in hooked {
        for name in first.differs(run) {
            let (bare, hooked) = (first.facts.get(&name).cloned(), run.facts.get(&name).cloned());
            found.entry(name).or_insert(Difference { bare, hooked });
        }
    }
    found
}

/// Medians over the runs of one kind.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Cost {
    pub wall_ns: u64,
    pub cpu_ns: u64,
    pub max_rss_kb: u64,
    pub private_kb: u64,
}

impl Cost {
    fn of(runs: &[Outcome]) -> Cost {
        let over = |what: fn(&Outcome) -> u64| median(runs.iter().map(what).collect());
        Cost {
            wall_ns: over(|r| r.wall_ns),
            cpu_ns: over(|r| r.cpu_ns),
            max_rss_kb: over(|r| r.max_rss_kb),
            private_kb: over(|r| r.private_kb),
        }
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
    pub compared: usize,
    /// Runs of each kind that the medians are of.
    pub runs: usize,
    pub bare: Cost,
    pub hooked: Cost,
    pub records: u64,
    pub lost: u64,
}

impl Verdict {
    /// From all runs; a second bare run, made to tell what is unstable, may be among them.
    pub fn of(bare: &[Outcome], hooked: &[Outcome]) -> Verdict {
        let mut unstable: Vec<String> = bare.iter().skip(1).flat_map(|run| bare[0].differs(run)).collect();
        unstable.sort();
        unstable.dedup();
        let mut differences = differing(bare, hooked);
        differences.retain(|name, _| !unstable.contains(name));
        let end = bare.first().and_then(|r| r.facts.get("end")).cloned().unwrap_or_default();
        Verdict {
            differences,
            unstable,
            allowed: hooked.first().and_then(|r| r.allowed.clone()),
            seen: bare.iter().chain(hooked).all(|r| r.seen),
            end,
            compared: bare.first().map_or(0, |r| r.facts.len()),
            runs: hooked.len(),
            bare: Cost::of(bare),
            hooked: Cost::of(hooked),
            records: median(hooked.iter().map(|r| r.records).collect()),
            lost: hooked.iter().map(|r| r.lost).sum(),
        }
    }

    /// CPU time of the command that a record has cost; of few records it says little, the agent's start is in it.
    pub fn ns_per_record(&self) -> Option<i64> {
        let more = i64::try_from(self.hooked.cpu_ns).ok()?.checked_sub_unsigned(self.bare.cpu_ns)?;
        more.checked_div(i64::try_from(self.records).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stdout: &str, fd: &str, seen: bool) -> Outcome {
        let facts = [("end", "exit 0"), ("stdout", stdout), ("stderr", ""), ("fd 3", fd)];
        let facts = facts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let (allowed, records, lost, wall_ns, cpu_ns, max_rss_kb, private_kb) = (None, 0, 0, 0, 0, 0, 0);
        Outcome { facts, seen, allowed, records, lost, wall_ns, cpu_ns, max_rss_kb, private_kb }
    }

    #[test]
    fn what_two_bare_runs_disagree_about_is_no_difference() {
        let hooked = [run("c", "socket", true)];
        let verdict = Verdict::of(&[run("a", "pipe", true)], &hooked);
        assert_eq!(verdict.differences.keys().collect::<Vec<_>>(), ["fd 3", "stdout"]);
        let verdict = Verdict::of(&[run("a", "pipe", true), run("b", "pipe", true)], &hooked);
        assert_eq!(verdict.differences.keys().collect::<Vec<_>>(), ["fd 3"]);
        assert_eq!(verdict.unstable, ["stdout"]);
    }

    #[test]
    fn what_was_not_seen_is_not_compared_and_outputs_always_are() {
        let verdict = Verdict::of(&[run("a", "pipe", true)], &[run("b", "", false)]);
        assert!(!verdict.seen);
        assert_eq!(verdict.differences.keys().collect::<Vec<_>>(), ["stdout"]);
    }

    #[test]
    fn bytes_that_are_no_text_stay_distinct() {
        assert_ne!(text(vec![0xff]), text(vec![0xfe]));
        assert_eq!(median(vec![3, 1, 2]), 2);
    }
}
