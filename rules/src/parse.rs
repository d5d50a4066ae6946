//! Text → [`Expr`]: recursive descent over bytes.
//!
//! The grammar lexes by context (a bare word is a field, a macro or a value, by where it stands), so there is no lexer
//! of its own. It follows Falco's parser in what it takes, quirks included.

use crate::ast::{Argument, Check, Expr, Field, Function, Modifier, Name, Op, Operand, Right, Shape, Transform};

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong, and what was expected.
    pub what: String,
}

/// Units of nesting; a pair of parentheses costs five.
pub const DEPTH: usize = 1000;

/// Parses a condition.
///
/// # Errors
/// When it is none; also when it is nested deeper than [`DEPTH`].
pub fn condition(text: &str) -> Result<Expr, SyntaxError> {
    let mut p = Parser { text, at: 0, depth: 0 };
    p.blanks();
    if p.at == text.len() {
        return p.fail("a condition is empty");
    }
    let expr = p.or()?;
    p.blanks();
    if p.at < text.len() { p.fail("expected `and`, `or` or the end of the condition") } else { Ok(expr) }
}

/// Parses the first operand of a text, as output formats have them behind `%`: a function, or `None`. The operand, and
/// the rest.
pub(crate) fn function(text: &str) -> Option<(Result<Operand, SyntaxError>, usize)> {
    let mut p = Parser { text, at: 0, depth: 0 };
    let found = p.transform().transpose()?;
    Some((found.map(Operand::Transform), p.at))
}

/// Parses a field with its argument at the start of a text; how long it is.
pub(crate) fn field(text: &str) -> Option<(Field, usize)> {
    let mut p = Parser { text, at: 0, depth: 0 };
    match p.field() {
        Ok(Some(field)) => Some((field, p.at)),
        _ => None,
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 8 | b'\r' | b'\n')
}

