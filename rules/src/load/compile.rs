//! [`Items`] into rules: lists put in as text, macros as trees.

use super::collect::Context;
use super::exceptions;
use super::items::{Items, Macro, Place, Rule as Item};
use crate::ast::Expr;
use crate::format::Format;
use crate::parse;
use crate::problem::{Code, Problem};
use crate::program::{Program, Warning};
use crate::resolve::CompileError;
use crate::ruleset::Rule;
use crate::types;
use crate::vocabulary::Vocabulary;

/// More types of events than this are most likely not meant.
const MANY_TYPES: usize = 100;
/// Longest condition, lists put in.
const LONGEST: usize = 4 << 20;

/// What compiling all items has given.
pub(super) struct Compiled {
    pub rules: Vec<Rule>,
    pub program: Program,
}

/// Compiles everything that was collected. Warnings go to the file that is being loaded, if they are about it.
pub(super) fn compile(
    items: &Items,
    file: usize,
    v: &Vocabulary,
    warnings: &mut Vec<Problem>,
) -> Result<Compiled, Problem> {
    let mut compiler =
        Compiler { items, lists: vec![], used_lists: vec![false; items.lists.len()], parts: 0, warnings: vec![] };
    compiler.expand_lists();
    let mut macros = compiler.macros()?;
    let mut program = Program::default();
    let mut rules = vec![];
    for rule in items.rules.iter().filter(|r| !r.foreign) {
        rules.extend(compiler.rule(rule, &mut macros, &mut program, v)?);
    }
    compiler.unused(&macros);
    // an item of an earlier file was warned of when that was loaded
    warnings.extend(compiler.warnings.into_iter().filter(|(place, _)| place.file == file).map(|(_, p)| p));
    Ok(Compiled { rules, program })
}

struct Compiler<'a> {
    items: &'a Items,
    /// Items of each list, with other lists' items in place of their names.
    lists: Vec<Vec<String>>,
    used_lists: Vec<bool>,
    /// How many parts all trees have together.
    parts: usize,
    warnings: Vec<(Place, Problem)>,
}

/// A macro, parsed, with the macros that it may use put in.
struct Parsed<'a> {
    item: &'a Macro,
    tree: Expr,
    /// How large the tree is.
    parts: usize,
    depth: usize,
    used: bool,
}

/// Where in an item a problem is.
struct Inside<'a> {
    item: &'static str,
    name: &'a str,
    place: Place,
}

impl Inside<'_> {
    fn problem(&self, code: Code, message: impl Into<String>, text: &str, at: usize) -> Problem {
        Problem {
            code,
            message: message.into(),
            item: self.item,
            name: self.name.to_owned(),
            at: self.place.at,
            inside: Some(Box::new((text.to_owned(), at))),
        }
    }
}

impl<'a> Compiler<'a> {
    /// A list's items may name lists that were there before; those are put in as they were written.
    fn expand_lists(&mut self) {
        for list in &self.items.lists {
            let mut all = vec![];
            for item in &list.items {
                match self.items.lists.iter().find(|l| l.name == *item && l.index < list.sees && l.name != list.name) {
                    Some(other) => {
                        self.used_lists[other.index] = true;
                        all.extend(other.items.iter().cloned());
                    }
                    None => all.push(item.clone()),
                }
            }
            self.lists.push(all);
        }
    }

    /// A condition's text with every list's items in place of its name.
    fn with_lists(&mut self, condition: &str, inside: &Inside) -> Result<String, Problem> {
        let mut text = condition.to_owned();
        for (n, list) in self.items.lists.iter().enumerate() {
            self.used_lists[n] |= put_in(&mut text, &list.name, &self.lists[n]);
            self.bounded(&text, condition, inside)?;
        }
        Ok(text)
    }

    /// Refuses what has become too long of a condition.
    fn bounded(&self, text: &str, condition: &str, inside: &Inside) -> Result<(), Problem> {
        if text.len() <= LONGEST {
            return Ok(());
        }
        let what = format!("the condition is longer than {LONGEST} bytes once its lists and exceptions are put in");
        Err(inside.problem(Code::CompileCondition, what, condition, 0))
    }

    fn parsed(&mut self, condition: &str, inside: &Inside) -> Result<(String, Expr), Problem> {
        let text = self.with_lists(condition, inside)?;
        match parse::condition(&text) {
            Ok(expr) => Ok((text, expr)),
            Err(e) => Err(inside.problem(Code::CompileCondition, e.what, &text, e.at)),
        }
    }

