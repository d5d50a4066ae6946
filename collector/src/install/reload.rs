//! Engines that run are told of what has changed, where they can be: dockerd and CRI-O read their runtimes again upon
//! SIGHUP. None is ever restarted.

use super::daemon::{self, Daemon};
use super::{Change, Engine, NAME, Record, Request, docker, read, template, write};
use crate::error::Error;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long dockerd may take to read a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a running daemon forbids the change: dockerd does not start with a setting that its command line has, too.
pub fn check(request: &Request, change: &Change) -> Result<(), Error> {
    let forbidden = |daemon: &Daemon| {
        let twice = |option: &'static str| daemon.options(option).next().map(|_| option);
        twice("--add-runtime").or_else(|| twice("--default-runtime").filter(|_| request.default))
    };
    let daemons = of(request.engine, &change.path);
    let Some((pid, option)) = daemons.iter().find_map(|daemon| Some((daemon.pid, forbidden(daemon)?))) else {
        return Ok(());
    };
    Err(Error::new(format!(
        "dockerd (process {pid}) runs with {option}, and does not start with the same in {}: take the option out of its \
         command line (its unit) first",
        change.path.display()
    )))
}

/// After a change was made: tells what runs of it, and says what was done or is left to do.
pub fn after(request: &Request, change: &Change, wanted: bool) -> String {
    let daemons = of(request.engine, &change.path);
    let systemd = Path::new("/run/systemd/system").is_dir();
    let by_hand = |what: &str, unit: &str| match (systemd, daemons.first()) {
        (true, _) => format!("systemctl {what} {unit}"),
        (false, Some(daemon)) if what == "reload" => format!("kill -HUP {}", daemon.pid),
        (false, Some(daemon)) => format!("restart {unit} (process {})", daemon.pid),
        (false, None) => format!("{what} {unit} if it runs"),
    };
    let untouched = "running containers are not touched";
    match request.engine {
        Engine::Lxc => "then: stop and start the container".into(),
        Engine::Podman => "podman reads it at each start: nothing is left to do".into(),
        Engine::Containerd => {
            let path = change.path.display().to_string();
            let unit = match path {
                path if path.contains("/k3s/") => "k3s (on agents k3s-agent)",
                path if path.contains("/rke2/") => "rke2-server (on agents rke2-agent)",
                path if path.contains("/microk8s/") => return format!("then: snap restart microk8s; {untouched}"),
                _ => "containerd",
            };
            format!("then: {}; it reads its configuration only then; {untouched}", by_hand("restart", unit))
        }
        Engine::Crio if wanted && !daemons.is_empty() => {
            format!("{}; versions before 1.30 need: {}", hup(&daemons), by_hand("restart", "crio"))
        }
        Engine::Crio => format!("then: {} (before 1.30: restart); {untouched}", by_hand("reload", "crio")),
        Engine::Docker if wanted && !daemons.is_empty() => {
            let said = hup(&daemons);
            let known = |daemon: &Daemon| docker_knows(daemon, change.after.as_deref());
            let restart = by_hand("restart", "docker");
            match daemons.iter().map(|daemon| wait_for(|| known(daemon), change.has_porthole())).min() {
                Some(Known::Yes) => format!("{said}: it knows the runtime {NAME:?} now; {untouched}"),
                Some(Known::No) => format!("{said}: it has forgotten the runtime {NAME:?}; {untouched}"),
                _ => format!("{said}, but it does not say what it knows now; if that is not enough: {restart}"),
            }
        }
        Engine::Docker if change.has_porthole() => format!("then: {}; {untouched}", by_hand("reload", "docker")),
        Engine::Docker => {
            let restart = by_hand("restart", "docker");
            format!(
                "then: {restart}; until then it goes on with what it knows, reloaded or not: leave porthole-runc there"
            )
        }
    }
}

