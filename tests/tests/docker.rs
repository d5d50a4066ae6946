//! Containers of a real docker daemon with `--runtime porthole`: recorded under their full ids, and doing exactly what
//! they do under docker's own runtime.

use porthole_tests::collector::Collector;
use porthole_tests::docker::{self, Docker, RUNTIME};
use porthole_tests::events::Events;
use porthole_tests::program::{Outcome, Running};
use porthole_tests::{rootfs, skip, suite, tests, wait};
use std::process::{ExitCode, Stdio};

struct Fixture {
    docker: Docker,
    collector: Collector,
}

fn fixture() -> Fixture {
    let collector = Collector::start();
    let root = rootfs::of(collector.scratch());
    let docker = Docker::start(&collector.state_dir(), &[]);
    docker.import(&root);
    Fixture { docker, collector }
}

fn main() -> ExitCode {
    suite::run(
        fixture,
        tests![
            a_container_is_recorded_and_tagged,
            every_event_knows_its_container,
            those_without_porthole_are_shown_too,
            what_is_done_to_a_container_is_told,
            how_a_container_ends_is_told,
            an_image_that_is_named_by_its_id_has_its_name,
            a_burst_of_containers,
            a_musl_container_is_recorded,
            a_user_without_rights,
            read_only,
            no_capabilities,
            no_new_privileges,
            everything_taken_away,
            exec_is_recorded,
            exec_of_another_user,
            health_checks_are_recorded,
            a_terminal,
            the_image_is_not_changed,
            profiles_that_kill_what_an_agent_needs,
            little_memory_and_200_processes,
            user_namespaces,
            nothing_was_lost,
        ],
    )
}

impl Fixture {
    /// The same with docker's runtime and ours; what ours is called, and what both said.
    fn same(&self, options: &[&str], args: &[&str]) -> (String, Outcome) {
        let plain = self.docker.create(None, options, args).run();
        let ours = self.docker.create(Some(RUNTIME), options, args);
        let said = ours.run();
        assert_eq!(plain, said, "docker {options:?} {args:?}");
        (ours.id.clone(), said)
    }

    fn probe(&self, options: &[&str]) -> Events {
        let (id, said) = self.same(options, &["/t/probe", "/etc/secret"]);
        assert_eq!(said.status, 3, "{said:?}");
        self.records_of_probe(&id)
    }

    /// What porthole-runc has found out from docker's own files.
    fn docker_identity(&self, id: &str) -> serde_json::Value {
        let file = self.collector.state_dir().join("containers").join(id).join("container.json");
        let kept = std::fs::read(&file).map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes));
        match kept {
            Ok(Ok(value)) => value["engines"].clone(),
            other => panic!("{}: {other:?}", file.display()),
        }
    }

    fn records_of_probe(&self, id: &str) -> Events {
        let all = self.collector.wait_for("the records of the probe", |events| {
            let own = events.of_container(id);
            !own.execs("/t/probe").is_empty()
                && !own.opens("/etc/secret").is_empty()
                && !own.connects("127.0.0.1").is_empty()
                && !own.execs("/bin/true").is_empty()
        });
        let own = all.of_container(id);
        assert!(own.opens("/etc/secret").0[0].succeeded(), "{own}");
        assert_eq!(own.connects("127.0.0.1").0[0].number("evt.rawres"), Some(0), "{own}");
        for event in &own.0 {
            assert_eq!(event.text("container.id"), &id[..12], "{event:?}");
        }
        own
    }
}

fn a_container_is_recorded_and_tagged(f: &Fixture) {
    // a second to live: the kernel can be asked about the process
    let (id, said) = f.same(&[], &["/t/probe", "/etc/secret", "1"]);
    assert_eq!(said.status, 3, "{said:?}");
    let events = f.records_of_probe(&id);
    let open = &events.opens("/etc/secret").0[0];
    assert_eq!(open.number("proc.vpid"), Some(1), "{open:?}");
    let own = std::fs::read_link("/proc/self/ns/net").expect("own namespaces").display().to_string();
    let net = open.number("ns.net").unwrap_or_else(|| panic!("{open:?}"));
    assert_ne!(own, format!("net:[{net}]"));
}

