//! What the rules want to know that is not looked for otherwise, because asking costs something.

use porthole_rules::ruleset::Ruleset;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static UPPER_LAYER: AtomicBool = AtomicBool::new(false);

/// Whether somebody asks which layer of the image an executable is from.
pub(crate) fn upper_layer() -> bool {
    UPPER_LAYER.load(Relaxed)
}

/// From now on, what these rules ask for is looked for.
pub(super) fn set(rules: &Ruleset) {
    let mut upper = false;
    for rule in rules.rules().iter().filter(|r| r.enabled) {
        let mut ask =
            |name: &str| upper |= name.starts_with("proc.is_exe_upper") || name.starts_with("proc.is_exe_lower");
        rule.condition.each_field(&mut |field| ask(&field.name));
        rule.output.fields().for_each(|source| source.each_field(&mut |field| ask(&field.name)));
    }
    UPPER_LAYER.store(upper, Relaxed);
}
