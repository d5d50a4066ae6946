//! Standard output, or standard error, over all runs: what is the same whenever the command runs, and whether hooked
//! runs wrote that.
//!
//! Lines that all bare runs have are the stable ones. A hooked run must have them too, in the same order if that is the
//! same in all bare runs, and as many other lines as bare runs have. So one line that tells the time does not hide a
//! difference in another one.

use super::output::Output;
use crate::cli::summary::count;
use std::collections::HashMap;

/// Outputs that differ from each other that are kept, bare and hooked.
const KEPT: usize = 8;
/// Ranges of unstable lines that are named.
const NAMED: usize = 5;

/// What was written in all runs; the same thing is kept once.
#[derive(Default)]
pub struct Stream {
    bare: Vec<Output>,
    hooked: Vec<Output>,
}

/// The first place where a hooked run is not as bare ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Lines are counted from 1; those of a hooked run if bare ones have nothing there.
    pub line: usize,
    pub bare: Option<String>,
    pub hooked: Option<String>,
}

impl Stream {
    /// What a bare run wrote.
    pub fn bare(&mut self, output: Output) {
        keep(&mut self.bare, output);
    }

    /// What a hooked run wrote.
    pub fn hooked(&mut self, output: Output) {
        if !self.bare.contains(&output) {
            keep(&mut self.hooked, output);
        }
    }

    /// The first difference, if there is one.
    pub fn difference(&self) -> Option<Place> {
        let stable = Stable::of(&self.bare)?;
        self.hooked.iter().find_map(|hooked| stable.difference(&self.bare[0], hooked))
    }

    /// Names what differs between bare runs.
    pub fn unstable(&self) -> Option<String> {
        let stable = Stable::of(&self.bare).filter(|_| self.bare.len() > 1)?;
        let (_, others) = stable.split(&self.bare[0]);
        Some(match others.as_slice() {
            [] if stable.order.is_none() => "order of lines".into(),
            [] => "number of lines".into(),
            others => ranges(others),
        })
    }
}

fn keep(kept: &mut Vec<Output>, output: Output) {
    if kept.len() < KEPT && !kept.contains(&output) {
        kept.push(output);
    }
}

/// What bare runs have in common.
struct Stable {
    /// How often each line is in every run.
    lines: HashMap<u64, usize>,
    total: usize,
    /// These lines in their order, if it is always the same.
    order: Option<Vec<u64>>,
    /// How many other lines a run has, at least and at most.
    others: (usize, usize),
}

impl Stable {
    fn of(runs: &[Output]) -> Option<Stable> {
        let (first, more) = runs.split_first()?;
        let mut lines = counted(first);
        for run in more {
            let there = counted(run);
            lines.retain(|line, n| {
                *n = (*n).min(there.get(line).copied().unwrap_or(0));
                *n > 0
            });
        }
        let total = lines.values().sum();
        let mut stable = Stable { lines, total, order: None, others: (0, 0) };
        let others = || runs.iter().map(|run| run.lines.len() - total);
        stable.others = (others().min()?, others().max()?);
        let order = stable.ordered(first);
        stable.order = more.iter().all(|run| stable.ordered(run) == order).then_some(order);
        Some(stable)
    }

    /// Indices of the stable lines of a run, and of its others.
    fn split(&self, run: &Output) -> (Vec<usize>, Vec<usize>) {
        let mut left = self.lines.clone();
        (0..run.lines.len()).partition(|&i| match left.get_mut(&run.lines[i]) {
            Some(n) if *n > 0 => {
                *n -= 1;
                true
            }
            _ => false,
        })
    }

    fn ordered(&self, run: &Output) -> Vec<u64> {
        self.split(run).0.into_iter().map(|i| run.lines[i]).collect()
    }

    fn difference(&self, bare: &Output, hooked: &Output) -> Option<Place> {
        let (of_bare, other_bare) = self.split(bare);
        let (of_hooked, other_hooked) = self.split(hooked);
        if let Some(order) = &self.order {
            let same = |(i, line): (&usize, &u64)| hooked.lines[*i] == *line;
            let n = of_hooked.iter().zip(order).take_while(|pair| same(*pair)).count();
            if n < self.total {
                // what stands there instead is as far behind the last line that is the same
                let instead = n.checked_sub(1).map_or(of_bare[n], |last| of_hooked[last] + of_bare[n] - of_bare[last]);
                return Some(place((bare, Some(of_bare[n])), (hooked, Some(instead))));
            }
        } else if of_hooked.len() < self.total {
            let mut left = counted(hooked);
            let missing = of_bare.iter().copied().find(|i| match left.get_mut(&bare.lines[*i]) {
                Some(n) if *n > 0 => {
                    *n -= 1;
                    false
                }
                _ => true,
            });
            return Some(place((bare, missing), (hooked, other_hooked.first().copied())));
        }
        let (least, most) = self.others;
        if other_hooked.len() > most {
            return Some(place((bare, None), (hooked, other_hooked.get(most).copied())));
        }
        (other_hooked.len() < least).then(|| place((bare, other_bare.get(other_hooked.len()).copied()), (hooked, None)))
    }
}

