//! A config.json: what porthole does to it can be undone, and nothing else changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_registration::container::Inject;
use porthole_registration::{edits, undo};
use porthole_shim_runc::elf::Target;
use porthole_shim_runc::engine;
use porthole_shim_runc::plan::dev::Root;
use porthole_shim_runc::plan::{Plan, Share, is_sound, plan};
use serde_json::Value;
use std::path::Path;

const DYNAMIC: Target = Target { name: "dynamic", objection: None };

fuzz_target!(|bytes: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Value>(bytes) else { return };
    let own = Path::new("/run/p/c/share");
    let _ = undo::without_edits(bytes, own);
    if !is_sound(&spec) {
        return;
    }
    let container = engine::describe("c", "/b", &spec);
    assert!(
        container.annotations.len() <= spec["annotations"].as_object().map_or(0, serde_json::Map::len),
        "nothing is made up"
    );
    // A spec that names a share has been edited already: creating starts from what it was before.
    if !edits::shares(&spec).is_empty() || mentions_us(&spec) {
        return;
    }
    let root = [Root::Free, Root::EmptyDirectory, Root::Taken, Root::ReadOnly][bytes.len() % 4];
    let inject = [Inject::Env, Inject::File, Inject::Both][bytes.len() / 4 % 3];
    let share = Share { mnt: Path::new("/run/p/c/share/mnt"), rings: Path::new("/run/p/c/share/rings"), inject };
    let Plan::Inject { spec: mut edited, library, .. } = plan(spec.clone(), share, DYNAMIC, || root) else {
        return;
    };
    let written = serde_json::to_vec(&edited).expect("a value");
    assert!(is_sound(&edited));
    let env: Vec<&str> = engine::environment(&edited["process"]).collect();
    assert!(
        !inject.by_variable()
            || env.iter().rev().find(|e| e.starts_with("LD_PRELOAD=")).is_some_and(|e| e.ends_with(&library))
    );
    assert!(edits::remove(&mut edited, own), "our own edits are found again");
    assert_eq!(without_made(edited, &spec), spec);
    assert!(undo::without_edits(&written, own).is_some());
});

/// An agent's path in the environment is ours wherever it comes from, and is taken out with the rest.
fn mentions_us(spec: &Value) -> bool {
    engine::environment(&spec["process"]).any(|e| e.starts_with("LD_PRELOAD=") && e.contains("porthole"))
}

/// Lists that were missing or null are left behind empty.
fn without_made(mut edited: Value, spec: &Value) -> Value {
    for (object, list) in [("", "mounts"), ("/process", "env")] {
        let before = spec.pointer(object).and_then(|o| o.get(list)).cloned();
        let Some(object) = edited.pointer_mut(object).and_then(Value::as_object_mut) else { continue };
        match before {
            Some(Value::Null) => _ = object.insert(list.into(), Value::Null),
            None => _ = object.shift_remove(list),
            Some(_) => {}
        }
    }
    edited
}
