//! Each family of calls, once: what the program says of its own calls is what the events say.

use porthole_tests::compare::{Case, Hooked};
use porthole_tests::events::{Event, Events};
use porthole_tests::scratch::Scratch;
use porthole_tests::targets;
use serde_json::Value;
use std::path::Path;

/// Events of calls that the program does not list: those of its start, its end, and what has suites of its own.
const OTHERS: [&str; 8] = ["open", "openat", "creat", "execve", "procexit", "connect", "chdir", "porthole.blindspot"];

fn run(program: &Path) -> (Hooked, Events) {
    let scratch = Scratch::new();
    let dir = scratch.join("d");
    std::fs::create_dir(&dir).expect("a directory for the program");
    let hooked = Case::new(program, &[dir.to_string_lossy()]).hooked();
    assert_eq!(hooked.outcome.status, 0, "{:?}", hooked.outcome);
    let of_agent = |e: &Event| ["symbols", "sites"].contains(&e.text("porthole.source"));
    let calls = hooked.events.filter(|e| of_agent(e) && !e.is(&OTHERS));
    (hooked, calls)
}

/// A field as text, numbers too.
fn shown(event: &Event, field: &str) -> String {
    match event.0.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "(none)".into(),
    }
}

/// Compares the program's own account, line by line, with the events.
fn compare(program: &Path) -> (Hooked, Events) {
    let (hooked, calls) = run(program);
    let lines = hooked.outcome.text();
    let mut wrong = vec![];
    for (n, line) in lines.lines().enumerate() {
        let Some(event) = calls.0.get(n) else {
            wrong.push(format!("{line:?}: no event"));
            break;
        };
        let mut cells = line.split('\t');
        let mut fields = vec![("evt.type".to_owned(), cells.next()), ("evt.rawres".to_owned(), cells.next())];
        fields.extend(cells.filter_map(|c| c.split_once('=')).map(|(k, v)| (format!("evt.arg.{k}"), Some(v))));
        for (field, expected) in fields {
            let found = shown(event, &field);
            if Some(found.as_str()) != expected {
                wrong.push(format!("{line:?}: {field} is {found}"));
            }
        }
        if wrong.len() > 8 {
            break;
        }
    }
    assert!(wrong.is_empty(), "{}\namong {calls}", wrong.join("\n"));
    assert!(calls.len() > 60 && calls.len() == lines.lines().count(), "{} events\n{calls}", calls.len());
    (hooked, calls)
}

#[test]
fn every_family_on_glibc() {
    let (hooked, calls) = compare(&targets::glibc("families"));
    let lookup = calls.filter(|e| e.kind() == "getaddrinfo");
    assert!(lookup.only("the lookup").text("evt.arg.addresses").contains("127.0.0.1"), "{lookup}");
    let named = hooked.events.filter(|e| e.kind() == "connect" && e.text("fd.sip.name") == "localhost");
    assert_eq!(named.first("a connect with the name", &hooked.events).text("fd.sip"), "127.0.0.1");
}

#[test]
fn every_family_on_musl() {
    compare(&targets::musl("families"));
}

#[test]
fn both_ends_of_a_connection() {
    let (hooked, calls) = run(&targets::glibc("families"));
    let connects = hooked.events.filter(|e| e.kind() == "connect" && e.number("fd.lport").is_some());
    let connect = connects.first("a connect with its own end", &hooked.events);
    let port = connect.number("fd.cport").expect("the client's port");
    let server = connect.number("fd.sport").expect("the server's port");
    assert_eq!(connect.text("fd.name"), format!("127.0.0.1:{port}->127.0.0.1:{server}"));
    let accepts = calls.filter(|e| e.kind() == "accept");
    assert_eq!(accepts.only("the accept").number("fd.cport"), Some(port));
}
