//! Finds fields in the vocabulary, and says what kind of a value an operand has.

use crate::ast::{Argument, Field, Function, Operand, Transform};
use crate::event::Asked;
use crate::function::Source;
use crate::vocabulary::{Info, Takes, Type, Vocabulary};

/// Why a condition or an output cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong.
    pub what: String,
    /// The vocabulary does not have the field.
    pub unknown_field: bool,
}

impl CompileError {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> CompileError {
        CompileError { at, what: what.into(), unknown_field: false }
    }
}

/// An operand with its fields found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Where its value comes from.
    pub source: Source,
    /// What kind of a value that is.
    pub kind: Type,
    /// Several at once.
    pub list: bool,
}

/// A field of the vocabulary.
///
/// # Errors
/// When there is none of this name, or its argument is not as it must be.
pub fn field<'v>(field: &Field, v: &'v Vocabulary) -> Result<(Asked, &'v Info, Type), CompileError> {
    let wrong = |what: String| CompileError::new(field.at, what);
    let dotted = ["evt.arg.", "evt.rawarg."].into_iter().find_map(|p| {
        let argument = field.name.strip_prefix(p)?;
        Some((&p[..p.len() - 1], argument))
    });
    let exact = v.field(&field.name).map(|n| (n, field.argument.clone()));
    let found = exact.or_else(|| {
        let (name, argument) = dotted.filter(|_| field.argument.is_none())?;
        Some((v.field(name)?, Some(argument.to_owned())))
    });
    let Some((number, argument)) = found else {
        let near = nearest(&field.name, v).map_or(String::new(), |n| format!("; did you mean {n}?"));
        let what = format!("there is no field {}{near}", field.name);
        return Err(CompileError { unknown_field: true, ..wrong(what) });
    };
    let info = &v.fields()[number];
    match (info.takes, &argument) {
        (Takes::Nothing, Some(_)) => return Err(wrong(format!("{} takes no argument", info.name))),
        (Takes::Something, None) => return Err(wrong(format!("{} needs an argument: {}[...]", info.name, info.name))),
        _ => {}
    }
    let index = argument.as_deref().and_then(|a| a.parse().ok());
    if info.indexed && argument.is_some() && index.is_none() {
        return Err(wrong(format!("the argument of {} is a number", info.name)));
    }
    let mut kind = info.kind;
    if ["evt.arg", "evt.rawarg"].contains(&info.name.as_str()) {
        let name = argument.as_deref().unwrap_or_default();
        let known = v.argument(name);
        if known.is_none() && index.is_none() {
            return Err(wrong(format!("no event has an argument {name:?}")));
        }
        kind = if kind == Type::Dynamic { known.unwrap_or(Type::Uint(64)) } else { kind };
    }
    let asked = Asked { number, name: info.name.clone(), argument, index };
    Ok((asked, info, kind))
}

/// The known field that is most like a name, if one is: at most two letters off.
fn nearest<'v>(name: &str, v: &'v Vocabulary) -> Option<&'v str> {
    let all = v.fields().iter().map(|f| f.name.as_str());
    all.map(|n| (distance(name, n), n)).min().filter(|(d, _)| *d <= 2).map(|(_, n)| n)
}

/// Letters to be changed, added or taken out.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let next = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

/// An operand of a condition, or of an output.
///
/// # Errors
/// See [`field`]; and when a function does not take what it is given.
pub fn operand(operand: &Operand, v: &Vocabulary) -> Result<Resolved, CompileError> {
    match operand {
        Operand::Field(f) => {
            let (asked, info, kind) = field(f, v)?;
            let list = info.list && asked.argument.is_none();
            Ok(Resolved { source: Source::Field(asked), kind, list })
        }
        Operand::Transform(t) => transform(t, v),
    }
}

fn transform(t: &Transform, v: &Vocabulary) -> Result<Resolved, CompileError> {
    let wrong = |what: &str| CompileError::new(t.at, format!("{}() {what}", t.function));
    let arguments = t.arguments.iter().map(|a| argument(a, t, v)).collect::<Result<Vec<_>, _>>()?;
    let one = || match arguments.as_slice() {
        [one] => Ok(one),
        _ => Err(wrong("takes one field")),
    };
    let (kind, list) = match t.function {
        Function::Len => {
            let one = one()?;
            if !one.list && !matches!(one.kind, Type::Text | Type::Bytes) {
                return Err(wrong("takes a text, bytes or a list"));
            }
            (Type::Uint(64), false)
        }
        Function::Join => match arguments.as_slice() {
            [_, _] => (Type::Text, false),
            _ => return Err(wrong("takes a separator and a list")),
        },
        Function::Concat if arguments.len() >= 2 => (Type::Text, false),
        Function::Concat => return Err(wrong("takes two or more")),
        Function::Getopt if arguments.len() == 2 && t.selector.is_some() => (Type::Text, false),
        Function::Getopt => return Err(wrong("takes a list, the options' letters, and [the option]")),
        Function::Tolower | Function::Toupper | Function::B64 | Function::Basename => {
            let one = one()?;
            if !matches!(one.kind, Type::Text | Type::Bytes) {
                return Err(wrong("takes a text"));
            }
            (one.kind, one.list)
        }
    };
    let sources = arguments.into_iter().map(|a| a.source).collect();
    Ok(Resolved { source: Source::Function(t.function, sources, t.selector.clone()), kind, list })
}

fn argument(argument: &Argument, t: &Transform, v: &Vocabulary) -> Result<Resolved, CompileError> {
    match argument {
        Argument::Operand(o) => {
            let mut refused = None;
            o.each_field(&mut |f| {
                if field(f, v).is_ok_and(|(_, info, _)| info.no_function) {
                    refused = Some(CompileError::new(f.at, format!("{} cannot stand in {}()", f.name, t.function)));
                }
            });
            refused.map_or_else(|| operand(o, v), Err)
        }
        Argument::Text(text) => Ok(Resolved { source: Source::Text(text.clone()), kind: Type::Text, list: false }),
        Argument::List(all) => {
            let all = all.iter().map(|a| self::argument(a, t, v)).collect::<Result<Vec<_>, _>>()?;
            let sources = all.into_iter().map(|a| a.source).collect();
            Ok(Resolved { source: Source::List(sources), kind: Type::Text, list: true })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_field_is_answered_with_the_right_one() {
        let asked = |name: &str| {
            field(&Field { name: name.into(), argument: None, at: 3 }, Vocabulary::falco()).map(|(a, ..)| a.name)
        };
        let error = asked("proc.nme").unwrap_err();
        assert!(error.unknown_field && error.at == 3 && error.what.contains("did you mean proc.name"), "{error:?}");
        assert!(!asked("some.thing.else").unwrap_err().what.contains("did you mean"));
        assert_eq!(asked("evt.arg.flags").as_deref(), Ok("evt.arg"));
    }
}
