//! `/metrics`: the collector's counters in Prometheus' text format, version 0.0.4.
//!
//! What Falco counts too has Falco's name (prefix `falcosecurity_`), so that dashboards and alerts that users have go on
//! working; what only porthole knows has the prefix `porthole_`.

use super::StatusReply;
use crate::status::{ContainerView, Status};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The content type of the answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kinds of metrics that are used.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A text that metrics are added to.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n"); // a String takes everything
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0 += name;
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if n == 0 { "{" } else { "," }, escaped(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A family with one sample.
    fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A family whose one sample is 1 and whose labels are what it says.
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, labels, 1);
    }

    /// A counter for each value of one label.
    fn by(&mut self, name: &str, help: &str, label: &str, counters: &BTreeMap<String, u64>) {
        self.family(name, Kind::Counter, help);
        for (text, n) in counters {
            self.sample(name, &[(label, text)], n);
        }
    }
}

/// A label's value: names of containers are whatever somebody has written.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// All metrics as of now.
pub fn text(reply: &StatusReply, containers: &[ContainerView]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut out = Text(String::new());
    falco(&mut out, reply, now);
    matches(&mut out, &reply.status);
    own(&mut out, &reply.status);
    let help = "Containers that run and did not come through porthole-runc.";
    out.one("porthole_containers_without", Kind::Gauge, help, reply.containers_without);
    costs(&mut out, reply);
    of_containers(&mut out, containers);
    out.0
}

/// Metrics under Falco's names.
fn falco(out: &mut Text, reply: &StatusReply, now: Duration) {
    use Kind::{Counter, Gauge};
    let (s, usage) = (&reply.status, &reply.usage);
    let up = now.saturating_sub(Duration::from_nanos(s.started_ns));
    let uname = nix::sys::utsname::uname().ok();
    let name = |of: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map(|u| of(u).to_string_lossy().into_owned()).unwrap_or_default()
    };
    out.info("falcosecurity_evt_hostname_info", "Name of this host.", &[("hostname", &name(|u| u.nodename()))]);
    out.info(
        "falcosecurity_falco_kernel_release_info",
        "Release of the kernel.",
        &[("kernel_release", &name(|u| u.release()))],
    );
    out.info("falcosecurity_falco_version_info", "Version of the collector.", &[("version", &s.version)]);
    out.info(
        "falcosecurity_scap_engine_name_info",
        "Where events come from.",
        &[("engine_name", "porthole"), ("evt_source", "syscall")],
    );
    let started = "falcosecurity_falco_start_timestamp_nanoseconds";
    out.one(started, Gauge, "Start of the collector, since the epoch.", s.started_ns);
    let duration = "falcosecurity_falco_duration_seconds_total";
    out.one(duration, Counter, "Time since then.", up.as_secs());
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    out.one("falcosecurity_falco_host_num_cpus_total", Gauge, "Processors it may use.", cpus);
    let resident = usage.resident_bytes + reply.supervisor.map_or(0, |u| u.resident_bytes);
    out.one("falcosecurity_falco_memory_rss_bytes", Gauge, "Resident memory of the collector.", resident);
    let share = usage.cpu_ms as f64 / 1000.0 / up.as_secs_f64().max(0.001);
    out.one(
        "falcosecurity_falco_cpu_usage_ratio",
        Gauge,
        "Share of one processor since its start.",
        format!("{share:.6}"),
    );
    let help = "Records received from agents and told, by all containers.";
    out.one("falcosecurity_scap_n_evts_total", Counter, help, s.records_received);
    let help = "Records that agents made and that did not arrive.";
    out.one("falcosecurity_scap_n_drops_total", Counter, help, s.lost());
    let dropped: u64 = s.outputs.iter().map(|o| o.lost).sum();
    let help = "Events that an output could not take.";
    out.one("falcosecurity_falco_outputs_queue_num_drops_total", Counter, help, dropped);
}

/// How often rules were true: one name for the sum of a rule in Falco, with each tag a label of its own.
fn matches(out: &mut Text, s: &Status) {
    if s.rules.is_empty() {
        return;
    }
    let name = "falcosecurity_falco_rules_matches_total";
    out.family(name, Kind::Counter, "Alerts of each rule.");
    for rule in &s.rules {
        let priority = rule.severity.to_string();
        let mut labels = vec![
            ("priority".to_owned(), priority.as_str()),
            ("rule_name".to_owned(), rule.rule.as_str()),
            ("source".to_owned(), rule.source.as_str()),
        ];
        let odd = |c: char| !c.is_ascii_alphanumeric();
        let mut tags: Vec<String> = rule.tags.iter().map(|tag| format!("tag_{}", tag.replace(odd, "_"))).collect();
        tags.sort();
        tags.dedup();
        labels.extend(tags.into_iter().map(|tag| (tag, "true")));
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        out.sample(name, &labels, rule.matches);
    }
    out.family("porthole_alerts_total", Kind::Counter, "Alerts of each rule.");
    for rule in &s.rules {
        out.sample("porthole_alerts_total", &[("rule", &rule.rule)], rule.matches);
    }
}

