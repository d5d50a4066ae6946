//! C libraries of other Debian releases: an older glibc, whose threads have a library of their own, and a newer one,
//! which makes all cancellable calls in one function. Programs of these releases run in containers over their own root.

use porthole_tests::bundle::Bundle;
use porthole_tests::collector::Collector;
use porthole_tests::events::Events;
use porthole_tests::program::{self, Outcome};
use porthole_tests::recall::{judge, trace};
use porthole_tests::release::{self, Release};
use porthole_tests::{print_skip, scratch, targets, wait};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Releases with an older and with newer C libraries than Debian 12's. The last one changes from day to day.
fn releases() -> Vec<Release> {
    let names: &[&'static str] = if std::env::var_os("PORTHOLE_TEST_FULL").is_some() {
        &["bullseye", "trixie", "sid"]
    } else {
        &["bullseye", "trixie"]
    };
    let of = |name: &&'static str| release::get(name).map_err(|reason| print_skip(&reason)).ok();
    names.iter().filter_map(of).collect()
}

/// Real work: a search of `PATH`, files of the library itself, directories, a shell below perl, sockets.
const SCRIPT: &str = "ls -l / >/dev/null; nosuch; cat /etc/hostname /nope; getent passwd root; getent hosts localhost
    cp /etc/passwd /tmp/a; sort /tmp/a >/tmp/b; env env ls /tmp; find /etc -name '*.conf' -exec head -c1 {} ';'
    id app; date; tail -n1 /tmp/b | wc -c
    perl -e 'opendir D, \"/\"; open F, \"<\", \"/etc/group\"; open F, \">/tmp/c\"; system \"ls /tmp\"; print `id -u`;
        @a = getpwnam \"app\"; exec \"true\", \"it is\"'
    perl -e 'use Socket; socket S, AF_UNIX, SOCK_STREAM, 0; connect S, sockaddr_un \"/nope\"; exec {\"/nope\"} 1'
    /t/mtopens; /t/internals";