/// Each event of a container, the first ones too, says who it is.
fn assert_known(events: &Events, wanted: &[(&str, &str)]) {
    assert!(!events.is_empty());
    for event in &events.0 {
        for (field, value) in wanted {
            assert_eq!(event.text(field), *value, "{field} of {event:?}");
        }
    }
}

fn every_event_knows_its_container(f: &Fixture) {
    let options = ["--name", "a-name", "--label", "team=x", "--volume", "/etc:/hostetc:ro", "--user", "1000:1000"];
    let container = f.docker.create(Some(RUNTIME), &options, &["/bin/sh", "-c", "/t/probe /etc/secret; sleep 60"]);
    container.start();
    let events = f.records_of_probe(&container.id);
    let image = ["container.image", "container.image.repository", "container.image.tag"];
    assert_known(
        &events,
        &[
            ("container.type", "docker"),
            ("container.name", "a-name"),
            (image[0], docker::IMAGE),
            (image[1], "porthole-test"),
            (image[2], "1"),
        ],
    );
    let registered = f.docker_identity(&container.id);
    let id = container.inspect("{{.Image}}");
    assert_eq!(registered["image_id"], id.trim_start_matches("sha256:"));
    let same = |ours: &serde_json::Value, template: &str| {
        let theirs: serde_json::Value = serde_json::from_str(&container.inspect(template)).expect("JSON");
        assert_eq!(*ours, theirs, "{template}");
    };
    same(&registered["labels"], "{{json .Config.Labels}}");
    same(&registered["user"], "{{json .Config.User}}");
    let mount = &registered["mounts"][0];
    same(&mount["source"], "{{json (index .Mounts 0).Source}}");
    same(&mount["destination"], "{{json (index .Mounts 0).Destination}}");
    same(&mount["mode"], "{{json (index .Mounts 0).Mode}}");
    same(&mount["rw"], "{{json (index .Mounts 0).RW}}");
    same(&mount["propagation"], "{{json (index .Mounts 0).Propagation}}");
}

/// Container by container with its processes, as `porthole tree` has them.
fn tree_of(f: &Fixture, id: &str) -> serde_json::Value {
    let all = f.collector.json(&["tree", "--json"]);
    all.as_array().into_iter().flatten().find(|t| t["full_id"] == id).cloned().unwrap_or_default()
}

fn those_without_porthole_are_shown_too(f: &Fixture) {
    let program = ["/bin/sh", "-c", "/bin/sleep 61 & exec /bin/sleep 60"];
    let ours = f.docker.create(Some(RUNTIME), &["--name", "seen", "--user", "1000"], &program);
    let other = f.docker.create(None, &["--name", "unseen"], &program);
    for container in [&ours, &other] {
        container.start();
        wait::until_true("two processes", || {
            tree_of(f, &container.id)["tree"].as_array().is_some_and(|tree| tree.len() == 2)
        });
    }
    let is = |t: &serde_json::Value, key: &str, value: serde_json::Value| assert_eq!(t[key], value, "{key}: {t}");
    let seen = tree_of(f, &ours.id);
    is(&seen, "registered", true.into());
    is(&seen, "alive", 2.into());
    let [first, second] = [&seen["tree"][0], &seen["tree"][1]];
    is(first, "cmdline", "/bin/sleep 60".into());
    is(second, "cmdline", "/bin/sleep 61".into());
    assert_eq!((&second["ppid"], &first["vpid"]), (&first["pid"], &1.into()), "{seen}");
    assert_eq!((&first["uid"], &first["agent"], &second["agent"]), (&1000.into(), &true.into(), &true.into()));
    let pid = ours.inspect("{{.State.Pid}}");
    assert_eq!(first["pid"].to_string(), pid, "{seen}");

    let unseen = tree_of(f, &other.id);
    is(&unseen, "registered", false.into());
    is(&unseen, "injection", "none".into());
    is(&unseen, "injection_reason", "other runtime: runc".into());
    is(&unseen, "name", "unseen".into());
    is(&unseen, "image", docker::IMAGE.into());
    is(&unseen, "engine", "docker".into());
    is(&unseen["tree"][0], "agent", false.into());
    assert_eq!(unseen["tree"][0]["pid"].to_string(), other.inspect("{{.State.Pid}}"), "{unseen}");
    assert!(f.collector.container(&other.id).is_some_and(|c| c["alive"] == 2));
    assert!(f.collector.status()["containers_without"].as_u64().is_some_and(|n| n >= 1));
    let text = |args: &[&str]| porthole_tests::program::run(&mut f.collector.porthole(args)).ok("porthole").text();
    let table = text(&["containers"]);
    let line = table.lines().find(|l| l.starts_with(&other.id[..12])).unwrap_or_else(|| panic!("{table}"));
    assert!(line.ends_with("no: other runtime: runc") && !table.contains('\u{1b}'), "{table}");
    let tree = text(&["tree", &ours.id[..12]]);
    assert!(tree.starts_with(&format!("seen  {}  docker  {}\n", docker::IMAGE, &ours.id[..12])), "{tree}");
    assert!(tree.contains("└─ /bin/sleep 60\n") && tree.ends_with("   └─ /bin/sleep 61"), "{tree}");
    let gone = other.id.clone();
    drop(other);
    assert_eq!(tree_of(f, &ours.id)["alive"], 2);
    assert!(tree_of(f, &gone).is_null());
}

