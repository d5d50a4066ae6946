//! One event as one short line for people:
//!
//! ```text
//! 12:00:01.123 web/3f2a bash[1234] execve /bin/ls -l
//! 12:00:01.125 web/3f2a cat[1235] openat /etc/passwd O_RDONLY = 3
//! 12:00:01.130 web/3f2a curl[1236] connect 127.0.0.1:80 = ECONNREFUSED
//! ```
//!
//! Time of day (UTC, as in the JSON), container (name and the start of its id), process and its pid on the host (`~12`:
//! only the pid inside the container is known), the call, its object, its result. It is made of the event's JSON
//! object, so that a client can make it of what it received. Nothing of a container reaches the terminal unescaped.

use super::escape::{escape, escape_cut};
use super::paint::{Ink, Paint};
use super::text;
use nix::sys::signal::Signal;
use serde_json::{Map, Value};

/// Arguments and messages are cut to this many characters; JSON has them whole.
const LONG: usize = 160;

/// The line, without its end.
pub fn line(event: &Map<String, Value>, paint: Paint) -> String {
    let time = text(event, "time");
    // 2026-11-23T12:00:01.123456789Z
    let time = time.get(11..23).unwrap_or(&time);
    let mut out = paint.ink(Ink::Dim, escape(time)).into_owned();
    for part in [paint.ink(Ink::Cyan, container(event)), process(event, paint).into()] {
        if !part.is_empty() {
            out.push(' ');
            out += &part;
        }
    }
    out.push(' ');
    out += &what(event, paint);
    out
}

/// `name/3f2a`, the id where there is no name, `host` outside any container.
fn container(event: &Map<String, Value>) -> String {
    let (id, name) = (text(event, "container.id"), text(event, "container.name"));
    if name.is_empty() || name == id {
        return escape_cut(&id, 24).into_owned();
    }
    if id.is_empty() {
        return escape_cut(&name, 24).into_owned();
    }
    format!("{}/{}", escape_cut(&name, 24), escape(&id.chars().take(4).collect::<String>()))
}

fn process(event: &Map<String, Value>, paint: Paint) -> String {
    let name = text(event, "proc.name");
    let (pid, vpid) = (text(event, "proc.pid"), text(event, "proc.vpid"));
    let pid = if pid.is_empty() && !vpid.is_empty() { format!("~{vpid}") } else { pid };
    match (name.is_empty(), pid.is_empty()) {
        (true, true) => String::new(),
        (_, true) => paint.ink(Ink::Bold, escape_cut(&name, 24)).into_owned(),
        (empty, false) => {
            let name = if empty { "?".into() } else { escape_cut(&name, 24) };
            format!("{}[{}]", paint.ink(Ink::Bold, name), escape(&pid))
        }
    }
}

/// The call with its object and result.
fn what(event: &Map<String, Value>, paint: Paint) -> String {
    let kind = text(event, "evt.type");
    let failed = Some(text(event, "evt.res")).filter(|r| !matches!(r.as_str(), "" | "SUCCESS"));
    let (ink, object, result) = match kind.as_str() {
        "execve" | "execveat" => (Ink::Green, exec(event, failed.is_some()), None),
        "open" | "openat" | "openat2" | "creat" => (Ink::Blue, open(event), Some(text(event, "evt.rawres"))),
        "connect" => (Ink::Magenta, address(event), Some("ok".to_owned())),
        "clone" | "clone3" | "fork" | "vfork" => (Ink::Green, String::new(), Some(text(event, "evt.rawres"))),
        "chdir" | "fchdir" => (Ink::Blue, first(event, &["evt.arg.path", "fd.name", "evt.arg.fd"]), None),
        "procexit" => (Ink::Dim, end(event), None),
        "container.die" => (Ink::Cyan, end(event), None),
        "container.oom" => (Ink::Red, arguments(event), None),
        "container.create" | "container.start" | "container.stop" | "container.exec" | "container.pause"
        | "container.unpause" => (Ink::Cyan, container_process(event), None),
        other if other.starts_with("porthole.") => (Ink::Yellow, ours(event), None),
        _ => (Ink::Bold, arguments(event), None),
    };
    let object = escape_cut(&object, LONG);
    let gap = if object.is_empty() { "" } else { " " };
    match (failed, result) {
        // what did not happen steps back, the reason stands out
        (Some(errno), _) => {
            let ink = if errno == "EINPROGRESS" { Ink::Yellow } else { Ink::Red };
            let did = format!("{}{gap}{object} = ", escape(&kind));
            format!("{}{}", paint.ink(Ink::Dim, did), paint.ink(ink, escape(&errno)))
        }
        (None, Some(result)) if !result.is_empty() => {
            format!("{}{gap}{object} = {}", paint.ink(ink, escape(&kind)), escape(&result))
        }
        _ => format!("{}{gap}{object}", paint.ink(ink, escape(&kind))),
    }
}

