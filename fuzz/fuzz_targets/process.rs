//! The process object that an engine adds to a container.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_shim_runc::{engine, fuzzing};
use serde_json::Value;

const LIBRARY: &str = "/dev/porthole/libporthole.so";

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let process = engine::process(&value);
    assert!(process.args.len() <= value["args"].as_array().map_or(0, Vec::len));
    if !value.is_object() {
        return;
    }
    let Some(edited) = fuzzing::add(value.clone(), LIBRARY) else { return };
    let count = |v: &Value| engine::environment(v).filter(|e| e.contains(LIBRARY)).count();
    assert!(count(&edited) == 1 || count(&value) > 0);
    assert_eq!(fuzzing::add(edited.clone(), LIBRARY), Some(edited), "a second time changes nothing");
});