fn what_is_done_to_a_container_is_told(f: &Fixture) {
    let options =
        ["--pid", "host", "--cap-add", "NET_ADMIN", "--volume", "/etc:/hostetc", "--health-cmd", "cat /etc/secret"];
    let often = ["--health-interval", "1s"];
    let container = f.docker.create(Some(RUNTIME), &[&options[..], &often].concat(), &["/bin/sleep", "60"]);
    container.start();
    container.exec(&["--user", "1000", "--tty"], &["/bin/true"]);
    f.docker.run(&["pause", &container.id]).ok("docker pause");
    f.docker.run(&["unpause", &container.id]).ok("docker unpause");
    let kind = |e: &Events, kind: &str| e.of_container(&container.id).filter(|e| e.kind() == kind);
    let all = f.collector.wait_for("its life", |e| {
        let checked = kind(e, "container.exec").filter(|e| e.text("evt.arg.purpose") == "healthcheck");
        !kind(e, "container.unpause").is_empty() && !checked.is_empty()
    });
    let made = kind(&all, "container.create");
    let made = made.only("container.create");
    assert_eq!(made.0["evt.arg.privileged"], false, "{made:?}");
    assert_eq!(made.text("evt.arg.capabilities"), "CAP_NET_ADMIN", "{made:?}");
    assert_eq!(made.text("evt.arg.host_namespaces"), "pid", "{made:?}");
    assert_eq!(made.text("evt.arg.sensitive_mounts"), "/etc:/hostetc::true:rprivate", "{made:?}");
    let added = kind(&all, "container.exec").filter(|e| e.text("evt.arg.exe") == "/bin/true");
    let added = added.only("container.exec");
    let (uid, tty) = (added.number("evt.arg.uid"), added.number("evt.arg.tty"));
    assert_eq!((uid, tty, added.text("evt.arg.purpose")), (Some(1000), Some(1), "user"), "{added:?}");
    kind(&all, "container.pause").only("container.pause");
    assert!(kind(&all, "porthole.tamper").is_empty(), "{}", kind(&all, "porthole.tamper"));
}

