//! One output of one run, as much of it as a comparison needs: a digest of every line, and the text of the beginning.
//!
//! However much a command writes, no more than a few megabytes are kept of it.

/// Lines that have a digest of their own; all lines behind them share one.
const LINES: usize = 200_000;
/// Bytes from the beginning whose text can be shown.
const TEXT: usize = 2 << 20;
/// Start and factor of the FNV-1a hash.
const START: u64 = 0xcbf2_9ce4_8422_2325;
const FACTOR: u64 = 0x100_0000_01b3;

/// See the module. A line has its newline with it: the last one may lack it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Digests of the lines, in order.
    pub lines: Vec<u64>,
    text: Vec<u8>,
    /// Digest of the line that has begun.
    begun: Option<u64>,
}

impl Output {
    /// Takes in what was written next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(&bytes[..bytes.len().min(TEXT - self.text.len())]);
        let mut begun = self.begun;
        for &byte in bytes {
            let digest = (begun.unwrap_or(START) ^ u64::from(byte)).wrapping_mul(FACTOR);
            begun = Some(digest);
            if byte == b'\n' {
                self.end_line(digest);
                begun = None;
            }
        }
        self.begun = begun;
    }

    /// There will be no more.
    pub fn finish(mut self) -> Output {
        if let Some(digest) = self.begun.take() {
            self.end_line(digest);
        }
        self
    }

    fn end_line(&mut self, digest: u64) {
        match self.lines.get_mut(LINES) {
            Some(rest) => *rest = (*rest ^ digest).wrapping_mul(FACTOR),
            None => self.lines.push(digest),
        }
    }

    /// Takes out each line that is this one; whether it was there.
    pub fn without(&mut self, line: &str) -> bool {
        let line = format!("{line}\n");
        let mut alone = Output::default();
        alone.push(line.as_bytes());
        let all = self.lines.len();
        self.lines.retain(|digest| *digest != alone.lines[0]);
        let found = self.lines.len() < all;
        if found {
            let lines = self.text.split_inclusive(|b| *b == b'\n');
            self.text = lines.filter(|l| *l != line.as_bytes()).flatten().copied().collect();
        }
        found
    }

    /// A line as it can be shown; bytes that are no text in an unambiguous notation.
    pub fn line(&self, index: usize) -> String {
        let unkept = || "(its text was not kept)".to_owned();
        let Some(line) = self.text.split_inclusive(|b| *b == b'\n').nth(index).filter(|_| index < LINES) else {
            return unkept();
        };
        match line.strip_suffix(b"\n") {
            Some(line) => text(line),
            None if self.text.len() == TEXT => unkept(),
            None => text(line) + " (no newline at the end)",
        }
    }
}

fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that was written in pieces of this size.
    fn written(bytes: &[u8], piece: usize) -> Output {
        let mut output = Output::default();
        bytes.chunks(piece).for_each(|piece| output.push(piece));
        output.finish()
    }

    #[test]
    fn how_it_was_written_does_not_matter() {
        let text = b"one\n\ntwo \xff\nthree";
        assert_eq!(written(text, 1), written(text, 100));
        assert_eq!(written(text, 3).lines.len(), 4);
        assert!(written(b"", 1).lines.is_empty());
        assert_ne!(written(b"a\n", 9).lines, written(b"a", 9).lines);
    }

    #[test]
    fn lines_are_shown_as_they_were_written() {
        let output = written(b"one\ntwo \xff\nthree", 5);
        assert_eq!(output.line(0), "one");
        assert_eq!(output.line(1), "two \\xff");
        assert_eq!(output.line(2), "three (no newline at the end)");
        assert_eq!(output.line(3), "(its text was not kept)");
    }

    #[test]
    fn a_line_is_taken_out_wherever_it_stands() {
        let mut output = written(b"A=1\nX=2\nB=3\nX=2\nX=22\n", 5);
        assert!(output.without("X=2") && !output.without("X=2"));
        assert_eq!(output, written(b"A=1\nB=3\nX=22\n", 100));
    }

    #[test]
    fn what_is_kept_is_bounded_and_still_every_byte_counts() {
        let many = b"some line\n".repeat(2 * LINES);
        let (mut first, mut last) = (many.clone(), many.clone());
        first[0] = b'x';
        *last.last_mut().unwrap() = b'x';
        let [many, first, last] = [many, first, last].map(|bytes| written(&bytes, 1 << 16));
        assert_eq!((many.lines.len(), many.text.len()), (LINES + 1, TEXT));
        assert!(many.lines != first.lines && many.lines != last.lines);
        assert_eq!(many.lines[..LINES], last.lines[..LINES]);
        assert_eq!(written(&vec![b'x'; 3 * TEXT], 1 << 16).line(0), "(its text was not kept)");
    }
}
