//! `docs/WIRE.md` has every kind of record and every call, as the code has them.

use porthole_common::record::signature::Kind;
use porthole_common::record::{Call, Record};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WIRE.md")).expect("the page is there")
}

/// The rows of the first table behind a heading, cell by cell, without its head.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The arguments that a record has, byte strings in italics.
fn arguments(call: Call) -> String {
    let recorded = |(name, kind): &(&str, Kind)| match kind {
        Kind::Skip => None,
        Kind::Number => Some(name.to_string()),
        _ => Some(format!("*{name}*")),
    };
    let signature = call.signature().expect("has one");
    signature.arguments.iter().filter_map(recorded).collect::<Vec<_>>().join(", ")
}

#[test]
fn each_call_with_a_signature_has_its_row() {
    let page = page();
    let mut told: BTreeMap<u8, String> = rows(&page, "### Calls told by their signature")
        .iter()
        .map(|r| (r[0].parse().unwrap(), r[1..].join("|")))
        .collect();
    let mut wrong = vec![];
    for call in Call::ALL {
        let Some(signature) = call.signature() else { continue };
        let row = format!("{call:?}|{}|{}", signature.event, arguments(*call));
        if told.remove(&(*call as u8)).as_deref() != Some(&row) {
            wrong.push(format!("| {} | {} |", *call as u8, row.replace('|', " | ")));
        }
    }
    assert!(wrong.is_empty(), "docs/WIRE.md should have these rows:\n{}", wrong.join("\n"));
    assert!(told.is_empty(), "docs/WIRE.md has calls that are none: {told:?}");
}

#[test]
fn each_other_call_is_named_by_its_number() {
    let page = page();
    let range = |text: &str| -> RangeInclusive<u8> {
        let (a, b) = text.split_once('–').unwrap_or((text, text));
        a.parse().unwrap()..=b.parse().unwrap()
    };
    let rows = rows(&page, "### Calls");
    let named: Vec<u8> = rows.iter().flat_map(|r| r[0].split(", ").flat_map(range)).collect();
    let others: Vec<u8> = Call::ALL.iter().map(|c| *c as u8).collect();
    for call in Call::ALL {
        // prctl has both: a sandbox record, and one of any other option
        let expected = call.signature().is_none() || *call == Call::Prctl;
        assert_eq!(named.contains(&(*call as u8)), expected, "{call:?}");
    }
    assert!(named.iter().all(|n| others.contains(n)), "{named:?} are all calls");
}

#[test]
fn each_kind_has_its_row() {
    let page = page();
    let rows = rows(&page, "## Records");
    let numbers: Vec<u8> = rows.iter().map(|r| r[0].parse().unwrap()).collect();
    // An array of one known kind and nothing else is cut short; of an unknown kind, it is that.
    let unknown = Record::decode(&[0x91, 0]).expect_err("no kind is 0");
    let known: Vec<u8> = (1..100).filter(|n| Record::decode(&[0x91, *n]).expect_err("too short") != unknown).collect();
    assert_eq!(numbers, known);
}