fn how_a_container_ends_is_told(f: &Fixture) {
    let greedy = "/bin/sh -c 'x=$(seq 999999999)'";
    let program = ["/bin/sh", "-c", &format!("{greedy}; echo $?; sleep 2; exit 7")];
    let options = ["--memory", "16m", "--memory-swap", "16m"];
    let container = f.docker.create(Some(RUNTIME), &options, &program);
    let said = container.run();
    assert_eq!(said.status, 7, "{said:?}");
    let all = f.collector.wait_for("its end", |e| !kind_of(e, &container.id, "container.stop").is_empty());
    let died = kind_of(&all, &container.id, "container.die");
    let died = died.only("container.die");
    assert_eq!((died.number("evt.arg.ret"), died.number("evt.arg.status")), (Some(7), Some(7 << 8)), "{died:?}");
    if said.text().trim() != "137" {
        skip!("no memory limit of docker's works here: {said:?}");
    }
    let starved = kind_of(&all, &container.id, "container.oom");
    let killed = starved.0.first().and_then(|e| e.number("evt.arg.killed"));
    assert!(killed.is_some_and(|n| n >= 1), "{starved}\n{all}");

    let container = f.docker.create(Some(RUNTIME), &[], &["/bin/sleep", "60"]);
    container.start();
    f.collector.wait_for("its program", |e| !e.of_container(&container.id).execs("/bin/sleep").is_empty());
    f.docker.run(&["kill", &container.id]).ok("docker kill");
    let all = f.collector.wait_for("its end", |e| !kind_of(e, &container.id, "container.stop").is_empty());
    let died = kind_of(&all, &container.id, "container.die");
    let signal = died.only("container.die").number("evt.arg.sig");
    assert!(matches!(signal, Some(9) | None), "{died} (Linux before 6.15 does not say)");
    assert!(kind_of(&all, &container.id, "container.oom").is_empty());
}

fn kind_of(events: &Events, id: &str, kind: &str) -> Events {
    events.of_container(id).filter(|e| e.kind() == kind)
}

fn an_image_that_is_named_by_its_id_has_its_name(f: &Fixture) {
    let id = f.docker.run(&["inspect", "--format", "{{.Id}}", docker::IMAGE]).text();
    let short = id.trim_start_matches("sha256:")[..12].to_owned();
    let said = f.docker.run(&["create", "--runtime", RUNTIME, &short, "/t/probe", "/etc/secret"]).ok("docker create");
    f.docker.run(&["start", "--attach", &said.text()]);
    let events = f.records_of_probe(&said.text());
    assert_known(&events, &[("container.image", &short), ("container.image.tag", "1")]);
    f.docker.run(&["rm", "-f", &said.text()]);
}

/// Many at once: none of them has an event that does not know it.
fn a_burst_of_containers(f: &Fixture) {
    let count = if std::env::var_os("PORTHOLE_TEST_FULL").is_some() { 200 } else { 12 };
    let names: Vec<String> = (0..count).map(|n| format!("burst-{n}")).collect();
    let start = |name: &String| {
        let args =
            ["run", "--rm", "--runtime", RUNTIME, "--network", "none", "--name", name, docker::IMAGE, "/bin/true"];
        Running::start(f.docker.command(&args).stdout(Stdio::null()).stderr(Stdio::null()))
    };
    for few in names.chunks(6) {
        let mut running: Vec<Running> = few.iter().map(start).collect();
        wait::until("containers end", std::time::Duration::from_secs(120), || {
            (!running.iter_mut().any(Running::alive)).then_some(())
        });
    }
    let ended = |e: &Events, name: &str| {
        !e.filter(|e| e.kind() == "container.stop" && e.text("container.name") == name).is_empty()
    };
    let all = f.collector.wait_for("all are over", |e| names.iter().all(|name| ended(e, name)));
    for name in &names {
        let own = all.filter(|e| e.text("container.name") == name);
        assert!(!own.execs("/bin/true").is_empty(), "{name}: {own}");
    }
    let nameless = all.filter(|e| e.text("container.type") == "docker" && e.text("container.name").is_empty());
    assert!(nameless.is_empty(), "{nameless}");
    let without =
        all.filter(|e| e.text("container.name").starts_with("burst-") && e.text("container.image.tag") != "1");
    assert!(without.is_empty(), "{without}");
}

