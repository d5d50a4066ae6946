//! Conformance with Falco, by vectors whose expectations its own code has computed.
//!
//! They lie in a folder that `PORTHOLE_FALCO_DATA` names (default `../shared/falco` beside the repository).

use porthole_rules::format::Format;
use porthole_rules::problem::Problem;
use porthole_rules::program::{Program, Scratch};
use porthole_rules::vocabulary::{Info, Type, Vocabulary};
use porthole_rules::{event, load, parse, types};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A file of vectors.
fn data(name: &str) -> Option<Value> {
    bytes(name).map(|bytes| serde_json::from_slice(&bytes).expect("the vectors are JSON"))
}

/// A file; `None`, with a printed reason, where it is not here.
fn bytes(name: &str) -> Option<Vec<u8>> {
    let named = std::env::var_os("PORTHOLE_FALCO_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/falco"));
    match std::fs::read(folder.join(name)) {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "SKIP: {name} in {}: {e}", folder.display());
            None
        }
    }
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_else(|| panic!("{key} in {v}"))
}

/// Runs `judge` over the vectors of one section; what it returns is what is wrong.
fn section(name: &str, judge: impl Fn(&Value) -> Result<(), String>) {
    let Some(all) = data("vectors.json") else { return };
    let vectors = all[name].as_array().or(all[name]["cases"].as_array()).expect("a section of vectors");
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|v| {
            judge(v).err().map(|why| format!("{} ({}): {why}", text(v, "id"), v["note"].as_str().unwrap_or("")))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} vectors:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
    println!("{name}: {} vectors", vectors.len());
}

#[test]
fn conditions_are_parsed_as_falco_does() {
    section("parse", |v| {
        let condition = text(v, "condition");
        match (parse::condition(condition), text(v, "expect")) {
            (Ok(expr), "valid") => {
                let (got, want) = (expr.to_string(), text(v, "canonical"));
                if got == want { Ok(()) } else { Err(format!("{condition:?} is {got:?}, not {want:?}")) }
            }
            (Err(_), "invalid") => Ok(()),
            (Ok(expr), _) => Err(format!("{condition:?} is taken as {expr}")),
            (Err(e), _) => Err(format!("{condition:?} is refused at {}: {}", e.at, e.what)),
        }
    });
}

#[test]
fn event_types_are_those_of_falco() {
    section("event_types", |v| {
        let expr = parse::condition(text(v, "condition")).map_err(|e| e.what)?;
        let vocabulary = Vocabulary::falco();
        let set = types::of(&expr, vocabulary);
        let mut got: Vec<&str> = set.names(vocabulary).collect();
        got.sort_unstable();
        match &v["expect_types"] {
            Value::Array(want) if want.iter().map(|w| w.as_str().unwrap()).eq(got.iter().copied()) => Ok(()),
            Value::String(_) if got.len() > 100 => Ok(()),
            want => Err(format!("{got:?}, not {want}")),
        }
    });
}

/// A value as the vectors have it.
fn value<'a>(kind: Type, json: &Value) -> Option<event::Value<'a>> {
    Some(match (kind, json) {
        (_, Value::Null) => return None,
        (_, Value::Array(all)) => event::Value::List(all.iter().filter_map(|v| value(kind, v)).collect()),
        (Type::Bytes, Value::String(hex)) => {
            let byte = |n: usize| u8::from_str_radix(&hex[n * 2..n * 2 + 2], 16).expect("hex");
            event::Value::Bytes((0..hex.len() / 2).map(byte).collect())
        }
        (Type::Ip | Type::Net, Value::String(ip)) => event::Value::Ip(ip.parse().expect("an address")),
        (_, Value::String(text)) => text.clone().into(),
        (_, Value::Bool(b)) => event::Value::Bool(*b),
        (Type::Int, Value::Number(n)) => event::Value::Int(n.as_i64().expect("a number")),
        (_, Value::Number(n)) => event::Value::Uint(n.as_u64().expect("a number")),
        other => panic!("{other:?}"),
    })
}

