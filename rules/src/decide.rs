//! Which rules are true for an event of one type: what their conditions have in common, asked once.
//!
//! Of the rules for one type most begin alike ("a file was opened for writing, in a container"). Their conditions are
//! cut into what must all be true, and what most of them share is asked first: where it is false, none of them is looked
//! at. What must not be (a rule's exceptions) comes last: it is there to be true nearly always. The answer is the same as
//! if each rule were judged by itself, because asking changes nothing.

use crate::event::Event;
use crate::program::{NodeId, Program, Scratch};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// The steps, from the first to the last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(Vec<Step>);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Where this is false, go on at that step.
    Ask(NodeId, u32),
    /// This rule is true.
    True(u32),
}

/// A rule, and what must be true for it besides what was asked before.
struct Open {
    rule: u32,
    left: Vec<NodeId>,
}

/// How deep rules are put into one another. Deeper ones are asked one by one.
const DEPTH: usize = 32;

impl Tree {
    /// Of rules, whose numbers [`Tree::walk`] tells, and their conditions, if they have any.
    pub fn new(rules: &[(u32, Option<NodeId>)], program: &Program) -> Tree {
        let open = |(rule, node): &(u32, Option<NodeId>)| Open {
            rule: *rule,
            left: node.as_ref().map_or_else(Vec::new, |node| unique(program.conjuncts(node))),
        };
        let mut tree = Tree::default();
        tree.grow(rules.iter().map(open).collect(), program, DEPTH);
        tree
    }

    /// Whether no rule can be true.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn grow(&mut self, mut rules: Vec<Open>, program: &Program, depth: usize) {
        let mut shared: HashMap<NodeId, usize> = HashMap::new();
        rules.iter().flat_map(|r| &r.left).for_each(|n| *shared.entry(*n).or_default() += 1);
        let often = |n: NodeId| shared.get(&n).copied().unwrap_or(0);
        for rule in &mut rules {
            rule.left.sort_by_cached_key(|n| (program.is_negative(*n), Reverse(often(*n)), program.cost(*n)));
        }
        // in the order in which their first rules were defined
        let mut groups: Vec<(Option<NodeId>, Vec<Open>)> = vec![];
        let mut places: HashMap<NodeId, usize> = HashMap::new();
        for rule in rules {
            let first = rule.left.first().copied().filter(|n| depth > 0 && often(*n) > 1);
            match first.and_then(|n| places.get(&n)).and_then(|at| groups.get_mut(*at)) {
                Some((_, group)) => group.push(rule),
                None => {
                    first.map(|n| places.insert(n, groups.len()));
                    groups.push((first, vec![rule]));
                }
            }
        }
        for (first, group) in groups {
            match first.filter(|_| group.len() > 1) {
                Some(first) => self.together(first, group, program, depth - 1),
                None => group.into_iter().for_each(|rule| self.alone(rule, program)),
            }
        }
    }

    /// Rules that have something in common.
    fn together(&mut self, first: NodeId, mut group: Vec<Open>, program: &Program, depth: usize) {
        let start = self.0.len();
        self.0.push(Step::Ask(first, 0));
        group.iter_mut().for_each(|rule| rule.left.retain(|n| *n != first));
        self.grow(group, program, depth);
        self.end(start);
    }

    /// A rule for itself: what is asked quickly first, exceptions last.
    fn alone(&mut self, mut rule: Open, program: &Program) {
        let start = self.0.len();
        rule.left.sort_by_cached_key(|n| (program.is_negative(*n), program.cost(*n)));
        self.0.extend(rule.left.into_iter().map(|n| Step::Ask(n, 0)));
        self.0.push(Step::True(rule.rule));
        self.end(start);
    }

    /// Where the steps since `start` go when they are false, if nobody has said so yet: behind all of them.
    fn end(&mut self, start: usize) {
        let end = self.0.len() as u32;
        for step in self.0.iter_mut().skip(start) {
            if let Step::Ask(_, otherwise @ 0) = step {
                *otherwise = end;
            }
        }
    }

    /// Calls `hit` with each rule that is true, in no order.
    pub fn walk<E: Event>(&self, program: &Program, event: &E, scratch: &mut Scratch, mut hit: impl FnMut(u32)) {
        let mut at = 0;
        while let Some(step) = self.0.get(at) {
            at = match step {
                Step::Ask(node, otherwise) if !program.judge(*node, event, scratch) => *otherwise as usize,
                Step::Ask(..) => at + 1,
                Step::True(rule) => {
                    hit(*rule);
                    at + 1
                }
            };
        }
    }
}

