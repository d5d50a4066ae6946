//! Comparing one value with a constant.

use crate::ast::Op;
use crate::event::Value;
use crate::glob;
use crate::vocabulary::Type;
use ipnet::IpNet;
use regex::Regex;
use std::cmp::Ordering;
use std::net::IpAddr;

/// A constant that values are compared with, and how.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Text, by one of the operators of text.
    Text(Op, String),
    /// A regular expression that fits the whole.
    Regex(Regex),
    /// Bytes.
    Bytes(Op, Vec<u8>),
    /// A signed number.
    Int(Op, i64),
    /// An unsigned one.
    Uint(Op, u64),
    /// One with a fraction.
    Double(Op, f64),
    /// True or false.
    Bool(Op, bool),
    /// An address.
    Ip(Op, IpAddr),
    /// A network.
    Net(Op, IpNet),
}

impl Matcher {
    /// The constant that `text` means for a field of this type.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(op: Op, kind: Type, text: &str) -> Result<Matcher, String> {
        // a list compares with `=` each
        let op = match op.plain() {
            Op::In | Op::Intersects => Op::Equal,
            op => op,
        };
        Ok(match kind {
            Type::Text | Type::Dynamic => {
                if text.contains('\0') {
                    return Err("a text cannot hold a NUL".into());
                }
                match op {
                    Op::Regex => Matcher::Regex(regex(text)?),
                    Op::Icontains | Op::Iglob => Matcher::Text(op, text.to_ascii_lowercase()),
                    op => Matcher::Text(op, text.to_owned()),
                }
            }
            Type::Bytes => match op {
                Op::Bcontains => Matcher::Bytes(Op::Contains, hex(text)?),
                Op::Bstartswith => Matcher::Bytes(Op::Startswith, hex(text)?),
                op => Matcher::Bytes(op, text.bytes().collect()),
            },
            Type::Int => Matcher::Int(op, decimal(text)?),
            Type::Uint(bits) => Matcher::Uint(op, unsigned(text, bits)?),
            Type::Port => Matcher::Uint(op, port(text)?),
            Type::Double => Matcher::Double(op, text.parse().map_err(|_| format!("{text:?} is no number"))?),
            Type::Bool => Matcher::Bool(
                op,
                match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err(format!("{text:?} is neither true nor false")),
                },
            ),
            Type::Ip => Matcher::Ip(op, text.parse().map_err(|_| format!("{text:?} is no address"))?),
            Type::Net => {
                Matcher::Net(op, text.parse().map_err(|_| format!("{text:?} is no network such as 10.0.0.0/8"))?)
            }
        })
    }

    /// Whether a value fits.
    pub fn fits(&self, value: &Value<'_>) -> bool {
        match value {
            // of two ends both must differ, else one is enough
            Value::Any(all) if self.is_negative_address() => !all.is_empty() && all.iter().all(|v| self.fits(v)),
            Value::Any(all) | Value::List(all) => all.iter().any(|v| self.fits(v)),
            value => self.fits_one(value),
        }
    }

    /// Whether it fits whatever is not the constant.
    pub(crate) fn is_negative(&self) -> bool {
        matches!(self, Matcher::Text(Op::NotEqual, _) | Matcher::Int(Op::NotEqual, _) | Matcher::Bool(Op::NotEqual, _))
            || self.is_negative_address()
    }

    fn is_negative_address(&self) -> bool {
        matches!(self, Matcher::Ip(Op::NotEqual, _) | Matcher::Net(Op::NotEqual, _) | Matcher::Uint(Op::NotEqual, _))
    }

    fn fits_one(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Matcher::Text(op, want), Value::Text(got)) => text_fits(*op, got, want),
            (Matcher::Regex(regex), Value::Text(got)) => regex.is_match(got),
            (Matcher::Bytes(op, want), Value::Bytes(got)) => bytes_fit(*op, got, want),
            (Matcher::Int(op, want), Value::Int(got)) => ordered(*op, got.cmp(want)),
            (Matcher::Int(op, want), Value::Uint(got)) => ordered(*op, i128::from(*got).cmp(&i128::from(*want))),
            (Matcher::Uint(op, want), Value::Uint(got)) => ordered(*op, got.cmp(want)),
            (Matcher::Uint(op, want), Value::Int(got)) => ordered(*op, (*got as u64).cmp(want)),
            (Matcher::Double(op, want), Value::Double(got)) => got.partial_cmp(want).is_some_and(|o| ordered(*op, o)),
            (Matcher::Bool(op, want), Value::Bool(got)) => ordered(*op, got.cmp(want)),
            (Matcher::Ip(op, want), Value::Ip(got)) => (got == want) == (*op == Op::Equal),
            (Matcher::Net(op, want), Value::Ip(got)) => want.contains(got) == (*op == Op::Equal),
            _ => false,
        }
    }
}

