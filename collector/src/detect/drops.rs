//! The alert about records that are missing, as Falco has it for events that its kernel side could not deliver: once a
//! second at most one is thought about, and a token bucket decides how often one is made.

use super::alert::{Line, Style};
use crate::event::{Event, Value as Own};
use crate::{clock, json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// `syscall_event_drops` of falco.yaml.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Share of records that may be missing.
    pub threshold: f64,
    /// An alert is made.
    pub alert: bool,
    /// A line is written to standard error.
    pub log: bool,
    /// Alerts a second.
    pub rate: f64,
    /// Alerts at once.
    pub burst: f64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { threshold: 0.1, alert: true, log: true, rate: 0.03333, burst: 1.0 }
    }
}

/// NaN is in no configuration.
impl Eq for Plan {}

const RULE: &str = "Falco internal: syscall event drop";
/// As text, as Falco has them; what its kernel side tells apart and nobody here does is 0.
const OTHERS: [&str; 12] = [
    "ebpf_enabled",
    "n_drops_buffer_clone_fork_exit",
    "n_drops_buffer_close_exit",
    "n_drops_buffer_connect_exit",
    "n_drops_buffer_dir_file_exit",
    "n_drops_buffer_execve_exit",
    "n_drops_buffer_open_exit",
    "n_drops_buffer_other_interest_exit",
    "n_drops_buffer_proc_exit",
    "n_drops_bug",
    "n_drops_page_faults",
    "n_drops_scratch_map",
];

/// See the module.
#[derive(Debug)]
pub(super) struct Drops {
    plan: Plan,
    events: u64,
    by_reason: BTreeMap<String, u64>,
    tokens: f64,
    filled: Instant,
}

impl Drops {
    pub fn new(plan: &Plan) -> Drops {
        let tokens = plan.burst;
        Drops { plan: plan.clone(), events: 0, by_reason: BTreeMap::new(), tokens, filled: Instant::now() }
    }

    /// An event that was judged.
    pub fn note(&mut self, event: &Event) {
        self.events += 1;
        if event.evt_type != "porthole.drop" {
            return;
        }
        let own = |name: &str| event.fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value);
        if let (Some(Own::Text(reason)), Some(Own::Number(count))) = (own("porthole.reason"), own("porthole.count"))
            && **reason != *super::losses::REASON
        {
            *self.by_reason.entry(reason.to_string()).or_default() += u64::try_from(*count).unwrap_or_default();
        }
    }

    /// What the last second is worth: a line for outputs, one for the log.
    pub fn second(&mut self, style: &Style, hostname: &str) -> (Option<Line>, Option<String>) {
        let by_reason = std::mem::take(&mut self.by_reason);
        let drops: u64 = by_reason.values().sum();
        let events = std::mem::take(&mut self.events) + drops;
        if drops == 0 || drops as f64 / events as f64 <= self.plan.threshold || !self.token() {
            return (None, None);
        }
        let message = format!("{RULE}. {drops} system calls dropped in last second.");
        let mut fields: BTreeMap<&str, String> = OTHERS.iter().map(|name| (*name, "0".into())).collect();
        let full = by_reason.get("ring_full").copied().unwrap_or_default();
        let reasons: Vec<String> = by_reason.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        fields.insert("n_drops", drops.to_string());
        fields.insert("n_drops_buffer_total", full.to_string());
        fields.insert("n_evts", events.to_string());
        fields.insert("porthole.reasons", reasons.join(", "));
        let line = self.plan.alert.then(|| Line { text: text(style, hostname, &message, &fields), severity: 7 });
        (line, self.plan.log.then_some(message))
    }

    fn token(&mut self) -> bool {
        let since = self.filled.elapsed().as_secs_f64();
        self.filled = Instant::now();
        self.tokens = (self.tokens + since * self.plan.rate).min(self.plan.burst);
        let there = self.tokens >= 1.0;
        self.tokens -= if there { 1.0 } else { 0.0 };
        there
    }
}

/// Falco's internal alerts have no tags, and a bare message.
fn text(style: &Style, hostname: &str, message: &str, fields: &BTreeMap<&str, String>) -> String {
    let now = Duration::from_nanos(clock::now_ns());
    let fields: Map<String, Value> = fields.iter().map(|(name, text)| ((*name).into(), text.as_str().into())).collect();
    if style.json {
        return serde_json::json!({
            "hostname": hostname, "output": message, "output_fields": fields, "priority": "Debug", "rule": RULE,
            "source": "internal", "time": json::time_text(now),
        })
        .to_string();
    }
    let time = if style.iso_8601 { json::iso8601(now) } else { clock::local_time(now.as_nanos() as u64, true) };
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{time}: Debug {message} ({})", fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sample;

    fn lose(drops: &mut Drops, reason: &'static str, count: i64) {
        let fields = vec![("porthole.reason", reason.into()), ("porthole.count", count.into())];
        drops.note(&Event { evt_type: "porthole.drop", fields, ..sample() });
    }

    #[test]
    fn one_alert_for_many_losses_with_falcos_fields() {
        let mut drops = Drops::new(&Plan::default());
        let style = Style { json: true, ..Style::default() };
        assert!(drops.second(&style, "h").0.is_none());
        (0..5).for_each(|_| drops.note(&sample()));
        lose(&mut drops, "ring_full", 90);
        lose(&mut drops, "malformed", 3);
        lose(&mut drops, "alert_output", 1000);
        let (line, log) = drops.second(&style, "h");
        let alert: Value = serde_json::from_str(&line.unwrap().text).unwrap();
        let keys: Vec<&str> = alert.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["hostname", "output", "output_fields", "priority", "rule", "source", "time"]);
        assert_eq!((&alert["source"], &alert["rule"]), (&"internal".into(), &RULE.into()));
        let fields = alert["output_fields"].as_object().unwrap();
        assert_eq!(
            (fields.len(), &fields["n_drops"], &fields["n_drops_buffer_total"]),
            (16, &"93".into(), &"90".into())
        );
        assert_eq!(
            (&fields["n_evts"], &fields["porthole.reasons"]),
            (&"101".into(), &"malformed 3, ring_full 90".into())
        );
        assert_eq!(log.unwrap(), format!("{RULE}. 93 system calls dropped in last second."));
        lose(&mut drops, "ring_full", 90);
        assert!(drops.second(&style, "h").0.is_none(), "the next one after half a minute");
    }

    #[test]
    fn few_losses_among_many_events_are_below_the_threshold() {
        let mut drops = Drops::new(&Plan { log: false, ..Plan::default() });
        let style = Style::default();
        (0..100).for_each(|_| drops.note(&sample()));
        lose(&mut drops, "ring_full", 5);
        assert!(drops.second(&style, "h").0.is_none());
        lose(&mut drops, "ring_full", 5);
        let (line, log) = drops.second(&style, "h");
        let text = line.unwrap().text;
        assert!(text.contains(": Debug Falco internal: syscall event drop. 5 system") && log.is_none(), "{text}");
        assert!(text.ends_with("n_evts=\"6\" porthole.reasons=\"ring_full 5\")"), "{text}");
    }
}
