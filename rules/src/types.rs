//! Which types of events a condition can be true for.

use crate::ast::{Check, Expr, Op, Operand, Right};
use crate::vocabulary::Vocabulary;

/// A set of types of events, by their numbers; and whether types that nobody has named are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSet {
    bits: Vec<u64>,
    len: usize,
}

impl TypeSet {
    fn empty(len: usize) -> TypeSet {
        TypeSet { bits: vec![0; (len + 1).div_ceil(64)], len }
    }

    fn all(len: usize) -> TypeSet {
        TypeSet::empty(len).complement()
    }

    fn put(&mut self, n: usize) {
        self.bits[n / 64] |= 1 << (n % 64);
    }

    /// Whether the type with this number is in it; `None` = a type that the vocabulary does not have.
    pub fn has(&self, n: Option<usize>) -> bool {
        let n = n.filter(|n| *n < self.len).unwrap_or(self.len);
        self.bits[n / 64] >> (n % 64) & 1 != 0
    }

    /// How many types are in it.
    pub fn len(&self) -> usize {
        (0..self.len).filter(|n| self.has(Some(*n))).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|b| *b == 0)
    }

    fn complement(mut self) -> TypeSet {
        self.bits.iter_mut().for_each(|b| *b = !*b);
        for n in self.len + 1..self.bits.len() * 64 {
            self.bits[n / 64] &= !(1 << (n % 64));
        }
        self
    }

    fn union(mut self, other: &TypeSet) -> TypeSet {
        self.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a |= b);
        self
    }

    fn intersection(mut self, other: &TypeSet) -> TypeSet {
        self.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a &= b);
        self
    }

    /// Their names.
    pub fn names<'a>(&'a self, vocabulary: &'a Vocabulary) -> impl Iterator<Item = &'a str> {
        vocabulary.events().iter().enumerate().filter(|(n, _)| self.has(Some(*n))).map(|(_, e)| e.name.as_str())
    }
}

/// The types that `expr`, in which no macro is left, can be true for.
pub fn of(expr: &Expr, vocabulary: &Vocabulary) -> TypeSet {
    walk(expr, false, vocabulary)
}

fn walk(expr: &Expr, negated: bool, v: &Vocabulary) -> TypeSet {
    let len = v.events().len();
    match expr {
        Expr::Not(e) => walk(e, !negated, v),
        // De Morgan: a negated `and` is an `or` of the negated
        Expr::And(all) if !negated => all.iter().fold(TypeSet::all(len), |s, e| s.intersection(&walk(e, false, v))),
        Expr::Or(all) if negated => all.iter().fold(TypeSet::all(len), |s, e| s.intersection(&walk(e, true, v))),
        Expr::And(all) | Expr::Or(all) => all.iter().fold(TypeSet::empty(len), |s, e| s.union(&walk(e, negated, v))),
        Expr::Check(check) => match restricts(check, v) {
            Some(set) if negated => set.complement(),
            Some(set) => set,
            None => TypeSet::all(len),
        },
        Expr::Macro(_) => TypeSet::all(len),
    }
}

/// The types that a check is true for, if it is about types at all.
fn restricts(check: &Check, v: &Vocabulary) -> Option<TypeSet> {
    let Operand::Field(field) = &check.left else { return None };
    if check.modifier.is_some() {
        return None;
    }
    let len = v.events().len();
    let named = |names: &mut dyn Iterator<Item = &String>| {
        let mut set = TypeSet::empty(len);
        names.filter_map(|n| v.event(n)).for_each(|n| set.put(n));
        set
    };
    match (field.name.as_str(), check.op.plain(), &check.right) {
        ("evt.type" | "syscall.type", Op::Equal, Right::Value(name)) => Some(named(&mut std::iter::once(name))),
        ("evt.type" | "syscall.type", Op::NotEqual, Right::Value(name)) => {
            Some(named(&mut std::iter::once(name)).complement())
        }
        ("evt.type" | "syscall.type", Op::In, Right::List(names)) => Some(named(&mut names.iter())),
        ("evt.type" | "syscall.type", Op::In, Right::Name(name)) => Some(named(&mut std::iter::once(name))),
        ("evt.num", Op::Equal, Right::Value(n)) if n == "0" => Some(TypeSet::empty(len)),
        _ => None,
    }
}
