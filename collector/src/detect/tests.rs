use super::*;
use crate::event::tests::sample;
use outputs::Target;
use std::path::PathBuf;

/// A directory of its own with a rules file and a place for alerts.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, rules: &str) -> Place {
        let place = Place(std::env::temp_dir().join(format!("porthole-detect-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&place.0).unwrap();
        place.write(rules);
        place
    }

    fn write(&self, rules: &str) {
        std::fs::write(self.0.join("rules.yaml"), rules).unwrap();
    }

    fn plan(&self) -> Plan {
        let target = Target::File { path: self.0.join("alerts"), keep_open: true };
        Plan::of(vec![self.0.join("rules.yaml")], target)
    }

    fn alerts(&self) -> String {
        std::fs::read_to_string(self.0.join("alerts")).unwrap()
    }

    /// The alerts of one event.
    fn of(&self, plan: &Plan, event: crate::event::Event) -> String {
        let detector = Detector::start(plan, None).unwrap();
        detector.publish(&Arc::new(event));
        detector.stop();
        self.alerts()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const RULES: &str = "
- rule: First
  desc: d
  condition: evt.type in (open, openat) and proc.name = cat
  output: opened %fd.num by %proc.cmdline (%proc.aname[9])
  priority: WARNING
  tags: [b, a]
- rule: Second
  desc: d
  condition: evt.type = openat and fd.num < 0
  output: second
  priority: INFO
";

const SUGGESTED: &str = " container_id=0123456789ab container_name=web container_image_repository=<NA> \
                         container_image_tag=<NA> k8s_pod_name=<NA> k8s_ns_name=<NA>";

#[test]
fn a_line_of_text_is_falcos() {
    let place = Place::new("text", RULES);
    let alerts = place.of(&place.plan(), sample());
    let time = crate::clock::local_time(sample().time_ns, true);
    let want = format!("{time}: Warning opened -1 by cat /etc/pass\\\"wd (<NA>){SUGGESTED}\n");
    assert_eq!(alerts, want, "the first rule that is true, and no other");
}

#[test]
fn a_json_line_has_falcos_keys_in_their_order_and_types() {
    let place = Place::new("json", RULES);
    let mut plan = place.plan();
    (plan.style.json, plan.style.iso_8601, plan.all_matches) = (true, true, true);
    let alerts = place.of(&plan, sample());
    assert_eq!(alerts.lines().count(), 2, "{alerts}");
    let line = alerts.lines().next().unwrap();
    let keys = ["hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time"];
    let places: Vec<usize> = keys.iter().map(|k| line.find(&format!("\"{k}\":")).expect(k)).collect();
    assert!(places.is_sorted(), "{line}");
    let alert: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(alert.as_object().unwrap().len(), keys.len());
    assert_eq!(
        alert["output"],
        format!("2026-11-23T01:59:59.000000001+0000: Warning opened -1 by cat /etc/pass\"wd (<NA>){SUGGESTED}")
    );
    assert_eq!((&alert["priority"], &alert["source"]), (&"Warning".into(), &"syscall".into()));
    assert_eq!(alert["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(alert["time"], "2026-11-23T01:59:59.000000001Z");
    let fields = alert["output_fields"].as_object().unwrap();
    assert!(fields.keys().is_sorted());
    assert_eq!((&fields["fd.num"], &fields["k8s.ns.name"]), (&(-1).into(), &serde_json::Value::Null));
    assert_eq!(fields["evt.time.iso8601"], sample().time_ns);
}

#[test]
fn rules_are_selected_in_order_and_outputs_extended() {
    let place = Place::new("select", RULES);
    let mut plan = place.plan();
    plan.style.json = true;
    plan.select = vec![
        config::Select { enable: false, rule: Some("*".into()), tag: None },
        config::Select { enable: true, rule: None, tag: Some("a".into()) },
    ];
    plan.append = vec![config::Append {
        tags: vec!["a".into()],
        output: Some("more=%evt.type".into()),
        fields: vec![
            config::Extra { name: "proc.vpid".into(), format: "%proc.vpid".into(), plain: true },
            config::Extra { name: "who".into(), format: "[%proc.vpid]".into(), plain: false },
        ],
        suggested: Some(false),
        ..Default::default()
    }];
    let alert: serde_json::Value = serde_json::from_str(place.of(&plan, sample()).trim()).unwrap();
    assert!(alert["output"].as_str().unwrap().ends_with("(<NA>) more=openat"), "{alert}");
    let fields = &alert["output_fields"];
    assert_eq!((&fields["proc.vpid"], &fields["who"]), (&7.into(), &"[7]".into()));
    assert!(fields.get("container.id").is_none());
    plan.priority = porthole_rules::load::Priority::Error;
    assert_eq!(Detector::start(&plan, None).unwrap().enabled(), 0);
}

#[test]
fn a_broken_file_leaves_the_rules_as_they_are_and_says_where_it_is_broken() {
    let place = Place::new("reload", RULES);
    let plan = place.plan();
    let detector = Detector::start(&plan, None).unwrap();
    place.write(
        "- rule: x\n  desc: d\n  condition: evt.type = openat and proc.nme = cat\n  output: o\n  priority: INFO\n",
    );
    let error = detector.reload(&plan).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("proc.name") && error.contains("^"), "{error}");
    detector.publish(&Arc::new(sample()));
    place.write("[]");
    detector.reload(&plan).unwrap();
    detector.publish(&Arc::new(sample()));
    detector.stop();
    assert_eq!(place.alerts().lines().count(), 1);
}

#[test]
fn files_that_change_are_loaded_again_once() {
    let place = Place::new("refresh", RULES);
    let plan = place.plan();
    let detector = Detector::start(&plan, None).unwrap();
    assert_eq!(detector.refresh(&plan), None);
    place.write("- rule: x\n");
    assert!(detector.refresh(&plan).is_some_and(|said| said.contains("as before")));
    assert_eq!((detector.refresh(&plan), detector.enabled()), (None, 2), "said once");
    place.write("[]");
    assert!(detector.refresh(&plan).is_some_and(|said| said.contains("0 are judged")));
    detector.stop();
}

#[test]
fn a_worker_that_finds_a_broken_file_starts_without_rules_and_takes_them_when_they_are_right() {
    let place = Place::new("anyway", "- rule: x\n");
    let plan = place.plan();
    let (detector, broken) = Detector::start_anyway(&plan, no_programs(), None).unwrap();
    assert!(broken.is_some() && Detector::start(&plan, None).is_err());
    assert_eq!((detector.refresh(&plan), detector.enabled()), (None, 0));
    place.write(RULES);
    assert!(detector.refresh(&plan).is_some());
    assert_eq!(detector.enabled(), 2);
    detector.stop();
}