    fn macros(&mut self) -> Result<Vec<Parsed<'a>>, Problem> {
        let mut all: Vec<Parsed> = vec![];
        for item in &self.items.macros {
            let inside = Inside { item: "macro", name: &item.name, place: item.place };
            let (text, tree) = self.parsed(&item.condition, &inside)?;
            let tree = resolve(tree, &mut all, &mut Size::new(&mut self.parts), &|m| {
                m.index < item.sees && m.name != item.name
            })
            .map_err(|e| inside.problem(Code::Validate, e.what, &text, e.at))?;
            let (parts, depth) = extent(&tree);
            all.push(Parsed { item, tree, parts, depth, used: false });
        }
        Ok(all)
    }

    fn rule(
        &mut self,
        item: &'a Item,
        macros: &mut [Parsed],
        program: &mut Program,
        v: &Vocabulary,
    ) -> Result<Option<Rule>, Problem> {
        let inside = Inside { item: "rule", name: &item.name, place: item.place };
        let condition = exceptions::applied(&item.condition, &item.exceptions);
        self.bounded(&condition, &item.condition, &inside)?;
        let (text, tree) = self.parsed(&condition, &inside)?;
        let condition = resolve(tree, macros, &mut Size::new(&mut self.parts), &|_| true)
            .map_err(|e| inside.problem(Code::Validate, e.what, &text, e.at))?;
        let mut found = vec![];
        let failed = |code: Code, e: CompileError, text: &str| {
            let skipped = item.skip_unknown && e.unknown_field;
            (skipped, inside.problem(if skipped { Code::UnknownFilter } else { code }, e.what, text, e.at))
        };
        let node = program.add(&condition, v, &mut found).map_err(|e| failed(Code::CompileCondition, e, &text));
        let output = Format::new(&format!("*{}", item.output.trim_start_matches('*')), v);
        let output = output.map_err(|e| failed(Code::CompileOutput, e, &item.output));
        let (node, output) = match (node, output) {
            (Ok(node), Ok(output)) => (node, output),
            (Err((false, problem)), _) | (_, Err((false, problem))) => return Err(problem),
            (Err((true, problem)), _) | (_, Err((true, problem))) => {
                self.warnings.push((item.place, problem));
                return Ok(None);
            }
        };
        for Warning { at, what, deprecated } in found {
            let code = if deprecated { Code::DeprecatedItem } else { Code::SuspiciousCondition };
            self.warnings.push((item.place, inside.problem(code, what, &text, at)));
        }
        let types = types::of(&condition, v);
        if item.warn_event_types && types.len() > MANY_TYPES {
            let what = "the rule runs for every type of events, which is slow; begin it with evt.type";
            self.warnings.push((item.place, inside.problem(Code::NoEventType, what, &text, 0)));
        }
        Ok(Some(Rule {
            name: item.name.clone(),
            desc: item.desc.clone(),
            priority: item.priority,
            source: item.source.clone(),
            tags: item.tags.iter().cloned().collect(),
            enabled: item.enabled,
            output_text: item.output.clone(),
            output,
            condition,
            types,
            node,
        }))
    }

    fn unused(&mut self, macros: &[Parsed]) {
        for m in macros.iter().filter(|m| !m.used) {
            let c = Inside { item: "macro", name: &m.item.name, place: m.item.place };
            self.warnings.push((m.item.place, plain(&c, Code::UnusedMacro, "no rule and no macro uses it")));
        }
        for (list, _) in self.items.lists.iter().zip(&self.used_lists).filter(|(_, used)| !**used) {
            let c = Inside { item: "list", name: &list.name, place: list.place };
            self.warnings.push((list.place, plain(&c, Code::UnusedList, "no condition and no list uses it")));
        }
    }
}

fn plain(inside: &Inside, code: Code, message: &str) -> Problem {
    Problem { inside: None, ..inside.problem(code, message, "", 0) }
}

/// How large a tree has become: macros of macros of macros grow without end.
struct Size<'a> {
    tree: usize,
    all: &'a mut usize,
    depth: usize,
}

/// Most parts of one condition, and of all of them and all macros.
const LARGEST: usize = 200_000;
const LARGEST_ALL: usize = 1_000_000;

