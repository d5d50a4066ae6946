//! What engines are configured to call, for `porthole doctor`.

use super::{Engine, NAME, containerd, docker, imports, places, read, template};
use crate::error::Error;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item};

/// Program that is called.
const WRAPPER: &str = "porthole-runc";

/// An engine's runtime that is porthole-runc.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it is named.
    pub file: PathBuf,
    /// The runtime's name there.
    pub runtime: String,
    /// Its program.
    pub program: PathBuf,
    /// Whether that program is there.
    pub there: bool,
    /// Whether a container that asks for nothing runs with it.
    pub default: bool,
}

/// The one of an engine below a root directory; one whose program is gone before any other.
///
/// # Errors
/// A configuration cannot be read, or is none.
pub fn named(engine: Engine, root: &Path) -> Result<Option<Named>, Error> {
    let mut found = vec![];
    let (mut runtimes, mut default) = (vec![], None);
    for (file, of_file, chosen) in configured(engine, root)? {
        default = chosen.or(default);
        runtimes.extend(of_file.into_iter().map(|(name, programs)| (file.clone(), name, programs)));
    }
    for (file, runtime, programs) in runtimes {
        let is_ours = |program: &&String| program.rsplit('/').next() == Some(WRAPPER) || runtime == NAME;
        let Some(first) = programs.iter().find(is_ours) else { continue };
        // of podman's several the first that is there is taken
        let there = programs.iter().any(|program| !program.starts_with('/') || root.join(&program[1..]).exists());
        let default = default.as_deref() == Some(&*runtime);
        found.push(Named { file, program: first.into(), there, default, runtime });
    }
    found.sort_by_key(|named| (named.there, !named.default));
    Ok(found.into_iter().next())
}

/// A file, its runtimes with their programs, and the default runtime if it names one.
type Configured = (PathBuf, Vec<(String, Vec<String>)>, Option<String>);

fn configured(engine: Engine, root: &Path) -> Result<Vec<Configured>, Error> {
    let main = places::usual(engine, root)?;
    match engine {
        Engine::Docker => {
            let text = read(&main)?.unwrap_or_default();
            let (runtimes, default) = docker::programs(&text)?;
            Ok(vec![(main, runtimes, default)])
        }
        Engine::Containerd => {
            // what came out of a template counts
            let main = if template::is_one(&main) { main.with_file_name("config.toml") } else { main };
            let one = |(file, config): (PathBuf, DocumentMut)| {
                let (runtimes, default) = containerd::programs(&config);
                (file, runtimes.into_iter().map(|(name, program)| (name, vec![program])).collect(), default)
            };
            Ok(imports::files(&main)?.into_iter().map(one).collect())
        }
        Engine::Crio => tables(root, &["etc/crio/crio.conf"], "etc/crio/crio.conf.d", &["crio", "runtime"]),
        Engine::Lxc => Ok(vec![]),
        Engine::Podman => {
            let files = ["usr/share/containers/containers.conf", "etc/containers/containers.conf"];
            tables(root, &files, "etc/containers/containers.conf.d", &["engine"])
        }
    }
}

/// Files that have a table of runtimes below `path`, and the default's name beside it.
fn tables(root: &Path, files: &[&str], dir: &str, path: &[&str]) -> Result<Vec<Configured>, Error> {
    let mut all: Vec<PathBuf> = files.iter().map(|file| root.join(file)).collect();
    let more = std::fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
    let mut more: Vec<PathBuf> = more.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    more.sort();
    all.extend(more);
    let mut found = vec![];
    for file in all {
        let Some(text) = read(&file)? else { continue };
        let wrong = |e| Error::new(format!("{} cannot be understood: {e}", file.display()));
        let config: DocumentMut = text.parse().map_err(wrong)?;
        let table = path.iter().try_fold(config.as_item(), |item, name| item.get(name));
        let Some(table) = table else { continue };
        let default = ["default_runtime", "runtime"].iter().find_map(|key| table.get(key)?.as_str().map(str::to_owned));
        let runtimes = table.get("runtimes").and_then(Item::as_table_like);
        let runtimes = runtimes.into_iter().flat_map(|runtimes| runtimes.iter());
        found.push((file, runtimes.map(|(name, runtime)| (name.to_owned(), programs(runtime))).collect(), default));
    }
    Ok(found)
}

/// CRI-O has a table with a path, podman a list of paths.
fn programs(runtime: &Item) -> Vec<String> {
    let path = runtime.get("runtime_path").and_then(Item::as_str);
    let list = runtime.as_array().into_iter().flatten().filter_map(|path| path.as_str());
    path.into_iter().chain(list).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{Request, apply, install};
    use std::fs;

    #[test]
    fn what_was_installed_is_found_and_what_is_gone_is_told() {
        let root = std::env::temp_dir().join(format!("porthole-named-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        for engine in [Engine::Docker, Engine::Containerd, Engine::Crio, Engine::Podman] {
            assert_eq!(named(engine, &root).unwrap(), None);
            for default in [false, true] {
                let config = places::usual(engine, &root).unwrap();
                let (wrapper, kept) = ("/usr/bin/porthole-runc".into(), root.join("kept"));
                let container = None;
                let request = Request { engine, config: Some(config.clone()), container, wrapper, default, kept };
                apply(&request, &install(&request).unwrap(), true).unwrap();
                for there in [true, false] {
                    let program = root.join("usr/bin/porthole-runc");
                    if there {
                        fs::write(&program, "").unwrap()
                    } else {
                        fs::remove_file(&program).unwrap()
                    }
                    let found = named(engine, &root).unwrap().unwrap();
                    let program = PathBuf::from("/usr/bin/porthole-runc");
                    let wanted = Named { file: config.clone(), runtime: NAME.into(), program, there, default };
                    assert_eq!(found, wanted, "{engine:?}");
                }
            }
            fs::write(places::usual(engine, &root).unwrap(), "{ \n[").unwrap();
            assert!(named(engine, &root).is_err(), "{engine:?}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