fn a_musl_container_is_recorded(f: &Fixture) {
    let (id, said) = f.same(&[], &["/t/probe-musl", "/etc/secret"]);
    assert_eq!(said.status, 3, "{said:?}");
    f.collector.wait_for("records of musl", |e| {
        let own = e.of_container(&id);
        !own.opens("/etc/secret").is_empty() && !own.connects("127.0.0.1").is_empty() && !own.execs("/true").is_empty()
    });
}

fn a_user_without_rights(f: &Fixture) {
    let events = f.probe(&["--user", "1000:1000"]);
    let open = &events.opens("/etc/secret").0[0];
    assert_eq!((open.number("user.uid"), open.text("user.name")), (Some(1000), "app"), "{open:?}");
}

fn read_only(f: &Fixture) {
    f.probe(&["--read-only"]);
}

fn no_capabilities(f: &Fixture) {
    f.probe(&["--cap-drop", "ALL"]);
}

fn no_new_privileges(f: &Fixture) {
    f.probe(&["--security-opt", "no-new-privileges", "--user", "1000"]);
}

fn everything_taken_away(f: &Fixture) {
    let options = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "1000"];
    f.probe(&options);
}

fn exec_is_recorded(f: &Fixture) {
    let container = f.docker.create(Some(RUNTIME), &[], &["/bin/sleep", "60"]);
    container.start();
    let said = container.exec(&[], &["/t/probe", "/etc/secret"]);
    assert_eq!(said.status, 3, "{said:?}");
    let plain = f.docker.create(None, &[], &["/bin/sleep", "60"]);
    plain.start();
    assert_eq!(plain.exec(&[], &["/t/probe", "/etc/secret"]), said);
    f.records_of_probe(&container.id);
    f.collector.wait_for("the exec from outside", |e| {
        e.of_container(&container.id).filter(|e| e.kind() == "container.exec").len() == 1
    });
}

fn exec_of_another_user(f: &Fixture) {
    let container = f.docker.create(Some(RUNTIME), &["--read-only", "--cap-drop", "ALL"], &["/bin/sleep", "60"]);
    container.start();
    let said = container.exec(&["--user", "1000", "--workdir", "/tmp", "--env", "A=b"], &["/t/probe", "/etc/secret"]);
    assert_eq!(said.status, 3, "{said:?}");
    let events = f.records_of_probe(&container.id);
    let open = &events.opens("/etc/secret").0[0];
    assert_eq!((open.number("user.uid"), open.text("proc.cwd")), (Some(1000), "/tmp/"), "{open:?}");
}

fn health_checks_are_recorded(f: &Fixture) {
    let options = ["--health-cmd", "cat /etc/secret", "--health-interval", "1s", "--health-retries", "1"];
    let container = f.docker.create(Some(RUNTIME), &options, &["/bin/sleep", "60"]);
    container.start();
    wait::until_true("the health check passes", || container.inspect("{{.State.Health.Status}}") == "healthy");
    f.collector.wait_for("records of the health check", |e| {
        let own = e.of_container(&container.id);
        !own.opens("/etc/secret").is_empty() && !own.execs("/bin/cat").is_empty()
    });
}

fn a_terminal(f: &Fixture) {
    let (id, said) =
        f.same(&["--tty"], &["/bin/sh", "-c", "exec 3</etc/secret; ls -l /proc/self/fd/0; sleep 1; exit 6"]);
    assert!(said.status == 6 && said.text().contains("/dev/pts/"), "{said:?}");
    let all = f.collector.wait_for("records", |e| !e.of_container(&id).opens("/etc/secret").is_empty());
    let open = &all.of_container(&id).opens("/etc/secret").0[0];
    assert!(open.number("proc.tty").is_some_and(|tty| tty > 0), "{open:?}");
}

fn the_image_is_not_changed(f: &Fixture) {
    for options in [&[][..], &["--read-only"]] {
        let container = f.docker.create(Some(RUNTIME), options, &["/bin/true"]);
        let said = container.run();
        assert_eq!(said.status, 0, "{said:?}");
        assert_eq!(container.changes(), "", "docker diff shows no trace of porthole ({options:?})");
    }
}

