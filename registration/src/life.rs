//! Whether a registered container still lives, from what the runtimes leave on disk.

use crate::container::Container;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// A runtime that has been executed shows its container on disk much earlier.
const TO_BE_MADE: Duration = Duration::from_secs(10);
/// Largest state file of a runtime that is looked at.
const STATE_LIMIT: u64 = 16 * 1024 * 1024;

/// Whether the runtime still knows the container, or is just making it.
///
/// A container whose runtime kept no trace (`run` has ended, the machine's runtime directory was emptied) is dead even
/// if nobody said `delete`.
pub fn is_alive(container: &Container) -> bool {
    is_process(container.runtime_pid, Some(container.runtime_start))
        || (!container.runtime_root.is_empty() && Path::new(&container.runtime_root).join(&container.id).exists())
}

/// Whether a container that nobody has seen alive is dead for certain: its runtime's directory is there and does not
/// have it, long after it was to be made. (Without that directory, this may be another mount namespace than the
/// runtime's, and says nothing.)
pub fn is_dead(container: &Container) -> bool {
    let age = crate::registry::now_ns().saturating_sub(container.created_ns);
    age > TO_BE_MADE.as_nanos() as u64 && Path::new(&container.runtime_root).is_dir() && !is_alive(container)
}

/// Whether the container's first process runs, as far as the runtime's state tells: then a `delete` without force
/// fails. `root` is the runtime's `--root`.
pub fn is_running(root: &Path, id: &str) -> bool {
    first_process(root, id).is_some()
}

/// The container's first process, if it runs, by the runtime's state below its `--root`.
pub fn first_process(root: &Path, id: &str) -> Option<u32> {
    /// runc and youki name the process differently in `state.json`, crun in `status`.
    #[derive(Deserialize)]
    struct State {
        #[serde(alias = "pid")]
        init_process_pid: Option<u32>,
        #[serde(alias = "process-start-time")]
        init_process_start: Option<u64>,
    }
    ["state.json", "status"].iter().find_map(|name| {
        let bytes = crate::file::read(&root.join(id).join(name), STATE_LIMIT).ok()?;
        let state = serde_json::from_slice::<State>(&bytes).ok()?;
        state.init_process_pid.filter(|pid| is_process(*pid, state.init_process_start))
    })
}

/// Start time of a process in clock ticks since boot, 0 if there is no such process or it is a zombie.
pub fn start_time(pid: u32) -> u64 {
    let mut stat = Vec::with_capacity(1024);
    let _ = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read_to_end(&mut stat));
    // The name, in parentheses, may hold anything: count the fields behind it. The first one is field 3, the state.
    let Some(end) = stat.iter().rposition(|b| *b == b')') else { return 0 };
    let fields = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
    let mut fields = fields.split_ascii_whitespace();
    match fields.next() {
        None | Some("Z" | "X" | "x") => 0,
        Some(_) => fields.nth(18).and_then(|start| start.parse().ok()).unwrap_or(0),
    }
}

fn is_process(pid: u32, start: Option<u64>) -> bool {
    let now = if pid == 0 { 0 } else { start_time(pid) };
    now != 0 && start.is_none_or(|start| start == now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = std::process::id();
        assert!(start_time(me) > 0);
        assert!(is_process(me, None) && is_process(me, Some(start_time(me))));
        assert!(!is_process(me, Some(1)) && !is_process(0, None) && !is_process(u32::MAX, None));
    }

    #[test]
    fn a_container_lives_while_its_state_or_its_runtime_does() {
        let root = std::env::temp_dir().join(format!("porthole-life-{}", std::process::id()));
        std::fs::create_dir_all(root.join("c")).unwrap();
        let mut container =
            Container { id: "c".into(), runtime_root: root.to_string_lossy().into(), ..Container::default() };
        assert!(is_alive(&container));
        assert!(!is_running(&root, "c"), "no state file");
        let me = std::process::id();
        for (name, text) in [
            ("state.json", format!(r#"{{"init_process_pid":{me},"init_process_start":{}}}"#, start_time(me))),
            ("status", format!(r#"{{"pid":{me},"process-start-time":{}}}"#, start_time(me))),
            ("state.json", format!(r#"{{"pid":{me}}}"#)),
        ] {
            std::fs::write(root.join("c").join(name), text).unwrap();
            assert!(is_running(&root, "c"), "{name}");
            std::fs::remove_file(root.join("c").join(name)).unwrap();
        }
        std::fs::remove_dir_all(root.join("c")).unwrap();
        assert!(!is_alive(&container) && is_dead(&container));
        container.created_ns = crate::registry::now_ns();
        assert!(!is_dead(&container), "too early to say");
        std::fs::remove_dir_all(&root).unwrap();
        container.created_ns = 0;
        assert!(!is_alive(&container) && !is_dead(&container), "no view of the runtime's directory");
        (container.runtime_pid, container.runtime_start) = (me, start_time(me));
        assert!(is_alive(&container));
    }
}