impl<'a> Size<'a> {
    fn new(all: &'a mut usize) -> Size<'a> {
        Size { tree: 0, all, depth: 0 }
    }

    /// `parts` more, so deep below the place that is looked at.
    fn grow(&mut self, parts: usize, below: usize) -> Result<(), CompileError> {
        self.tree += parts;
        *self.all += parts;
        let what = match () {
            () if self.tree > LARGEST => format!("larger than {LARGEST} parts once its macros are put in"),
            () if *self.all > LARGEST_ALL => {
                format!("all conditions and macros together are larger than {LARGEST_ALL} parts")
            }
            () if self.depth + below > parse::DEPTH => {
                format!("nested too deep once its macros are put in: more than {} levels", parse::DEPTH)
            }
            () => return Ok(()),
        };
        Err(CompileError::new(0, what))
    }
}

/// A tree with macros in place of their names.
fn resolve(
    expr: Expr,
    macros: &mut [Parsed],
    size: &mut Size,
    visible: &dyn Fn(&Macro) -> bool,
) -> Result<Expr, CompileError> {
    size.grow(1, 1)?;
    size.depth += 1;
    let mut each = |all: Vec<Expr>| -> Result<Vec<Expr>, CompileError> {
        all.into_iter().map(|e| resolve(e, macros, size, visible)).collect()
    };
    let resolved = match expr {
        Expr::And(all) => Expr::And(each(all)?),
        Expr::Or(all) => Expr::Or(each(all)?),
        Expr::Not(e) => Expr::Not(Box::new(resolve(*e, macros, size, visible)?)),
        Expr::Check(check) => Expr::Check(check),
        Expr::Macro(name) => match macros.iter_mut().find(|m| m.item.name == name.text && visible(m.item)) {
            Some(found) => {
                found.used = true;
                size.grow(found.parts, found.depth)?;
                found.tree.clone()
            }
            None => {
                let what =
                    format!("there is no macro {} (a macro must stand before the macros that use it)", name.text);
                return Err(CompileError::new(name.at, what));
            }
        },
    };
    size.depth -= 1;
    Ok(resolved)
}

/// How many parts a tree has, and how deep it is.
fn extent(expr: &Expr) -> (usize, usize) {
    let (parts, depth) = match expr {
        Expr::And(all) | Expr::Or(all) => {
            all.iter().map(extent).fold((0, 0), |(parts, depth), (p, d)| (parts + p, depth.max(d)))
        }
        Expr::Not(e) => extent(e),
        _ => (0, 0),
    };
    (parts + 1, depth + 1)
}

/// Puts items in place of a name wherever blanks, parentheses, commas, `=` or the ends stand around it, also in quotes.
/// Of an empty list's neighbouring commas one goes too. Whether the name was there. What is longer than [`LONGEST`] is
/// left unfinished.
fn put_in(text: &mut String, name: &str, items: &[String]) -> bool {
    let blank = |b: u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    let edge = |b: Option<&u8>| b.is_none_or(|b| blank(*b) || b"(),=".contains(b));
    if name.is_empty() || !text.contains(name) {
        return false;
    }
    let joined = items.join(", ");
    let mut out = String::with_capacity(text.len() + joined.len());
    let (mut rest, mut found) = (0, false);
    let mut from = 0;
    while let Some(start) = text[from..].find(name).map(|n| from + n).filter(|_| out.len() <= LONGEST) {
        let (bytes, end) = (text.as_bytes(), start + name.len());
        let before = start.checked_sub(1).and_then(|n| bytes.get(n));
        if !edge(before) || !edge(bytes.get(end)) {
            // the name may begin inside what did not fit
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        found = true;
        let (mut cut, mut go_on) = (start, end);
        if items.is_empty() {
            while cut > rest && blank(bytes[cut - 1]) {
                cut -= 1;
            }
            while go_on < bytes.len() && blank(bytes[go_on]) {
                go_on += 1;
            }
            if cut > rest && bytes[cut - 1] == b',' {
                cut -= 1;
            } else if bytes.get(go_on) == Some(&b',') {
                go_on += 1;
            }
        }
        out += &text[rest..cut];
        if items.is_empty() {
            out.push(' ');
        }
        out += &joined;
        if items.is_empty() {
            out.push(' ');
        }
        rest = go_on;
        from = go_on;
    }
    if found {
        out += &text[rest..];
        *text = out;
    }
    found
}

/// What an item that is no text of a condition is called in problems.
impl Context<'_> {
    pub(super) fn parse_problem(at: crate::yaml::Position, message: String) -> Problem {
        Problem { code: Code::YamlParse, message, item: "file", name: String::new(), at, inside: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_put_in_where_they_stand_alone() {
        let put = |text: &str, items: &[&str]| {
            let mut text = text.to_owned();
            let items: Vec<String> = items.iter().map(|i| (*i).to_owned()).collect();
            put_in(&mut text, "l", &items);
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(put("x in (l, lx, xl, l)", &["a", "b"]), "x in (a, b, lx, xl, a, b)");
        assert_eq!(put("x in (l, c)", &[]), "x in ( c)");
        assert_eq!(put("x in (c, l)", &[]), "x in (c )");
        assert_eq!(put("x=l and y = \"u l v\"", &["a"]), "x=a and y = \"u a v\"");
        assert_eq!(put("l", &["a"]), "a");
    }
}
