//! Commands by which an engine asks a container how it is.

use crate::values::{list, str_at, words};
use porthole_registration::container::Known;
use serde_json::Value;

/// Label of a container that a kubelet of old has written its pod's configuration in.
const POD_OF_LABEL: &str = "io.kubernetes.container.last-applied-config";
/// Annotation of a pod that `kubectl apply` writes its configuration in.
const POD_OF_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The command of an image's or container's health check: `["CMD", …]` or `["CMD-SHELL", …]`.
pub fn healthcheck(test: &[String]) -> Vec<String> {
    match test {
        [how, command @ ..] if how == "CMD" => command.to_vec(),
        [how, command] if how == "CMD-SHELL" => vec!["/bin/sh".into(), "-c".into(), command.clone()],
        _ => Vec::new(),
    }
}

/// Takes the probes out of the pod's configuration where a label or an annotation has it. A container that Kubernetes
/// probes is not asked by its engine, too.
pub fn of_pod(known: &mut Known, annotation: Option<&str>, name: &str) {
    let pod = annotation.or(known.labels.get(POD_OF_LABEL).map(String::as_str));
    let Some(pod) = pod.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return };
    let mut containers = list(&pod, "/spec/containers");
    let Some(container) = containers.find(|c| name.is_empty() || str_at(c, "/name") == name) else { return };
    known.liveness_probe = words(container, "/livenessProbe/exec/command");
    known.readiness_probe = words(container, "/readinessProbe/exec/command");
    if !known.liveness_probe.is_empty() || !known.readiness_probe.is_empty() {
        known.healthcheck.clear();
    }
}

/// The annotation of a pod that has its configuration.
pub fn annotation(pod: &Value) -> Option<&str> {
    pod.get(POD_OF_ANNOTATION).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn health_checks_have_two_forms() {
        assert_eq!(healthcheck(&texts(&["CMD", "/x", "y"])), ["/x", "y"]);
        assert_eq!(healthcheck(&texts(&["CMD-SHELL", "a b"])), ["/bin/sh", "-c", "a b"]);
        for none in [&["NONE"][..], &[], &["CMD"], &["CMD-SHELL"], &["x", "y"]] {
            assert_eq!(healthcheck(&texts(none)), [""; 0], "{none:?}");
        }
    }

    #[test]
    fn probes_are_those_of_the_named_container() {
        let pod = r#"{"spec":{"containers":[{"name":"a"},{"name":"b","livenessProbe":{"exec":{"command":["l","1"]}},
            "readinessProbe":{"httpGet":{}}}]}}"#;
        let mut known = Known { healthcheck: texts(&["h"]), ..Known::default() };
        of_pod(&mut known, Some(pod), "a");
        assert_eq!((known.liveness_probe.len(), known.healthcheck.len()), (0, 1));
        of_pod(&mut known, Some(pod), "b");
        assert_eq!(
            (known.liveness_probe, known.readiness_probe.len(), known.healthcheck.len()),
            (texts(&["l", "1"]), 0, 0)
        );
        let mut known = Known { labels: [(POD_OF_LABEL.into(), pod.into())].into(), ..Known::default() };
        of_pod(&mut known, None, "b");
        assert_eq!(known.liveness_probe.len(), 2);
        of_pod(&mut known, Some("{"), "b");
    }
}
