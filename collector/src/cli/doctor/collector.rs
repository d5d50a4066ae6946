//! The collector: whether it answers, is of this version, and what it complains of.

use super::Finding;
use crate::api::client::Client;
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
    let (mut seen, mut not) = (0, vec![]);
    for c in running {
        if c.injection == "none" {
            let name = if c.name.is_empty() { &c.id } else { &c.name };
            not.push(format!("{name} ({})", c.injection_reason));
        } else {
            seen += 1;
        }
    }
    if not.is_empty() {
        return Finding::ok("containers", format!("{seen} running, all with the agent"));
    }
    let found = format!("{seen} running with the agent, {} without: {}", not.len(), not.join(", "));
    Finding::note("containers", found, "what is said in parentheses kept the agent out; the container runs as it is")
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
        let view = |injection: &str, state: &str| ContainerView {
            name: "web".into(),
            injection: injection.into(),
            injection_reason: "no_library".into(),
            state: state.into(),
            ..Default::default()
        };
        assert_eq!(blind(&[view("preload", "running"), view("none", "deleted")]).verdict, Verdict::Ok);
        let finding = blind(&[view("preload", "running"), view("none", "running")]);
        assert_eq!(finding.verdict, Verdict::Note);
        assert!(finding.found.contains("1 running with the agent, 1 without: web (no_library)"), "{}", finding.found);
    }
}
