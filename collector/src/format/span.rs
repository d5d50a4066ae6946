//! Durations for people.

use std::time::Duration;

/// A duration in its two largest units.
pub fn span(d: Duration) -> String {
    let s = d.as_secs();
    match (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// How long ago a time was, in its largest unit: `4 s`, `12 min`, `3 h`, `9 d`.
pub fn age(since_ns: u64, now_ns: u64) -> String {
    let s = now_ns.saturating_sub(since_ns) / 1_000_000_000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let text = |s| span(Duration::from_secs(s));
        assert_eq!([text(0), text(61), text(3600), text(90_000)], ["0 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn ages_have_one() {
        let text = |s: u64| age(5, 5 + s * 1_000_000_000);
        assert_eq!([text(59), text(60), text(7300), text(90_000)], ["59 s", "1 min", "2 h", "1 d"]);
        assert_eq!(age(9, 5), "0 s");
    }
}
