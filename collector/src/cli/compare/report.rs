//! The verdict for people and for programs.

use super::outcome::{Difference, Verdict};
use crate::format::escape::escape;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt::Write;

/// Characters of a value that are shown.
const SHOWN: usize = 160;

/// Text for people.
pub fn text(verdict: &Verdict) -> String {
    let mut text = String::new();
    // writing to a String cannot fail
    match verdict.differences.len() {
        0 => _ = writeln!(text, "no difference: {}, {} things compared", verdict.end, verdict.compared),
        n => _ = writeln!(text, "{}", crate::cli::summary::count(n as u64, "difference", "differences")),
    }
    for (name, difference) in &verdict.differences {
        let (at, bare, hooked) = shown(difference);
        let name = escape(name);
        let _ = writeln!(text, "  {name}{at}\n    bare    {}\n    hooked  {}", word(&bare), word(&hooked));
    }
    if !verdict.unstable.is_empty() {
        let _ = writeln!(text, "unstable, differs between bare runs: {}", escape(&verdict.unstable.join(", ")));
    }
    if let Some(entry) = &verdict.allowed {
        let _ = writeln!(text, "allowed: {}", escape(entry));
    }
    if !verdict.seen {
        text += "not compared: what the first process held at its end; it could not be traced\n";
    }
    let (bare, hooked) = (verdict.bare, verdict.hooked);
    let _ = writeln!(text, "\n{:<12} {:>12} {:>12} {:>7}", "", "bare", "hooked", "ratio");
    for (name, bare, hooked) in [("wall ms", bare.wall_ns, hooked.wall_ns), ("cpu ms", bare.cpu_ns, hooked.cpu_ns)] {
        let (b, h) = (bare as f64 / 1e6, hooked as f64 / 1e6);
        let _ = writeln!(text, "{name:<12} {b:>12.2} {h:>12.2} {:>7}", ratio_text(bare, hooked));
    }
    let memory =
        [("max rss KiB", bare.max_rss_kb, hooked.max_rss_kb), ("private KiB", bare.private_kb, hooked.private_kb)];
    for (name, bare, hooked) in memory {
        let _ = writeln!(text, "{name:<12} {bare:>12} {hooked:>12} {:>7}", ratio_text(bare, hooked));
    }
    let per = verdict.ns_per_record().map_or(String::new(), |ns| format!(", {ns} ns of CPU time each"));
    let _ = writeln!(text, "records {}{per}; lost {}; runs {}", verdict.records, verdict.lost, verdict.runs);
    if verdict.runs < 3 {
        text += "few runs: the times say little, the first run finds cold caches; --runs 9 gives medians\n";
    }
    text
}

/// JSON for programs: one object.
pub fn json(verdict: &Verdict, command: &[OsString]) -> String {
    let differences: Vec<Value> = verdict.differences.iter().map(|(name, d)| difference(name, d)).collect();
    let (bare, hooked) = (verdict.bare, verdict.hooked);
    let value = json!({
        "command": command.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>(),
        "same": verdict.differences.is_empty(),
        "end": verdict.end,
        "compared": verdict.compared,
        "state_compared": verdict.seen,
        "differences": differences,
        "unstable": verdict.unstable,
        "allowed": verdict.allowed,
        "runs": verdict.runs,
        "bare": bare,
        "hooked": hooked,
        "ratio": {
            "wall": ratio(bare.wall_ns, hooked.wall_ns),
            "cpu": ratio(bare.cpu_ns, hooked.cpu_ns),
            "max_rss": ratio(bare.max_rss_kb, hooked.max_rss_kb),
        },
        "records": verdict.records,
        "lost": verdict.lost,
        "ns_per_record": verdict.ns_per_record(),
    });
    format!("{value}\n")
}

fn difference(name: &str, difference: &Difference) -> Value {
    let (_, bare, hooked) = shown(difference);
    json!({ "what": name, "bare": bare, "hooked": hooked })
}

/// Where the values begin to differ, and the lines there; short values whole.
fn shown(difference: &Difference) -> (String, Option<String>, Option<String>) {
    let (Some(bare), Some(hooked)) = (&difference.bare, &difference.hooked) else {
        return (String::new(), difference.bare.as_deref().map(cut), difference.hooked.as_deref().map(cut));
    };
    if !bare.contains('\n') && !hooked.contains('\n') {
        return (String::new(), Some(cut(bare)), Some(cut(hooked)));
    }
    let line = bare.split('\n').zip(hooked.split('\n')).take_while(|(a, b)| a == b).count();
    let at = |text: &str| text.split('\n').nth(line).map(cut);
    (format!(", line {}", line + 1), at(bare), at(hooked))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn word(value: &Option<String>) -> String {
    value.as_ref().map_or("(none)".into(), |v| format!("\"{}\"", escape(v)))
}

fn ratio(bare: u64, hooked: u64) -> Option<f64> {
    (bare > 0).then(|| (hooked as f64 / bare as f64 * 1000.0).round() / 1000.0)
}

fn ratio_text(bare: u64, hooked: u64) -> String {
    ratio(bare, hooked).map_or("-".into(), |r| format!("{r:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let of = |bare: &str, hooked: &str| Difference { bare: Some(bare.into()), hooked: Some(hooked.into()) };
        let (at, bare, hooked) = shown(&of("a\nb\n", "a\nc\n"));
        assert_eq!((at.as_str(), bare.as_deref(), hooked.as_deref()), (", line 2", Some("b"), Some("c")));
        assert_eq!(shown(&of("exit 0", "exit 1")).2.as_deref(), Some("exit 1"));
        assert_eq!(shown(&of("a", "a\nb")).2.as_deref(), Some("b"));
    }
}
