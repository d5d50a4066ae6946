//! What container engines write about their containers: docker's files, podman's lists, the databases of podman and
//! containerd, CRI-O's annotations, results of network plugins, control groups and references to images.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    porthole_identity::fuzzing::engines(*which, bytes);
});