/// Path and arguments. A failed exec's process is still the caller, whose own arguments say nothing of the target.
fn exec(event: &Map<String, Value>, failed: bool) -> String {
    let path = first(event, &["evt.arg.filename", "evt.arg.path", "evt.arg.exe", "proc.exepath", "proc.exe"]);
    let args = if failed { text(event, "evt.arg.args") } else { first(event, &["proc.args", "evt.arg.args"]) };
    join(&path, &args)
}

fn open(event: &Map<String, Value>) -> String {
    let path = first(event, &["fd.name", "evt.arg.name", "fd.nameraw", "evt.arg.path"]);
    join(&path, &text(event, "evt.arg.flags"))
}

/// Where a connection goes: the part of `from->to` that matters.
fn address(event: &Map<String, Value>) -> String {
    let name = first(event, &["fd.name", "evt.arg.tuple", "evt.arg.addr"]);
    match name.rsplit_once("->") {
        Some((_, to)) if !to.is_empty() => to.to_owned(),
        _ => name,
    }
}

/// How a process ended.
fn end(event: &Map<String, Value>) -> String {
    let signal = text(event, "evt.arg.sig");
    match signal.parse::<i32>().ok().and_then(|n| Signal::try_from(n).ok()) {
        Some(signal) => format!("killed by {signal}"),
        None if !signal.is_empty() => format!("killed by signal {signal}"),
        None => first(event, &["evt.arg.ret", "evt.arg.status"]),
    }
}

/// What the engine runs in a container, and of which image it is.
fn container_process(event: &Map<String, Value>) -> String {
    let image = match (text(event, "evt.type").as_str(), text(event, "container.image")) {
        ("container.start", image) if !image.is_empty() => format!("({image})"),
        _ => String::new(),
    };
    join(&join(&text(event, "evt.arg.exe"), &text(event, "evt.arg.args")), &image)
}

/// What porthole says by itself: why, about what, how many.
fn ours(event: &Map<String, Value>) -> String {
    let count = Some(text(event, "porthole.count")).filter(|n| !n.is_empty()).map(|n| format!("× {n}"));
    let parts = ["porthole.reason", "porthole.path", "porthole.detail"].map(|key| text(event, key));
    parts.into_iter().chain(count).fold(String::new(), |all, part| join(&all, &part))
}

/// What an event carries that has no shape of its own here: `key=value` for each of its arguments.
fn arguments(event: &Map<String, Value>) -> String {
    let shown = event.keys().filter_map(|key| key.strip_prefix("evt.arg.").map(|name| (key, name)));
    let pairs: Vec<String> = shown.map(|(key, name)| format!("{name}={}", text(event, key))).collect();
    pairs.join(" ")
}

fn first(event: &Map<String, Value>, keys: &[&str]) -> String {
    keys.iter().map(|key| text(event, key)).find(|v| !v.is_empty()).unwrap_or_default()
}

