//! Counters in words.

use crate::format::escape::escape;
use crate::status::{ContainerView, Status};
use std::collections::BTreeMap;

/// `1 file`, `2 files`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `12: ring-full 10, checksum 2`, or `0`.
pub fn by_reason(counters: &BTreeMap<String, u64>) -> String {
    let reasons: Vec<String> =
        counters.iter().filter(|(_, n)| **n > 0).map(|(why, n)| format!("{} {n}", escape(why))).collect();
    let sum: u64 = counters.values().sum();
    if reasons.is_empty() { sum.to_string() } else { format!("{sum}: {}", reasons.join(", ")) }
}

/// What a collector did, when it ends.
pub fn of_collector(status: &Status) -> String {
    let mut text = format!(
        "{}, {}, {}, {}, lost {}",
        count(status.containers_running + status.containers_deleted, "container", "containers"),
        count(status.sessions_total, "session", "sessions"),
        count(status.records_received, "record", "records"),
        count(status.events, "event", "events"),
        by_reason(&status.records_lost),
    );
    text += &troubles(status);
    text
}

/// What a command did under `porthole run`.
pub fn of_run(status: &Status, command: &ContainerView) -> String {
    let mut text = format!(
        "{}, {}, {}; {}, lost {}",
        count(command.processes, "process", "processes"),
        count(command.files, "file opened", "files opened"),
        count(command.connections, "connection", "connections"),
        count(status.records_received, "record", "records"),
        by_reason(&status.records_lost),
    );
    if command.processes == 0 {
        text += "\nnothing was seen: is the command static, a Go program, set-user-id, or of another architecture?";
    }
    text += &troubles(status);
    text
}

/// `12: Some rule 10, Another 2`, or nothing where no rule was true.
pub fn alerts(status: &Status) -> Option<String> {
    let by_rule = status.rules.iter().map(|r| (r.rule.clone(), r.matches)).collect();
    (!status.rules.is_empty()).then(|| by_reason(&by_rule))
}

/// Lines about alerts, what was refused and which outputs failed; nothing where all is well.
fn troubles(status: &Status) -> String {
    let mut text = alerts(status).map(|all| format!("\nalerts {all}")).unwrap_or_default();
    if status.refused.values().any(|n| *n > 0) {
        text += &format!("\nrefused {}", by_reason(&status.refused));
    }
    for output in status.outputs.iter().filter(|o| o.lost > 0 || !o.error.is_empty()) {
        let error = if output.error.is_empty() { "" } else { ": " };
        let (name, why) = (escape(&output.name), escape(&output.error));
        text += &format!("\noutput {name} lost {}{error}{why}", count(output.lost, "event", "events"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{OutputStatus, RuleMatches};

    #[test]
    fn a_summary_names_every_loss() {
        let mut status = Status { containers_running: 1, records_received: 12, events: 13, ..Status::default() };
        assert_eq!(of_collector(&status), "1 container, 0 sessions, 12 records, 13 events, lost 0");
        status.records_lost = [("ring-full".into(), 3), ("late".into(), 0)].into();
        status.refused = [("name".into(), 2)].into();
        status.outputs =
            vec![OutputStatus { name: "file /x".into(), lost: 1, error: "full".into(), ..Default::default() }];
        assert_eq!(
            of_collector(&status),
            "1 container, 0 sessions, 12 records, 13 events, lost 3: ring-full 3\nrefused 2: name 2\noutput file /x lost 1 event: full"
        );
        let matches = |rule: &str, matches| RuleMatches { rule: rule.into(), matches, ..RuleMatches::default() };
        let alerts = Status { rules: vec![matches("A b", 2), matches("C", 1)], ..Status::default() };
        assert!(of_collector(&alerts).ends_with("\nalerts 3: A b 2, C 1"));
        let command = ContainerView { processes: 2, files: 1, ..ContainerView::default() };
        assert!(of_run(&status, &command).starts_with("2 processes, 1 file opened, 0 connections; 12 records, lost 3"));
    }
}
