//! Rules as they are judged: loaded, selected, with what is appended to their outputs.

use super::alert::Alert;
use super::config::{Append, Extra, Plan, Select};
use super::fields::{Fields, Subject, hostname};
use super::files;
use crate::error::Error;
use crate::event::Event;
use porthole_rules::event::Value;
use porthole_rules::format::Format;
use porthole_rules::glob;
use porthole_rules::load::{self, Report};
use porthole_rules::ruleset::{Rule, Ruleset};
use porthole_rules::vocabulary::Vocabulary;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is appended to each output unless the configuration says otherwise: users' dashboards rely on it.
const SUGGESTED: &str = " container_id=%container.id container_name=%container.name \
    container_image_repository=%container.image.repository container_image_tag=%container.image.tag \
    k8s_pod_name=%k8s.pod.name k8s_ns_name=%k8s.ns.name";

/// The rules of a configuration.
pub(super) struct Rules {
    pub fields: Arc<Fields>,
    pub set: Ruleset,
    /// Every rule that is true makes an alert, not just the first.
    pub all: bool,
    /// What was odd about them.
    pub notices: Vec<String>,
    /// In the order of the rules.
    outputs: Vec<Output>,
}

/// A rule's output with what is appended to it.
struct Output {
    message: Format,
    /// More members of `output_fields`.
    extra: Vec<(Extra, Format)>,
}

impl Rules {
    /// Loads a configuration's rules.
    ///
    /// # Errors
    /// Why a file was not taken, with the place and what to do.
    pub fn load(plan: &Plan) -> Result<Rules, Error> {
        let fields = Arc::new(Fields::new(&plan.statics));
        let files = files::read(&plan.files)?;
        let loaded = load::load(&files, Arc::new(fields.vocabulary.clone()));
        let mut notices = vec![];
        for Report { name, errors, warnings } in &loaded.reports {
            if let Some(problem) = errors.first() {
                return Err(Error::new(format!("rules file {name}: {problem}")));
            }
            notices.extend(warnings.iter().map(|problem| format!("rules file {name}: {problem}")));
        }
        let Some(mut set) = loaded.rules else { return Err(Error::new("the rules were not taken")) };
        select(&mut set, plan);
        let outputs = set.rules().iter().map(|rule| Output::new(rule, plan, &fields.vocabulary));
        let outputs = outputs.collect::<Result<_, _>>()?;
        let mut rules = Rules { fields, set, all: plan.all_matches, notices, outputs };
        rules.note_unsupplied();
        Ok(rules)
    }

    /// Says of each rule which fields of its condition never have a value here.
    fn note_unsupplied(&mut self) {
        for rule in self.set.rules().iter().filter(|r| r.enabled) {
            let mut missing = BTreeSet::new();
            rule.condition.each_field(&mut |field| {
                if let Ok((asked, ..)) = porthole_rules::resolve::field(field, &self.fields.vocabulary)
                    && !self.fields.supplies(&asked)
                {
                    missing.insert(asked.name);
                }
            });
            if !missing.is_empty() {
                let names = missing.into_iter().collect::<Vec<_>>().join(", ");
                let what = "has no value here, so checks of it are false";
                self.notices.push(format!("rule {:?}: {names} {what}", rule.name));
            }
        }
    }

    /// The alert of a rule that is true for an event.
    pub fn alert<'a>(&'a self, rule: &'a Rule, event: &Event, subject: &Subject<'_>) -> Alert<'a> {
        let output = self.set.rules().iter().position(|r| std::ptr::eq(r, rule)).and_then(|n| self.outputs.get(n));
        let message = output.and_then(|o| o.message.text(subject)).unwrap_or_default();
        let mut values: Vec<(String, serde_json::Value)> = vec![];
        if let Some(output) = output {
            values.extend(output.message.values(subject).map(|(name, value)| (name.to_owned(), json(value))));
            for (extra, format) in &output.extra {
                let value = match extra.plain {
                    true => json(format.values(subject).next().and_then(|(_, value)| value)),
                    false => format.text(subject).into(),
                };
                values.push((extra.name.clone(), value));
            }
        }
        Alert {
            rule: &rule.name,
            priority: rule.priority,
            source: &rule.source,
            tags: &rule.tags,
            hostname: hostname(),
            time_ns: event.time_ns,
            message,
            values,
        }
    }
}

/// Applies the least priority, and then what is switched on and off.
fn select(set: &mut Ruleset, plan: &Plan) {
    set.select(|rule| {
        let mut enabled = rule.enabled;
        for Select { enable, rule: name, tag } in &plan.select {
            let named = name.as_ref().is_some_and(|n| glob::matches(n.as_bytes(), rule.name.as_bytes()));
            if named || tag.as_ref().is_some_and(|t| rule.tags.contains(t)) {
                enabled = *enable;
            }
        }
        enabled && rule.priority <= plan.priority
    });
}

impl Output {
    fn new(rule: &Rule, plan: &Plan, v: &Vocabulary) -> Result<Output, Error> {
        let mut text = rule.output_text.clone();
        let mut suggested = true;
        let mut extra = vec![];
        let fits = |a: &&Append| {
            a.rule.as_ref().is_none_or(|r| *r == rule.name)
                && a.source.as_ref().is_none_or(|s| *s == rule.source)
                && a.tags.iter().all(|t| rule.tags.contains(t))
        };
        for append in plan.append.iter().filter(fits) {
            suggested &= append.suggested.unwrap_or(true);
            if let Some(more) = &append.output {
                text = format!("{text} {more}");
            }
            for field in &append.fields {
                extra.push((field.clone(), compiled(&field.format, rule, v)?));
            }
        }
        if suggested {
            text += SUGGESTED;
        }
        Ok(Output { message: compiled(&text, rule, v)?, extra })
    }
}

fn compiled(text: &str, rule: &Rule, v: &Vocabulary) -> Result<Format, Error> {
    let format = Format::new(&format!("*{}", text.trim_start_matches('*')), v);
    format.map_err(|e| Error::new(format!("append_output: {text:?}, for rule {:?}: {}", rule.name, e.what)))
}

fn json(value: Option<Value>) -> serde_json::Value {
    match value {
        None => serde_json::Value::Null,
        Some(Value::Bool(b)) => b.into(),
        Some(Value::Int(n)) => n.into(),
        Some(Value::Uint(n)) => n.into(),
        Some(Value::Double(d)) => d.into(),
        Some(Value::List(all)) => all.into_iter().map(|v| json(Some(v))).collect::<Vec<_>>().into(),
        Some(other) => other.text().into(),
    }
}
