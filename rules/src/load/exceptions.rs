//! Exceptions: read from YAML, and made part of a rule's condition.

use super::collect::{Collector, Context, quoted_if_blank};
use super::items::{Compared, Exception};
use crate::ast::{Modifier, Op, Shape};
use crate::parse;
use crate::problem::{Code, Problem};
use crate::resolve;
use crate::vocabulary::Vocabulary;
use crate::yaml::{Kind, Node};

type Result<T> = std::result::Result<T, Problem>;

/// An exception as it stands in a file: fields and comparisons may be missing where values are appended.
struct Given {
    name: String,
    fields: Option<Fields>,
    comparisons: Option<Vec<String>>,
    values: Option<Vec<Row>>,
}

enum Fields {
    One(String),
    Several(Vec<String>),
}

enum Row {
    One(String),
    Several(Vec<String>),
}

fn given(c: &Context, node: &Node) -> Result<Given> {
    let name = node.get("name").and_then(|n| n.text()).filter(|n| !n.is_empty());
    let Some(name) = name else { return c.malformed(node.at, "an exception needs a name") };
    let strings = |key: &str| match node.get(key).filter(|n| !n.is_null()) {
        None => Ok(None),
        Some(n) => match &n.kind {
            Kind::Scalar(text) => Ok(Some((true, vec![text.clone()]))),
            Kind::Sequence(_) => Ok(Some((false, c.texts(n, key)?))),
            _ => c.malformed(n.at, format!("{key} is a text or a sequence of texts")),
        },
    };
    let fields = strings("fields")?.map(|(one, mut all)| match one {
        true => Fields::One(all.remove(0)),
        false => Fields::Several(all),
    });
    let values = match node.get("values").filter(|n| !n.is_null()) {
        None => None,
        Some(n) => Some(rows(c, n)?),
    };
    Ok(Given { name: name.to_owned(), fields, comparisons: strings("comps")?.map(|(_, all)| all), values })
}

fn rows(c: &Context, node: &Node) -> Result<Vec<Row>> {
    let all = match &node.kind {
        // the name of a list
        Kind::Scalar(text) => return Ok(vec![Row::One(text.clone())]),
        Kind::Sequence(all) => all,
        _ => return c.malformed(node.at, "values is a sequence"),
    };
    let one = |n: &Node| match &n.kind {
        Kind::Scalar(text) => Ok(quoted_if_blank(text.clone())),
        Kind::Sequence(_) => {
            let texts: Vec<String> = c.texts(n, "a value")?.into_iter().map(quoted_if_blank).collect();
            Ok(format!("({})", texts.join(", ")))
        }
        _ => c.malformed(n.at, "a value is a text or a sequence of texts"),
    };
    all.iter()
        .map(|n| match &n.kind {
            Kind::Sequence(row) => Ok(Row::Several(row.iter().map(|n| one(n)).collect::<Result<_>>()?)),
            _ => Ok(Row::One(one(n)?)),
        })
        .collect()
}

fn each(c: &Context, node: &Node) -> Result<Vec<Given>> {
    let Kind::Sequence(all) = &node.kind else { return c.malformed(node.at, "exceptions is a sequence") };
    all.iter().map(|n| given(c, n)).collect()
}

/// The exceptions of a whole rule.
pub(super) fn read(collector: &mut Collector, c: &Context, node: &Node) -> Result<Vec<Exception>> {
    let mut all: Vec<Exception> = vec![];
    for given in each(c, node)? {
        if all.iter().any(|e| e.name == given.name) {
            let message = format!("two exceptions are called {}", given.name);
            collector.warnings.push(c.problem(Code::ExceptionNameNotUnique, node.at, message));
        }
        all.push(new(c, given)?);
    }
    Ok(all)
}

/// Exceptions that are added to those of rule `n`: new ones, and values of known ones.
pub(super) fn append(collector: &mut Collector, c: &Context, node: &Node, n: usize) -> Result<()> {
    for given in each(c, node)? {
        let known =
            collector.items.rules.get_mut(n).and_then(|r| r.exceptions.iter_mut().find(|e| e.name == given.name));
        let Some(known) = known else {
            let exception = new(c, given)?;
            collector.items.rules[n].exceptions.push(exception);
            continue;
        };
        if given.fields.is_some() || given.comparisons.is_some() {
            return c.invalid(format!("exception {} is known: only values can be appended", given.name));
        }
        let Some(values) = given.values else {
            let message = format!("nothing is appended to exception {}", given.name);
            collector.warnings.push(c.problem(Code::AppendNoValues, node.at, message));
            continue;
        };
        add(c, &given.name, &mut known.compared, values)?;
    }
    Ok(())
}

