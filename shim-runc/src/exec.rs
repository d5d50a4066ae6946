//! `exec`: the process that an engine adds to a container gets the agent too, and a record of its own.

use crate::args::Exec as What;
use crate::{elf, engine};
use porthole_registration::container::{Container, Exec, Injection, Process, VERSION};
use porthole_registration::error::Error;
use porthole_registration::layout::ContainerDir;
use porthole_registration::{edits, file, registry};
use serde_json::Value;
use std::io;
use std::path::Path;

/// Largest `--process` file that is edited.
const PROCESS_LIMIT: u64 = 64 * 1024 * 1024;

/// Prepares an `exec` into the container of `dir`, which lives below `runtime_root`. One that is not registered is not
/// porthole's.
pub fn prepare(dir: &ContainerDir, runtime_root: &Path, what: &What) -> Vec<String> {
    let container = match registry::read(dir) {
        Ok(container) if Path::new(&container.runtime_root) == runtime_root => container,
        Ok(_) => return Vec::new(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![e.to_string()],
    };
    let exec = match what {
        What::File(path) => match patch(&container, path) {
            Some(exec) => exec,
            None => return Vec::new(),
        },
        What::Command { args, user, cwd, tty } => {
            let (uid, gid) = ids(user.as_deref());
            let cwd = cwd.clone().unwrap_or_else(|| container.process.cwd.clone());
            let process = Process { args: args.clone(), cwd, uid, gid, terminal: *tty, ..container.process.clone() };
            // The runtime takes the environment from the container's own spec, the entry included.
            let reason = absent(&container);
            Exec { injected: reason.is_empty(), reason, process, ..Exec::default() }
        }
    };
    let exec = Exec { version: VERSION, time_ns: registry::now_ns(), ..exec };
    let mut messages = Vec::new();
    if !exec.injected {
        messages.push(format!("a process in container {} is not instrumented: {}", container.id, exec.reason));
    }
    messages.extend(registry::record_exec(dir, &exec).err().map(|e: Error| e.to_string()));
    messages
}

/// Tells of a `pause` or `resume` of the container of `dir`.
pub fn freeze(dir: &ContainerDir, runtime_root: &Path, verb: &str) -> Vec<String> {
    let ours = registry::read(dir).is_ok_and(|c| Path::new(&c.runtime_root) == runtime_root);
    let told = Exec { version: VERSION, time_ns: registry::now_ns(), verb: verb.into(), ..Exec::default() };
    if !ours {
        return Vec::new();
    }
    registry::record_exec(dir, &told).err().map(|e: Error| e.to_string()).into_iter().collect()
}

/// Adds the agent to the process object of this file; `None` if the runtime will not take the file.
fn patch(container: &Container, path: &Path) -> Option<Exec> {
    let bytes = file::read(path, PROCESS_LIMIT).ok()?;
    let mut value: Value = serde_json::from_slice(&bytes).ok()?;
    if !value.get("args").is_some_and(Value::is_array) {
        return None;
    }
    let mut process = engine::process(&value);
    let env = engine::environment(&value);
    let target = elf::target(Path::new(&container.rootfs), &container.mounts, &process, env);
    process.target = target.name.into();
    let reason = match &container.injection {
        Injection::None { .. } => absent(container),
        Injection::Preload { library, inject } => match target.objection {
            Some(objection) => format!("the program {objection}"),
            None if !inject.by_variable() => String::new(),
            None => add(&mut value, library)
                .and_then(|()| {
                    let bytes = serde_json::to_vec(&value).map_err(|e| e.to_string())?;
                    file::replace(path, &bytes).map_err(|e| e.to_string())
                })
                .err()
                .unwrap_or_default(),
        },
    };
    Some(Exec { injected: reason.is_empty(), reason, process, ..Exec::default() })
}

pub(crate) fn add(process: &mut Value, library: &str) -> Result<(), String> {
    let env = &mut process["env"];
    if env.is_null() {
        *env = Value::Array(Vec::new());
    }
    let env = env.as_array_mut().ok_or("its environment is no list")?;
    edits::add_preload(env, library);
    Ok(())
}

fn absent(container: &Container) -> String {
    match &container.injection {
        Injection::Preload { .. } => String::new(),
        Injection::None { reason } => format!("the container is not ({reason})"),
    }
}

/// `uid[:gid]`, as runc takes it.
fn ids(user: Option<&str>) -> (u32, u32) {
    let mut numbers = user.unwrap_or_default().split(':').map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_registration::container::Inject;
    use std::fs;
    use std::path::PathBuf;

    fn registered(name: &str, injection: Injection) -> (PathBuf, ContainerDir) {
        let top = std::env::temp_dir().join(format!("porthole-exec-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        let dir = ContainerDir::new(&top, "c").unwrap();
        let claim = registry::claim(&top, dir.clone()).unwrap();
        let container = Container { id: "c".into(), runtime_root: "/r".into(), injection, ..Container::default() };
        claim.publish(&container).unwrap();
        (top, dir)
    }

    fn records(dir: &ContainerDir) -> Vec<Exec> {
        let files = fs::read_dir(dir.execs()).unwrap().map(|f| f.unwrap().path());
        files.map(|f| serde_json::from_slice(&fs::read(f).unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_process_file_gets_the_agent_and_keeps_the_rest() {
        let library = "/dev/porthole/libporthole.so".to_owned();
        let (top, dir) = registered("file", Injection::Preload { library, inject: Inject::Env });
        let path = top.join("process.json");
        fs::write(&path, r#"{"args":["x"],"user":{"uid":5},"env":["LD_PRELOAD=/u.so"],"z":{"n":1.50}}"#).unwrap();
        assert_eq!(prepare(&dir, Path::new("/r"), &What::File(path.clone())), [""; 0]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            r#"{"args":["x"],"user":{"uid":5},"env":["LD_PRELOAD=/u.so:/dev/porthole/libporthole.so"],"z":{"n":1.5}}"#
        );
        let exec = records(&dir).remove(0);
        assert!(exec.injected && exec.time_ns > 0 && exec.process.uid == 5 && exec.process.args == ["x"]);

        assert_eq!(prepare(&dir, Path::new("/other"), &What::File(path.clone())), [""; 0]);
        for odd in ["", "{", "[]", r#"{"args":1}"#] {
            fs::write(&path, odd).unwrap();
            assert_eq!(prepare(&dir, Path::new("/r"), &What::File(path.clone())), [""; 0]);
            assert_eq!(fs::read_to_string(&path).unwrap(), odd);
        }
        assert_eq!(records(&dir).len(), 1);
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_container_without_the_agent_gets_a_record_only() {
        let (top, dir) = registered("none", Injection::None { reason: "why".into() });
        let what = What::Command { args: vec!["y".into()], user: Some("7:8".into()), cwd: None, tty: true };
        let messages = prepare(&dir, Path::new("/r"), &what);
        assert!(messages[0].contains("why"), "{messages:?}");
        let exec = records(&dir).remove(0);
        assert!(!exec.injected && exec.reason.contains("why"));
        assert_eq!((exec.process.uid, exec.process.gid, exec.process.terminal), (7, 8, true));
        let unknown = ContainerDir::new(&top, "unknown").unwrap();
        assert_eq!(prepare(&unknown, Path::new("/r"), &what), [""; 0]);
        fs::remove_dir_all(top).unwrap();
    }
}
