//! `porthole status`.

use super::summary::{alerts, by_reason, count};
use super::{Listing, Stop, print};
use crate::api::StatusReply;
use crate::api::client::Client;
use crate::api::usage::Usage;
use crate::error::Error;
use crate::format::escape::escape;
use crate::format::paint::{Ink, Paint};
use crate::format::span::span;
use crate::status::Status;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Show how the collector is doing: what it received, what was lost and why, what it costs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole status
  porthole status --format json | jq .records_lost")]
pub struct Args {
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    let reply: StatusReply = Client::new(&state_dir).get("/v1/status")?;
    match args.format {
        Listing::Table => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            print(&text(&reply, now, Paint::for_stream(&std::io::stdout())))
        }
        Listing::Json => {
            let text = serde_json::to_string_pretty(&reply).map_err(|e| Error::new(e.to_string()))?;
            print(&(text + "\n"))
        }
    }
}

fn text(reply: &StatusReply, now: Duration, paint: Paint) -> String {
    let (s, usage) = (&reply.status, &reply.usage);
    let up = now.saturating_sub(Duration::from_nanos(s.started_ns));
    let cpu = Duration::from_millis(usage.cpu_ms);
    let share = 100.0 * cpu.as_secs_f64() / up.as_secs_f64().max(0.001);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let alarm = |counters: &std::collections::BTreeMap<String, u64>| {
        let text = by_reason(counters);
        if counters.values().any(|n| *n > 0) { paint.ink(Ink::Red, text).into_owned() } else { text }
    };
    let mut lines = vec![
        ("collector", format!("{}, pid {}, up {}", escape(&s.version), s.pid, span(up))),
        ("worker", worker(s, paint)),
        ("state", escape(&s.state_dir).into_owned()),
        ("containers", containers(reply, paint)),
        ("sessions", format!("{} open, {} in all", s.sessions_open, s.sessions_total)),
        ("records", format!("{} received, lost {}", s.records_received, alarm(&s.records_lost))),
        ("events", s.events.to_string()),
        (
            "programs",
            match s.record_ns {
                0 => "no sample yet of what a record costs them".into(),
                ns => format!("{ns} ns for writing a record, mean of samples"),
            },
        ),
        ("refused", alarm(&s.refused)),
    ];
    lines.extend(alerts(s).map(|all| ("alerts", all)));
    for output in &s.outputs {
        let mut line = format!("{}: {} written", escape(&output.name), output.written);
        if output.repeated > 0 {
            line += &format!(", {} left out as written before", output.repeated);
        }
        let lost = format!(", lost {}", count(output.lost, "event", "events"));
        line += &if output.lost > 0 { paint.ink(Ink::Red, lost) } else { lost.into() };
        if !output.error.is_empty() {
            line += &format!(" ({})", paint.ink(Ink::Red, escape(&output.error)));
        }
        lines.push(("output", line));
    }
    let memory =
        |u: &Usage| format!("{:.1} MiB, {:.1} MiB of it its own", mib(u.resident_bytes), mib(u.anonymous_bytes));
    lines.push(("processor", format!("{:.1} s ({share:.1} %)", cpu.as_secs_f64())));
    lines.push(("memory", memory(usage)));
    if let Some(own) = &reply.supervisor {
        lines.push(("supervisor", format!("{:.1} s, {}", own.cpu_ms as f64 / 1000.0, memory(own))));
    }
    lines.iter().map(|(key, value)| format!("{}{value}\n", paint.ink(Ink::Bold, format!("{key:<12}")))).collect()
}

/// Those that porthole-runc has started, and how many came without it.
fn containers(reply: &StatusReply, paint: Paint) -> String {
    let s = &reply.status;
    let without = format!("{} without porthole", reply.containers_without);
    let without = if reply.containers_without > 0 { paint.ink(Ink::Yellow, without) } else { without.into() };
    format!("{} registered, {} ended, {without}", s.containers_running, s.containers_deleted)
}

/// Which process does the work, and whether others before it had to be replaced.
fn worker(s: &Status, paint: Paint) -> String {
    let ends = count(s.worker_restarts, "restart", "restarts");
    let ends = if s.worker_restarts > 0 { paint.ink(Ink::Red, ends) } else { ends.into() };
    format!("pid {}, {ends}", s.worker_pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::OutputStatus;

    #[test]
    fn losses_stand_out() {
        let status = Status {
            started_ns: 1_000_000_000,
            worker_restarts: 2,
            records_lost: [("ring-full".into(), 4)].into(),
            outputs: vec![OutputStatus { name: "file /e\x1b".into(), error: "no space".into(), ..Default::default() }],
            ..Status::default()
        };
        let supervisor = Some(Usage { cpu_ms: 300, ..Usage::default() });
        let reply = StatusReply { status, supervisor, containers_without: 3, ..StatusReply::default() };
        let plain = text(&reply, Duration::from_secs(11), Paint::OFF);
        assert!(plain.contains("up 10 s") && plain.contains("lost 4: ring-full 4"), "{plain}");
        assert!(plain.contains("file /e\\x1b: 0 written") && plain.contains("(no space)"), "{plain}");
        assert!(plain.contains("0 registered, 0 ended, 3 without porthole"), "{plain}");
        assert!(plain.contains("2 restarts") && plain.contains("supervisor  0.3 s"), "{plain}");
        assert!(text(&reply, Duration::ZERO, Paint::ON).contains("\x1b[31m4: ring-full 4"));
    }
}
