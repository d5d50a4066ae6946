//! What lies on the host in the container's name (registration, saved processes), what a container's image and its
//! processes put into files that the collector reads (passwd, /proc), and what a client of the API asks for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_registration::container::{Container, Exec};

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 4 {
        0 => reads_back::<Container>(bytes),
        1 => reads_back::<Exec>(bytes),
        _ => {}
    }
    porthole_collector::fuzzing::state(*which, bytes);
});

fn reads_back<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&value).expect("it has string keys");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what we write we read"), value);
}
