//! One file's YAML into [`Items`].

use super::exceptions;
use super::items::{Items, List, Macro, Place, Priority, Rule};
use crate::problem::{Code, Problem};
use crate::yaml::{Kind, Node, Position};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The engine version that rules may require: Falco's, whose language this is.
pub const ENGINE_VERSION: (u64, u64, u64) = (0, 63, 0);
/// The source of events that rules are for.
pub const SOURCE: &str = "syscall";

/// What an item is called in problems, and its keys.
struct ItemKind {
    item: &'static str,
    keys: &'static [&'static str],
}

const RULE: ItemKind = ItemKind {
    item: "rule",
    keys: &[
        "rule",
        "desc",
        "condition",
        "output",
        "priority",
        "source",
        "enabled",
        "warn_evttypes",
        "skip-if-unknown-filter",
        "capture",
        "capture_duration",
        "tags",
        "exceptions",
        "append",
        "override",
    ],
};
const MACRO: ItemKind = ItemKind { item: "macro", keys: &["macro", "condition", "append", "override"] };
const LIST: ItemKind = ItemKind { item: "list", keys: &["list", "items", "append", "override"] };

/// Collects one file.
pub(super) struct Collector<'a> {
    pub items: &'a mut Items,
    pub file: usize,
    pub warnings: Vec<Problem>,
}

type Result<T> = std::result::Result<T, Problem>;

/// The item that is being read.
pub(super) struct Context<'n> {
    pub item: &'static str,
    pub name: String,
    pub node: &'n Node,
}

impl Context<'_> {
    pub fn problem(&self, code: Code, at: Position, message: impl Into<String>) -> Problem {
        Problem { code, message: message.into(), item: self.item, name: self.name.clone(), at, inside: None }
    }

    /// The file is not built as it must be.
    pub fn malformed<T>(&self, at: Position, message: impl Into<String>) -> Result<T> {
        Err(self.problem(Code::YamlValidate, at, message))
    }

    /// What it says cannot be.
    pub fn invalid<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(self.problem(Code::Validate, self.node.at, message))
    }

    /// The text of a key that must be there and not be empty.
    fn text(&self, key: &str) -> Result<String> {
        match self.node.get(key) {
            Some(value) => match value.text() {
                Some(text) if !text.is_empty() => Ok(text.to_owned()),
                _ => self.malformed(value.at, format!("{key} must be a text that is not empty")),
            },
            None => self.malformed(self.node.at, format!("{key} is missing")),
        }
    }

    /// The truth value of a key, if it is there.
    fn truth(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.node.get(key) else { return Ok(None) };
        match value.truth() {
            Some(truth) => Ok(Some(truth)),
            None => self.malformed(value.at, format!("{key} must be true or false")),
        }
    }

    /// The texts of a sequence.
    pub fn texts(&self, node: &Node, what: &str) -> Result<Vec<String>> {
        let wrong = || self.problem(Code::YamlValidate, node.at, format!("{what} must be a sequence of texts"));
        let Kind::Sequence(all) = &node.kind else { return Err(wrong()) };
        all.iter().map(|n| n.text().map(str::to_owned).ok_or_else(wrong)).collect()
    }
}

