//! Conditions, compiled: one set of checks for all rules, each made at most once for an event.
//!
//! Rules share most of what they ask (macros are put in whole), so equal parts of conditions are one node here, and a
//! node's answer is kept while one event is judged.

pub(crate) mod fold;

use crate::ast::{Check as Written, Expr, Modifier, Op, Operand, Right, Shape};
use crate::event::{Event, Value};
use crate::function::Source;
use crate::matcher::{Matcher, is_simple, ordered};
use crate::resolve::{self, CompileError, Resolved};
use crate::vocabulary::{Type, Vocabulary};
use fold::Joint;
use std::collections::{HashMap, HashSet};

/// A node's number.
pub type NodeId = u32;

#[derive(Clone, Debug)]
enum Node {
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    Not(NodeId),
    Check(Box<Check>),
}

#[derive(Clone, Debug)]
struct Check {
    source: Source,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    /// It has a value.
    Exists,
    /// The constant.
    One(Matcher),
    /// One of the texts; of a list's, all.
    Texts(Texts, Every),
    /// One of the constants; of a list's, all.
    Some(Vec<Matcher>, Every),
    /// As many of the constants as the word says.
    Count(Modifier, Vec<Matcher>),
    /// Another field.
    Other(Op, Source),
}

/// A set of texts: comparing with a few is faster than hashing.
#[derive(Clone, Debug)]
enum Texts {
    Few(Box<[Box<str>]>),
    Many(HashSet<Box<str>>),
}

impl Texts {
    fn new(texts: &[String]) -> Texts {
        const FEW: usize = 8;
        match texts.len() <= FEW {
            true => Texts::Few(texts.iter().map(|t| t.as_str().into()).collect()),
            false => Texts::Many(texts.iter().map(|t| t.as_str().into()).collect()),
        }
    }

    fn has(&self, text: &str) -> bool {
        match self {
            Texts::Few(all) => all.iter().any(|t| **t == *text),
            Texts::Many(all) => all.contains(text),
        }
    }
}

/// Whether all elements of a list have to fit, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    All,
    Any,
}

/// Compiled conditions.
#[derive(Clone, Debug, Default)]
pub struct Program {
    nodes: Vec<Node>,
    costs: Vec<u32>,
    by_text: HashMap<String, NodeId>,
    by_joint: HashMap<Joint, NodeId>,
}

/// Answers that are kept while one event is judged.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    epoch: u32,
    /// Epoch and answer of each node.
    known: Vec<(u32, bool)>,
    /// Rules that are true.
    pub(crate) hits: Vec<u32>,
}

impl Scratch {
    /// Forgets what was known: the next event is another one.
    pub fn next(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.known.clear();
            self.epoch = 1;
        }
    }
}

/// Something that works and is most likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Byte offset in the condition.
    pub at: usize,
    /// What it is.
    pub what: String,
    /// It is about a field or event that is on its way out.
    pub deprecated: bool,
}

impl Program {
    /// Adds a condition in which no macro is left; its node.
    ///
    /// # Errors
    /// What in it cannot be compiled.
    pub fn add(&mut self, expr: &Expr, v: &Vocabulary, warnings: &mut Vec<Warning>) -> Result<NodeId, CompileError> {
        let text = expr.to_string();
        let node = match expr {
            Expr::Check(check) => {
                // also for one that is known, because each place is warned of
                let compiled = compile(check, v, warnings)?;
                if let Some(known) = self.by_text.get(&text) {
                    return Ok(*known);
                }
                Node::Check(Box::new(compiled))
            }
            Expr::And(all) => Node::And(self.each(all, v, warnings)?),
            Expr::Or(all) => Node::Or(self.each(all, v, warnings)?),
            Expr::Not(e) => Node::Not(self.add(e, v, warnings)?),
            Expr::Macro(name) => return Err(CompileError::new(name.at, format!("there is no macro {}", name.text))),
        };
        if let Some(known) = self.by_text.get(&text) {
            return Ok(*known);
        }
        let id = self.push(node);
        self.by_text.insert(text, id);
        Ok(id)
    }

    fn each(
        &mut self,
        all: &[Expr],
        v: &Vocabulary,
        warnings: &mut Vec<Warning>,
    ) -> Result<Box<[NodeId]>, CompileError> {
        all.iter().map(|e| self.add(e, v, warnings)).collect()
    }

    /// Whether a condition is true for an event. `scratch` belongs to this program, and to this event since
    /// [`Scratch::next`].
    pub fn judge<E: Event>(&self, id: NodeId, event: &E, scratch: &mut Scratch) -> bool {
        if scratch.known.len() < self.nodes.len() {
            scratch.known.resize(self.nodes.len(), (0, false));
            scratch.epoch = scratch.epoch.max(1);
        }
        self.node(id, event, scratch)
    }

