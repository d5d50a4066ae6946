//! Colours, where there is a terminal that wants them.

use std::borrow::Cow;
use std::io::IsTerminal;

/// A colour or weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ink {
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::Red => "31",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Blue => "34",
            Ink::Magenta => "35",
            Ink::Cyan => "36",
        }
    }
}

/// Paints, or leaves text as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Never any colour.
    pub const OFF: Paint = Paint { on: false };
    /// Always.
    pub const ON: Paint = Paint { on: true };

    /// Colour if `stream` is a terminal that can show it and nobody objects (`NO_COLOR`, `TERM=dumb`).
    pub fn for_stream(stream: &impl IsTerminal) -> Paint {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Paint { on: stream.is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// `text` in `ink`.
    pub fn ink<'a>(self, ink: Ink, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        if self.on && !text.is_empty() { Cow::Owned(format!("\x1b[{}m{text}\x1b[0m", ink.code())) } else { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_that_is_off_changes_nothing() {
        assert_eq!(Paint::OFF.ink(Ink::Red, "x"), "x");
        assert_eq!(Paint::ON.ink(Ink::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint::ON.ink(Ink::Red, ""), "");
    }

    #[test]
    fn a_file_gets_no_colour() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Paint::for_stream(&file), Paint::OFF);
    }
}