impl Collector<'_> {
    /// All items of a document.
    pub fn document(&mut self, document: &Node) -> Result<()> {
        let top = Context { item: "file", name: String::new(), node: document };
        match &document.kind {
            Kind::Null => Ok(()),
            Kind::Sequence(all) => all.iter().try_for_each(|item| self.item(item)),
            _ => top.malformed(document.at, "a rules file is a sequence of items: rules, macros and lists"),
        }
    }

    fn item(&mut self, node: &Rc<Node>) -> Result<()> {
        let unknown = Context { item: "item", name: String::new(), node };
        match &node.kind {
            Kind::Null => return Ok(()),
            Kind::Map(_) => {}
            _ => return unknown.malformed(node.at, "an item is a map with a key such as rule, macro or list"),
        }
        if node.get("required_engine_version").is_some() {
            return required_engine(node);
        }
        if node.get("required_plugin_versions").is_some() {
            return required_plugins(node);
        }
        if node.get("list").is_some() {
            return self.with(&LIST, node, Self::list);
        }
        if node.get("macro").is_some() {
            return self.with(&MACRO, node, Self::macro_item);
        }
        if node.get("rule").is_some() {
            return self.with(&RULE, node, Self::rule);
        }
        let what = "none of the keys rule, macro, list is in it: it is skipped";
        self.warnings.push(unknown.problem(Code::UnknownItem, node.at, what));
        Ok(())
    }

    fn with(&mut self, kind: &ItemKind, node: &Node, read: fn(&mut Self, &Context) -> Result<()>) -> Result<()> {
        let mut context = Context { item: kind.item, name: String::new(), node };
        context.name = context.text(kind.item)?;
        let Kind::Map(pairs) = &node.kind else { return Ok(()) };
        for (key, _) in pairs {
            let text = key.text().unwrap_or_default();
            if !kind.keys.contains(&text) {
                let message = format!("the key {text:?} means nothing here");
                self.warnings.push(context.problem(Code::UnknownKey, key.at, message));
            }
        }
        read(self, &context)
    }

    fn place(&self, c: &Context) -> Place {
        Place { file: self.file, at: c.node.at }
    }

    /// `append: true`, which is old, and `override`, of which there may be one.
    fn change<'k>(&mut self, c: &Context, known: &'k [(&'k str, &'k [Way])]) -> Result<Change<'k>> {
        let append = c.truth("append")?.unwrap_or(false);
        if append {
            let message = "append: true is on its way out; use override";
            self.warnings.push(c.problem(Code::DeprecatedItem, c.node.at, message));
        }
        let Some(overrides) = c.node.get("override").filter(|n| !n.is_null()) else {
            return Ok(if append { Change::Append } else { Change::Define });
        };
        if append {
            return c.malformed(overrides.at, "append and override cannot both be there");
        }
        let Kind::Map(pairs) = &overrides.kind else {
            return c.malformed(overrides.at, "override is a map from keys to append or replace");
        };
        let mut changes = vec![];
        for (key, value) in pairs {
            let name = key.text().unwrap_or_default();
            let Some((known_name, ways)) = known.iter().find(|(k, _)| *k == name) else {
                return c.malformed(key.at, format!("{name:?} cannot be overridden"));
            };
            let way = match value.text() {
                Some("append") => Way::Append,
                Some("replace") => Way::Replace,
                _ => return c.malformed(value.at, "an override is append or replace"),
            };
            if !ways.contains(&way) {
                return c.malformed(value.at, format!("{name} cannot be appended to, only replaced"));
            }
            if c.node.get(name).is_none() {
                return c.malformed(key.at, format!("override names {name}, but the item does not have it"));
            }
            changes.push((*known_name, way));
        }
        for (name, _) in known {
            let there = c.node.get(name).is_some_and(|n| !n.is_null());
            if there && !changes.iter().any(|(n, _)| n == name) {
                return c
                    .malformed(c.node.at, format!("{name} is there, but override does not say what to do with it"));
            }
        }
        Ok(Change::Override(changes))
    }

    fn list(&mut self, c: &Context) -> Result<()> {
        if c.name.contains(|ch: char| ch.is_whitespace() || "()\"'=,".contains(ch)) {
            let message = "such a name cannot stand in a condition";
            self.warnings.push(c.problem(Code::InvalidListName, c.node.at, message));
        }
        let change = self.change(c, &[("items", BOTH)])?;
        let Some(node) = c.node.get("items") else { return c.malformed(c.node.at, "items is missing") };
        let mut items: Vec<String> = c.texts(node, "items")?.into_iter().map(quoted_if_blank).collect();
        let sees = self.items.lists.len() + 1;
        let place = self.place(c);
        let known = self.items.lists.iter_mut().find(|l| l.name == c.name);
        match (change, known) {
            (Change::Define, Some(known)) => (known.items, known.place, known.sees) = (items, place, sees - 1),
            (Change::Define, None) => {
                let index = sees - 1;
                self.items.lists.push(List { name: c.name.clone(), items, place, index, sees });
            }
            (Change::Append, Some(known)) => known.items.append(&mut items),
            (Change::Override(changes), Some(known)) => match changes.first() {
                Some((_, Way::Append)) => known.items.append(&mut items),
                _ => known.items = items,
            },
            (Change::Override(changes), None) if changes.first().is_some_and(|(_, w)| *w == Way::Replace) => {
                let index = sees - 1;
                self.items.lists.push(List { name: c.name.clone(), items, place, index, sees });
            }
            (_, None) => return c.invalid("there is no list of this name to be changed"),
        }
        Ok(())
    }

    fn macro_item(&mut self, c: &Context) -> Result<()> {
        let identifier = c.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && c.name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if !identifier {
            let message = "such a name cannot stand in a condition; use letters, digits and _";
            self.warnings.push(c.problem(Code::InvalidMacroName, c.node.at, message));
        }
        let change = self.change(c, &[("condition", BOTH)])?;
        let condition = c.text("condition")?;
        let place = self.place(c);
        let sees = self.items.macros.len() + 1;
        let index = sees - 1;
        let new = Macro { name: c.name.clone(), condition: condition.clone(), place, index, sees };
        let known = self.items.macros.iter_mut().find(|m| m.name == c.name);
        let replace = matches!(&change, Change::Override(all) if all.iter().any(|(_, w)| *w == Way::Replace));
        match (change, known) {
            (Change::Define, Some(known)) => (known.condition, known.place, known.sees) = (condition, place, sees - 1),
            (Change::Define, None) => self.items.macros.push(new),
            (_, Some(known)) if replace => (known.condition, known.sees) = (condition, sees - 1),
            (_, None) if replace => self.items.macros.push(new),
            (_, Some(known)) => {
                known.condition = format!("{} {condition}", known.condition);
                known.sees = sees - 1;
            }
            (_, None) => return c.invalid("there is no macro of this name to be changed"),
        }
        Ok(())
    }

    fn rule(&mut self, c: &Context) -> Result<()> {
        let change = self.change(c, OVERRIDABLE)?;
        let place = self.place(c);
        let position = self.items.rules.iter().position(|r| r.name == c.name);
        let source = c.node.get("source").and_then(|n| n.text()).filter(|s| !s.is_empty());
        match (change, position) {
            (Change::Define, position) => {
                let body = ["condition", "output", "desc", "priority"];
                if body.iter().all(|key| c.node.get(key).is_none()) {
                    return self.switch(c, position);
                }
                let source = source.unwrap_or(SOURCE);
                if let Some(known) = position.and_then(|n| self.items.rules.get(n)).filter(|k| k.source != source) {
                    return c.invalid(format!("it is known already, with the source {}", known.source));
                }
                let rule = self.whole(c, source, place)?;
                match position.and_then(|n| self.items.rules.get_mut(n)) {
                    Some(known) => *known = rule,
                    None => self.items.rules.push(rule),
                }
                Ok(())
            }
            (Change::Append, position) => {
                let condition = c.node.get("condition").map(|_| c.text("condition")).transpose()?;
                let exceptions = c.node.get("exceptions").filter(|n| !n.is_null());
                if condition.is_none() && exceptions.is_none() {
                    return c.invalid("append needs a condition or exceptions");
                }
                let Some(n) = position else { return c.invalid("there is no rule of this name to be changed") };
                if let Some(condition) = condition {
                    let known = &mut self.items.rules[n];
                    known.condition = format!("{} {condition}", known.condition);
                }
                match exceptions {
                    Some(node) => exceptions::append(self, c, node, n),
                    None => Ok(()),
                }
            }
            (Change::Override(_), None) => c.invalid("there is no rule of this name to be changed"),
            (Change::Override(changes), Some(n)) => {
                for way in [Way::Append, Way::Replace] {
                    for (key, _) in changes.iter().filter(|(_, w)| *w == way) {
                        self.override_key(c, n, key, way)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// The old way of switching a rule on or off: nothing but `enabled`.
    fn switch(&mut self, c: &Context, position: Option<usize>) -> Result<()> {
        let Some(enabled) = c.truth("enabled")? else {
            return c.malformed(c.node.at, "a rule needs desc, condition, output and priority");
        };
        match position.and_then(|n| self.items.rules.get_mut(n)) {
            Some(known) => known.enabled = enabled,
            None => return c.invalid("there is no rule of this name to be switched"),
        }
        Ok(())
    }

    fn whole(&mut self, c: &Context, source: &str, place: Place) -> Result<Rule> {
        let mut rule = Rule {
            name: c.name.clone(),
            condition: c.text("condition")?,
            output: c.text("output")?.trim().to_owned(),
            desc: c.text("desc")?,
            priority: priority(c)?,
            source: source.to_owned(),
            enabled: c.truth("enabled")?.unwrap_or(true),
            tags: tags(c)?,
            exceptions: vec![],
            warn_event_types: c.truth("warn_evttypes")?.unwrap_or(true),
            skip_unknown: c.truth("skip-if-unknown-filter")?.unwrap_or(false),
            place,
            foreign: false,
        };
        c.truth("capture")?;
        duration(c)?;
        if rule.source != SOURCE {
            rule.foreign = true;
            let message = format!("events come from {SOURCE} alone here; a rule for {source} is skipped");
            self.warnings.push(c.problem(Code::UnknownSource, c.node.at, message));
        }
        if let Some(node) = c.node.get("exceptions").filter(|n| !n.is_null()) {
            rule.exceptions = exceptions::read(self, c, node)?;
        }
        Ok(rule)
    }

    fn override_key(&mut self, c: &Context, n: usize, key: &str, way: Way) -> Result<()> {
        let append = way == Way::Append;
        let appended = |old: &str, new: String| if append { format!("{old} {new}") } else { new };
        match key {
            "condition" | "output" | "desc" => {
                let new = c.text(key)?;
                let Some(rule) = self.items.rules.get_mut(n) else { return Ok(()) };
                match key {
                    "condition" => rule.condition = appended(&rule.condition, new),
                    "output" => rule.output = appended(&rule.output, new.trim().to_owned()),
                    _ => rule.desc = appended(&rule.desc, new),
                }
            }
            "tags" => {
                let new = tags(c)?;
                let rule = &mut self.items.rules[n];
                if !append {
                    rule.tags.clear();
                }
                rule.tags.extend(new);
            }
            "exceptions" => {
                let Some(node) = c.node.get("exceptions") else { return Ok(()) };
                if append {
                    return exceptions::append(self, c, node, n);
                }
                let new = exceptions::read(self, c, node)?;
                self.items.rules[n].exceptions = new;
            }
            "priority" => self.items.rules[n].priority = priority(c)?,
            "enabled" => self.items.rules[n].enabled = c.truth("enabled")?.unwrap_or(true),
            "warn_evttypes" => self.items.rules[n].warn_event_types = c.truth("warn_evttypes")?.unwrap_or(true),
            "skip-if-unknown-filter" => {
                self.items.rules[n].skip_unknown = c.truth("skip-if-unknown-filter")?.unwrap_or(false);
            }
            "capture" => drop(c.truth("capture")?),
            _ => duration(c)?,
        }
        Ok(())
    }
}

/// What an override does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Append,
    Replace,
}

const BOTH: &[Way] = &[Way::Append, Way::Replace];
const REPLACE: &[Way] = &[Way::Replace];

const OVERRIDABLE: &[(&str, &[Way])] = &[
    ("condition", BOTH),
    ("output", BOTH),
    ("desc", BOTH),
    ("tags", BOTH),
    ("exceptions", BOTH),
    ("priority", REPLACE),
    ("capture", REPLACE),
    ("capture_duration", REPLACE),
    ("enabled", REPLACE),
    ("warn_evttypes", REPLACE),
    ("skip-if-unknown-filter", REPLACE),
];

/// What an item does to one of the same name.
enum Change<'k> {
    Define,
    Append,
    Override(Vec<(&'k str, Way)>),
}

fn priority(c: &Context) -> Result<Priority> {
    let text = c.text("priority")?;
    match Priority::of(&text) {
        Some(priority) => Ok(priority),
        None => {
            let at = c.node.get("priority").map_or(c.node.at, |n| n.at);
            let all = Priority::ALL.map(Priority::as_str).join(", ");
            c.malformed(at, format!("{text:?} is no priority; there are {all}"))
        }
    }
}

fn tags(c: &Context) -> Result<BTreeSet<String>> {
    match c.node.get("tags").filter(|n| !n.is_null()) {
        Some(node) => Ok(c.texts(node, "tags")?.into_iter().collect()),
        None => Ok(BTreeSet::new()),
    }
}

fn duration(c: &Context) -> Result<()> {
    match c.node.get("capture_duration") {
        Some(n) if n.text().is_none_or(|t| t.parse::<u32>().is_err()) => {
            c.malformed(n.at, "capture_duration is a number of milliseconds")
        }
        _ => Ok(()),
    }
}

/// A value with blanks stays one value in the text of a condition.
pub(super) fn quoted_if_blank(text: String) -> String {
    let blank = text.contains(char::is_whitespace) && !text.starts_with(['"', '\'']);
    if blank { format!("\"{text}\"") } else { text }
}

/// `N.N.N`, or `N` for 0.N.0.
fn version(text: &str, short: bool) -> Option<(u64, u64, u64)> {
    if let (true, Ok(n)) = (short, text.parse()) {
        return Some((0, n, 0));
    }
    let mut parts = text.split('.');
    let mut next = || parts.next().filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let version = (next()?, next()?, next()?);
    parts.next().is_none().then_some(version)
}

fn required_engine(node: &Rc<Node>) -> Result<()> {
    let c = Context { item: "required_engine_version", name: String::new(), node };
    let Some(value) = node.get("required_engine_version") else { return Ok(()) };
    let Some(wanted) = value.text().and_then(|t| version(t, true)) else {
        return c.malformed(value.at, "a version is a number, or three with dots between them");
    };
    if wanted > ENGINE_VERSION {
        let (a, b, d) = ENGINE_VERSION;
        return c.invalid(format!("the rules need a newer engine; this is {a}.{b}.{d}"));
    }
    Ok(())
}

fn required_plugins(node: &Rc<Node>) -> Result<()> {
    let c = Context { item: "required_plugin_versions", name: String::new(), node };
    let Some(value) = node.get("required_plugin_versions") else { return Ok(()) };
    let Kind::Sequence(all) = &value.kind else { return c.malformed(value.at, "a sequence of name and version") };
    for plugin in all {
        let mut names = vec![required_plugin(&c, plugin)?];
        if let Some(Kind::Sequence(alternatives)) = plugin.get("alternatives").map(|n| &n.kind) {
            for alternative in alternatives {
                let name = required_plugin(&c, alternative)?;
                if names.contains(&name) {
                    return c.invalid(format!("{name} is named twice"));
                }
                names.push(name);
            }
        }
    }
    Ok(())
}

fn required_plugin(c: &Context, node: &Node) -> Result<String> {
    let text = |key: &str| node.get(key).and_then(|n| n.text());
    let (Some(name), Some(wanted)) = (text("name"), text("version")) else {
        return c.malformed(node.at, "a plugin needs name and version");
    };
    if version(wanted, false).is_none() {
        return c.invalid(format!("{wanted:?} is no version such as 1.2.3"));
    }
    Ok(name.to_owned())
}
