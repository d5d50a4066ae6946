//! How often each rule was true.

use crate::status::RuleMatches;
use porthole_rules::load::Priority;
use porthole_rules::ruleset::Rule;
use std::collections::BTreeMap;

/// By the rules' names: they outlive a change of the rules.
#[derive(Debug, Default)]
pub(super) struct Matches(BTreeMap<String, RuleMatches>);

impl Matches {
    pub fn count(&mut self, rule: &Rule) {
        if let Some(known) = self.0.get_mut(&rule.name) {
            known.matches += 1;
            return;
        }
        let severity = Priority::ALL.iter().position(|p| *p == rule.priority).unwrap_or_default() as u8;
        let (rule, source, tags) = (rule.name.clone(), rule.source.clone(), rule.tags.clone());
        self.0.insert(rule.clone(), RuleMatches { rule, severity, source, tags, matches: 1 });
    }

    pub fn all(&self) -> Vec<RuleMatches> {
        self.0.values().cloned().collect()
    }
}
