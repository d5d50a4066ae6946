//! Conditions for events of one type: what is asked about the type is known, and left out.

use super::{Check, Every, Node, NodeId, Program, Test};
use crate::event::{Asked, Event, Value};
use crate::function::Source;
use crate::matcher::Matcher;
use std::collections::HashMap;

/// A condition as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folded {
    /// It always is this.
    Is(bool),
    /// What it depends on.
    Open(NodeId),
}

/// What nodes other than checks are made of: equal ones are one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Joint {
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    Not(NodeId),
    /// Checks of the same value, of which one is enough.
    Any(Box<[NodeId]>),
}

/// An event of which the type alone is known.
struct Typed<'k>(&'k str);

impl Event for Typed<'_> {
    fn value(&self, field: &Asked) -> Option<Value<'_>> {
        (field.name == TYPE).then(|| self.0.into())
    }
}

const TYPE: &str = "evt.type";

impl Program {
    /// A condition for events of the type `kind`. `known` holds the answers for this type.
    pub(crate) fn fold(&mut self, id: NodeId, kind: &str, known: &mut HashMap<NodeId, Folded>) -> Folded {
        if let Some(folded) = known.get(&id) {
            return *folded;
        }
        let folded = match self.nodes[id as usize].clone() {
            Node::Check(check) => match check.is_about_type() {
                true => Folded::Is(check.holds(&Typed(kind))),
                false => Folded::Open(id),
            },
            Node::Not(inner) => match self.fold(inner, kind, known) {
                Folded::Is(is) => Folded::Is(!is),
                Folded::Open(same) if same == inner => Folded::Open(id),
                Folded::Open(other) => Folded::Open(self.joint(Joint::Not(other))),
            },
            Node::And(all) => self.fold_all(&all, kind, known, false),
            Node::Or(all) => self.fold_all(&all, kind, known, true),
        };
        known.insert(id, folded);
        folded
    }

    /// Of several, of which one that is `deciding` decides.
    fn fold_all(&mut self, all: &[NodeId], kind: &str, known: &mut HashMap<NodeId, Folded>, deciding: bool) -> Folded {
        let mut open = vec![];
        for id in all {
            match self.fold(*id, kind, known) {
                Folded::Is(is) if is == deciding => return Folded::Is(deciding),
                Folded::Is(_) => {}
                // the parts of one within another of its kind are its own
                Folded::Open(node) => match (&self.nodes[node as usize], deciding) {
                    (Node::And(parts), false) | (Node::Or(parts), true) => open.extend_from_slice(parts),
                    _ => open.push(node),
                },
            }
        }
        if deciding {
            open = self.merged(open);
        }
        match open.as_slice() {
            [] => Folded::Is(!deciding),
            [one] => Folded::Open(*one),
            _ if deciding => Folded::Open(self.joint(Joint::Or(open.into()))),
            _ => Folded::Open(self.joint(Joint::And(open.into()))),
        }
    }

    /// Of conditions of which one is enough, those that compare the same with one constant each: one check.
    fn merged(&mut self, nodes: Vec<NodeId>) -> Vec<NodeId> {
        let mut groups: Vec<Vec<NodeId>> = vec![];
        let mut places: HashMap<Asked, usize> = HashMap::new();
        for id in nodes {
            let field = match self.compared(id).map(|check| &check.source) {
                Some(Source::Field(field)) => field.clone(),
                _ => {
                    groups.push(vec![id]);
                    continue;
                }
            };
            let at = *places.entry(field).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(group) => group.push(id),
                None => groups.push(vec![id]),
            }
        }
        groups
            .into_iter()
            .map(|group| if let [one] = *group { one } else { self.joint(Joint::Any(group.into())) })
            .collect()
    }

    /// A check with one constant that a value must fit.
    fn compared(&self, id: NodeId) -> Option<&Check> {
        match &self.nodes[id as usize] {
            Node::Check(check) => Some(&**check).filter(|c| matches!(&c.test, Test::One(m) if !m.is_negative())),
            _ => None,
        }
    }

    /// Checks of the same as one check.
    fn any_of(&self, all: &[NodeId]) -> Node {
        let checks = all.iter().filter_map(|id| self.compared(*id));
        let matchers = checks.clone().filter_map(|check| match &check.test {
            Test::One(matcher) => Some(matcher.clone()),
            _ => None,
        });
        let test = Test::Some(matchers.collect(), Every::Any);
        match checks.clone().next() {
            Some(first) => Node::Check(Box::new(Check { source: first.source.clone(), test })),
            None => Node::Or(all.into()),
        }
    }

    fn joint(&mut self, joint: Joint) -> NodeId {
        if let Some(known) = self.by_joint.get(&joint) {
            return *known;
        }
        let id = self.push(match &joint {
            Joint::And(all) => Node::And(all.clone()),
            Joint::Or(all) => Node::Or(all.clone()),
            Joint::Not(inner) => Node::Not(*inner),
            Joint::Any(all) => self.any_of(all),
        });
        self.by_joint.insert(joint, id);
        id
    }

    /// What must all be true for a condition to be.
    pub(crate) fn conjuncts<'a>(&'a self, id: &'a NodeId) -> &'a [NodeId] {
        match &self.nodes[*id as usize] {
            Node::And(all) => all,
            _ => std::slice::from_ref(id),
        }
    }

    /// How long a condition takes, roughly: what is asked first should be quick.
    pub(crate) fn cost(&self, id: NodeId) -> u32 {
        self.costs[id as usize]
    }

    /// Whether a condition says what must not be: such are mostly true.
    pub(crate) fn is_negative(&self, id: NodeId) -> bool {
        match &self.nodes[id as usize] {
            Node::Not(_) => true,
            Node::Check(check) => matches!(&check.test, Test::One(matcher) if matcher.is_negative()),
            Node::And(_) | Node::Or(_) => false,
        }
    }

    /// A new node; what it is made of is there.
    pub(super) fn push(&mut self, node: Node) -> NodeId {
        self.costs.push(match &node {
            Node::Not(inner) => self.cost(*inner),
            Node::And(all) | Node::Or(all) => all.iter().fold(0, |sum, n| sum.saturating_add(self.cost(*n))),
            Node::Check(check) => check.cost(),
        });
        self.nodes.push(node);
        self.nodes.len() as NodeId - 1
    }
}

impl Check {
    fn is_about_type(&self) -> bool {
        matches!(&self.source, Source::Field(field) if field.name == TYPE) && !matches!(self.test, Test::Other(..))
    }

    fn cost(&self) -> u32 {
        let test = match &self.test {
            Test::Exists => 1,
            Test::One(Matcher::Regex(_)) => 20,
            Test::One(_) => 1,
            Test::Texts(..) | Test::Other(..) => 2,
            Test::Some(all, _) | Test::Count(_, all) => all.len() as u32,
        };
        match &self.source {
            // their texts are made for the question
            Source::Field(field) if field.name.starts_with("thread.cap_") => test + 10,
            Source::Field(_) => test,
            _ => test + 10,
        }
    }
}