/// A dockerd that has read a default runtime keeps it when the setting is gone: it has to be told of another one. So the
/// original is written with docker's own runtime said aloud first, read by dockerd, and only then as it was.
pub fn forget(request: &Request, change: &mut Change) -> Result<(), Error> {
    let daemons = of(request.engine, &change.path);
    if request.engine != Engine::Docker || change.is_nothing() || daemons.is_empty() {
        return Ok(());
    }
    let aloud = docker::aloud(change.after.as_deref().unwrap_or_default())?;
    let record = Record {
        path: change.path.clone(),
        original: change.after.clone(),
        modified: change.time,
        written: change.before.take(),
        before: Some(aloud.clone()),
        made: change.record.as_ref().map(|record| record.made.clone()).unwrap_or_default(),
    };
    let _alone = super::record::lock(&request.kept)?;
    if read(&change.path)? != record.written {
        return Err(Error::new(format!("{} was changed just now: try again", change.path.display())));
    }
    record.write(&request.kept, request.engine, &change.config)?;
    write::replace(&change.path, aloud.as_bytes(), 0o644, None)?;
    change.before = Some(aloud);
    change.record = Some(record);
    for daemon in &daemons {
        // what becomes of it is looked at in the end
        let _ = daemon.reload();
        wait_for(|| docker_knows(daemon, change.after.as_deref()), false);
    }
    Ok(())
}

/// Daemons that read a configuration.
fn of(engine: Engine, path: &Path) -> Vec<Daemon> {
    let reads = |program: &str, option: &str, usual: &str| {
        let mut all = daemon::running(program);
        all.retain(|daemon| path == Path::new(daemon.option(option).unwrap_or(usual)) && daemon.reads(path));
        all
    };
    match engine {
        Engine::Docker => reads("dockerd", "--config-file", "/etc/docker/daemon.json"),
        Engine::Containerd if template::is_one(path) => vec![],
        Engine::Containerd => {
            let mut all = reads("containerd", "--config", "/etc/containerd/config.toml");
            all.extend(reads("containerd", "-c", ""));
            all
        }
        Engine::Crio => {
            let dir = path.parent().unwrap_or(Path::new("/"));
            let mut all = daemon::running("crio");
            let usual = Path::new("/etc/crio/crio.conf.d");
            all.retain(|daemon| {
                let theirs = daemon.option("--config-dir").or_else(|| daemon.option("-d")).map_or(usual, Path::new);
                dir == theirs && daemon.reads(dir)
            });
            all
        }
        Engine::Podman | Engine::Lxc => vec![],
    }
}

fn hup(daemons: &[Daemon]) -> String {
    let said = |daemon: &Daemon| match daemon.reload() {
        Ok(()) => format!("process {} was told to read it (SIGHUP)", daemon.pid),
        Err(e) => e,
    };
    daemons.iter().map(said).collect::<Vec<_>>().join(", ")
}

/// What a daemon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Silent,
    No,
    Yes,
}

fn wait_for(ask: impl Fn() -> Known, wanted: bool) -> Known {
    let (started, wanted) = (Instant::now(), if wanted { Known::Yes } else { Known::No });
    loop {
        let known = ask();
        if known == wanted {
            return known;
        }
        if known == Known::Silent || started.elapsed() > PATIENCE {
            return Known::Silent;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a dockerd has our runtime: asked on the first of its sockets that answers.
fn docker_knows(daemon: &Daemon, config: Option<&str>) -> Known {
    let config: Value = config.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let hosts = config["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let hosts = hosts.chain(daemon.options("-H")).chain(daemon.options("--host")).chain(["unix:///run/docker.sock"]);
    let info = hosts.filter_map(|host| host.strip_prefix("unix://")).find_map(|socket| info(Path::new(socket)));
    match info {
        Some(info) if info["Runtimes"].get(NAME).is_some() || info["DefaultRuntime"] == NAME => Known::Yes,
        Some(_) => Known::No,
        None => Known::Silent,
    }
}

/// docker's own description of itself.
fn info(socket: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // of this version an answer ends with the connection
    stream.write_all(b"GET /info HTTP/1.0\r\nHost: docker\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(super::LIMIT).read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}
