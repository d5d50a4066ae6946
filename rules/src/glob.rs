//! fnmatch(3) without flags, on bytes, as `glob`, `iglob` and `pmatch` use it.

/// Whether the whole of `text` fits the pattern. `*` and `?` cross slashes and match a leading dot; a `[` that nothing
/// closes is a character.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // On a mismatch behind a star, the star takes one byte more; only the last star ever has to.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(_) => text.get(t).and_then(|b| one(&pattern[p..], *b)),
        };
        match (step, &mut star) {
            (Some(len), _) => {
                p += len;
                t += 1;
            }
            (None, Some((after, from))) if *from < text.len() => {
                *from += 1;
                (p, t) = (*after, *from);
            }
            _ => return false,
        }
    }
}

/// Whether the first item of a pattern takes this byte; its length then.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'\\' => match pattern.get(1) {
            Some(b) => (*b == byte).then_some(2),
            None => (byte == b'\\').then_some(1),
        },
        b'[' => match class(&pattern[1..], byte) {
            Some((true, len)) => Some(1 + len),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(1),
        },
        b => (b == byte).then_some(1),
    }
}

/// A class behind its `[`: whether the byte is in it, and its length with the `]`; `None` if nothing closes it.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let (first, mut found) = (at, false);
    loop {
        let here = *pattern.get(at)?;
        if here == b']' && at > first {
            return Some((found != negated, at + 1));
        }
        if here == b'[' && pattern.get(at + 1) == Some(&b':') {
            let rest = pattern.get(at + 2..)?;
            if let Some(end) = rest.windows(2).position(|w| w == b":]") {
                found |= in_class(&rest[..end], byte);
                at += 2 + end + 2;
                continue;
            }
        }
        let (low, len) = literal(&pattern[at..])?;
        at += len;
        let range = pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|b| *b != b']');
        if range {
            let (high, len) = literal(&pattern[at + 1..])?;
            at += 1 + len;
            found |= (low..=high).contains(&byte);
        } else {
            found |= low == byte;
        }
    }
}

fn literal(pattern: &[u8]) -> Option<(u8, usize)> {
    match pattern {
        [b'\\', b, ..] => Some((*b, 2)),
        [b, ..] => Some((*b, 1)),
        [] => None,
    }
}

fn in_class(name: &[u8], b: u8) -> bool {
    match name {
        b"alpha" => b.is_ascii_alphabetic(),
        b"digit" => b.is_ascii_digit(),
        b"alnum" => b.is_ascii_alphanumeric(),
        b"upper" => b.is_ascii_uppercase(),
        b"lower" => b.is_ascii_lowercase(),
        b"space" => b.is_ascii_whitespace() || b == 11,
        b"blank" => b == b' ' || b == b'\t',
        b"punct" => b.is_ascii_punctuation(),
        b"print" => b.is_ascii_graphic() || b == b' ',
        b"graph" => b.is_ascii_graphic(),
        b"cntrl" => b.is_ascii_control(),
        b"xdigit" => b.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Whether a path, or one of its parents, fits the pattern, component by component (`pmatch`). Repeated slashes are one.
pub fn path_prefix(pattern: &[u8], path: &[u8]) -> bool {
    let parts = |of: &[u8]| -> Vec<Vec<u8>> {
        of.split(|b| *b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (pattern, path) = (parts(pattern), parts(path));
    pattern.len() <= path.len() && pattern.iter().zip(&path).all(|(p, t)| matches(p, t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_fnmatch_does() {
        let yes = [
            ("*", ""),
            ("a*c", "abbc"),
            ("a*b*c", "axxbyyc"),
            ("?", "x"),
            ("[a-c]x", "bx"),
            ("[!a]", "b"),
            ("[]a]", "]"),
            ("[a-]", "-"),
            ("\\*", "*"),
            ("[[:digit:]]*", "1x"),
            ("[", "["),
            ("*/x", "/a/b/x"),
            ("[\\]]", "]"),
            ("a[", "a["),
        ];
        for (p, t) in yes {
            assert!(matches(p.as_bytes(), t.as_bytes()), "{p} {t}");
        }
        for (p, t) in [("", "a"), ("a", "A"), ("?", ""), ("[!a]", "a"), ("a*c", "ab"), ("\\*", "x"), ("[a-c]", "d")] {
            assert!(!matches(p.as_bytes(), t.as_bytes()), "{p} {t}");
        }
        // stars do not multiply
        assert!(!matches("*a".repeat(40).as_bytes(), "a".repeat(39).as_bytes()));
    }

    #[test]
    fn paths_fit_from_their_start() {
        let fits = |p: &str, t: &str| path_prefix(p.as_bytes(), t.as_bytes());
        assert!(fits("/etc", "/etc/passwd") && fits("/", "/x") && fits("/*/b", "//a//b/c") && fits("/etc/", "/etc"));
        assert!(!fits("/et", "/etc") && !fits("/etc/passwd/x", "/etc/passwd"));
    }
}