fn text_fits(op: Op, got: &str, want: &str) -> bool {
    match op {
        Op::Equal => got == want,
        Op::NotEqual => got != want,
        Op::Contains => memchr::memmem::find(got.as_bytes(), want.as_bytes()).is_some(),
        Op::Startswith => got.starts_with(want),
        Op::Endswith => got.ends_with(want),
        Op::Icontains => contains_ignoring_case(got.as_bytes(), want.as_bytes()),
        Op::Glob => glob::matches(want.as_bytes(), got.as_bytes()),
        Op::Iglob => glob::matches(want.as_bytes(), got.to_ascii_lowercase().as_bytes()),
        Op::Pmatch => glob::path_prefix(want.as_bytes(), got.as_bytes()),
        op => ordered(op, got.cmp(want)),
    }
}

/// `want` is lower case.
fn contains_ignoring_case(got: &[u8], want: &[u8]) -> bool {
    want.is_empty() || got.windows(want.len()).any(|w| w.eq_ignore_ascii_case(want))
}

fn bytes_fit(op: Op, got: &[u8], want: &[u8]) -> bool {
    match op {
        Op::Equal => got == want,
        Op::NotEqual => got != want,
        Op::Contains => want.is_empty() || got.windows(want.len()).any(|w| w == want),
        Op::Startswith => got.starts_with(want),
        Op::Endswith => got.ends_with(want),
        _ => false,
    }
}

pub(crate) fn ordered(op: Op, order: Ordering) -> bool {
    match op {
        Op::Equal => order.is_eq(),
        Op::NotEqual => order.is_ne(),
        Op::Less => order.is_lt(),
        Op::LessOrEqual => order.is_le(),
        Op::Greater => order.is_gt(),
        Op::GreaterOrEqual => order.is_ge(),
        _ => false,
    }
}

fn decimal(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is no whole number"))
}

/// -1 is the largest: users compare ids with it.
fn unsigned(text: &str, bits: u32) -> Result<u64, String> {
    let wide: i128 = text.parse().map_err(|_| format!("{text:?} is no whole number"))?;
    let (min, max) = (i128::from(i64::MIN) >> (64 - bits), (1i128 << bits) - 1);
    if (min..=max).contains(&wide) { Ok((wide & max) as u64) } else { Err(format!("{text} is too large")) }
}

/// Services that ports may be named by. Programs of a host look into /etc/services; a rule means the same everywhere.
const SERVICES: &[(&str, u16)] = &[
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("whois", 43),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("www", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("bgp", 179),
    ("irc", 194),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("submissions", 465),
    ("isakmp", 500),
    ("exec", 512),
    ("login", 513),
    ("shell", 514),
    ("syslog", 514),
    ("printer", 515),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("rsync", 873),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("l2f", 1701),
    ("nfs", 2049),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("svn", 3690),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("xmpp-client", 5222),
    ("postgresql", 5432),
    ("amqp", 5672),
    ("x11", 6000),
    ("redis", 6379),
    ("http-alt", 8080),
    ("mongodb", 27017),
];

fn port(text: &str) -> Result<u64, String> {
    let known = SERVICES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port);
    let port = known.or_else(|| text.parse::<u16>().ok());
    port.map(u64::from).ok_or_else(|| format!("{text:?} is neither a port nor a service that is known"))
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{text:?} is no text of pairs of hexadecimal digits");
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len().is_multiple_of(2)).ok_or_else(wrong)?;
    Ok(digits.as_chunks::<2>().0.iter().map(|[a, b]| a << 4 | b).collect())
}

/// RE2's POSIX syntax, by an engine that knows more: what RE2 refuses there is refused here.
fn regex(pattern: &str) -> Result<Regex, String> {
    if pattern.contains("(?") {
        return Err("a regular expression in POSIX syntax has no groups with `(?`".into());
    }
    let mut bytes = pattern.bytes();
    while let Some(b) = bytes.next() {
        if b == b'\\' && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric()) {
            return Err("a regular expression in POSIX syntax has no classes such as \\d; write [0-9]".into());
        }
    }
    regex::RegexBuilder::new(&format!("\\A(?:{pattern})\\z"))
        .multi_line(true)
        .size_limit(1 << 22)
        .build()
        .map_err(|e| format!("{pattern:?} is no regular expression: {}", e.to_string().replace('\n', " ")))
}

/// Whether a simpler operator says the same as a regular expression.
pub(crate) fn is_simple(pattern: &str) -> bool {
    let inner = pattern.strip_prefix(".*").unwrap_or(pattern);
    let inner = inner.strip_suffix(".*").unwrap_or(inner);
    !inner.contains(|c: char| "\\^$.[]|()?*+{}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_checked_by_type() {
        let new = |kind, text: &str| Matcher::new(Op::Equal, kind, text).is_ok();
        assert!(new(Type::Int, "-5") && new(Type::Uint(32), "-1") && new(Type::Port, "https") && new(Type::Ip, "::1"));
        assert!(!new(Type::Int, "0x1") && !new(Type::Uint(32), "4294967296") && !new(Type::Port, "70000"));
        assert!(!new(Type::Net, "10.0.0.0") && !new(Type::Bool, "yes") && !new(Type::Text, "a\0"));
        assert!(hex("7f4").is_err() && hex("zz").is_err() && hex("7F45") == Ok(vec![0x7f, 0x45]));
        assert!(is_simple("abc") && is_simple(".*abc.*") && !is_simple("a.c") && !is_simple("a|b"));
    }
}
