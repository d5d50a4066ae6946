//! Telling an engine of porthole-runc, and taking it out again.
//!
//! Engines that take files of others beside their own get one; the configuration of the others is edited, keeping all that
//! is in it. Whatever is written was read by the engine's own grammar before, appears at once, and what stood there before is
//! kept first: a process that is killed, or a machine that loses its power halfway, leaves either file, and both work.

mod containerd;
mod daemon;
mod diff;
mod docker;
mod dropin;
mod imports;
mod lxc;
mod named;
mod places;
mod record;
mod reload;
mod template;
mod write;

use crate::error::Error;
pub use diff::diff;
pub use named::{Named, named};
use porthole_registration::file;
use porthole_registration::layout::{self, ContainerDir};
use record::Record;
pub use reload::{after, check, forget};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    /// One container of LXC (--container)
    Lxc,
}

impl Engine {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Docker => "docker",
            Engine::Containerd => "containerd",
            Engine::Crio => "crio",
            Engine::Podman => "podman",
            Engine::Lxc => "lxc",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which engine.
    pub engine: Engine,
    /// Its configuration, if not in the usual place.
    pub config: Option<PathBuf>,
    /// The container, of engines that have a configuration for each.
    pub container: Option<String>,
    /// porthole-runc.
    pub wrapper: PathBuf,
    /// Whether every container is to run with it.
    pub default: bool,
    /// Where originals are kept.
    pub kept: PathBuf,
}

/// A file before and after; `None`: it is not there.
#[derive(Debug)]
pub struct Change {
    /// Its path.
    pub path: PathBuf,
    /// Its text now.
    pub before: Option<String>,
    /// Its text then.
    pub after: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The engine's main configuration.
    config: PathBuf,
    /// What is written down when the change is made, or was when it was made.
    record: Option<Record>,
    /// The time the file gets.
    time: Option<SystemTime>,
}

impl Change {
    /// Whether anything would be written.
    pub fn is_nothing(&self) -> bool {
        self.before == self.after
    }

    /// Whether porthole is in it then.
    fn has_porthole(&self) -> bool {
        self.after.as_ref().is_some_and(|text| text.contains(NAME))
    }
}

/// What installing would change.
///
/// # Errors
/// The configuration cannot be read, is none that the engine would take, or says something that must not be overruled.
pub fn install(request: &Request) -> Result<Change, Error> {
    let config = places::config(request)?;
    let known = Record::read(&request.kept, request.engine, &config)?;
    let path = deciding(request.engine, &config)?;
    if let Some(known) = known.as_ref().filter(|known| known.path != path) {
        let (there, here) = (known.path.display(), path.display());
        return Err(Error::new(format!(
            "porthole stands in {there}, but {here} decides now: porthole uninstall {} first",
            request.engine.name()
        )));
    }
    let before = read(&path)?;
    // What porthole itself has written does not count as somebody's configuration.
    let (original, modified) = match known.as_ref().filter(|known| known.is_ours(before.as_deref())) {
        Some(known) => (known.original.clone(), known.modified),
        None => (without(request.engine, &path, before.as_deref(), known.as_ref())?, modified(&path)),
    };
    let (after, notes) = edited(request, &config, &path, original.as_deref())?;
    let made = known.as_ref().map_or_else(|| missing(&path), |known| known.made.clone());
    let record =
        Record { path: path.clone(), original, modified, written: Some(after.clone()), before: before.clone(), made };
    Ok(Change { path, before, after: Some(after), notes, config, record: Some(record), time: None })
}

/// What uninstalling would change.
///
/// # Errors
/// As for [`install`].
pub fn uninstall(request: &Request) -> Result<Change, Error> {
    let config = places::config(request)?;
    let record = Record::read(&request.kept, request.engine, &config)?;
    let path = match &record {
        Some(record) => record.path.clone(),
        None => deciding(request.engine, &config)?,
    };
    let before = read(&path)?;
    let mut notes = vec![];
    let restored = record.as_ref().filter(|record| record.is_ours(before.as_deref()) || before == record.original);
    let (after, time) = match restored {
        Some(record) => (record.original.clone(), record.modified),
        None => {
            if record.is_some() {
                notes.push("the file was changed since: only what porthole has added is taken out".to_owned());
            }
            (without(request.engine, &path, before.as_deref(), record.as_ref())?, None)
        }
    };
    Ok(Change { path, before, after, notes, config, record, time })
}