fn profiles_that_kill_what_an_agent_needs(f: &Fixture) {
    let script = "cat /etc/secret; (cat /etc/passwd); ls / | head -2; exit 9";
    for (call, needed) in [("memfd_create", false), ("socket", true), ("ftruncate", true), ("connect", true)] {
        let profile = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{call}"],"action":"SCMP_ACT_KILL"}}]}}"#
        );
        let profile = f.collector.scratch().file(&format!("seccomp-{call}.json"), profile);
        let option = format!("seccomp={}", profile.display());
        let (id, said) = f.same(&["--security-opt", &option], &["/bin/sh", "-c", script]);
        assert_eq!(said.status, 9, "{call}: {said:?}");
        let all = f.collector.wait_for("the container is registered", |e| !e.of_container(&id).is_empty());
        if needed {
            let starts = all.of_container(&id).filter(|e| e.kind() == "container.start");
            let start = starts.only(&format!("{call}: container.start")).0.to_string();
            let blind = f.collector.wait_for("the blind spot is an event", |e| {
                !e.of_container(&id).filter(|e| e.kind() == "porthole.blindspot").is_empty()
            });
            let blind = blind.of_container(&id).filter(|e| e.kind() == "porthole.blindspot").0[0].0.to_string();
            assert!(blind.contains(call), "the reason names {call}: {blind}\n{start}");
        } else {
            f.collector.wait_for("its records", |e| !e.of_container(&id).opens("/etc/secret").is_empty());
        }
    }
}

fn little_memory_and_200_processes(f: &Fixture) {
    let (id, said) = f.same(&["--memory", "64m"], &["/t/many", "200"]);
    assert_eq!((said.status, said.text().as_str()), (0, "200 of 200"), "{said:?}");
    let all = f.collector.wait_for("records of many", |e| e.of_container(&id).execs("/t/many").len() > 190);
    let own = all.of_container(&id);
    // what could not be kept is told: each of the 201 execs is either there or in the count of the lost
    let view = f.collector.container(&id).map(|v| v["lost"].clone()).unwrap_or_default();
    let lost: u64 = view.as_object().map_or(0, |m| m.values().filter_map(serde_json::Value::as_u64).sum());
    assert!(own.execs("/t/many").len() as u64 + lost >= 201, "{} execs, lost: {view}", own.execs("/t/many").len());
}

fn user_namespaces(f: &Fixture) {
    let docker = Docker::start(&f.collector.state_dir(), &["--userns-remap", "default"]);
    docker.import(&f.collector.scratch().join("root"));
    let plain = docker.create(None, &[], &["/t/probe", "/etc/secret", "1"]).run();
    let ours = docker.create(Some(RUNTIME), &[], &["/t/probe", "/etc/secret", "1"]);
    let said = ours.run();
    assert_eq!((plain.status, &plain), (3, &said), "{}", docker.log());
    let events = f.records_of_probe(&ours.id);
    let open = &events.opens("/etc/secret").0[0];
    let own = std::fs::read_link("/proc/self/ns/user").expect("own namespaces").display().to_string();
    let user = open.number("ns.user").unwrap_or_else(|| panic!("{open:?}"));
    assert_ne!(own, format!("user:[{user}]"), "{open:?}");
    assert!(open.number("user.uid").is_some_and(|uid| uid >= 100_000), "the host's view of the user: {open:?}");
    // exec by the engine, there too
    let container = docker.create(Some(RUNTIME), &[], &["/bin/sleep", "60"]);
    container.start();
    let said = container.exec(&["--user", "1000"], &["/t/probe", "/etc/secret"]);
    assert_eq!(said.status, 3, "{said:?}");
    f.records_of_probe(&container.id);
}

fn nothing_was_lost(f: &Fixture) {
    // stands last, and leaves out the container that was short of memory: that one counts what it lost
    let drops = f.collector.events().filter(|e| e.kind() == "porthole.drop");
    let names: Vec<&str> = drops.0.iter().map(|e| e.text("proc.name")).filter(|n| *n != "many").collect();
    assert!(names.is_empty(), "{drops}");
    f.collector.events().assert_once_and_in_order();
}
