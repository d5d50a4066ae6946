//! Rules, ready to judge events.

use crate::ast::Expr;
use crate::event::Event;
use crate::format::Format;
use crate::load::Priority;
use crate::program::{NodeId, Program, Scratch};
use crate::types::TypeSet;
use crate::vocabulary::Vocabulary;
use std::sync::Arc;

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub desc: String,
    /// How bad it is.
    pub priority: Priority,
    /// Where its events come from: `syscall`.
    pub source: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// Whether it is judged.
    pub enabled: bool,
    /// The output as it was written.
    pub output_text: String,
    /// The same, compiled; what has no value is `<NA>` in it.
    pub output: Format,
    /// Its condition, macros and exceptions put in.
    pub condition: Expr,
    /// Types of events that it can be true for.
    pub types: TypeSet,
    pub(crate) node: NodeId,
}

/// All rules of some files.
#[derive(Clone, Debug)]
pub struct Ruleset {
    rules: Vec<Rule>,
    program: Program,
    vocabulary: Arc<Vocabulary>,
    /// Rules to be judged, by the number of the event's type; the last for types that nobody has named.
    by_type: Vec<Vec<u32>>,
}

impl Ruleset {
    pub(crate) fn new(rules: Vec<Rule>, program: Program, vocabulary: Arc<Vocabulary>) -> Ruleset {
        let mut set = Ruleset { rules, program, vocabulary, by_type: vec![] };
        set.index();
        set
    }

    fn index(&mut self) {
        let types = self.vocabulary.events().len();
        let of = |n: Option<usize>| {
            let wanted = self.rules.iter().enumerate().filter(|(_, r)| r.enabled && r.types.has(n));
            wanted.map(|(n, _)| n as u32).collect()
        };
        self.by_type = (0..types).map(Some).chain([None]).map(of).collect();
    }

    /// The rules, in the order of their first definition.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What they are compiled against.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// What their conditions are compiled to.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Switches rules on and off: `wanted` says what a rule is to be.
    pub fn select(&mut self, wanted: impl Fn(&Rule) -> bool) {
        for n in 0..self.rules.len() {
            self.rules[n].enabled = wanted(&self.rules[n]);
        }
        self.index();
    }

    /// The types of events that some rule is judged for, by their numbers; whether also others.
    pub fn types(&self) -> (Vec<usize>, bool) {
        let types = self.by_type.len() - 1;
        let wanted = (0..types).filter(|n| !self.by_type[*n].is_empty()).collect();
        (wanted, !self.by_type[types].is_empty())
    }

    /// Calls `f` with every rule that is true for an event, in the order of their definition, until it returns `false`.
    /// `kind` is the event's type in the vocabulary, if it has one.
    pub fn judge<'r, E: Event>(
        &'r self,
        kind: Option<usize>,
        event: &E,
        scratch: &mut Scratch,
        mut f: impl FnMut(&'r Rule) -> bool,
    ) {
        let types = self.by_type.len() - 1;
        let candidates = &self.by_type[kind.filter(|n| *n < types).unwrap_or(types)];
        if candidates.is_empty() {
            return;
        }
        scratch.next();
        for n in candidates {
            let rule = &self.rules[*n as usize];
            if self.program.judge(rule.node, event, scratch) && !f(rule) {
                return;
            }
        }
    }
}
