//! A hostile session: hello, records of any pid, gaps, tampering, its end. Every event is one line of JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| porthole_collector::fuzzing::events(bytes));