fn ends_word(b: u8) -> bool {
    is_blank(b) || matches!(b, b'(' | b')' | b'"' | b'\'' | b'=' | b',')
}

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(SyntaxError { at: self.at, what: what.into() })
    }

    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|b| is_blank(**b)).count();
    }

    /// Takes `text` if it stands here.
    fn take(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text.as_bytes());
        self.at += if here { text.len() } else { 0 };
        here
    }

    /// Takes a keyword, which a blank or a parenthesis must follow.
    fn keyword(&mut self, word: &str) -> bool {
        let follows = self.rest().strip_prefix(word.as_bytes()).and_then(|rest| rest.first().copied());
        let here = follows.is_some_and(|b| is_blank(b) || b == b'(');
        self.at += if here { word.len() } else { 0 };
        here
    }

    fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH {
            return self.fail(format!("nested too deep: more than {DEPTH} levels"));
        }
        self.depth += 1;
        let done = f(self);
        self.depth -= 1;
        done
    }

    fn chain(&mut self, word: &str, of: fn(Vec<Expr>) -> Expr, part: fn(&mut Self) -> Result<Expr>) -> Result<Expr> {
        self.deeper(|p| {
            let first = part(p)?;
            let mut all = vec![];
            p.blanks();
            while p.keyword(word) {
                p.blanks();
                all.push(part(p)?);
                p.blanks();
            }
            if all.is_empty() {
                return Ok(first);
            }
            all.insert(0, first);
            Ok(of(all))
        })
    }

    fn or(&mut self) -> Result<Expr> {
        self.chain("or", Expr::Or, Self::and)
    }

    fn and(&mut self) -> Result<Expr> {
        self.chain("and", Expr::And, Self::not)
    }

    fn not(&mut self) -> Result<Expr> {
        self.deeper(|p| {
            p.blanks();
            let mut negated = false;
            // `not(` makes a node of its own, plain words fold away in pairs
            while p.keyword("not") {
                negated = !negated;
                p.blanks();
                if p.rest().first() == Some(&b'(') {
                    break;
                }
            }
            let inner = p.primary()?;
            Ok(if negated { Expr::Not(Box::new(inner)) } else { inner })
        })
    }

    fn primary(&mut self) -> Result<Expr> {
        self.deeper(|p| {
            if p.take("(") {
                p.blanks();
                let inner = p.deeper(Self::or)?;
                p.blanks();
                return if p.take(")") { Ok(inner) } else { p.fail("expected `)`") };
            }
            if let Some(left) = p.operand()? {
                return p.check(left);
            }
            match p.identifier() {
                Some(name) => Ok(Expr::Macro(name)),
                None => p.fail("expected a field, a macro, `not` or `(`"),
            }
        })
    }

    /// A letter, then letters, digits and underscores.
    fn identifier(&mut self) -> Option<Name> {
        let at = self.at;
        let rest = self.rest();
        if !rest.first()?.is_ascii_alphabetic() {
            return None;
        }
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        self.at += len;
        Some(Name { text: self.text.get(at..self.at)?.to_owned(), at })
    }

    /// A field or a function; `None` if what stands here is neither.
    fn operand(&mut self) -> Result<Option<Operand>> {
        if let Some(t) = self.transform()? {
            return Ok(Some(Operand::Transform(t)));
        }
        Ok(self.field()?.map(Operand::Field))
    }

    fn field(&mut self) -> Result<Option<Field>> {
        let start = self.at;
        let Some(first) = self.identifier() else { return Ok(None) };
        let mut name = first.text;
        let mut parts = 1;
        loop {
            let before = self.at;
            if !self.take(".") {
                break;
            }
            match self.identifier() {
                Some(part) => {
                    name = name + "." + &part.text;
                    parts += 1;
                }
                None => {
                    self.at = before;
                    break;
                }
            }
        }
        if parts < 2 {
            self.at = start;
            return Ok(None);
        }
        let argument = if self.take("[") { Some(self.bracketed()?) } else { None };
        Ok(Some(Field { name, argument, at: start }))
    }

    /// What stands in brackets, behind the opening one.
    fn bracketed(&mut self) -> Result<String> {
        let text = match self.rest().first() {
            Some(b'"' | b'\'') => self.quoted()?,
            _ => {
                let bare = |b: &&u8| !is_blank(**b) && !matches!(**b, b'[' | b']' | b'"' | b'\'');
                let len = self.rest().iter().take_while(bare).count();
                if len == 0 {
                    return self.fail("expected an argument");
                }
                let text = self.text.get(self.at..self.at + len).unwrap_or_default().to_owned();
                self.at += len;
                text
            }
        };
        if self.take("]") { Ok(text) } else { self.fail("expected `]`") }
    }

    fn transform(&mut self) -> Result<Option<Transform>> {
        let at = self.at;
        let function = Function::ALL.iter().copied().find(|f| {
            let rest = self.rest().strip_prefix(f.as_str().as_bytes());
            rest.is_some_and(|rest| rest.first() == Some(&b'('))
        });
        let Some(function) = function else { return Ok(None) };
        self.at += function.as_str().len() + 1;
        self.deeper(|p| {
            let arguments = p.arguments()?;
            let selector = match function {
                Function::Getopt if p.take("[") => Some(p.bracketed()?),
                _ => None,
            };
            Ok(Some(Transform { function, arguments, selector, at }))
        })
    }

    /// Arguments behind an opening parenthesis, up to the closing one.
    fn arguments(&mut self) -> Result<Vec<Argument>> {
        let mut all = vec![];
        self.blanks();
        if self.take(")") {
            return Ok(all);
        }
        loop {
            self.blanks();
            all.push(self.argument()?);
            self.blanks();
            if self.take(")") {
                return Ok(all);
            }
            if !self.take(",") {
                return self.fail("expected `,` or `)`");
            }
        }
    }

    fn argument(&mut self) -> Result<Argument> {
        if self.take("(") {
            return self.deeper(|p| Ok(Argument::List(p.arguments()?)));
        }
        if let Some(operand) = self.operand()? {
            return Ok(Argument::Operand(operand));
        }
        match self.string()? {
            Some(text) => Ok(Argument::Text(text)),
            None => self.fail("expected a field, a function or a text"),
        }
    }

    fn check(&mut self, left: Operand) -> Result<Expr> {
        self.blanks();
        let Some(op) = self.operator() else { return self.fail("expected an operator") };
        let operator_end = self.at;
        self.blanks();
        let mut modifier = None;
        let mut right_at = self.at;
        let right = match op.shape() {
            Shape::Alone => {
                self.at = operator_end;
                right_at = operator_end;
                Right::Nothing
            }
            Shape::Number => match self.right_operand()? {
                Some(right) => right,
                None => match self.number() {
                    Some(text) => Right::Value(text),
                    None => return self.fail("expected a number"),
                },
            },
            Shape::List => match self.right_operand()? {
                Some(right) => right,
                None => self.list_or_name()?,
            },
            Shape::Text => match self.modifier(operator_end) {
                Some((found, right)) => {
                    modifier = Some(found);
                    right?
                }
                None => match self.right_operand()? {
                    Some(right) => right,
                    None => match self.string()? {
                        Some(text) => Right::Value(text),
                        None => return self.fail("expected a value"),
                    },
                },
            },
        };
        Ok(Expr::Check(Check { left, op, modifier, right, right_at }))
    }

    fn operator(&mut self) -> Option<Op> {
        let fits = |op: &Op| {
            let Some(rest) = self.rest().strip_prefix(op.as_str().as_bytes()) else { return false };
            let next = rest.first().copied();
            match op.shape() {
                Shape::Alone => true,
                Shape::List => next.is_none_or(|b| is_blank(b) || b == b'('),
                _ if op.as_str().as_bytes()[0].is_ascii_alphabetic() => next.is_none_or(is_blank),
                _ => true,
            }
        };
        let op = Op::ALL.iter().copied().find(fits)?;
        self.at += op.as_str().len();
        Some(op)
    }

    /// `val(field)` or a function.
    fn right_operand(&mut self) -> Result<Option<Right>> {
        if self.take("val(") {
            self.blanks();
            let Some(field) = self.field()? else { return self.fail("expected a field") };
            self.blanks();
            let operand = Right::Operand(Operand::Field(field));
            return if self.take(")") { Ok(Some(operand)) } else { self.fail("expected `)`") };
        }
        Ok(self.transform()?.map(|t| Right::Operand(Operand::Transform(t))))
    }

    /// A word such as `anyof` between blanks, with a list or its name behind; else it is a value.
    fn modifier(&mut self, operator_end: usize) -> Option<(Modifier, Result<Right>)> {
        if self.at == operator_end {
            return None;
        }
        let start = self.at;
        let found = Modifier::ALL.iter().copied().find(|m| {
            let rest = self.rest().strip_prefix(m.as_str().as_bytes());
            rest.and_then(|r| r.first()).is_some_and(|b| is_blank(*b))
        })?;
        self.at += found.as_str().len();
        self.blanks();
        let list = self.rest().first() == Some(&b'(');
        let name = self.rest().first().is_some_and(u8::is_ascii_alphabetic);
        let keyword = ["and", "or", "not"].into_iter().any(|word| {
            let here = self.at;
            let is = self.keyword(word);
            self.at = here;
            is
        });
        if !list && (!name || keyword) {
            self.at = start;
            return None;
        }
        Some((found, self.list_or_name()))
    }

    fn list_or_name(&mut self) -> Result<Right> {
        if !self.take("(") {
            return match self.identifier() {
                Some(name) => Ok(Right::Name(name.text)),
                None => self.fail("expected a list in parentheses"),
            };
        }
        let mut values = vec![];
        self.blanks();
        if self.take(")") {
            return Ok(Right::List(values));
        }
        loop {
            self.blanks();
            match self.string()? {
                Some(value) => values.push(value),
                None => return self.fail("expected a value"),
            }
            self.blanks();
            if self.take(")") {
                return Ok(Right::List(values));
            }
            if !self.take(",") {
                return self.fail("expected `,` or `)`");
            }
        }
    }

    /// A number as the grammar has it; wider than what a field of numbers takes.
    fn number(&mut self) -> Option<String> {
        let rest = self.rest();
        let digits =
            |from: usize| rest.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
        let len = if rest.starts_with(b"0x") || rest.starts_with(b"0X") {
            let hex = rest[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if hex == 0 { 1 } else { 2 + hex }
        } else {
            let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
            let whole = digits(sign);
            if whole == 0 {
                return None;
            }
            let mut len = sign + whole;
            if rest.get(len) == Some(&b'.') && digits(len + 1) > 0 {
                len += 1 + digits(len + 1);
            }
            let exponent = matches!(rest.get(len), Some(b'e' | b'E')) && matches!(rest.get(len + 1), Some(b'+' | b'-'));
            if exponent && digits(len + 2) > 0 {
                len += 2 + digits(len + 2);
            }
            len
        };
        let text = self.text.get(self.at..self.at + len)?.to_owned();
        self.at += len;
        Some(text)
    }

    /// A quoted or a bare text.
    fn string(&mut self) -> Result<Option<String>> {
        if matches!(self.rest().first(), Some(b'"' | b'\'')) {
            return self.quoted().map(Some);
        }
        let len = self.rest().iter().take_while(|b| !ends_word(**b)).count();
        if len == 0 {
            return Ok(None);
        }
        let text = self.text.get(self.at..self.at + len).unwrap_or_default().to_owned();
        self.at += len;
        Ok(Some(text))
    }

    fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        let quote = self.rest().first().copied().unwrap_or(b'"');
        // The text ends at the first quote that no backslash stands before, whatever stands before that backslash.
        let body = &self.rest()[1..];
        let mut end = 0;
        while end < body.len() && !(body[end] == quote && (end == 0 || body[end - 1] != b'\\')) {
            end += 1;
        }
        if end == body.len() {
            return self.fail("expected the text to end with the quote that it begins with");
        }
        let from = start + 1;
        let raw = self.text.get(from..from + end).unwrap_or_default();
        let text = unescaped(raw, quote).map_err(|what| SyntaxError { at: from + end + 1, what })?;
        self.at = from + end + 1;
        Ok(text)
    }
}

/// A quoted text without its escapes.
fn unescaped(raw: &str, quote: u8) -> Result<String, String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'\\') => out.push(b'\\'),
            Some(b'/') => out.push(b'/'),
            Some(b) if b == quote => out.push(b),
            // tolerated: gives the backslash, the blank is swallowed
            Some(b' ') => out.push(b'\\'),
            Some(b'x') => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                match (digit(bytes.next()), digit(bytes.next())) {
                    (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
                    _ => return Err("expected two hexadecimal digits behind \\x".into()),
                }
            }
            Some(b) => return Err(format!("\\{} is no escape", char::from(b))),
            None => return Err("a backslash at the end of a text".into()),
        }
    }
    // bytes that are no UTF-8 can only come from \x
    Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}
