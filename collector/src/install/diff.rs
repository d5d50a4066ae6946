//! What changes in a text, line by line.

use std::fmt::Write;

/// Lines around a change that are shown.
const AROUND: usize = 3;

/// The lines that go (`-`) and come (`+`), with those around them; empty if nothing changes. Engines' configurations are
/// changed in few places: the part between the first and the last change is compared line by line.
pub fn diff(before: &str, after: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rest = a.len().min(b.len()) - start;
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count().min(rest);
    let (old, new) = (&a[start..a.len() - end], &b[start..b.len() - end]);
    let mut out = String::new();
    if old.is_empty() && new.is_empty() {
        return out;
    }
    let mut line = |mark: char, text: &str| {
        // a String takes everything
        let _ = writeln!(out, "{mark}{text}");
    };
    a[start.saturating_sub(AROUND)..start].iter().for_each(|text| line(' ', text));
    let mut from = 0;
    for text in old {
        match new[from..].iter().position(|n| n == text) {
            Some(skip) => {
                new[from..from + skip].iter().for_each(|text| line('+', text));
                line(' ', text);
                from += skip + 1;
            }
            None => line('-', text),
        }
    }
    new[from..].iter().for_each(|text| line('+', text));
    a[a.len() - end..].iter().take(AROUND).for_each(|text| line(' ', text));
    out
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn what_goes_and_comes_is_shown_with_what_stands_around() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), "");
        assert_eq!(diff("", "x\ny\n"), "+x\n+y\n");
        assert_eq!(diff("1\n2\n3\n4\n5\n", "1\n2\n3\n4\nnew\n5\n"), " 2\n 3\n 4\n+new\n 5\n");
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), " a\n-b\n+x\n c\n");
        assert_eq!(diff("a\nb\nc\nd\n", "y\nb\nc\n"), "-a\n+y\n b\n c\n-d\n");
    }
}