fn join(a: &str, b: &str) -> String {
    if a.is_empty() || b.is_empty() { format!("{a}{b}") } else { format!("{a} {b}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(extra: Value) -> Map<String, Value> {
        let mut map = json!({
            "time": "2026-11-23T12:00:01.123456789Z", "container.id": "3f2a00000000", "container.name": "web",
            "proc.name": "bash", "proc.pid": 1234, "proc.vpid": 7,
        });
        let map = map.as_object_mut().unwrap();
        map.extend(extra.as_object().unwrap().clone());
        map.clone()
    }

    fn plain(extra: Value) -> String {
        line(&event(extra), Paint::OFF)
    }

    #[test]
    fn an_exec_shows_path_and_arguments() {
        let exec = json!({"evt.type": "execve", "evt.res": "SUCCESS", "evt.rawres": 0, "proc.exepath": "/bin/ls", "proc.args": "-l /tmp"});
        assert_eq!(plain(exec), "12:00:01.123 web/3f2a bash[1234] execve /bin/ls -l /tmp");
        let failed = json!({"evt.type": "execve", "evt.res": "ENOENT", "evt.rawres": -2, "evt.arg.filename": "/nope", "proc.args": "-i"});
        assert_eq!(plain(failed), "12:00:01.123 web/3f2a bash[1234] execve /nope = ENOENT");
    }

    #[test]
    fn opens_and_connects_show_their_results() {
        let open = json!({"evt.type": "openat", "evt.res": "SUCCESS", "evt.rawres": 3, "fd.name": "/etc/passwd", "evt.arg.flags": "O_RDONLY"});
        assert!(plain(open).ends_with("openat /etc/passwd O_RDONLY = 3"));
        let connect = json!({"evt.type": "connect", "evt.res": "SUCCESS", "evt.rawres": 0, "fd.name": "10.0.0.1:4->127.0.0.1:80"});
        assert!(plain(connect).ends_with("connect 127.0.0.1:80 = ok"));
        let refused =
            json!({"evt.type": "connect", "evt.res": "ECONNREFUSED", "evt.rawres": -111, "fd.name": "127.0.0.1:80"});
        assert!(plain(refused).ends_with("connect 127.0.0.1:80 = ECONNREFUSED"));
    }

    #[test]
    fn failures_are_red_and_the_rest_of_them_dim() {
        let failed = json!({"evt.type": "openat", "evt.res": "EACCES", "evt.rawres": -13, "fd.name": "/x"});
        let text = line(&event(failed), Paint::ON);
        assert!(text.ends_with("\x1b[2mopenat /x = \x1b[0m\x1b[31mEACCES\x1b[0m"), "{text:?}");
    }

    #[test]
    fn other_events_say_what_matters() {
        let nobody = json!({"proc.name": null, "proc.pid": null, "proc.vpid": null});
        let of_container = |mut extra: Value| {
            extra.as_object_mut().unwrap().extend(nobody.as_object().unwrap().clone());
            plain(extra)
        };
        let lost = json!({"evt.type": "porthole.drop", "porthole.reason": "ring_full", "porthole.count": 12});
        assert_eq!(of_container(lost), "12:00:01.123 web/3f2a porthole.drop ring_full × 12");
        let blind = json!({"evt.type": "porthole.blindspot", "porthole.reason": "static", "porthole.path": "/bin/go"});
        assert!(plain(blind).ends_with("bash[1234] porthole.blindspot static /bin/go"));
        let start = json!({"evt.type": "container.start", "evt.arg.exe": "sh", "evt.arg.args": "-c x", "container.image": "nginx:1"});
        assert!(of_container(start).ends_with("web/3f2a container.start sh -c x (nginx:1)"));
        let killed = json!({"evt.type": "procexit", "evt.arg.status": 9, "evt.arg.sig": 9});
        assert!(plain(killed).ends_with("procexit killed by SIGKILL"));
        let ended = json!({"evt.type": "procexit", "evt.arg.status": 256, "evt.arg.ret": 1});
        assert!(plain(ended).ends_with("procexit 1"));
        let other =
            json!({"evt.type": "prctl", "evt.arg.option": "PR_SET_SECCOMP", "evt.arg.arg2_int": 2, "evt.res": "EPERM"});
        assert!(plain(other).ends_with("prctl option=PR_SET_SECCOMP arg2_int=2 = EPERM"));
    }

    #[test]
    fn a_process_known_only_inside_is_marked() {
        let inside = json!({"evt.type": "fork", "proc.pid": null, "evt.rawres": 9});
        assert_eq!(plain(inside), "12:00:01.123 web/3f2a bash[~7] fork = 9");
        let host = json!({"evt.type": "fork", "container.id": "host", "container.name": "host", "evt.rawres": 9});
        assert_eq!(plain(host), "12:00:01.123 host bash[1234] fork = 9");
    }

    #[test]
    fn every_field_may_be_hostile() {
        let evil = "\x1b[2J\n12:00:00.000 host init[1] all is well\u{202e}";
        let mut map = Map::new();
        for key in
            ["time", "container.id", "container.name", "proc.name", "proc.pid", "evt.type", "evt.res", "evt.rawres"]
        {
            map.insert(key.into(), evil.into());
        }
        for kind in ["execve", "openat", "connect", "clone", "chdir", "procexit", "porthole.drop", evil] {
            map.insert("evt.type".into(), kind.into());
            for key in ["fd.name", "evt.arg.flags", "evt.arg.path", "proc.args", "evt.arg.x\x1b", "evt.arg.reason"] {
                map.insert(key.into(), evil.into());
            }
            let text = line(&map, Paint::OFF);
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        }
    }

    #[test]
    fn long_command_lines_are_cut() {
        let exec = json!({"evt.type": "execve", "proc.exepath": "/bin/cc", "proc.args": "x ".repeat(5000)});
        assert!(plain(exec).chars().count() < LONG + 60);
        assert!(!plain(json!({})).is_empty() && !line(&Map::new(), Paint::OFF).is_empty());
    }
}
