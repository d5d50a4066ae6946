use super::*;

fn parse(text: &str) -> Result<Plan, String> {
    Plan::parse(text, Overrides::default()).map_err(|e| e.to_string())
}

#[test]
fn nothing_means_the_defaults() {
    for text in ["", "# only a comment\n", "---\n", "outputs: {}\n"] {
        let plan = parse(text).unwrap();
        assert_eq!((plan.keep_events, plan.file, plan.stdout), (10_000, None, Some(Format::Compact)), "{text:?}");
    }
}

#[test]
fn every_key_arrives() {
    let plan = parse(
        "state_dir: /tmp/s\nkeep_events: 5\noutputs:\n  stdout: {enabled: true, format: json}\n  file:\n    path: /tmp/e\n",
    )
    .unwrap();
    assert_eq!((plan.keep_events, plan.stdout), (5, Some(Format::Json)));
    assert_eq!(parse("label_max_len: 7").unwrap().label_max_len, 7);
    assert_eq!(plan.file.as_deref(), Some(Path::new("/tmp/e")));
    assert_eq!(parse("outputs: {stdout: {enabled: false}}").unwrap().stdout, None);
}

#[test]
fn the_command_line_wins() {
    let text = "state_dir: /a\noutputs: {stdout: {enabled: false, format: compact}, file: {path: /f}}";
    let with = |overrides| Plan::parse(text, overrides).unwrap();
    let dir = with(Overrides { state_dir: Some("/b".into()), ..Overrides::default() });
    assert_eq!(dir.state_dir, Path::new("/b"));
    let json = with(Overrides { format: Some(Format::Json), file: Some("/g".into()), ..Overrides::default() });
    assert_eq!((json.stdout, json.file.as_deref()), (Some(Format::Json), Some(Path::new("/g"))));
    let quiet = with(Overrides { format: Some(Format::Json), quiet: true, ..Overrides::default() });
    assert_eq!(quiet.stdout, None);
}

#[test]
fn unknown_keys_and_wrong_values_are_errors_with_their_line() {
    for (text, line, word) in [
        ("state_dir: /x\nkeep_event: 3\n", 2, "keep_event"),
        ("outputs:\n  file:\n    pth: /x\n", 3, "pth"),
        ("\n\nkeep_events: many\n", 3, "keep_events"),
        ("outputs:\n  stdout:\n    format: xml\n", 3, "xml"),
        ("keep_events: -1\n", 1, ""),
        ("keep_events: 1\nkeep_events: 2\n", 2, "keep_events"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(&format!("line {line}")) && error.contains(word), "{text:?}: {error}");
    }
    assert!(parse("keep_events: 1000001").unwrap_err().contains("at most 1000000"));
    assert!(parse("- a\n").is_err() && parse("{").is_err() && parse("\0").is_err());
}

#[test]
fn engines_have_the_plugins_keys() {
    use porthole_identity::cgroup::Kind;
    let engines = |text: &str| parse(text).map(|plan| plan.engines);
    assert_eq!(engines("engines: {docker: {enabled: true}}").unwrap(), Engines::default());
    let some = engines("engines: {docker: {enabled: false}, libvirt_lxc: {enabled: false}}").unwrap();
    assert_eq!(some.without, [Kind::Docker, Kind::LibvirtLxc]);
    let fixed = engines("engines: {static: {enabled: true, container_id: i, container_image: 'a:1'}}").unwrap();
    let wanted = engines::Static { id: "i".into(), name: String::new(), image: "a:1".into() };
    assert_eq!(fixed.fixed, Some(wanted));
    assert_eq!(engines("engines: {static: {container_id: i}}").unwrap().fixed, None);
    assert!(engines("engines: {static: {enabled: true}}").unwrap_err().contains("container_id"));
    assert!(engines("engines: {dokcer: {enabled: true}}").unwrap_err().contains("dokcer"));
}

#[test]
fn the_port_of_monitors_has_falcos_keys() {
    let web = |text: &str| Plan::parse(text, Overrides::default()).map(|plan| plan.web);
    assert_eq!(web("webserver: {listen_port: 1}").unwrap(), None);
    let on = web("webserver: {enabled: true}").unwrap().unwrap();
    assert_eq!((on.address.to_string(), &*on.healthz), ("127.0.0.1:8765".into(), "/healthz"));
    let v6 = web("webserver: {enabled: true, listen_address: '::', listen_port: 9}").unwrap().unwrap();
    assert_eq!(v6.address.to_string(), "[::]:9");
    for wrong in ["k8s_healthz_endpoint: alive", "k8s_healthz_endpoint: /metrics", "k8s_healthz_endpoint: '/{x}'"] {
        let error = web(&format!("webserver: {{enabled: true, {wrong}}}")).unwrap_err().to_string();
        assert!(error.contains("k8s_healthz_endpoint"), "{error}");
    }
}

#[test]
fn what_only_falco_has_is_read_over_with_a_notice_each() {
    let plan = parse(
        "engine: {kind: modern_ebpf, modern_ebpf: {cpus_for_each_buffer: 2}}\nload_plugins: [json]\n\
         webserver: {threadiness: 0, ssl_enabled: false}\ngrpc:\n  enabled: false\nwatch_config_files: true\n",
    )
    .unwrap();
    let names: Vec<&str> = plan.notices.iter().filter_map(|n| n.split(' ').nth(1)).collect();
    assert_eq!(names, ["engine", "grpc", "load_plugins", "webserver.threadiness", "webserver.ssl_enabled"]);
    for (drops, word) in [("{threshold: 2}", "threshold"), ("{actions: [shout]}", "shout")] {
        let text = format!("rules_files: [/x]\nsyscall_event_drops: {drops}\n");
        assert!(parse(&text).unwrap_err().contains(word), "{text}");
    }
    let text = "rules_files: [/x]\nsyscall_event_drops: {threshold: .5, actions: [log], rate: 1, max_burst: 2}\n";
    let drops = parse(text).unwrap().alerts.unwrap().drops;
    assert_eq!((drops.threshold, drops.alert, drops.log, drops.rate, drops.burst), (0.5, false, true, 1.0, 2.0));
}

#[test]
fn the_documented_example_is_valid_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.example.yaml");
    let example = Plan::load(Some(&path), Overrides::default()).unwrap();
    assert_eq!(example.file.as_deref(), Some(Path::new("/var/log/porthole/events.jsonl")));
    let defaults = Plan::load(None, Overrides::default()).unwrap();
    assert_eq!(Plan { file: None, ..example }, defaults);
}
