//! Files that grow when they are put together: each is refused, or taken, at a bounded cost.

use porthole_rules::event::{Asked, Event, Value};
use porthole_rules::load::{File, load};
use porthole_rules::program::Scratch;
use porthole_rules::vocabulary::Vocabulary;
use std::sync::Arc;

/// What is wrong with a file; empty if it is taken.
fn problem(text: String) -> String {
    let loaded = load(&[File { name: "f".into(), text }], Arc::new(Vocabulary::falco().clone()));
    loaded.reports[0].errors.first().map_or_else(String::new, |p| p.message.clone())
}

fn rule(condition: &str, output: &str) -> String {
    format!(
        "- rule: R{}\n  desc: d\n  condition: {condition}\n  output: \"{output}\"\n  priority: ALERT\n",
        condition.len()
    )
}

#[test]
fn lists_of_lists_are_as_long_as_a_condition_may_be() {
    // each list names the next one twice; the last is long
    let lists: String = (0..20).map(|n| format!("- list: l{n}\n  items: [\"l{0},l{0}\"]\n", n + 1)).collect();
    let last = format!("- list: l20\n  items: [{}]\n", vec!["x".repeat(1000); 100].join(", "));
    let said = problem(lists + &last + &rule("evt.type = open and proc.name in (l0)", "o"));
    assert!(said.contains("longer than"), "{said}");
}

#[test]
fn macros_of_macros_are_as_large_as_conditions_may_be() {
    let doubling: String = (1..17).map(|n| format!("- macro: m{n}\n  condition: m{0} or m{0}\n", n - 1)).collect();
    let many: String = (0..100).map(|n| format!("- macro: n{n}\n  condition: m16 and m16\n")).collect();
    let said = problem("- macro: m0\n  condition: proc.name = x\n".to_owned() + &doubling + &many);
    assert!(said.contains("larger than"), "{said}");
}

#[test]
fn macros_in_macros_are_as_deep_as_conditions_may_be() {
    let chain: String = (1..3000).map(|n| format!("- macro: m{n}\n  condition: not m{}\n", n - 1)).collect();
    let said = problem("- macro: m0\n  condition: proc.name = x\n".to_owned() + &chain);
    assert!(said.contains("deep"), "{said}");
}

#[test]
fn values_that_are_repeated_by_aliases_are_as_long_as_a_condition_may_be() {
    let text = format!(
        "- &l [{}]\n- &r [{}]\n- &v [{}]\n",
        vec!["x".repeat(60); 30].join(","),
        ["*l"; 9].join(","),
        vec!["*r"; 10_000].join(",")
    );
    // the lists are no items: only what is named in a rule counts
    let text = text.replace("- &l", "- ignored: &l").replace("- &r", "- ignored: &r").replace("- &v", "- ignored: &v");
    let fields = ["proc.name"; 9].join(",");
    let ops = ["in"; 9].join(",");
    let exceptions =
        format!("  exceptions:\n    - name: e\n      fields: [{fields}]\n      comps: [{ops}]\n      values: *v\n");
    let said = problem(text + &rule("evt.type = open", "o") + &exceptions);
    assert!(said.contains("longer than"), "{said}");
}

struct Opened;
impl Event for Opened {
    fn value(&self, _: &Asked) -> Option<Value<'_>> {
        Some("open".into())
    }
}

#[test]
fn a_width_is_as_large_as_a_line_may_be() {
    let text = rule("evt.type = open", "%3proc.name|%999999999proc.name|%99999999999999999999999proc.name");
    let loaded = load(&[File { name: "f".into(), text }], Arc::new(Vocabulary::falco().clone()));
    let rules = loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.reports));
    let mut line = String::new();
    rules.judge(rules.vocabulary().event("open"), &Opened, &mut Scratch::default(), |rule| {
        line = rule.output.text(&Opened).unwrap_or_default();
        true
    });
    assert!(line.starts_with("ope|open  ") && line.len() < 10_000, "{} bytes", line.len());
}
