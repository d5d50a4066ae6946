//! A file of `rings/` that is anything, and is written to and cut while it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| porthole_collector::fuzzing::ring_file(bytes));
