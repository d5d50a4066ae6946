//! The collector: whether it answers, is of this version, and what it complains of.

use super::Finding;
use crate::api::client::Client;
use crate::api::usage::Usage;
use crate::api::{StatusReply, Versions};
use crate::status::{ContainerView, Status};
use std::path::Path;

pub fn look(state_dir: &Path) -> Vec<Finding> {
    let client = Client::new(state_dir);
    let versions: Versions = match client.get("/versions") {
        Ok(versions) => versions,
        Err(e) => {
            let advice = "start one with: porthole collector. Containers run without it; what they do waits in their \
                          rings as long as these have room";
            let text = e.to_string();
            return vec![Finding::fail("collector", text.lines().next().unwrap_or_default(), advice)];
        }
    };
    let mut findings = vec![of_version(&versions)];
    if let Ok(reply) = client.get::<StatusReply>("/v1/status") {
        findings.push(processes(&reply));
        findings.extend(losses(&reply.status));
        findings.extend(outputs(&reply.status));
    }
    if let Ok(containers) = client.get::<Vec<ContainerView>>("/v1/containers") {
        findings.push(blind(&containers));
    }
    findings
}

fn of_version(versions: &Versions) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    if versions.version == own && versions.wire == u32::from(porthole_common::WIRE_VERSION) {
        return Finding::ok("collector", format!("answers, version {own}"));
    }
    let found = format!("is version {}, this command {own}", versions.version);
    Finding::note("collector", found, "restart the collector after an upgrade")
}

fn processes(reply: &StatusReply) -> Finding {
    let cost = |name: &str, u: &Usage| {
        format!("{name} {:.1} s of processor time, {} MiB", u.cpu_ms as f64 / 1000.0, u.resident_bytes >> 20)
    };
    let mut found = cost("worker", &reply.usage);
    if let Some(supervisor) = &reply.supervisor {
        found += &cost("; supervisor", supervisor);
    }
    match reply.status.worker_restarts {
        0 => Finding::ok("processes", found),
        n => {
            let found = format!("{found}; the worker has ended {n} times by itself or was killed");
            Finding::note("processes", found, "the collector's log has the reason: journalctl -u porthole")
        }
    }
}

fn losses(status: &Status) -> Option<Finding> {
    let lost = status.lost();
    if lost == 0 {
        return Some(Finding::ok("losses", format!("none of {} records", status.records_received)));
    }
    let reasons: Vec<String> = status.records_lost.iter().map(|(why, n)| format!("{why} {n}")).collect();
    let found = format!("{lost} of {} records: {}", lost + status.records_received, reasons.join(", "));
    Some(Finding::note("losses", found, "ring_full: a burst was larger than a ring; see porthole containers for whose"))
}

fn outputs(status: &Status) -> Vec<Finding> {
    let failing = status.outputs.iter().filter(|o| !o.error.is_empty());
    let finding = |o: &crate::status::OutputStatus| {
        let found = format!("{}: {}, {} events lost", o.name, o.error, o.lost);
        Finding::fail("output", found, "make room, or correct the path in the configuration")
    };
    failing.map(finding).collect()
}

fn blind(containers: &[ContainerView]) -> Finding {
    let running = containers.iter().filter(|c| c.state != "deleted");
    let (mut seen, mut strangers, mut not) = (0, 0, vec![]);
    for c in running {
        if !c.registered {
            strangers += 1;
        } else if c.injection == "none" {
            let name = if c.name.is_empty() { &c.id } else { &c.name };
            not.push(format!("{name} ({})", c.injection_reason));
        } else {
            seen += 1;
        }
    }
    if not.is_empty() && strangers == 0 {
        return Finding::ok("containers", format!("{seen} running, all with the agent"));
    }
    let (mut found, mut advice) = (format!("{seen} running with the agent"), vec![]);
    if !not.is_empty() {
        found += &format!(", {} without: {}", not.len(), not.join(", "));
        advice.push("what is said in parentheses kept the agent out; the container runs as it is");
    }
    if strangers > 0 {
        found += &format!(", {strangers} that did not come through porthole-runc");
        advice.push("porthole containers has the reason of each; only new containers get the agent");
    }
    Finding::note("containers", found, advice.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn losses_failing_outputs_and_containers_without_the_agent_are_told() {
        let mut status = Status { records_received: 9, ..Default::default() };
        assert_eq!(losses(&status).unwrap().verdict, Verdict::Ok);
        status.records_lost.insert("ring_full".into(), 3);
        assert!(losses(&status).unwrap().found.contains("3 of 12 records: ring_full 3"));
        assert_eq!(outputs(&status), []);
        let broken =
            crate::status::OutputStatus { name: "file /e".into(), error: "no space".into(), ..Default::default() };
        status.outputs.push(broken);
        assert_eq!(outputs(&status)[0].verdict, Verdict::Fail);
        let mut reply = StatusReply { supervisor: Some(Usage::default()), ..Default::default() };
        assert_eq!(processes(&reply).verdict, Verdict::Ok);
        reply.status.worker_restarts = 3;
        assert!(processes(&reply).found.contains("ended 3 times"));
        let view = |injection: &str, state: &str| ContainerView {
            name: "web".into(),
            injection: injection.into(),
            registered: true,
            injection_reason: "no_library".into(),
            state: state.into(),
            ..Default::default()
        };
        assert_eq!(blind(&[view("preload", "running"), view("none", "deleted")]).verdict, Verdict::Ok);
        let stranger = ContainerView { registered: false, ..view("none", "running") };
        let finding = blind(&[view("preload", "running"), stranger]);
        assert_eq!(finding.found, "1 running with the agent, 1 that did not come through porthole-runc");
        let finding = blind(&[view("preload", "running"), view("none", "running")]);
        assert_eq!(finding.verdict, Verdict::Note);
        assert!(finding.found.contains("1 running with the agent, 1 without: web (no_library)"), "{}", finding.found);
    }
}