/// Makes a change. What the file was without porthole is kept before it is touched.
///
/// # Errors
/// Something cannot be written; the configuration is then as it was.
pub fn apply(request: &Request, change: &Change, installing: bool) -> Result<(), Error> {
    let _alone = record::lock(&request.kept)?;
    if read(&change.path)? != change.before {
        return Err(Error::new(format!("{} was changed just now: try again", change.path.display())));
    }
    if let Some(record) = change.record.as_ref().filter(|_| installing) {
        record.write(&request.kept, request.engine, &change.config)?;
        let dir = change.path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
    }
    match &change.after {
        _ if change.is_nothing() => write::tidy(&change.path)?,
        Some(text) => write::replace(&change.path, text.as_bytes(), 0o644, change.time)?,
        None => write::remove_for_good(&change.path)?,
    }
    if !installing {
        // one that others have put something into stays
        for dir in change.record.iter().flat_map(|record| &record.made) {
            let _ = std::fs::remove_dir(dir);
        }
        Record::remove(&request.kept, request.engine, &change.config)?;
    }
    Ok(())
}

/// The file that decides about runtimes.
fn deciding(engine: Engine, config: &Path) -> Result<PathBuf, Error> {
    if engine == Engine::Containerd && !template::is_one(config) {
        return imports::deciding(config);
    }
    Ok(config.to_owned())
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match file::read(path, LIMIT) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::new(format!("{} is no text; correct it, then try again", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => Ok(None),
        Err(e) => Err(Error::new(e.to_string())),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Directories that have to be made for a file, the innermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    path.ancestors().skip(1).take_while(|dir| !dir.exists()).map(Path::to_owned).collect()
}

fn edited(request: &Request, config: &Path, path: &Path, text: Option<&str>) -> Result<(String, Vec<String>), Error> {
    let wrapper = request.wrapper.to_str().ok_or_else(|| Error::new("the path of porthole-runc is no text"))?;
    let text = text.unwrap_or_default();
    match request.engine {
        Engine::Docker => docker::with(text, wrapper, request.default),
        Engine::Containerd if template::is_one(path) => template::with(path, text, wrapper, request.default),
        Engine::Containerd => {
            let others = imports::files(config)?.into_iter().rev().filter(|(other, _)| other != path);
            let others: Vec<_> = others.map(|(_, config)| config).collect();
            containerd::with(text, &others, wrapper, request.default)
        }
        Engine::Crio => Ok((dropin::crio(wrapper, request.default), vec![])),
        Engine::Podman => Ok((dropin::podman(wrapper, request.default), vec![])),
        Engine::Lxc if request.default => {
            Err(Error::new("containers of LXC are told one by one: there is no --default for them"))
        }
        Engine::Lxc => {
            let dir = ContainerDir::new(&layout::state_dir(), places::lxc_name(request)?)
                .ok_or_else(|| Error::new("porthole takes no such name of a container"))?;
            Ok((lxc::with(text, wrapper, &dir), vec![]))
        }
    }
}

/// The text without porthole; `None`: nothing would be left of it.
fn without(engine: Engine, path: &Path, text: Option<&str>, record: Option<&Record>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    match engine {
        Engine::Docker => docker::without(text).map(Some),
        Engine::Containerd if template::is_one(path) => Ok(Some(template::without(text))),
        Engine::Containerd => containerd::without(text, record.and_then(|r| r.original.as_deref())).map(Some),
        Engine::Crio | Engine::Podman => Ok(None),
        Engine::Lxc => Ok(Some(lxc::without(text))),
    }
}

#[cfg(test)]
mod tests;