/// Metrics that Falco does not have.
fn own(out: &mut Text, s: &Status) {
    use Kind::{Counter, Gauge};
    out.family("porthole_containers", Gauge, "Containers registered, and those whose end was seen.");
    out.sample("porthole_containers", &[("state", "running")], s.containers_running);
    out.sample("porthole_containers", &[("state", "deleted")], s.containers_deleted);
    out.one("porthole_sessions_open", Gauge, "Rings that are open.", s.sessions_open);
    out.one("porthole_sessions_total", Counter, "Rings that were ever opened.", s.sessions_total);
    out.one("porthole_records_received_total", Counter, "Records taken from rings.", s.records_received);
    out.by("porthole_records_lost_total", "Records that did not arrive.", "reason", &s.records_lost);
    out.one("porthole_events_total", Counter, "Events made of records and of what the collector saw.", s.events);
    out.by("porthole_refused_total", "What containers sent or made and was not taken.", "reason", &s.refused);
    out.family("porthole_output_written_total", Counter, "Events that an output has taken.");
    for o in &s.outputs {
        out.sample("porthole_output_written_total", &[("output", &o.name)], o.written);
    }
    out.family("porthole_output_lost_total", Counter, "Events that an output could not take.");
    for o in &s.outputs {
        out.sample("porthole_output_lost_total", &[("output", &o.name)], o.lost);
    }
}

/// What the collector's processes cost.
fn costs(out: &mut Text, reply: &StatusReply) {
    let processes = || [("worker", Some(reply.usage)), ("supervisor", reply.supervisor)];
    let processes = || processes().into_iter().filter_map(|(name, usage)| Some(([("process", name)], usage?)));
    out.family("porthole_processor_seconds_total", Kind::Counter, "Processor time of the collector's processes.");
    for (labels, usage) in processes() {
        let seconds = usage.cpu_ms as f64 / 1000.0;
        out.sample("porthole_processor_seconds_total", &labels, format!("{seconds:.3}"));
    }
    out.family("porthole_resident_bytes", Kind::Gauge, "Their resident memory.");
    for (labels, usage) in processes() {
        out.sample("porthole_resident_bytes", &labels, usage.resident_bytes);
    }
    out.family("porthole_anonymous_bytes", Kind::Gauge, "The part of it that no file stands behind.");
    for (labels, usage) in processes() {
        out.sample("porthole_anonymous_bytes", &labels, usage.anonymous_bytes);
    }
    let help = "Workers that ended without being asked to, and had a successor.";
    out.one("porthole_worker_restarts_total", Kind::Counter, help, reply.status.worker_restarts);
}

/// Metrics of each container that runs.
fn of_containers(out: &mut Text, containers: &[ContainerView]) {
    type Of = fn(&ContainerView) -> u64;
    let families: [(&str, Kind, &str, Of); 8] = [
        ("porthole_container_records_total", Kind::Counter, "Records received of a container.", |c| c.records),
        ("porthole_container_lost_total", Kind::Counter, "Its records that did not arrive.", |c| c.lost.values().sum()),
        ("porthole_container_execs_total", Kind::Counter, "Its programs executed.", |c| c.execs),
        ("porthole_container_files_total", Kind::Counter, "Its files opened.", |c| c.files),
        ("porthole_container_connections_total", Kind::Counter, "Its connections made.", |c| c.connections),
        ("porthole_container_processes_total", Kind::Counter, "Its processes seen.", |c| c.processes),
        ("porthole_container_sessions_open", Kind::Gauge, "Its rings that are open.", |c| c.sessions_open),
        ("porthole_container_record_nanoseconds", Kind::Gauge, "Writing a record in it, mean of samples.", |c| {
            c.record_ns
        }),
    ];
    for (name, kind, help, of) in families {
        out.family(name, kind, help);
        for c in containers.iter().filter(|c| c.state != "deleted") {
            out.sample(name, &[("container_id", &c.id), ("container_name", &c.name)], of(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::usage::Usage;
    use crate::status::OutputStatus;

    fn sample() -> String {
        let status = Status {
            version: "1.2.3".into(),
            worker_restarts: 2,
            records_received: 70,
            records_lost: [("ring_full".into(), 3), ("writer_died".into(), 1)].into(),
            outputs: vec![OutputStatus { name: "file /e".into(), written: 9, lost: 2, ..Default::default() }],
            ..Default::default()
        };
        let view = |name: &str, state: &str| ContainerView {
            id: "0123456789ab".into(),
            name: name.into(),
            state: state.into(),
            execs: 5,
            ..Default::default()
        };
        let usage = Usage { cpu_ms: 1500, resident_bytes: 4096, anonymous_bytes: 1024 };
        let supervisor = Usage { cpu_ms: 20, resident_bytes: 2048, anonymous_bytes: 512 };
        let reply = StatusReply { status, usage, supervisor: Some(supervisor), containers_without: 4 };
        text(&reply, &[view("a\"b\\c\nd", "running"), view("gone", "deleted")])
    }

    #[test]
    fn every_sample_belongs_to_the_family_in_front_of_it() {
        let text = sample();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(!family.starts_with(&format!("{rest} ")), "{line}");
                family = rest.split(' ').next().unwrap().to_owned();
            } else if !line.starts_with('#') {
                let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                assert_eq!(name, family, "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
        }
        let names: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
        let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
        assert_eq!(names.len(), distinct.len());
    }

    #[test]
    fn counters_have_their_values_and_names_are_escaped() {
        let text = sample();
        for line in [
            "falcosecurity_falco_version_info{version=\"1.2.3\"} 1",
            "falcosecurity_scap_n_evts_total 70",
            "falcosecurity_scap_n_drops_total 4",
            "porthole_records_lost_total{reason=\"ring_full\"} 3",
            "porthole_output_lost_total{output=\"file /e\"} 2",
            "falcosecurity_falco_memory_rss_bytes 6144",
            "porthole_processor_seconds_total{process=\"worker\"} 1.500",
            "porthole_anonymous_bytes{process=\"supervisor\"} 512",
            "porthole_worker_restarts_total 2",
            "porthole_containers_without 4",
            "porthole_container_execs_total{container_id=\"0123456789ab\",container_name=\"a\\\"b\\\\c\\nd\"} 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(!text.contains("gone"), "a container that has ended leaves the metrics");
    }
}
