//! Falco's own rules, and what they must find: acceptance cases with the expectations that Falco's code has computed.
//! They lie in a folder that `PORTHOLE_FALCO_DATA` names (default `../shared/falco` beside the repository).

pub mod cases;
pub mod engines;
pub mod image;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Names of upstream's files.
const FILES: [&str; 3] = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];

/// The folder.
pub fn folder() -> PathBuf {
    let named = std::env::var_os("PORTHOLE_FALCO_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/falco"))
}

/// Upstream's rules files; `None` where they are not here.
pub fn upstream() -> Option<Vec<PathBuf>> {
    let all: Vec<PathBuf> = FILES.iter().map(|f| folder().join("upstream-rules").join(f)).collect();
    all.iter().all(|p| p.is_file()).then_some(all)
}

/// Which rules each case's event fires, by the case's id. Those that are off by default are on.
pub fn expectations() -> Option<BTreeMap<String, BTreeSet<String>>> {
    let bytes = std::fs::read(folder().join("replay.json")).ok()?;
    let all: Value = serde_json::from_slice(&bytes).expect("replay.json is JSON");
    let events = all["events"].as_array().expect("events");
    let names = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let id = |v: &Value| v["id"].as_str().unwrap_or("").trim_start_matches("case-").to_owned();
    let fired = |e: &Value| names(&e["fires"]).into_iter().chain(names(&e["fires_if_enabled"])).collect();
    Some(events.iter().map(|e| (id(e), fired(e))).collect())
}
