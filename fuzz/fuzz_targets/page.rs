//! The control page in a file that is meant to be an agent, and the table of sites in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_common::control;

fuzz_target!(|bytes: &[u8]| {
    let found = control::find(bytes);
    if let Some(at) = found {
        assert!(at % control::ALIGN == 0 && at + control::SIZE <= bytes.len());
        assert!(bytes[at..].starts_with(&control::MAGIC));
    }
    let agent = porthole_registration::fuzzing::agent(bytes);
    assert_eq!(agent.is_some(), found.is_some());
    if let Some(agent) = agent {
        assert_eq!(agent.len(), bytes.len(), "only the page is written to");
        let page = found.unwrap()..found.unwrap() + control::SIZE;
        assert_eq!((&agent[..page.start], &agent[page.end..]), (&bytes[..page.start], &bytes[page.end..]));
        porthole_registration::fuzzing::table(&agent[page.start + porthole_common::sites::OFFSET..page.end]);
    }
});
