//! porthole's own rules, tried on an example that fires each and one that does not.

use super::Plan;
use super::fields::{Memo, Subject};
use super::outputs::Target;
use super::rules::Rules;
use crate::event;
use crate::event::{Event, Process, Value};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

type Example = BTreeMap<String, Json>;

fn rules() -> Rules {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../rules/porthole.yaml");
    let rules = Rules::load(&Plan::of(vec![file], Target::Stderr)).unwrap();
    assert!(rules.notices.is_empty(), "{:#?}", rules.notices);
    rules
}

fn event(example: &Example) -> Event {
    let mut event = event::tests::sample();
    (event.fields, event.rawres) = (vec![], None);
    let parent = Arc::new(Process { name: "runc".into(), cmdline: "runc".into(), ..Process::default() });
    let mut process = Process {
        name: "sh".into(),
        exe: "sh".into(),
        exepath: "/usr/bin/sh".into(),
        uid: Some(0),
        parent: Some(parent),
        ..Process::default()
    };
    let container = Arc::make_mut(&mut event.container);
    for (name, value) in example {
        let text = value.as_str().unwrap_or_default();
        match name.as_str() {
            "evt.type" => event.evt_type = text.to_owned().leak(),
            "evt.rawres" => event.rawres = value.as_i64(),
            "proc.name" => process.name = text.into(),
            "proc.args" => process.args = text.into(),
            "proc.exepath" => process.exepath = text.into(),
            "upper" => process.upper_layer = value.as_bool(),
            "container.privileged" => container.privileged = value.as_bool().unwrap_or_default(),
            "mount" => {
                let text = format!("{text}:{text}::true:");
                let mount = event::Mount { source: text.clone(), text: text.clone(), ..event::Mount::default() };
                (container.mounts, container.mounts_text) = (vec![mount], text.into());
            }
            name => {
                let value = value.as_i64().map_or_else(|| Value::from(text.to_owned()), Value::from);
                event.fields.push((name.to_owned().leak(), value));
            }
        }
    }
    process.cmdline = format!("{} {}", process.name, process.args).into();
    event.process = Some(Arc::new(process));
    event
}

fn fires(rules: &Rules, example: &Example) -> BTreeSet<String> {
    let event = event(example);
    let memo = Memo::new(&rules.fields);
    let subject = Subject::new(&event, &rules.fields, &memo);
    let mut fired = BTreeSet::new();
    let kind = rules.fields.vocabulary.event(event.evt_type);
    rules.set.judge(kind, &subject, &mut Default::default(), |rule| {
        let alert = rules.alert(rule, &event, &subject);
        assert!(!alert.message.is_empty());
        fired.insert(rule.name.clone())
    });
    fired
}

#[test]
fn each_rule_of_our_own_fires_for_its_example_and_is_silent_for_the_other() {
    let rules = rules();
    let all: BTreeMap<String, BTreeMap<String, Example>> =
        serde_saphyr::from_str(include_str!("examples.yaml")).unwrap();
    let names: BTreeSet<&str> = rules.set.rules().iter().map(|r| r.name.as_str()).collect();
    assert_eq!(all.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    for (rule, examples) in &all {
        assert!(fires(&rules, &examples["fires"]).contains(rule), "{rule} does not fire");
        assert!(!fires(&rules, &examples["silent"]).contains(rule), "{rule} is not silent");
    }
}

#[test]
fn each_rule_of_our_own_names_what_attackers_do() {
    for rule in rules().set.rules() {
        let technique = |t: &String| t.strip_prefix('T').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        assert!(rule.tags.iter().any(technique), "{}: no technique", rule.name);
        assert!(rule.tags.iter().any(|t| t.starts_with("mitre_")), "{}: no tactic", rule.name);
        assert!(rule.types.len() < 20, "{}: too many types of events", rule.name);
    }
}