fn new(c: &Context, given: Given) -> Result<Exception> {
    let Given { name, fields, comparisons, values } = given;
    let mut compared = match fields {
        None => return c.invalid(format!("exception {name} needs fields")),
        Some(Fields::One(field)) => {
            let comparison = match comparisons.as_deref() {
                None => "in".to_owned(),
                Some([one]) => one.clone(),
                Some(_) => return c.invalid(format!("exception {name} has one field, so it has one comparison")),
            };
            if !compares_with_list(&comparison) {
                let what = "compares with a list: in, pmatch, intersects, or an operator with anyof, oneof or allof";
                return c.invalid(format!("exception {name} {what}"));
            }
            Compared::One { field, comparison, values: vec![] }
        }
        Some(Fields::Several(fields)) => {
            let comparisons = comparisons.unwrap_or_else(|| vec!["=".into(); fields.len()]);
            if comparisons.len() != fields.len() {
                return c.invalid(format!("exception {name}: fields and comps have different lengths"));
            }
            if let Some(wrong) = comparisons.iter().find(|op| !is_operator(op)) {
                return c.invalid(format!("exception {name}: {wrong:?} is no comparison"));
            }
            Compared::Rows { fields, comparisons, rows: vec![] }
        }
    };
    let fields = match &compared {
        Compared::One { field, .. } => std::slice::from_ref(field),
        Compared::Rows { fields, .. } => fields,
    };
    if let Some(unknown) = fields.iter().find(|f| !is_known(f)) {
        return c.invalid(format!("exception {name}: there is no field {unknown}"));
    }
    add(c, &name, &mut compared, values.unwrap_or_default())?;
    Ok(Exception { name, compared })
}

fn add(c: &Context, name: &str, compared: &mut Compared, given: Vec<Row>) -> Result<()> {
    for row in given {
        match (&mut *compared, row) {
            (Compared::One { values, .. }, Row::One(value)) => values.push(value),
            (Compared::One { .. }, Row::Several(_)) => {
                return c.malformed(c.node.at, format!("exception {name} has one field: its values are texts"));
            }
            (Compared::Rows { fields, rows, .. }, Row::Several(row)) if row.len() == fields.len() => rows.push(row),
            (Compared::Rows { .. }, Row::Several(_)) => {
                return c.invalid(format!("exception {name}: a row of values has another length than fields"));
            }
            (Compared::Rows { .. }, Row::One(_)) => {
                return c.malformed(c.node.at, format!("exception {name}: values are rows, one value for each field"));
            }
        }
    }
    Ok(())
}

fn is_known(field: &str) -> bool {
    let operand = match parse::function(field) {
        Some((Ok(operand), len)) if len == field.len() => operand,
        _ => match parse::field(field) {
            Some((f, len)) if len == field.len() => crate::ast::Operand::Field(f),
            _ => return false,
        },
    };
    resolve::operand(&operand, Vocabulary::falco()).is_ok()
}

/// An operator, with or without a modifier.
fn is_operator(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (op, modifier, more) = (words.next(), words.next(), words.next());
    op.is_some_and(|op| Op::of(op).is_some()) && modifier.is_none_or(|m| Modifier::of(m).is_some()) && more.is_none()
}

fn compares_with_list(text: &str) -> bool {
    let op = text.split_whitespace().next().and_then(Op::of);
    let modifier = text.split_whitespace().nth(1).and_then(Modifier::of);
    is_operator(text)
        && match op.map(Op::shape) {
            Some(Shape::List) => modifier.is_none(),
            Some(Shape::Text) => modifier.is_some(),
            _ => false,
        }
}

/// A rule's condition with its exceptions.
pub(super) fn applied(condition: &str, exceptions: &[Exception]) -> String {
    let alternatives: Vec<String> = exceptions.iter().filter_map(condition_of).collect();
    if alternatives.is_empty() {
        return condition.to_owned();
    }
    let nots: String = alternatives.iter().map(|a| format!(" and not {a}")).collect();
    format!("({condition}){nots}")
}

/// What an exception says, as a condition; `None` without values.
fn condition_of(exception: &Exception) -> Option<String> {
    let one = |field: &str, comparison: &str, value: &str| {
        let list = compares_with_list(comparison) && !value.starts_with('(');
        if list { format!("{field} {comparison} ({value})") } else { format!("{field} {comparison} {value}") }
    };
    match &exception.compared {
        Compared::One { values, .. } if values.is_empty() => None,
        Compared::One { field, comparison, values } => Some(one(field, comparison, &values.join(", "))),
        Compared::Rows { rows, .. } if rows.is_empty() => None,
        Compared::Rows { fields, comparisons, rows } => {
            let row = |values: &Vec<String>| {
                let checks = fields.iter().zip(comparisons).zip(values).map(|((f, op), v)| one(f, op, v));
                let checks: Vec<String> = checks.collect();
                format!("({})", checks.join(" and "))
            };
            let rows: Vec<String> = rows.iter().map(row).collect();
            Some(format!("({})", rows.join(" or ")))
        }
    }
}