fn counted(run: &Output) -> HashMap<u64, usize> {
    let mut lines = HashMap::new();
    run.lines.iter().for_each(|line| *lines.entry(*line).or_default() += 1);
    lines
}

fn place((bare, at_bare): (&Output, Option<usize>), (hooked, at_hooked): (&Output, Option<usize>)) -> Place {
    let text = |run: &Output, at: Option<usize>| at.filter(|i| *i < run.lines.len()).map(|i| run.line(i));
    Place {
        line: at_bare.or(at_hooked).map_or(0, |i| i + 1),
        bare: text(bare, at_bare),
        hooked: text(hooked, at_hooked),
    }
}

/// `line 3`, `lines 1, 4-6`, of indices in order.
fn ranges(indices: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = vec![];
    for line in indices.iter().map(|i| i + 1) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => ranges.push((line, line)),
        }
    }
    let name = |&(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    let named = ranges.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    let more: usize = ranges.iter().skip(NAMED).map(|(first, last)| last - first + 1).sum();
    let more = if more == 0 { String::new() } else { format!(" and {}", count(more as u64, "other", "others")) };
    format!("{} {named}{more}", if indices.len() == 1 { "line" } else { "lines" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bare: &[&str], hooked: &[&str]) -> Stream {
        let mut stream = Stream::default();
        let output = |text: &&str| {
            let mut output = Output::default();
            output.push(text.replace(' ', "\n").as_bytes());
            output.finish()
        };
        bare.iter().map(output).for_each(|o| stream.bare(o));
        hooked.iter().map(output).for_each(|o| stream.hooked(o));
        stream
    }

    fn found(bare: &[&str], hooked: &str) -> Option<(usize, Option<String>, Option<String>)> {
        stream(bare, &[hooked]).difference().map(|p| (p.line, p.bare, p.hooked))
    }

    fn at(line: usize, bare: &str, hooked: &str) -> Option<(usize, Option<String>, Option<String>)> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some((line, some(bare), some(hooked)))
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(found(&["a b c "], "a b c "), None);
        assert_eq!(found(&["a b c "], "a x c "), at(2, "b", "x"));
        assert_eq!(found(&["a b c "], "b a c "), at(1, "a", "b"));
        assert_eq!(found(&["a b c "], "a b c d "), at(4, "", "d"));
        assert_eq!(found(&["a b c "], "w a b c "), at(1, "", "w"));
        assert_eq!(found(&["a b c "], "a b "), at(3, "c", ""));
        assert_eq!(found(&["a b "], ""), at(1, "a", ""));
        assert_eq!(found(&[""], "x "), at(1, "", "x"));
        assert_eq!(found(&["a a "], "a "), at(2, "a", ""));
        assert_eq!(found(&["a "], "a"), at(1, "a", "a (no newline at the end)"));
    }

    #[test]
    fn an_unstable_line_hides_no_other() {
        let bare = ["one 11:07 two ", "one 11:08 two "];
        assert_eq!(stream(&bare, &[]).unstable().as_deref(), Some("line 2"));
        assert_eq!(found(&bare, "one 11:09 two "), None);
        assert_eq!(found(&bare, "one 11:09 too "), at(3, "two", "too"));
        assert_eq!(found(&bare, "uno 11:09 two "), at(1, "one", "uno"));
        assert_eq!(found(&bare, "one 11:09 warning two "), at(3, "", "warning"));
        assert_eq!(found(&bare, "one two "), at(2, "11:07", ""));
        assert_eq!(found(&bare, "two 11:09 one "), at(1, "one", "two"));
    }

    #[test]
    fn lines_that_move_or_come_and_go_hide_nothing_else() {
        let bare = ["a b c ", "b a c "];
        assert_eq!(stream(&bare, &[]).unstable().as_deref(), Some("order of lines"));
        assert_eq!(found(&bare, "c b a "), None);
        assert_eq!(found(&bare, "c b x "), at(1, "a", "x"));
        let bare = ["a b ", "1 a b ", "a 2 3 b "];
        assert_eq!(stream(&bare, &[]).unstable().as_deref(), Some("number of lines"));
        assert_eq!(found(&bare, "a 4 b "), None);
        assert_eq!(found(&bare, "4 a "), at(2, "b", ""));
        assert_eq!(found(&bare, "4 a 5 6 b "), at(4, "", "6"));
    }

    #[test]
    fn every_hooked_run_counts_and_the_same_is_kept_once() {
        let found = stream(&["a ", "a "], &["a ", "a ", "b "]);
        assert_eq!((found.bare.len(), found.hooked.len()), (1, 1));
        assert_eq!(found.difference().map(|p| p.line), Some(1));
        let times: Vec<String> = (0..50).map(|n| format!("{n} ")).collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        assert_eq!(stream(&times, &times).bare.len(), KEPT);
    }

    #[test]
    fn ranges_of_lines_are_named() {
        assert_eq!(ranges(&[3]), "line 4");
        assert_eq!(ranges(&[0, 2, 3, 4, 8]), "lines 1, 3-5, 9");
        assert_eq!(ranges(&[0, 2, 4, 6, 8, 10, 11]), "lines 1, 3, 5, 7, 9 and 2 others");
    }
}
