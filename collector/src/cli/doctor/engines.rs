//! The engines: which are here, and whether docker knows of porthole-runc.

use super::{Finding, program};
use serde_json::Value;

/// Where docker's daemon is configured.
const DOCKER: &str = "/etc/docker/daemon.json";
/// Engines by the program that shows that they are installed.
const OTHERS: [(&str, &str); 3] = [("containerd", "containerd"), ("podman", "podman"), ("crio", "CRI-O")];

pub fn look() -> Vec<Finding> {
    let mut findings = vec![];
    if program("dockerd").is_some() {
        let there = |path: &str| !path.starts_with('/') || std::path::Path::new(path).exists();
        findings.push(docker(&std::fs::read_to_string(DOCKER).unwrap_or_default(), there));
    }
    let here: Vec<&str> = OTHERS.iter().filter(|(name, _)| program(name).is_some()).map(|(_, title)| *title).collect();
    if !here.is_empty() {
        let advice = "their configuration is not looked at; porthole install tells them of porthole-runc";
        findings.push(Finding::note("engines", here.join(", "), advice));
    }
    findings
}

/// By the daemon's configuration: whether a runtime of it is porthole-runc, and whether it is the one used by itself.
fn docker(text: &str, there: impl Fn(&str) -> bool) -> Finding {
    let advice = "porthole install docker --default has every container run with it";
    if text.trim().is_empty() {
        return Finding::note("docker", format!("{DOCKER} is not there: containers run without porthole"), advice);
    }
    let Ok(config) = serde_json::from_str::<Value>(text) else {
        return Finding::fail("docker", format!("{DOCKER} is no JSON"), "correct it: dockerd will not start with it");
    };
    let runtimes = config["runtimes"].as_object();
    let ours = runtimes
        .into_iter()
        .flatten()
        .find(|(_, r)| r["path"].as_str().is_some_and(|p| p.rsplit('/').next() == Some("porthole-runc")));
    if let Some(path) = ours.and_then(|(_, r)| r["path"].as_str()).filter(|path| !there(path)) {
        let advice = "install porthole again, or take it out: porthole uninstall docker";
        return Finding::fail(
            "docker",
            format!("{DOCKER} names {path}, which is gone: its containers do not start"),
            advice,
        );
    }
    match ours {
        Some((name, _)) if config["default-runtime"].as_str() == Some(name) => {
            Finding::ok("docker", format!("runs every container with {name}"))
        }
        Some((name, _)) => {
            let advice = format!("set \"default-runtime\": \"{name}\" in {DOCKER} to have all");
            Finding::note(
                "docker",
                format!("runs containers with {name} only where --runtime {name} asks for it"),
                advice,
            )
        }
        None => Finding::note("docker", format!("{DOCKER} names no porthole-runc"), advice),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn docker_is_judged_by_its_runtimes() {
        let with = |text: &str| docker(text, |_| true).verdict;
        let runtimes = r#""runtimes": {"porthole": {"path": "/usr/bin/porthole-runc"}, "x": {"path": "/x"}}"#;
        assert_eq!(with(&format!("{{{runtimes}, \"default-runtime\": \"porthole\"}}")), Verdict::Ok);
        assert_eq!(with(&format!("{{{runtimes}}}")), Verdict::Note);
        assert_eq!([with(""), with("{}"), with("{")], [Verdict::Note, Verdict::Note, Verdict::Fail]);
        assert!(docker(&format!("{{{runtimes}}}"), |_| true).found.contains("--runtime porthole"));
        let gone = docker(&format!("{{{runtimes}}}"), |path| path == "/x");
        assert!(gone.verdict == Verdict::Fail && gone.found.contains("is gone"));
    }
}
