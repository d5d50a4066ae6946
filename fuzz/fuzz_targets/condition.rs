//! A condition: parsed, written and parsed again, compiled, tried on events of every type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_fuzz::anything::{Anything, VOCABULARY, mixed};
use porthole_rules::program::{Program, Scratch};
use porthole_rules::{parse, types};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let expr = match parse::condition(text) {
        Ok(expr) => expr,
        Err(e) => return assert!(text.is_char_boundary(e.at), "a place in the text: {e:?}"),
    };
    // to compile a regular expression takes fifty times as long as all else: one of sixteen
    if text.contains("regex") && !text.len().is_multiple_of(16) {
        return;
    }
    let mut program = Program::default();
    let mut warnings = vec![];
    let compiled = program.add(&expr, &VOCABULARY, &mut warnings);
    assert!(warnings.iter().all(|w| w.at <= text.len()));
    let node = match compiled {
        Ok(node) => node,
        Err(e) => return assert!(e.at <= text.len(), "{e:?}"),
    };
    // compiled once more it is the same: what is known is found again
    assert_eq!(program.add(&expr, &VOCABULARY, &mut vec![]), Ok(node));
    let types = types::of(&expr, &VOCABULARY);
    let mut scratch = Scratch::default();
    for kind in (0..VOCABULARY.events().len()).map(Some).chain([None]) {
        scratch.next();
        let event = Anything { kind, salt: mixed(bytes.len() as u64) };
        let holds = program.judge(node, &event, &mut scratch);
        assert_eq!(program.judge(node, &event, &mut scratch), holds, "it says the same again");
        assert!(!holds || types.has(kind), "{kind:?} is among the types it can be true for");
    }
});
