//! The verdict for people and for programs.

use super::tally::{Difference, Verdict};
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
        let (bare, hooked) = shown(difference);
        let (name, at) = (escape(name), difference.line.map_or(String::new(), |line| format!(", line {line}")));
        let _ = writeln!(text, "  {name}{at}\n    bare    {}\n    hooked  {}", word(&bare), word(&hooked));
    }
    if !verdict.unstable.is_empty() {
        let _ = writeln!(text, "unstable, differs between bare runs: {}", escape(&verdict.unstable.join("; ")));
    }
    if let Some(entry) = &verdict.allowed {
        let _ = writeln!(text, "allowed: {}", escape(entry));
    }
    if let Some(left) = &verdict.left {
        let _ = writeln!(text, "left running, and ended after each run: {}", escape(left));
    }
    if verdict.records == 0 {
        text += "nothing was recorded: the agent was not in it (a static program, one in Go, setuid, another architecture)\n";
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
        "left_running": verdict.left,
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
    let (bare, hooked) = shown(difference);
    json!({ "what": name, "line": difference.line, "bare": bare, "hooked": hooked })
}

/// Both values, or as much of them as shows where they differ.
fn shown(difference: &Difference) -> (Option<String>, Option<String>) {
    let (bare, hooked) = (difference.bare.as_deref(), difference.hooked.as_deref());
    let same = |(bare, hooked): (&str, &str)| bare.chars().zip(hooked.chars()).take_while(|(a, b)| a == b).count();
    let from = bare.zip(hooked).map_or(0, same).saturating_sub(SHOWN / 2);
    (bare.map(|text| cut(text, from)), hooked.map(|text| cut(text, from)))
}

/// What is shown of a text, about the character `from` and what follows it.
fn cut(text: &str, from: usize) -> String {
    if text.chars().nth(SHOWN).is_none() {
        return text.to_owned();
    }
    let part: String = text.chars().skip(from).take(SHOWN).collect();
    let rest = if text.chars().nth(from + SHOWN).is_some() { "…" } else { "" };
    format!("{}{part}{rest} ({} bytes)", if from > 0 { "…" } else { "" }, text.len())
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
    fn of_a_long_value_the_part_that_differs_is_shown() {
        let of = |bare: &str, hooked: &str| {
            shown(&Difference { line: None, bare: Some(bare.into()), hooked: Some(hooked.into()) })
        };
        assert_eq!(of("exit 0", "exit 1").1.as_deref(), Some("exit 1"));
        let long = "é".repeat(1000);
        let (bare, hooked) = of(&format!("{long}a{long}"), &format!("{long}b"));
        let around = |c: char, n: usize| format!("…{}{c}{}", "é".repeat(SHOWN / 2), "é".repeat(n));
        assert_eq!(bare, Some(around('a', SHOWN / 2 - 1) + "… (4001 bytes)"));
        assert_eq!(hooked, Some(around('b', 0) + " (2001 bytes)"));
        assert_eq!(cut(&long, 0), "é".repeat(SHOWN) + "… (2000 bytes)");
    }
}
