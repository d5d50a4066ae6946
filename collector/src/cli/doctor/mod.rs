//! `porthole doctor`: looks at this machine and says what stands in the way, and what to do about it.

mod collector;
mod engines;
mod kernel;
mod wrapper;

use super::{Listing, Stop, print};
use crate::error::Error;
use crate::format::escape::escape;
use crate::format::paint::{Ink, Paint};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Check this machine: kernel, collector, wrapper, engines. Exit status 1 if something does not work
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  porthole doctor
  porthole doctor --format json | jq '.[] | select(.verdict != \"ok\")'")]
pub struct Args {
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    format: Listing,
}

/// How a check has come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// Works, with less.
    Note,
    /// Does not work.
    Fail,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at, a word or two.
    what: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do; empty where there is nothing.
    advice: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { what, verdict: Verdict::Ok, found: found.into(), advice: String::new() }
    }

    fn note(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { what, verdict: Verdict::Note, found: found.into(), advice: advice.into() }
    }

    fn fail(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { what, verdict: Verdict::Fail, found: found.into(), advice: advice.into() }
    }
}

pub fn main(args: Args, state_dir: PathBuf) -> Result<(), Stop> {
    let findings = look(&state_dir);
    match args.format {
        Listing::Table => print(&text(&findings, Paint::for_stream(&std::io::stdout())))?,
        Listing::Json => {
            let text = serde_json::to_string_pretty(&findings).map_err(|e| Error::new(e.to_string()))?;
            print(&(text + "\n"))?;
        }
    }
    match findings.iter().filter(|f| f.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        1 => Err(Error::new("one thing does not work").into()),
        n => Err(Error::new(format!("{n} things do not work")).into()),
    }
}

fn look(state_dir: &Path) -> Vec<Finding> {
    let mut findings = kernel::look();
    findings.extend(collector::look(state_dir));
    findings.extend(wrapper::look(state_dir));
    findings.extend(engines::look());
    findings
}

fn text(findings: &[Finding], paint: Paint) -> String {
    let mut out = String::new();
    for f in findings {
        let mark = match f.verdict {
            Verdict::Ok => paint.ink(Ink::Green, "ok   "),
            Verdict::Note => paint.ink(Ink::Yellow, "note "),
            Verdict::Fail => paint.ink(Ink::Red, "FAIL "),
        };
        out += &format!("{mark} {:<12} {}\n", f.what, escape(&f.found));
        if !f.advice.is_empty() {
            out += &format!("                   {}\n", escape(&f.advice));
        }
    }
    out
}

/// The program that would be executed by this name: beside this one, else in `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let dirs = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name));
    beside.into_iter().chain(dirs).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below_what_was_found_and_control_characters_do_not_reach_the_terminal() {
        let findings = [Finding::ok("kernel", "6.1"), Finding::fail("wrapper", "x\x1b[2J", "install it")];
        let text = text(&findings, Paint::OFF);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("ok    kernel       6.1\n") && text.contains("x\\x1b[2J\n"), "{text}");
        assert!(text.lines().nth(2).is_some_and(|l| l.trim() == "install it"));
    }
}
