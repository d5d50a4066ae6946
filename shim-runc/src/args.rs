//! The command line, as far as porthole-runc must understand it: runc's grammar, and what crun and youki share of it.
//!
//! Go's flag rules: `-opt` and `--opt` are the same, a value is the next word or behind `=`, a lone `--` ends the
//! options. Whatever is not understood for certain goes straight to the runtime, which will complain or know better.

mod flags;
mod words;

use flags::{CREATE, DELETE, EXEC, Flag, GLOBAL, RESTORE};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use words::{Word, Words};

/// Options before the verb that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--log`.
    pub log: Option<PathBuf>,
    /// `--log-format json`.
    pub log_json: bool,
}

/// A call that concerns porthole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `create`, `run`, `restore`.
    Create {
        /// Which of them.
        verb: &'static str,
        /// Container id.
        id: String,
        /// `--bundle`; the working directory otherwise.
        bundle: Option<PathBuf>,
    },
    /// `exec`.
    Exec {
        /// Container id.
        id: String,
        /// What to execute.
        what: Exec,
    },
    /// `delete`.
    Delete {
        /// Container id.
        id: String,
        /// `--force`: a running container too.
        force: bool,
    },
    /// `pause` or `resume`.
    Freeze {
        /// Which.
        verb: &'static str,
        /// Container id.
        id: String,
    },
}

/// What `exec` is told to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exec {
    /// `--process`: a file with a complete process object.
    File(PathBuf),
    /// Words on the command line.
    Command {
        /// The command.
        args: Vec<String>,
        /// `--user`, as given: `uid[:gid]`.
        user: Option<String>,
        /// `--cwd`.
        cwd: Option<String>,
        /// `--tty`.
        tty: bool,
    },
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Options before the verb, those before the first one that was not understood.
    pub global: Global,
    /// `None`: straight through.
    pub call: Option<Call>,
    /// The verb is one that concerns porthole, but what stands behind it is not understood.
    pub unclear: bool,
}

/// The verbs that concern porthole.
const VERBS: [&str; 7] = ["create", "run", "restore", "exec", "delete", "pause", "resume"];

/// Understands the words behind the program's name.
pub fn parse(words: &[OsString]) -> Parsed {
    let mut global = Global::default();
    let mut words = Words::new(GLOBAL, words, true);
    loop {
        match words.next() {
            Word::Option("root", value) => global.root = value.map(PathBuf::from),
            Word::Option("log", value) => global.log = value.map(PathBuf::from),
            Word::Option("log-format", value) => global.log_json = value.is_some_and(|v| v == "json"),
            Word::Option(..) => {}
            Word::Plain(verb) => {
                let call = verb.to_str().and_then(|verb| self::call(verb, words.rest));
                let unclear = call.is_none() && VERBS.iter().any(|known| verb == *known);
                return Parsed { global, call, unclear };
            }
            Word::Unknown | Word::End => return Parsed { global, call: None, unclear: false },
        }
    }
}

fn call(verb: &str, rest: &[OsString]) -> Option<Call> {
    match verb {
        "create" => create("create", CREATE, rest),
        "run" => create("run", CREATE, rest),
        "restore" => create("restore", RESTORE, rest),
        "exec" => exec(rest),
        "delete" => delete(rest),
        "pause" => freeze("pause", rest),
        "resume" => freeze("resume", rest),
        _ => None,
    }
}

fn create(verb: &'static str, flags: &'static [Flag], rest: &[OsString]) -> Option<Call> {
    let (mut words, mut bundle, mut plain) = (Words::new(flags, rest, false), None, Vec::new());
    loop {
        match words.next() {
            Word::Option("bundle", value) => bundle = value.map(PathBuf::from),
            Word::Option(..) => {}
            Word::Plain(word) => plain.push(word),
            Word::Unknown => return None,
            Word::End => break,
        }
    }
    let [id] = plain[..] else { return None };
    // runc takes an empty --bundle for none.
    Some(Call::Create { verb, id: id.to_str()?.into(), bundle: bundle.filter(|b| !b.as_os_str().is_empty()) })
}

fn exec(rest: &[OsString]) -> Option<Call> {
    let mut words = Words::new(EXEC, rest, true);
    let (mut file, mut user, mut cwd, mut tty) = (None, None, None, false);
    let id = loop {
        match words.next() {
            Word::Option("process", value) => file = value.map(PathBuf::from),
            Word::Option("user", value) => user = value.map(lossy),
            Word::Option("cwd", value) => cwd = value.map(lossy),
            Word::Option("tty", value) => tty = is_true(value.as_deref()),
            Word::Option(..) => {}
            Word::Plain(id) => break id.to_str()?.to_owned(),
            Word::Unknown | Word::End => return None,
        }
    };
    let args: Vec<String> = words.rest.iter().map(|word| lossy(word.clone())).collect();
    let what = match file.filter(|f: &PathBuf| !f.as_os_str().is_empty()) {
        Some(file) => Exec::File(file),
        None if args.is_empty() => return None,
        None => Exec::Command { args, user, cwd, tty },
    };
    Some(Call::Exec { id, what })
}

fn delete(rest: &[OsString]) -> Option<Call> {
    let (mut words, mut force, mut plain) = (Words::new(DELETE, rest, false), false, Vec::new());
    loop {
        match words.next() {
            Word::Option("force", value) => force = is_true(value.as_deref()),
            Word::Option(..) => {}
            Word::Plain(word) => plain.push(word),
            Word::Unknown => return None,
            Word::End => break,
        }
    }
    let [id] = plain[..] else { return None };
    Some(Call::Delete { id: id.to_str()?.into(), force })
}

