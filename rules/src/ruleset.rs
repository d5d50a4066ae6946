//! Rules, ready to judge events.

use crate::ast::Expr;
use crate::decide::Tree;
use crate::event::Event;
use crate::format::Format;
use crate::load::Priority;
use crate::program::fold::Folded;
use crate::program::{NodeId, Program, Scratch};
use crate::types::TypeSet;
use crate::vocabulary::Vocabulary;
use std::collections::HashMap;
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
    by_type: Vec<Arc<Tree>>,
}

impl Ruleset {
    pub(crate) fn new(rules: Vec<Rule>, program: Program, vocabulary: Arc<Vocabulary>) -> Ruleset {
        let mut set = Ruleset { rules, program, vocabulary, by_type: vec![] };
        set.index();
        set
    }

    fn index(&mut self) {
        let types = self.vocabulary.events().len();
        // most types are asked the same
        let mut trees = HashMap::new();
        self.by_type = (0..types)
            .map(Some)
            .chain([None])
            .map(|n| {
                let open = self.open(n);
                trees.entry(open).or_insert_with_key(|open| Arc::new(Tree::new(open, &self.program))).clone()
            })
            .collect();
    }

    /// The rules that can be true for one type, each with what it depends on, if that is anything else.
    fn open(&mut self, n: Option<usize>) -> Vec<(u32, Option<NodeId>)> {
        let Ruleset { rules, program, vocabulary, .. } = self;
        let name = n.map(|n| vocabulary.events()[n].name.as_str());
        let mut known = HashMap::new();
        let mut open = vec![];
        for (number, rule) in rules.iter().enumerate().filter(|(_, r)| r.enabled && r.types.has(n)) {
            match name.map_or(Folded::Open(rule.node), |name| program.fold(rule.node, name, &mut known)) {
                Folded::Open(node) => open.push((number as u32, Some(node))),
                Folded::Is(true) => open.push((number as u32, None)),
                Folded::Is(false) => {}
            }
        }
        open
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
        let wanted = |n| self.rules.iter().any(|r| r.enabled && r.types.has(n));
        ((0..types).filter(|n| wanted(Some(*n))).collect(), wanted(None))
    }

    /// Calls `f` with every rule that is true for an event, in the order of their definition, until it returns `false`.
    /// `kind` is the event's type in the vocabulary, if it has one; the event's `evt.type` must then be its name.
    pub fn judge<'r, E: Event>(
        &'r self,
        kind: Option<usize>,
        event: &E,
        scratch: &mut Scratch,
        mut f: impl FnMut(&'r Rule) -> bool,
    ) {
        let types = self.by_type.len() - 1;
        let tree = &self.by_type[kind.filter(|n| *n < types).unwrap_or(types)];
        if tree.is_empty() {
            return;
        }
        scratch.next();
        let mut hits = std::mem::take(&mut scratch.hits);
        hits.clear();
        tree.walk(&self.program, event, scratch, |rule| hits.push(rule));
        hits.sort_unstable();
        for n in &hits {
            if !f(&self.rules[*n as usize]) {
                break;
            }
        }
        scratch.hits = hits;
    }
}