    fn node<E: Event>(&self, id: NodeId, event: &E, scratch: &mut Scratch) -> bool {
        let at = id as usize;
        let (epoch, answer) = scratch.known[at];
        if epoch == scratch.epoch {
            return answer;
        }
        let answer = match &self.nodes[at] {
            Node::And(all) => all.iter().all(|n| self.node(*n, event, scratch)),
            Node::Or(all) => all.iter().any(|n| self.node(*n, event, scratch)),
            Node::Not(n) => !self.node(*n, event, scratch),
            Node::Check(check) => check.holds(event),
        };
        scratch.known[at] = (scratch.epoch, answer);
        answer
    }

    /// Calls `f` with every field that some condition asks for.
    pub fn each_field<'a>(&'a self, f: &mut dyn FnMut(&'a crate::event::Asked)) {
        for node in &self.nodes {
            if let Node::Check(check) = node {
                check.source.each_field(f);
                if let Test::Other(_, source) = &check.test {
                    source.each_field(f);
                }
            }
        }
    }
}

impl Check {
    fn holds<E: Event>(&self, event: &E) -> bool {
        let Some(value) = self.source.value(event) else { return false };
        match &self.test {
            Test::Exists => true,
            Test::One(matcher) => matcher.fits(&value),
            Test::Texts(texts, every) => each(&value, *every, &|v| matches!(v, Value::Text(t) if texts.has(t))),
            Test::Some(matchers, every) => each(&value, *every, &|v| matchers.iter().any(|m| m.fits(v))),
            Test::Count(modifier, matchers) => {
                let fitting = matchers.iter().filter(|m| m.fits(&value)).count();
                match modifier {
                    Modifier::Oneof => fitting == 1,
                    Modifier::Anyof => fitting > 0,
                    Modifier::Allof => fitting == matchers.len() && fitting > 0,
                }
            }
            Test::Other(op, other) => other.value(event).is_some_and(|other| compare(*op, &value, &other)),
        }
    }
}

/// Whether the value, or of a list every or any of its elements, fits. Of ancestors and ends one is enough.
fn each(value: &Value, every: Every, fits: &dyn Fn(&Value) -> bool) -> bool {
    match (value, every) {
        (Value::List(all), Every::All) => all.iter().all(fits),
        (Value::List(all) | Value::Any(all), _) => all.iter().any(fits),
        (value, _) => fits(value),
    }
}

/// Two values of one event.
fn compare(op: Op, left: &Value, right: &Value) -> bool {
    let within = |all: &[Value], v: &Value| all.iter().any(|r| compare(Op::Equal, v, r));
    match (op, left, right) {
        (Op::In, Value::List(l), Value::List(r)) => l.iter().all(|v| within(r, v)),
        (Op::Intersects, Value::List(l), Value::List(r)) => l.iter().any(|v| within(r, v)),
        (Op::In, Value::List(l), r) => l.iter().all(|v| compare(Op::Equal, v, r)),
        (Op::In | Op::Intersects, l, Value::List(r)) => within(r, l),
        (Op::In | Op::Intersects, l, r) => compare(Op::Equal, l, r),
        (_, Value::Any(all), r) => all.iter().any(|l| compare(op, l, r)),
        (_, Value::Text(l), Value::Text(r)) => Matcher::Text(op, fold(op, r)).fits(&Value::Text(l.as_ref().into())),
        (_, Value::Bytes(l), Value::Bytes(r)) => Matcher::Bytes(op, r.to_vec()).fits(&Value::Bytes(l.as_ref().into())),
        (_, Value::Bool(l), Value::Bool(r)) => ordered(op, l.cmp(r)),
        (_, Value::Int(l), Value::Int(r)) => ordered(op, l.cmp(r)),
        (_, Value::Uint(l), Value::Uint(r)) => ordered(op, l.cmp(r)),
        (_, Value::Int(l), Value::Uint(r)) => ordered(op, i128::from(*l).cmp(&i128::from(*r))),
        (_, Value::Uint(l), Value::Int(r)) => ordered(op, i128::from(*l).cmp(&i128::from(*r))),
        (_, Value::Double(l), Value::Double(r)) => l.partial_cmp(r).is_some_and(|o| ordered(op, o)),
        (_, Value::Ip(l), Value::Ip(r)) => (l == r) == (op == Op::Equal),
        _ => false,
    }
}

fn fold(op: Op, text: &str) -> String {
    if matches!(op, Op::Icontains | Op::Iglob) { text.to_ascii_lowercase() } else { text.to_owned() }
}

fn allowed(op: Op, kind: Type, list: bool) -> bool {
    if op == Op::Exists {
        return true;
    }
    if list {
        return matches!(op, Op::In | Op::Intersects);
    }
    let simple = matches!(op, Op::Equal | Op::NotEqual | Op::In | Op::Intersects);
    match kind {
        Type::Text | Type::Dynamic => !matches!(op, Op::Bcontains | Op::Bstartswith),
        Type::Bytes => {
            simple || matches!(op, Op::Contains | Op::Startswith | Op::Endswith | Op::Bcontains | Op::Bstartswith)
        }
        Type::Bool | Type::Ip | Type::Net => simple,
        Type::Int | Type::Uint(_) | Type::Double | Type::Port => simple || op.shape() == Shape::Number,
    }
}

