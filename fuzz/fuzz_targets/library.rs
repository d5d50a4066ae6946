//! A file in the place of a container's C library: what is found in it is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| porthole_registration::fuzzing::library(bytes));
