//! Rules files, as many as NULs divide the input into: loaded, judged by, their outputs and problems written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use porthole_fuzz::anything::{Anything, VOCABULARY, mixed};
use porthole_rules::load::{File, load};
use porthole_rules::program::Scratch;

/// As many files as a user may have layers: the product's, a team's, an own one.
const FILES: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let texts = bytes.splitn(FILES, |b| *b == 0);
    let file = |(n, text): (usize, &[u8])| File {
        name: format!("{n}.yaml"),
        text: String::from_utf8_lossy(text).into_owned(),
    };
    let files: Vec<File> = texts.enumerate().map(file).collect();
    let loaded = load(&files, VOCABULARY.clone());
    assert!(loaded.reports.len() <= files.len());
    assert_eq!(loaded.rules.is_some(), loaded.reports.iter().all(|r| r.errors.is_empty()));
    for problem in loaded.reports.iter().flat_map(|r| r.errors.iter().chain(&r.warnings)) {
        assert!(problem.to_string().len() < 16 * (bytes.len() + 64), "{problem}");
    }
    let Some(mut rules) = loaded.rules else { return };
    let mut scratch = Scratch::default();
    for kind in (0..VOCABULARY.events().len()).map(Some).chain([None]) {
        let event = Anything { kind, salt: mixed(bytes.len() as u64) };
        rules.judge(kind, &event, &mut scratch, |rule| {
            assert!(rule.enabled && rule.types.has(kind));
            let line = rule.output.text(&event).expect("an output of a rule has a word for what is missing");
            assert!(line.len() < 64 * (rule.output_text.len() + 64), "{line}");
            assert!(rule.output.values(&event).all(|(name, _)| !name.is_empty()));
            true
        });
    }
    rules.select(|_| false);
    assert_eq!(rules.types(), (vec![], false), "without rules there is nothing to look for");
});
