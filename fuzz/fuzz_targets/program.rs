//! The head of a file that a container starts, the environment that says where to look for it, and the host's list of
//! mounts.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| porthole_shim_runc::fuzzing::program(bytes));