/// Each once.
fn unique(nodes: &[NodeId]) -> Vec<NodeId> {
    let mut seen = HashSet::new();
    nodes.iter().copied().filter(|n| seen.insert(*n)).collect()
}

#[cfg(test)]
mod tests {
    use crate::event::{Asked, Event, Value};
    use crate::load::{File, load};
    use crate::program::Scratch;
    use crate::vocabulary::Vocabulary;
    use std::sync::Arc;

    /// A few fields, by a number that says which values they have.
    struct Sample(u64);

    const KINDS: [&str; 4] = ["openat", "execve", "connect", "of nobody"];

    impl Event for Sample {
        fn value(&self, field: &Asked) -> Option<Value<'_>> {
            let text = |at: u64| ["a", "ab", "b", ""].get((self.0 >> at & 3) as usize).copied();
            match field.name.as_str() {
                "evt.type" => KINDS.get((self.0 & 3) as usize).copied().map(Value::from),
                "proc.name" => text(2).filter(|t| !t.is_empty()).map(Value::from),
                "fd.name" => text(4).filter(|t| !t.is_empty()).map(Value::from),
                "proc.exe" => text(6).map(Value::from),
                _ => None,
            }
        }
    }

    fn random(state: &mut u64, below: u64) -> u64 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*state >> 33) % below
    }

    fn condition(state: &mut u64, depth: u64) -> String {
        const CHECKS: [&str; 9] = [
            "evt.type = openat",
            "evt.type in (execve, connect)",
            "evt.type != openat",
            "proc.name = a",
            "proc.name in (a, b)",
            "fd.name startswith a",
            "fd.name exists",
            "proc.exe contains b",
            "proc.name = val(proc.exe)",
        ];
        if depth == 0 || random(state, 4) == 0 {
            return CHECKS[random(state, CHECKS.len() as u64) as usize].to_owned();
        }
        let parts: Vec<String> = (0..2 + random(state, 2)).map(|_| condition(state, depth - 1)).collect();
        match random(state, 4) {
            0 => format!("({})", parts.join(" or ")),
            1 => format!("not ({})", parts.join(" or ")),
            2 => format!("not ({})", parts.join(" and ")),
            _ => format!("({})", parts.join(" and ")),
        }
    }

    #[test]
    fn together_rules_are_true_as_each_is_by_itself() {
        let state = &mut 7;
        let text: String = (0..400)
            .map(|n| {
                let common = ["proc.name = a and ", "fd.name exists and proc.name = a and ", ""][n % 3];
                let condition = condition(state, 3);
                format!(
                    "- rule: r{n}\n  desc: d\n  condition: \"{common}{condition}\"\n  output: o\n  priority: INFO\n"
                )
            })
            .collect();
        let vocabulary = Arc::new(Vocabulary::falco().clone());
        let loaded = load(&[File { name: "f".into(), text }], vocabulary.clone());
        let set = loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.reports));
        let (mut hits, mut scratch, mut alone) = (0, Scratch::default(), Scratch::default());
        for event in (0..256).map(Sample) {
            let kind = vocabulary.event(KINDS[(event.0 & 3) as usize]);
            let mut together = vec![];
            set.judge(kind, &event, &mut scratch, |rule| {
                together.push(rule.name.as_str());
                true
            });
            alone.next();
            let wanted = set.rules().iter().filter(|r| r.types.has(kind));
            let wanted = wanted.filter(|r| set.program().judge(r.node, &event, &mut alone)).map(|r| r.name.as_str());
            assert_eq!(together, wanted.collect::<Vec<_>>(), "event {}", event.0);
            hits += together.len();
        }
        assert!(hits > 1000, "{hits}");
    }

    #[test]
    fn rules_with_much_in_common_are_bounded() {
        let many: Vec<String> = (0..500).map(|n| format!("fd.name != x{n}")).collect();
        let rule = |n: usize| {
            let condition = many[..n].join(" and ");
            format!("- rule: r{n}\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n")
        };
        let text: String = [500, 499, 400, 3].map(rule).concat();
        let vocabulary = Arc::new(Vocabulary::falco().clone());
        let set = load(&[File { name: "f".into(), text }], vocabulary.clone()).rules.expect("rules");
        let mut names = vec![];
        set.judge(vocabulary.event("openat"), &Sample(0), &mut Scratch::default(), |rule| {
            names.push(rule.name.clone());
            true
        });
        assert_eq!(names, ["r500", "r499", "r400", "r3"]);
    }
}