/// Fields given with their types, and an event that has their values.
struct Given(Vocabulary, HashMap<String, event::Value<'static>>);

impl Given {
    fn new(fields: &Value) -> Given {
        let mut given = Given(Vocabulary::default(), HashMap::new());
        for (name, f) in fields.as_object().expect("fields") {
            let kind = Type::of(text(f, "type")).unwrap_or_else(|| panic!("{f}"));
            given.0.add_field(Info { list: f["list"] == true, ..Info::new(name, kind) });
            given.1.extend(value(kind, &f["value"]).map(|v| (name.clone(), v)));
        }
        given
    }
}

impl event::Event for Given {
    fn value(&self, field: &event::Asked) -> Option<event::Value<'_>> {
        self.1.get(&field.name).cloned()
    }
}

#[test]
fn conditions_are_true_where_falco_says_so() {
    section("eval", |v| {
        let given = Given::new(&v["fields"]);
        let expr = parse::condition(text(v, "condition")).map_err(|e| e.what)?;
        let mut program = Program::default();
        let node = program.add(&expr, &given.0, &mut vec![]).map_err(|e| e.what)?;
        let got = program.judge(node, &given, &mut Scratch::default());
        if v["expect"] == got { Ok(()) } else { Err(format!("{} is {got}", text(v, "condition"))) }
    });
}

fn as_json(value: &event::Value) -> Value {
    match value {
        event::Value::Bool(b) => (*b).into(),
        event::Value::Int(n) => (*n).into(),
        event::Value::Uint(n) => (*n).into(),
        event::Value::List(all) => all.iter().map(as_json).collect(),
        other => other.text().into(),
    }
}

#[test]
fn formats_give_falcos_text_and_fields() {
    let Some(all) = data("vectors.json") else { return };
    let given = Given::new(&all["format"]["fields"]);
    section("format", |v| {
        let format = match (Format::new(text(v, "format"), &given.0), v["expect"] == "error") {
            (Err(_), true) => return Ok(()),
            (Ok(_), true) => return Err("is taken".into()),
            (Err(e), false) => return Err(e.what),
            (Ok(format), false) => format,
        };
        let got = format.text(&given);
        if got.as_deref() != v["text"].as_str() {
            return Err(format!("{got:?}, not {}", v["text"]));
        }
        let fields: serde_json::Map<String, Value> =
            format.values(&given).map(|(n, v)| (n.to_owned(), v.map_or(Value::Null, |v| as_json(&v)))).collect();
        match &v["json"] {
            Value::Object(want) if v["json_ok"] == true && *want != fields => Err(format!("{fields:?}, not {want:?}")),
            _ => Ok(()),
        }
    });
}

/// What loading gives, in the vectors' words.
fn load_all(files: &[&str]) -> load::Loaded {
    let files: Vec<load::File> = files
        .iter()
        .enumerate()
        .map(|(n, t)| load::File { name: format!("{n}.yaml"), text: (*t).to_owned() })
        .collect();
    load::load(&files, Arc::new(Vocabulary::falco().clone()))
}

fn codes(problems: &[Problem]) -> Vec<&'static str> {
    let mut codes: Vec<&str> = problems.iter().map(|p| p.code.as_str()).collect();
    codes.sort_unstable();
    codes
}

