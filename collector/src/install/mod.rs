//! Telling an engine of porthole-runc, and taking it out again.
//!
//! Engines that take files of others beside their own get one; the configuration of the others is edited, keeping all that
//! is in it. Whatever is written was read by the engine's own grammar before, appears at once, and what stood there before is
//! kept first: a machine that loses its power halfway has either file, and both work.

mod containerd;
mod diff;
mod docker;
mod dropin;
mod record;

use crate::error::Error;
pub use diff::diff;
use porthole_registration::file;
use record::Record;
use std::path::{Path, PathBuf};

/// Name of the runtime in every engine.
pub const NAME: &str = "porthole";
/// Largest configuration.
const LIMIT: u64 = 4 << 20;

/// Engines that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// dockerd
    Docker,
    /// containerd: Kubernetes' interface
    Containerd,
    /// CRI-O
    Crio,
    /// podman, and what else reads containers.conf
    Podman,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which engine.
    pub engine: Engine,
    /// Its configuration, if not in the usual place.
    pub config: Option<PathBuf>,
    /// porthole-runc.
    pub wrapper: PathBuf,
    /// Whether every container is to run with it.
    pub default: bool,
    /// Where originals are kept.
    pub kept: PathBuf,
}

/// A file before and after; `None`: it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub path: PathBuf,
    /// Its text now.
    pub before: Option<String>,
    /// Its text then.
    pub after: Option<String>,
    /// What was there before porthole was; written down when the change is made.
    original: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Change {
    /// Whether anything would be written.
    pub fn is_nothing(&self) -> bool {
        self.before == self.after
    }
}

/// What installing would change.
///
/// # Errors
/// The configuration cannot be read, is none that the engine would take, or says something that must not be overruled.
pub fn install(request: &Request) -> Result<Change, Error> {
    let path = config(request)?;
    let before = read(&path)?;
    let record = Record::read(&request.kept, request.engine)?;
    // What porthole itself has written does not count as somebody's configuration.
    let ours = record.as_ref().filter(|r| r.path == path && before.is_some() && before == r.written);
    let original = ours.map_or(before.clone(), |r| r.original.clone());
    let (after, notes) = edited(request, original.as_deref())?;
    Ok(Change { path, before, after: Some(after), original, notes })
}

/// What uninstalling would change.
///
/// # Errors
/// As for [`install`].
pub fn uninstall(request: &Request) -> Result<Change, Error> {
    let path = config(request)?;
    let before = read(&path)?;
    let record = Record::read(&request.kept, request.engine)?.filter(|r| r.path == path);
    let mut notes = vec![];
    let after = match record {
        Some(record) if before == record.written => record.original,
        known => {
            if known.is_some() {
                notes.push("the file was changed since: only what porthole has added is taken out".to_owned());
            }
            before.as_deref().map(|text| without(request.engine, text)).transpose()?.flatten()
        }
    };
    Ok(Change { path, original: after.clone(), before, after, notes })
}

/// Makes a change. What the file was without porthole is kept before it is touched.
///
/// # Errors
/// Something cannot be written; the configuration is then as it was.
pub fn apply(request: &Request, change: &Change, installing: bool) -> Result<(), Error> {
    let failed = |e: porthole_registration::error::Error| Error::new(e.to_string());
    if installing {
        let record =
            Record { path: change.path.clone(), original: change.original.clone(), written: change.after.clone() };
        record.write(&request.kept, request.engine)?;
    }
    match &change.after {
        _ if change.is_nothing() => {}
        Some(text) if change.before.is_some() => file::replace(&change.path, text.as_bytes()).map_err(failed)?,
        Some(text) => {
            let dir = change.path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
            file::publish(&change.path, text.as_bytes(), 0o644).map_err(failed)?;
        }
        None => std::fs::remove_file(&change.path).map_err(|e| Error::io("remove", &change.path, e))?,
    }
    if !installing {
        Record::remove(&request.kept, request.engine)?;
    }
    Ok(())
}

/// What to do so that the engine knows of it.
pub fn then(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => "systemctl reload docker (or SIGHUP to dockerd); running containers are not touched",
        Engine::Containerd => "systemctl restart containerd; running containers are not touched",
        Engine::Crio => "systemctl restart crio (or reload, from 1.30 on); running containers are not touched",
        Engine::Podman => "nothing: podman reads it at each start",
    }
}

fn config(request: &Request) -> Result<PathBuf, Error> {
    if let Some(config) = &request.config {
        return std::path::absolute(config).map_err(|e| Error::io("find", config, e));
    }
    let usual: &[&str] = match request.engine {
        Engine::Docker => &["/etc/docker/daemon.json"],
        Engine::Containerd => containerd::PLACES,
        Engine::Crio => &["/etc/crio/crio.conf.d/99-porthole.conf"],
        Engine::Podman => &["/etc/containers/containers.conf.d/50-porthole.conf"],
    };
    let there = usual.iter().find(|path| Path::new(path).exists());
    Ok(there.or(usual.first()).map(PathBuf::from).unwrap_or_default())
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match file::read(path, LIMIT) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::new(format!("{} is no text; correct it, then try again", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::new(e.to_string())),
    }
}

fn edited(request: &Request, text: Option<&str>) -> Result<(String, Vec<String>), Error> {
    let wrapper = request.wrapper.to_str().ok_or_else(|| Error::new("the path of porthole-runc is no text"))?;
    let text = text.unwrap_or_default();
    match request.engine {
        Engine::Docker => docker::with(text, wrapper, request.default),
        Engine::Containerd => containerd::with(text, wrapper, request.default),
        Engine::Crio => Ok((dropin::crio(wrapper, request.default), vec![])),
        Engine::Podman => Ok((dropin::podman(wrapper, request.default), vec![])),
    }
}

/// The text without porthole; `None`: nothing would be left of it.
fn without(engine: Engine, text: &str) -> Result<Option<String>, Error> {
    match engine {
        Engine::Docker => docker::without(text).map(Some),
        Engine::Containerd => containerd::without(text).map(Some),
        Engine::Crio | Engine::Podman => Ok(None),
    }
}

#[cfg(test)]
mod tests;
