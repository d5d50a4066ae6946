//! The JSON of an event, written by hand: keys in a fixed order, no intermediate tree.

use crate::event::ValueRef;
use std::io::Write;
use std::time::Duration;

/// Starts the object with the event's time.
pub(crate) fn open(out: &mut Vec<u8>, time: &str) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    out.push(b'"');
}

/// Appends `,"name":value`. Names are our own and need no escapes.
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: ValueRef<'_>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    match value {
        ValueRef::Number(n) => {
            let _ = write!(out, "{n}"); // a Vec takes everything
        }
        ValueRef::Flag(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        ValueRef::Text(t) => string(out, t),
    }
}

/// Appends a JSON string. Control characters are escaped (DEL and C1 too: a terminal that shows the line must not obey
/// what a container wrote).
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if !matches!(c, '"' | '\\' | '\0'..='\x1f' | '\x7f'..='\u{9f}') {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// As Falco's outputs have it where ISO 8601 is asked for.
pub(crate) fn iso8601(since_epoch: Duration) -> String {
    time_text(since_epoch).replace('Z', "+0000")
}

/// RFC 3339 in UTC with nanoseconds, of a time since the epoch.
pub(crate) fn time_text(since_epoch: Duration) -> String {
    let (secs, nanos) = (since_epoch.as_secs(), since_epoch.subsec_nanos());
    let (days, second) = (secs / 86_400, secs % 86_400);
    // Days to a civil date, counted in 400-year eras that start on 1 March (Howard Hinnant's algorithm).
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |s, n| time_text(Duration::new(s, n));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(at(1_795_399_199, 999_999_999), "2026-11-23T01:59:59.999999999Z");
    }

    #[test]
    fn strings_read_back_as_they_were() {
        for s in ["", "plain", "q\"b\\s/", "\n\r\t\0\x1b[31m", "ü€😀", "\u{7f}\u{9b}x"] {
            let mut out = vec![];
            string(&mut out, s);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), s);
            assert!(!out.iter().any(|b| *b < 32 || *b == 127));
        }
    }
}
