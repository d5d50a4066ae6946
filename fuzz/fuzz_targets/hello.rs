//! What a process may send over its container's socket, or write into its ring's header.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| porthole_collector::fuzzing::hello(bytes));
