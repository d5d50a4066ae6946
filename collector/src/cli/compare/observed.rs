//! What `/proc` tells of a process that is about to end.

use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Named things that must be the same bare and hooked; `fd 3` → `pipe`, `SigIgn` → `0000000000001000`.
pub type Facts = BTreeMap<String, String>;

/// Lines of `/proc/PID/status` that say what a process may do and how it takes signals.
const STATUS: [&str; 16] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "CoreDumping",
];

/// A process just before its end.
#[derive(Default)]
pub struct State {
    /// What must be the same.
    pub facts: Facts,
    /// Largest resident set of the program, KiB.
    pub max_rss_kb: u64,
    /// Memory that it alone has written, rings aside, KiB.
    pub private_kb: u64,
}

/// The environment that the last exec gave to the process.
pub fn environ(pid: Pid) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// What the process holds; `environ` is from its last exec. None if it cannot be read.
pub fn state(pid: Pid, environ: &[u8]) -> Option<State> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut state = State::default();
    for line in status.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if STATUS.contains(&name) {
            state.facts.insert(name.into(), words(value));
        } else if name == "VmHWM" {
            state.max_rss_kb = number(value);
        }
    }
    limits(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?, &mut state.facts);
    descriptors(pid, &mut state.facts);
    entries(environ, &mut state.facts);
    state.private_kb = private(&fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default());
    Some(state)
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// `Max open files            1024                 4096                 files`
fn limits(table: &str, facts: &mut Facts) {
    for line in table.lines().skip(1) {
        let mut columns = line.split("  ").map(str::trim).filter(|c| !c.is_empty());
        if let Some(name) = columns.next() {
            facts.insert(format!("limit {name}"), columns.collect::<Vec<_>>().join(" "));
        }
    }
}

fn descriptors(pid: Pid, facts: &mut Facts) {
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let fd = entry.file_name().to_string_lossy().into_owned();
        let link = fs::read_link(entry.path()).unwrap_or_default();
        let link = link.to_string_lossy();
        // pipe:[12345]: the number is another one in each run
        let what = match link.split_once(":[") {
            Some((kind, _)) if !link.starts_with('/') => kind.to_owned(),
            _ => link.replace(&format!("/proc/{pid}/"), "/proc/self/"),
        };
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).map(str::trim).unwrap_or_default();
        let kind = fs::metadata(entry.path()).map_or(0, |m| m.mode() >> 12);
        facts.insert(format!("fd {fd}"), format!("{what} (type {kind:o}, flags {flags})"));
    }
}

fn entries(environ: &[u8], facts: &mut Facts) {
    let mut order = vec![];
    for entry in environ.split(|b| *b == 0).filter(|e| !e.is_empty()) {
        let entry = String::from_utf8_lossy(entry);
        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
        // where this one stands our entry may have decided: who sets it anew leaves it where it is
        if name != "LD_PRELOAD" {
            order.push(name.to_owned());
        }
        facts.insert(format!("env {name}"), value.to_owned());
    }
    facts.insert("env, order".into(), order.join(" "));
}

/// Takes our entry out of the environment of a hooked process; what was found, to be named.
pub fn without_our_entry(facts: &mut Facts, library: &str) -> Option<String> {
    let value = facts.get("env LD_PRELOAD")?.clone();
    if value == library {
        facts.remove("env LD_PRELOAD");
        return Some(format!("LD_PRELOAD={value}"));
    }
    // last, where we were added; before what the program has added (`stdbuf`)
    let separator = |c| c == ':' || c == ' ';
    let others = match value.strip_suffix(library) {
        Some(before) => before.strip_suffix(separator)?.to_owned(),
        None => {
            let (before, behind) = value.split_once(library)?;
            let behind = behind.strip_prefix(separator)?;
            (before.is_empty() || before.ends_with(separator)).then(|| format!("{before}{behind}"))?
        }
    };
    facts.insert("env LD_PRELOAD".into(), others);
    Some(format!("LD_PRELOAD={value}"))
}

/// Sum of `Private_Dirty` over all mappings but rings.
fn private(smaps: &str) -> u64 {
    let (mut sum, mut ring) = (0, false);
    for line in smaps.lines() {
        match line.split_once(':') {
            Some(("Private_Dirty", value)) if !ring => sum += number(value),
            // a mapping's head: its field before the first colon is no name but an address range
            Some((head, _)) if head.contains('-') => ring = line.contains("/rings/"),
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_and_have_both_values() {
        let mut facts = Facts::new();
        limits(
            "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 4096                 files     \n",
            &mut facts,
        );
        assert_eq!(facts.get("limit Max open files").map(String::as_str), Some("1024 4096 files"));
    }

    #[test]
    fn our_entry_is_taken_out_and_named_and_nothing_else() {
        let mut facts = Facts::new();
        entries(b"A=1\0LD_PRELOAD=/p/l.so\0B=2\0", &mut facts);
        assert_eq!(without_our_entry(&mut facts, "/p/l.so").as_deref(), Some("LD_PRELOAD=/p/l.so"));
        let mut bare = Facts::new();
        entries(b"A=1\0B=2\0", &mut bare);
        assert_eq!(facts, bare);
        entries(b"LD_PRELOAD=/other.so:/p/l.so\0", &mut facts);
        assert!(without_our_entry(&mut facts, "/p/l.so").is_some());
        assert_eq!(facts["env LD_PRELOAD"], "/other.so");
        assert_eq!(without_our_entry(&mut facts, "/p/l.so"), None);
        for (value, rest) in [(":/p/l.so", ""), ("/p/l.so:/b.so", "/b.so"), ("a /p/l.so b", "a b")] {
            entries(format!("LD_PRELOAD={value}").as_bytes(), &mut facts);
            assert!(without_our_entry(&mut facts, "/p/l.so").is_some());
            assert_eq!(facts["env LD_PRELOAD"], rest);
        }
        entries(b"LD_PRELOAD=/p/l.so.1", &mut facts);
        assert_eq!(without_our_entry(&mut facts, "/p/l.so"), None);
    }

    #[test]
    fn rings_are_no_private_memory() {
        let smaps = "1000-2000 rw-p 00:00 0 \nPrivate_Dirty:  8 kB\n2000-3000 rw-s 0 00:1f 7 /x/rings/a\nPrivate_Dirty: 64 kB\n3000-4000 rw-p 0 0:0 0 [heap]\nPrivate_Dirty: 4 kB\n";
        assert_eq!(private(smaps), 12);
    }
}