fn texts(v: &Value) -> Vec<&str> {
    v.as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[test]
fn conditions_compile_where_falco_compiles_them() {
    section("compile", |v| {
        let condition = serde_json::to_string(text(v, "condition")).expect("text");
        let file = format!("- rule: r\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n");
        let loaded = load_all(&[&file]);
        let report = &loaded.reports[0];
        let mut want = texts(&v["error"]);
        // upstream throws an exception here, which ends the program
        want.iter_mut().filter(|c| **c == "EXC").for_each(|c| *c = "LOAD_ERR_COMPILE_CONDITION");
        if codes(&report.errors) != want || codes(&report.warnings) != texts(&v["warnings"]) {
            return Err(format!("{condition}: {:?} {:?}", report.errors, report.warnings));
        }
        let Some(rules) = &loaded.rules else { return Ok(()) };
        let types: Vec<&str> = rules.rules()[0].types.names(rules.vocabulary()).collect();
        match &v["event_types"] {
            Value::Array(_) if texts(&v["event_types"]) == types => Ok(()),
            Value::String(_) if types.len() > 100 => Ok(()),
            want => Err(format!("{condition}: {types:?}, not {want}")),
        }
    });
}

#[test]
fn files_load_as_in_falco() {
    section("files", |v| {
        let loaded = load_all(&texts(&v["files"]));
        let want = &v["expect"];
        let last = loaded.reports.last().expect("a report");
        if codes(&last.errors) != texts(&want["errors"]) {
            return Err(format!("{:?}, not {}", last.errors, want["errors"]));
        }
        let warnings: Vec<Vec<&str>> = loaded.reports.iter().map(|r| codes(&r.warnings)).collect();
        let wanted: Vec<Vec<&str>> =
            want["warnings_per_file"].as_array().expect("warnings").iter().map(texts).collect();
        if warnings != wanted {
            return Err(format!("{:?}, not {wanted:?}", loaded.reports));
        }
        let Some(rules) = loaded.rules else { return Ok(()) };
        let minimum =
            v["settings"]["min_priority"].as_str().map_or(load::Priority::Debug, |p| load::Priority::of(p).unwrap());
        let enabled = rules.rules().iter().filter(|r| r.enabled && r.priority <= minimum).count();
        if want["enabled_rules"] != enabled {
            return Err(format!("{enabled} rules enabled, not {}", want["enabled_rules"]));
        }
        let view = |r: &porthole_rules::ruleset::Rule| {
            serde_json::json!({
                "name": r.name, "condition": r.condition.to_string(), "output": r.output_text,
                "priority": r.priority.as_str(), "enabled": r.enabled, "tags": r.tags, "desc": r.desc,
            })
        };
        let got: Vec<Value> = rules.rules().iter().map(view).collect();
        if want["rules"] == Value::Array(got.clone()) {
            Ok(())
        } else {
            Err(format!("{got:?}\n  not {}", want["rules"]))
        }
    });
}

/// The rules files of upstream; `None`, with a printed reason, where they are not here.
fn upstream() -> Option<Vec<String>> {
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    names.iter().map(|n| bytes(&format!("upstream-rules/{n}")).map(|b| String::from_utf8(b).expect("text"))).collect()
}

#[test]
fn upstreams_rules_load_without_a_word() {
    let Some(files) = upstream() else { return };
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let loaded = load_all(&files);
    for report in &loaded.reports {
        assert!(report.errors.is_empty() && report.warnings.is_empty(), "{report:?}");
    }
    let rules = loaded.rules.expect("no errors");
    let enabled = rules.rules().iter().filter(|r| r.enabled).count();
    assert_eq!((rules.rules().len(), enabled), (93, 81));
}

/// An event by the names of its fields, as a format has them.
struct Replayed<'v>(&'v serde_json::Map<String, Value>);

impl event::Event for Replayed<'_> {
    fn value(&self, field: &event::Asked) -> Option<event::Value<'_>> {
        let name = match &field.argument {
            Some(argument) if field.name == "evt.arg" => format!("evt.arg.{argument}"),
            Some(argument) => format!("{}[{argument}]", field.name),
            None => field.name.clone(),
        };
        let info = &Vocabulary::falco().fields()[field.number];
        match value(info.kind, self.0.get(&name)?)? {
            event::Value::List(ancestors) => Some(event::Value::Any(ancestors)),
            value => Some(value),
        }
    }
}

#[test]
fn upstreams_rules_fire_where_falco_fires() {
    let (Some(files), Some(replay)) = (upstream(), data("replay.json")) else { return };
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut rules = load_all(&files).rules.expect("they load");
    let mut scratch = Scratch::default();
    let shipped = rules.clone();
    rules.select(|_| true);
    let mut wrong = vec![];
    for case in replay["events"].as_array().expect("events") {
        let event = Replayed(case["event"].as_object().expect("fields"));
        let kind = rules.vocabulary().event(text(&case["event"], "evt.type"));
        let (mut fires, mut first, mut disabled) = (vec![], None, vec![]);
        shipped.judge(kind, &event, &mut scratch, |r| {
            first.get_or_insert(r.name.as_str());
            fires.push(r.name.as_str());
            true
        });
        // another set of rules is another program, whose answers are its own
        let mut other = Scratch::default();
        rules.judge(kind, &event, &mut other, |r| {
            if !fires.contains(&r.name.as_str()) {
                disabled.push(r.name.as_str());
            }
            true
        });
        let id = text(case, "id");
        if texts(&case["fires"]) != fires || case["first"].as_str() != first {
            wrong.push(format!("{id}: {fires:?}, not {}; first {first:?}", case["fires"]));
        }
        if texts(&case["fires_if_enabled"]) != disabled {
            wrong.push(format!("{id}: if enabled {disabled:?}, not {}", case["fires_if_enabled"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
