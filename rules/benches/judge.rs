//! What judging an event costs: events of a mix that a busy container makes, with upstream's rules (where they are) and
//! with a thousand generated ones. `cargo bench -p porthole-rules`; prints nanoseconds for each event.

use porthole_rules::event::{Asked, Event, Value};
use porthole_rules::load::{File, load};
use porthole_rules::program::Scratch;
use porthole_rules::ruleset::Ruleset;
use porthole_rules::vocabulary::Vocabulary;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// An event: its values by the numbers of their fields.
struct Sample {
    kind: Option<usize>,
    values: Vec<Option<Value<'static>>>,
    /// Number of `proc.aname`, and of `evt.arg`.
    with_argument: [usize; 2],
}

impl Event for Sample {
    fn value(&self, field: &Asked) -> Option<Value<'_>> {
        let [ancestors, arguments] = self.with_argument;
        if field.number == ancestors {
            return match field.index {
                Some(1) => Some("sh".into()),
                Some(2) => Some("containerd-shim".into()),
                Some(_) => None,
                None => Some(Value::Any(vec!["sh".into(), "containerd-shim".into()])),
            };
        }
        if field.number == arguments {
            return (field.argument.as_deref() == Some("flags")).then_some("O_RDONLY|O_CLOEXEC".into());
        }
        self.values[field.number].clone()
    }
}

fn sample(v: &Vocabulary, kind: &'static str, path: &'static str, write: bool, name: &'static str) -> Sample {
    let number = |name: &str| v.field(name).unwrap_or_else(|| panic!("no field {name}"));
    let mut values = vec![None; v.fields().len()];
    let mut put = |name: &str, value: Value<'static>| values[number(name)] = Some(value);
    let file = kind == "openat";
    put("evt.type", kind.into());
    put("evt.num", Value::Uint(7));
    put("evt.res", "SUCCESS".into());
    put("evt.rawres", Value::Int(3));
    for field in ["fd.name", "fd.nameraw"] {
        put(field, path.into());
    }
    put("fd.num", Value::Int(3));
    if file {
        put("evt.is_open_read", Value::Bool(!write));
        put("evt.is_open_write", Value::Bool(write));
        let (directory, base) = path.rsplit_once('/').unwrap_or(("", path));
        put("fd.directory", directory.into());
        put("fd.filename", base.into());
    } else {
        put("fd.l4proto", "tcp".into());
        put("fd.connected", Value::Bool(true));
        put("fd.sport", Value::Uint(443));
        for field in ["fd.sip", "fd.ip", "fd.net", "fd.snet", "fd.rnet"] {
            put(field, Value::Ip([10, 0, 0, 7].into()));
        }
    }
    put("fd.typechar", if file { "f" } else { "4" }.into());
    for field in ["proc.name", "proc.exe"] {
        put(field, name.into());
    }
    let texts = [
        ("proc.pname", "sh"),
        ("proc.cmdline", "node server.js --port 8080"),
        ("proc.pcmdline", "sh -c node"),
        ("proc.args", "server.js --port 8080"),
        ("proc.cwd", "/app/"),
        ("proc.exepath", "/usr/bin/node"),
        ("user.name", "root"),
        ("container.id", "3ad7b26ded6d"),
        ("container.image.repository", "library/node"),
        ("thread.cap_effective", "CAP_CHOWN CAP_KILL"),
        ("thread.cap_permitted", "CAP_CHOWN CAP_KILL"),
    ];
    texts.into_iter().for_each(|(field, text)| put(field, text.into()));
    put("proc.tty", Value::Uint(0));
    put("proc.vpid", Value::Int(12));
    put("proc.duration", Value::Uint(9_000_000_000));
    put("user.uid", Value::Uint(0));
    put("container.privileged", Value::Bool(false));
    Sample { kind: v.event(kind), values, with_argument: [number("proc.aname"), number("evt.arg")] }
}

fn mix(v: &Vocabulary) -> Vec<Sample> {
    [
        ("openat", "/usr/lib/libc.so.6", false, "node"),
        ("openat", "/app/node_modules/a/file", false, "node"),
        ("openat", "/tmp/cache/file", true, "node"),
        ("openat", "/etc/nsswitch.conf", false, "curl"),
        ("openat", "/proc/self/status", false, "ps"),
        ("connect", "10.0.0.9:40000->10.0.0.7:443", false, "node"),
        ("clone", "", false, "sh"),
        ("execve", "", false, "ls"),
    ]
    .map(|(kind, path, write, name)| sample(v, kind, path, write, name))
    .into()
}

fn measure(title: &str, rules: &Ruleset, events: usize) {
    let mix = mix(rules.vocabulary());
    let mut scratch = Scratch::default();
    let mut rounds: Vec<f64> = (0..5)
        .map(|_| {
            let (started, mut hits) = (Instant::now(), 0u64);
            for n in 0..events {
                let event = &mix[n % mix.len()];
                rules.judge(event.kind, event, &mut scratch, |_| {
                    hits += 1;
                    false
                });
            }
            std::hint::black_box(hits);
            started.elapsed().as_nanos() as f64 / events as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let ns = rounds[rounds.len() / 2];
    println!("rules, {title}: {ns:.0} ns an event, {:.0} events/s on one core", 1e9 / ns);
}

fn rules(files: Vec<File>) -> Ruleset {
    let loaded = load(&files, Arc::new(Vocabulary::falco().clone()));
    loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.reports))
}

fn main() {
    let generated: String = (0..1000)
        .map(|n| {
            format!(
                "- rule: r{n}\n  desc: d\n  condition: evt.type in (openat, execve) and container.id != host and \
                 (fd.name startswith /data/{n}/ or proc.name in (p{n}, q{n})) and not proc.pname = x{n}\n  \
                 output: o %fd.name\n  priority: INFO\n"
            )
        })
        .collect();
    measure("1000 generated", &rules(vec![File { name: "generated".into(), text: generated }]), 1);
    let named = std::env::var_os("PORTHOLE_FALCO_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/falco"));
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    let files: Option<Vec<File>> = names
        .iter()
        .map(|n| {
            let text = std::fs::read_to_string(folder.join("upstream-rules").join(n)).ok()?;
            Some(File { name: (*n).into(), text })
        })
        .collect();
    match files {
        Some(files) => measure("93 of upstream", &rules(files), 4_000),
        None => println!("SKIP: upstream's rules are not in {}", folder.display()),
    }
}