fn compile(check: &Written, v: &Vocabulary, warnings: &mut Vec<Warning>) -> Result<Check, CompileError> {
    let left = resolve::operand(&check.left, v)?;
    usable(&check.left, v, warnings)?;
    let op = check.op.plain();
    if !allowed(op, left.kind, left.list) {
        let what = format!("{} cannot be compared by {}", check.left, check.op);
        return Err(CompileError::new(check.left.at(), what));
    }
    let about_types =
        matches!(&check.left, Operand::Field(f) if ["evt.type", "syscall.type"].contains(&f.name.as_str()));
    let matcher = |text: &str| constant(check, op, &left, text, about_types, v);
    let every = if op == Op::In { Every::All } else { Every::Any };
    let test = match &check.right {
        Right::Nothing => Test::Exists,
        Right::Operand(other) => Test::Other(op, right_operand(check, op, &left, other, about_types, v)?),
        Right::Value(text) => {
            suspicious(check, op, text, v, warnings);
            Test::One(matcher(text)?)
        }
        Right::List(texts) => several(check, op, &left, texts, &matcher, every)?,
        Right::Name(text) => several(check, op, &left, std::slice::from_ref(text), &matcher, every)?,
    };
    Ok(Check { source: left.source, test })
}

fn several(
    check: &Written,
    op: Op,
    left: &Resolved,
    texts: &[String],
    matcher: &dyn Fn(&str) -> Result<Matcher, CompileError>,
    every: Every,
) -> Result<Test, CompileError> {
    let matchers = texts.iter().map(|t| matcher(t)).collect::<Result<Vec<_>, _>>()?;
    Ok(match check.modifier {
        Some(modifier) => Test::Count(modifier, matchers),
        None if left.kind == Type::Text && op != Op::Pmatch => Test::Texts(Texts::new(texts), every),
        None => Test::Some(matchers, every),
    })
}

fn constant(
    check: &Written,
    op: Op,
    left: &Resolved,
    text: &str,
    about_types: bool,
    v: &Vocabulary,
) -> Result<Matcher, CompileError> {
    let exact = matches!(op, Op::Equal | Op::NotEqual | Op::In | Op::Intersects);
    if about_types && exact && v.event(text).is_none() {
        return Err(CompileError::new(check.right_at, format!("there is no type of events {text:?}")));
    }
    Matcher::new(op, left.kind, text).map_err(|what| CompileError::new(check.right_at, what))
}

fn right_operand(
    check: &Written,
    op: Op,
    left: &Resolved,
    other: &Operand,
    about_types: bool,
    v: &Vocabulary,
) -> Result<Source, CompileError> {
    let wrong = |what: String| Err(CompileError::new(check.right_at, what));
    let right = resolve::operand(other, v)?;
    let mut refused = None;
    other.each_field(&mut |f| {
        if resolve::field(f, v).is_ok_and(|(_, info, _)| info.no_right) {
            refused = Some(f.name.clone());
        }
    });
    if let Some(name) = refused {
        return wrong(format!("{name} cannot stand on the right side"));
    }
    let left_refuses =
        matches!(&check.left, Operand::Field(f) if resolve::field(f, v).is_ok_and(|(_, i, _)| i.no_right));
    if about_types || left_refuses || matches!(op, Op::Pmatch | Op::Regex) || left.kind == Type::Net {
        return wrong(format!("{} {} takes no field on the right side", check.left, check.op));
    }
    if left.kind != right.kind && !(left.kind.is_number() && right.kind.is_number() && left.kind == right.kind) {
        return wrong(format!("{} and {other} have values of different kinds", check.left));
    }
    Ok(right.source)
}

/// Refuses fields that are for outputs only; warns of old ones.
fn usable(left: &Operand, v: &Vocabulary, warnings: &mut Vec<Warning>) -> Result<(), CompileError> {
    let mut refused = None;
    left.each_field(&mut |f| {
        let Ok((_, info, _)) = resolve::field(f, v) else { return };
        if info.print_only {
            refused = Some(CompileError::new(f.at, format!("{} is for outputs only", f.name)));
        }
        if info.deprecated && (info.name == "evt.dir" || info.name.starts_with("evt.latency")) {
            let what = format!("{} is on its way out: events have no direction any more", f.name);
            warnings.push(Warning { at: f.at, what, deprecated: true });
        }
    });
    refused.map_or(Ok(()), Err)
}

/// Warns of a value that is most likely meant as something else.
fn suspicious(check: &Written, op: Op, text: &str, v: &Vocabulary, warnings: &mut Vec<Warning>) {
    let mut warn = |what: String| warnings.push(Warning { at: check.right_at, what, deprecated: false });
    if op == Op::Regex && is_simple(text) {
        return warn(format!("{text:?} is simple enough for =, startswith, endswith or contains, which are faster"));
    }
    let field = crate::parse::field(text).filter(|(f, len)| *len == text.len() && resolve::field(f, v).is_ok());
    if field.is_some() {
        return warn(format!("{text:?} is compared as a text; for the field's value write val({text})"));
    }
    if matches!(crate::parse::function(text), Some((Ok(_), len)) if len == text.len()) {
        warn(format!("{text:?} in quotes is compared as a text; for its value write it without them"));
    }
}
