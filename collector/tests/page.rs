//! docs/OPERATIONS.md tells of every reason and every metric that this crate has.

use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md")).unwrap()
}

/// The sources below a directory, without their tests.
fn sources(below: &str) -> String {
    let mut left = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src").join(below)];
    let mut text = String::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let source = fs::read_to_string(&path).unwrap();
            text += source.split("#[cfg(test)]").next().unwrap();
        }
    }
    text
}

/// What a pattern's group finds in a text.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|c| c[1].to_owned()).collect()
}

fn assert_told(what: &str, names: &BTreeSet<String>, at_least: usize) {
    assert!(names.len() >= at_least, "only these were found, so the pattern is wrong: {names:?}");
    let page = page();
    let missing: Vec<&String> = names.iter().filter(|n| !page.contains(&format!("`{n}"))).collect();
    assert!(missing.is_empty(), "docs/OPERATIONS.md does not tell what to do about {what} {missing:?}");
}

#[test]
fn every_refusal() {
    let text = sources("ingest") + &sources("tag");
    let names = found(r#"(?:refuse\(|refuse\(container, |tampered\(id, |Err\(|ok_or\(|Refusal = )"([a-z_]+)""#, &text);
    assert_told("the refusals", &names, 20);
}

#[test]
fn every_reason_of_a_loss() {
    let names = found(r#"Reason::\w+ => "([a-z_]+)""#, &sources("loss.rs"));
    assert_told("the losses", &names, 5);
}

#[test]
fn every_blind_spot() {
    // those that docs/WIRE.md explains
    let wire = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/WIRE.md")).unwrap();
    let part = wire.split("### Blind spots").nth(1).unwrap().split("\n### ").next().unwrap();
    let first: String = part.lines().filter(|l| l.starts_with("| `")).map(|l| l.split('|').nth(1).unwrap()).collect();
    let names = found("`([a-z_]+)`", &first);
    assert_told("the blind spots", &names, 15);
}

#[test]
fn every_metric() {
    let text = sources("api/metrics.rs");
    let names = found(r#""((?:porthole|falcosecurity)_[a-z_]+[a-z])""#, &text);
    // the page writes the second and later ones of containers with an ellipsis
    let page = page();
    let told = |name: &String| {
        let short = name.strip_prefix("porthole_container").unwrap_or(name);
        page.contains(&format!("`{name}")) || page.contains(&format!("`…{short}"))
    };
    assert!(names.len() > 25, "{names:?}");
    let missing: Vec<&String> = names.iter().filter(|n| !told(n)).collect();
    assert!(missing.is_empty(), "docs/OPERATIONS.md does not explain the metrics {missing:?}");
}
