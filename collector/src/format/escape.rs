//! Text from containers, made harmless for a terminal.
//!
//! A file name may hold escape sequences that recolour, retitle or rewrite what stands on the screen, line breaks that
//! forge whole lines, and Unicode controls that turn text round. None of them reaches a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that could act on a terminal or mislead the eye spelled as `\n`, `\t`, `\r`, `\xNN` or
/// `\u{…}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(acts) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if acts(c) && c.is_ascii() => drop(write!(out, "\\x{:02x}", c as u32)),
            c if acts(c) => drop(write!(out, "\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// [`escape`] cut to `max` characters, the cut marked with `…`.
pub fn escape_cut(text: &str, max: usize) -> Cow<'_, str> {
    let escaped = escape(text);
    match escaped.char_indices().nth(max) {
        None => escaped,
        Some((end, _)) => {
            let keep = escaped.char_indices().nth(max.saturating_sub(1)).map_or(end, |(at, _)| at);
            Cow::Owned(format!("{}…", &escaped[..keep]))
        }
    }
}

/// Controls (C0, DEL, C1), line separators, direction marks and overrides, invisible characters, tags, private use.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_passes() {
        let hostile = "a\x1b[31mred\x07\nline\r\t\u{9b}2J\u{202e}gnp.exe\u{200b}\u{feff}\x7f\u{2028}";
        let safe = escape(hostile);
        assert_eq!(safe, "a\\x1b[31mred\\x07\\nline\\r\\t\\u{9b}2J\\u{202e}gnp.exe\\u{200b}\\u{feff}\\x7f\\u{2028}");
        assert!(!safe.chars().any(acts));
    }

    #[test]
    fn plain_text_of_any_language_stays() {
        for plain in ["", "/etc/passwd", "/home/jürgen/Übersicht 2026.txt", "日本語", "a\\b"] {
            assert!(matches!(escape(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn cutting_counts_characters_not_bytes() {
        assert_eq!(escape_cut("äöü", 3), "äöü");
        assert_eq!(escape_cut("äöüß", 3), "äö…");
        assert_eq!(escape_cut("\x1b\x1b", 5), "\\x1b…");
        assert_eq!(escape_cut("abc", 0), "…");
    }
}