fn freeze(verb: &'static str, rest: &[OsString]) -> Option<Call> {
    // they have no options but --help
    let [id] = rest else { return None };
    let id = id.to_str().filter(|id| !id.starts_with('-'))?;
    Some(Call::Freeze { verb, id: id.into() })
}

/// Go's strconv.ParseBool, a bare switch being true.
fn is_true(value: Option<&OsStr>) -> bool {
    value.is_none_or(|v| ["1", "t", "T", "true", "TRUE", "True"].iter().any(|t| v == *t))
}

fn lossy(word: OsString) -> String {
    word.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Option<Call> {
        parsed(line).call
    }

    fn parsed(line: &str) -> Parsed {
        parse(&line.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect::<Vec<_>>())
    }

    fn create(verb: &'static str, id: &str, bundle: Option<&str>) -> Option<Call> {
        Some(Call::Create { verb, id: id.into(), bundle: bundle.map(PathBuf::from) })
    }

    fn file(id: &str, file: &str) -> Option<Call> {
        Some(Call::Exec { id: id.into(), what: Exec::File(file.into()) })
    }

    #[test]
    fn the_lines_of_every_engine() {
        let table = [
            // containerd's shim: docker, ctr, CRI
            (
                "--root /r --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid ID",
                create("create", "ID", Some("/b")),
            ),
            (
                "--root /r --log /l --log-format json --systemd-cgroup create --bundle /b --pid-file /p --console-socket /s ID",
                create("create", "ID", Some("/b")),
            ),
            ("--root /r --log /l --log-format json start ID", None),
            ("--root /r --log /l --log-format json delete ID", Some(Call::Delete { id: "ID".into(), force: false })),
            ("--root /r delete --force ID", Some(Call::Delete { id: "ID".into(), force: true })),
            (
                "--root /r --log /l --log-format json exec --process /tmp/runc-process1 --detach --pid-file /p ID",
                file("ID", "/tmp/runc-process1"),
            ),
            ("--root /r ps --format json ID", None),
            ("--root /r pause ID", Some(Call::Freeze { verb: "pause", id: "ID".into() })),
            ("--root /r resume ID", Some(Call::Freeze { verb: "resume", id: "ID".into() })),
            ("--root /r update --resources - ID", None),
            // BuildKit
            ("--log F --log-format json run --bundle D ID", create("run", "ID", Some("D"))),
            // podman and buildah
            ("create --bundle /u --pid-file /p ID", create("create", "ID", Some("/u"))),
            ("exec --pid-file /p --process /f --detach --tty --console-socket /s ID", file("ID", "/f")),
            ("--systemd-cgroup create --bundle /u ID", create("create", "ID", Some("/u"))),
            ("state ID", None),
            ("--version", None),
            ("features", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(call(line), expected, "{line}");
        }
    }

    #[test]
    fn forms_of_options() {
        let table = [
            ("run ID", create("run", "ID", None)),
            ("run -b=B ID", create("run", "ID", Some("B"))),
            ("run -bundle B ID", create("run", "ID", Some("B"))),
            ("run --b B ID", create("run", "ID", Some("B"))),
            ("run --bundle=a --bundle=B ID", create("run", "ID", Some("B"))),
            ("run --bundle= ID", create("run", "ID", None)),
            ("run ID --bundle B", create("run", "ID", Some("B"))),
            ("run -d --keep --preserve-fds 3 -- ID", create("run", "ID", None)),
            ("create --bundle create create", create("create", "create", Some("create"))),
            ("--log create --root=run run ID", create("run", "ID", None)),
            ("--rootless true --debug run ID", create("run", "ID", None)),
            ("--rootless run ID", create("run", "ID", None)),
            ("--rootless=auto --debug=false run ID", create("run", "ID", None)),
            ("-- run ID", create("run", "ID", None)),
            ("restore --image-path /i --lsm-profile apparmor:x -b B ID", create("restore", "ID", Some("B"))),
            ("exec -p F ID", file("ID", "F")),
            ("exec --process=F ID", file("ID", "F")),
            ("delete -f ID", Some(Call::Delete { id: "ID".into(), force: true })),
            ("delete ID --force=false", Some(Call::Delete { id: "ID".into(), force: false })),
        ];
        for (line, expected) in table {
            assert_eq!(call(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_goes_straight_through() {
        for line in [
            "run",
            "run a b",
            "run --help",
            "run --bundle",
            "run --unheard-of x ID",
            "create --config f ID",
            "--unheard-of run ID",
            "exec ID",
            "exec -x ID true",
            "delete",
            "delete a b",
            "pause --help",
            "resume a b",
            "--help run ID",
            "spec",
        ] {
            assert_eq!(call(line), None, "{line}");
        }
        assert!(parsed("run --unheard-of x ID").unclear && !parsed("spec").unclear && !parsed("run ID").unclear);
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let expected = Exec::Command {
            args: ["sh", "-c", "-p", "--"].map(String::from).to_vec(),
            user: Some("1:2".into()),
            cwd: Some("/w".into()),
            tty: true,
        };
        let line = "exec -u 1:2 -e A=b --cwd /w -t ID sh -c -p --";
        assert_eq!(call(line), Some(Call::Exec { id: "ID".into(), what: expected }));
    }

    #[test]
    fn the_log_is_known_even_if_the_verb_is_not() {
        let global = parsed("--root /r --log /l --log-format=json events ID").global;
        assert_eq!(global, Global { root: Some("/r".into()), log: Some("/l".into()), log_json: true });
    }
}