/// Runs a command in a container over the root file system of a release, plain or with events.
fn run(
    release: &Release,
    out: &Path,
    collector: Option<&Collector>,
    symbols: bool,
    args: &[String],
) -> (Outcome, Events) {
    let bundle = Bundle::new(&release.root, args).with(|spec| {
        spec["root"]["readonly"] = true.into();
        spec["process"]["cwd"] = "/tmp".into();
        let mounts = spec["mounts"].as_array_mut().expect("runc spec has mounts");
        mounts.push(json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" }));
        mounts.push(json!({ "destination": "/out", "type": "bind", "source": out, "options": ["rbind", "rw"] }));
        // strace and the events tell the same numbers
        let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("runc spec has namespaces");
        namespaces.retain(|namespace| namespace["type"] != "pid");
        let environment = spec["process"]["env"].as_array_mut().expect("runc spec has an environment");
        environment.push("LC_ALL=C.UTF-8".into());
    });
    let Some(collector) = collector else {
        return (bundle.run(None), Events::default());
    };
    let before = collector.status()["containers_deleted"].as_u64();
    let mut command = bundle.runtime(Some(&collector.state_dir()));
    if symbols {
        let settings = collector.scratch().file("symbols", r#"{"depth": "symbols"}"#);
        command.env("PORTHOLE_RUNC_CONFIG", settings);
    }
    let outcome = program::run(command.arg("run").arg("--bundle").arg(bundle.path()).arg(&bundle.id));
    // Read once: there may be many.
    wait::until_true("the container's events are written", || {
        let status = collector.status();
        status["containers_deleted"].as_u64() > before && status["outputs"][0]["written"] == status["events"]
    });
    let events = collector.events();
    (outcome, events.of_container(&bundle.id))
}

fn target(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(name)
}

/// Runs a script below strace and prints what was recorded of it and what was not.
fn recall(
    release: &Release,
    collector: &Collector,
    what: &str,
    script: &str,
) -> BTreeMap<&'static str, judge::Figures> {
    const CALLS: &str = "trace=execve,execveat,?open,openat,?openat2,?creat,connect,clone,?clone3";
    let out = collector.scratch().dir(&format!("{}-{}", release.name, what.replace(' ', "-")));
    let mut args = Release::foreign("strace");
    args.extend(["-f", "-s", "65536", "-o", "/out/trace", "-e", CALLS, "/bin/sh", "-c", script].map(str::to_owned));
    let (outcome, events) = run(release, &out, Some(collector), what.ends_with("symbols"), &args);
    assert_eq!(outcome.status, 0, "{}: {outcome:?}", release.name);
    let calls = trace::parse(&std::fs::read_to_string(out.join("trace")).expect("strace has written it"));
    let figures = judge::judge(&calls, &events, "/dev/porthole/");
    for (kind, f) in &figures {
        let (seen, missed) = (f.matched, f.missed.len());
        let percent = 100.0 * seen as f64 / (seen + missed).max(1) as f64;
        let before = f.before.len();
        let name = release.name;
        println!(
            "{name:9} {what:13} {kind:8} recorded {seen:4} missed {missed:4} recall {percent:6.2} % (before the agent {before})"
        );
    }
    figures
}

#[test]
fn what_the_kernel_sees_of_other_releases_is_recorded() {
    let collector = Collector::start();
    for release in releases() {
        release.bring(Path::new("/usr/bin/strace"));
        release.compile(&target("mtopens.c"), &[]);
        release.compile(&target("internals.c"), &[]);
        for (kind, figures) in recall(&release, &collector, "sites", SCRIPT) {
            let wrong = [figures.missed, figures.extra];
            assert!(figures.matched > 0 && wrong.iter().all(Vec::is_empty), "{kind}: missed, extra: {wrong:?}");
        }
        recall(&release, &collector, "symbols", SCRIPT);
    }
}

#[test]
fn programs_of_other_releases_do_not_notice() {
    let collector = Collector::start();
    for release in releases() {
        let cancel = release.compile(&target("sitecancel.c"), &[]);
        let unwind = release.compile(&target("siteunwind.cpp"), &[]);
        let backtrace = release.compile(&target("sitetrace.c"), &["-g"]);
        let registers = release.compile(&target("siteregs.c"), &["-masm=intel"]);
        let expected = [
            (format!("{cancel} deferred /out/fifo"), "canceled 400, cleaned 400, returned 0"),
            (format!("{cancel} async /out/fifo"), "canceled 400, cleaned 400, returned 0"),
            (format!("{cancel} race /out/fifo"), "canceled 200, cleaned 200"),
            (format!("{cancel} self /out/fifo"), "cleaned 1"),
            (format!("{unwind} /out/fifo"), "canceled 50, destroyed 100, caught 50"),
            (format!("{backtrace} /out/fifo"), "opener seen, caller seen, further yes"),
            (registers, "execve: -1, changed:,"),
        ];
        let out = collector.scratch().dir(release.name);
        scratch::fifo(&out.join("fifo"));
        let script: Vec<&str> = expected.iter().map(|(command, _)| command.as_str()).collect();
        let args = ["/bin/sh", "-c", &script.join("; echo status $?; ")].map(str::to_owned);
        let (bare, _) = run(&release, &out, None, false, &args);
        for (command, said) in &expected {
            assert!(bare.text().contains(said), "{} bare: {command} does not say {said:?}: {bare:?}", release.name);
        }
        let (hooked, events) = run(&release, &out, Some(&collector), false, &args);
        assert!(bare == hooked, "{}\n=== bare: {bare:?}\n=== hooked: {hooked:?}", release.name);
        let sites = events.filter(|e| e.text("porthole.source") == "sites" && e.text("proc.name") == "sitecancel");
        assert!(sites.len() > 400, "{}: {} events of patched sites", release.name, sites.len());
    }
}

#[test]
fn musl_of_other_releases() {
    let collector = Collector::start();
    for release in releases() {
        release.bring(Path::new("/usr/bin/strace"));
        for name in ["calls", "internals"] {
            std::fs::copy(targets::musl(name), release.root.join(format!("t/{name}-musl"))).expect("a new file");
        }
        let out = collector.scratch().dir(release.name);
        std::fs::write(out.join("f"), "").expect("a new file");
        let calls =
            "for call in open open64 openat fopen creat; do /t/calls-musl $call /out/f; done; /t/internals-musl";
        let args = ["/bin/sh", "-c", calls].map(str::to_owned);
        let (bare, _) = run(&release, &out, None, false, &args);
        assert!(bare.text().ends_with("done"), "{}: bare: {bare:?}", release.name);
        let (hooked, events) = run(&release, &out, Some(&collector), false, &args);
        assert!(bare == hooked, "{}\n=== bare: {bare:?}\n=== hooked: {hooked:?}", release.name);
        let opens = events.filter(|e| e.text("fd.nameraw") == "/out/f" && e.text("proc.name") == "calls-musl");
        assert_eq!(opens.len(), 5, "{}: {events}", release.name);
        // the programs that it executes are glibc's
        recall(&release, &collector, "musl", "exec /t/internals-musl");
    }
}
