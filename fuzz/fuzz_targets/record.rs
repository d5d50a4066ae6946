//! Any bytes are a record or an error; a record says the same when it is encoded and decoded again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_common::record::Record;
use porthole_fuzz::{apart, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::decode(bytes) else { return };
    let (plain, argv) = apart(&record);
    if let Record::Lookup(lookup) = &record {
        assert!(lookup.ips().count() <= lookup.addresses.len() / 5);
    }
    if let Record::Called(called) = &record {
        let signature = called.signature().expect("only calls with a signature decode");
        for (name, _) in signature.arguments {
            let _ = called.argument(name);
        }
    }
    let again = encode(&record);
    let second = Record::decode(&again).expect("what we encode decodes");
    let (second_plain, second_argv) = apart(&second);
    assert_eq!(argv, second_argv);
    assert_eq!(format!("{plain:?}"), format!("{second_plain:?}"));
    assert_eq!(encode(&second), again);
});
