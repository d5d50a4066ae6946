//! No secret in records: what looks like one in arguments is `***` before anything is told, kept or written.
//!
//! A rule is a regular expression; what its groups match is taken out, or all of the match where it has no group.
//! Arguments are looked at joined with blanks, as `proc.args` has them. Environments are not recorded at all.

use crate::error::Error;
use regex::{Regex, RegexBuilder};
use std::ops::Range;
use std::sync::OnceLock;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// Rules that are there unless the configuration leaves them out.
const DEFAULTS: [&str; 5] = [
    // --password=x, --db-password x, -token x
    r#"(?i)(?:^|\s)--?(?:[a-z0-9]+[-_])*(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?)(?:=|\s+)("[^"]*"|'[^']*'|[^\s-]\S*)"#,
    // PASSWORD=x, AWS_SECRET_ACCESS_KEY=x, as env and sh -c have them
    r#"(?i)\b[a-z0-9_]*(?:password|passwd|secret|token|api_?key|access_key|private_key)[a-z0-9_]*=("[^"]*"|'[^']*'|[^\s"']+)"#,
    // postgres://user:x@host
    r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@",
    // Authorization: Bearer x
    r#"(?i)\bauthorization:\s*(?:bearer|basic|token|digest)\s+([^\s"']+)"#,
    // keys that are known by their form
    r"\b((?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,})\b",
];

/// Compiled rules.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    rules: Vec<Regex>,
}

/// The rules of this process; the defaults until [`set`] has given others.
static RULES: OnceLock<Redactor> = OnceLock::new();

/// Gives the process its rules, once, before anything is recorded.
pub fn set(rules: Redactor) {
    // later calls are those of tests that start several collectors in one process
    let _ = RULES.set(rules);
}

/// Arguments as events have them: joined with blanks, secrets taken out.
pub(crate) fn arguments(argv: &[String]) -> String {
    RULES.get_or_init(Redactor::defaults).text(argv.join(" "))
}

impl Redactor {
    /// The default rules.
    pub fn defaults() -> Redactor {
        let rules = DEFAULTS.iter().filter_map(|pattern| compile(pattern).ok()).collect();
        Redactor { rules }
    }

    /// Rules of the configuration, behind the default ones if these are wanted.
    ///
    /// # Errors
    /// When one is no regular expression.
    pub fn new(defaults: bool, patterns: &[String]) -> Result<Redactor, Error> {
        let mut redactor = if defaults { Redactor::defaults() } else { Redactor::default() };
        for pattern in patterns {
            let rule = compile(pattern)
                .map_err(|e| Error::new(format!("redact.patterns: {pattern:?} is no regular expression: {e}")))?;
            redactor.rules.push(rule);
        }
        Ok(redactor)
    }

    /// The text without its secrets.
    pub fn text(&self, text: String) -> String {
        let mut found: Vec<Range<usize>> = vec![];
        for rule in &self.rules {
            for captures in rule.captures_iter(&text) {
                let groups = usize::from(rule.captures_len() > 1);
                // an empty group hides nothing, and would put stars where nothing was
                found.extend(captures.iter().skip(groups).flatten().map(|m| m.range()).filter(|r| !r.is_empty()));
            }
        }
        if found.is_empty() {
            return text;
        }
        found.sort_by_key(|r| (r.start, std::cmp::Reverse(r.end)));
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for range in found {
            if range.end <= from {
                continue;
            }
            if range.start >= from {
                out += text.get(from..range.start).unwrap_or_default();
                out += HIDDEN;
            }
            from = range.end;
        }
        out + text.get(from..).unwrap_or_default()
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|e| e.to_string().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        Redactor::defaults().text(text.to_owned())
    }

    #[test]
    fn every_default_rule_compiles() {
        assert_eq!(Redactor::defaults().rules.len(), DEFAULTS.len());
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_rest_stays() {
        for (text, want) in [
            ("-h db --password=s3cret --user x", "-h db --password=*** --user x"),
            ("--db-password s3cret -v", "--db-password *** -v"),
            ("--token 'a b' x", "--token *** x"),
            ("AWS_SECRET_ACCESS_KEY=abc/def+1 aws s3 ls", "AWS_SECRET_ACCESS_KEY=*** aws s3 ls"),
            ("-c DB_PASSWORD=\"x y\" run", "-c DB_PASSWORD=*** run"),
            ("psql postgres://app:hunter2@db:5432/x", "psql postgres://app:***@db:5432/x"),
            ("-H Authorization: Bearer abc.def -X GET", "-H Authorization: Bearer *** -X GET"),
            ("configure AKIAABCDEFGHIJKLMNOP now", "configure *** now"),
        ] {
            assert_eq!(hidden(text), want);
        }
    }

    #[test]
    fn ordinary_arguments_stay_as_they_are() {
        for text in [
            "-rf /tmp/password",
            "find / -name id_rsa",
            "grep -i password /etc/x",
            "--password-file /run/x",
            "--token",
            "--secret --verbose",
            "http://host/a:b@c",
            "PASSWORD= x",
            "-l -a",
            "",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn own_rules_hide_their_groups_or_all_they_match() {
        let with = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
            Redactor::new(false, &patterns)
        };
        let redactor = with(&["card (\\d+) of (\\w+)", "S-\\d+"]).unwrap();
        let text = redactor.text("card 4711 of Jane S-12 --password=x".into());
        assert_eq!(text, "card *** of *** *** --password=x");
        let overlapping = with(&["a(b.)", "(.b)"]).unwrap();
        assert_eq!(overlapping.text("xabc".into()), "x***");
        assert!(with(&["("]).unwrap_err().to_string().contains("\"(\" is no regular expression"));
    }
}
