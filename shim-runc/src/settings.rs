//! The few things that can be set: by environment variable (tests, several installations), else in a file.

use porthole_registration::container::Inject;
use porthole_registration::file;
use porthole_registration::layout::{LIBRARY, STATE_DIR, STATE_DIR_ENV, own_runtime_dir};
use porthole_registration::sites::Depth;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file.
pub const FILE: &str = "/etc/porthole/porthole-runc.json";
/// Environment variable with another file.
pub const FILE_ENV: &str = "PORTHOLE_RUNC_CONFIG";
/// Environment variable with the real runtime.
pub const RUNTIME_ENV: &str = "PORTHOLE_RUNTIME";
/// Environment variable with the agent's path.
pub const LIBRARY_ENV: &str = "PORTHOLE_LIBRARY";

const LIMIT: u64 = 64 * 1024;

/// What the file says.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct File {
    runtime: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    library: Option<PathBuf>,
    depth: Depth,
    inject: Inject,
}

/// Settings of this call.
#[derive(Debug, Default, PartialEq)]
pub struct Settings {
    /// The real runtime, if one is named: a path, or a name to be looked up in `PATH`.
    pub runtime: Option<PathBuf>,
    /// See `registration`.
    pub state_dir: PathBuf,
    /// The agent, if one is named.
    pub library: Option<PathBuf>,
    /// How deep the agent looks.
    pub depth: Depth,
    /// What makes programs load the agent.
    pub inject: Inject,
    /// What is wrong with the file, which is ignored then.
    pub complaint: Option<String>,
}

impl Settings {
    /// Those of this process. `variable` looks into its environment.
    pub fn load(variable: impl Fn(&str) -> Option<PathBuf>) -> Settings {
        let variable = |name| variable(name).filter(|v| !v.as_os_str().is_empty());
        let path = variable(FILE_ENV).unwrap_or_else(|| FILE.into());
        let (file, complaint) = match read(&path) {
            Ok(file) => (file, None),
            Err(complaint) => (File::default(), Some(complaint)),
        };
        let rootless = || Some(own_runtime_dir(variable("XDG_RUNTIME_DIR"))?.join("porthole"));
        Settings {
            runtime: variable(RUNTIME_ENV).or(file.runtime),
            state_dir: variable(STATE_DIR_ENV).or(file.state_dir).or_else(rootless).unwrap_or_else(|| STATE_DIR.into()),
            library: variable(LIBRARY_ENV).or(file.library),
            depth: file.depth,
            inject: file.inject,
            complaint,
        }
    }

    /// The agent: the one that is named, else beside this program, as a build leaves it, or in `lib` beside its
    /// directory, as a package does.
    pub fn agent(&self) -> PathBuf {
        if let Some(library) = &self.library {
            return library.clone();
        }
        let exe = std::env::current_exe().unwrap_or_default();
        let bin = exe.parent().unwrap_or(Path::new("/"));
        let beside = bin.join(LIBRARY);
        if beside.exists() { beside } else { bin.join("../lib/porthole").join(LIBRARY) }
    }
}

fn read(path: &Path) -> Result<File, String> {
    match file::read(path, LIMIT) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| format!("{} is ignored, it is no valid configuration: {e}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(e) => Err(format!("the configuration is ignored: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_file() {
        let path = std::env::temp_dir().join(format!("porthole-settings-{}", std::process::id()));
        std::fs::write(
            &path,
            r#"{"runtime": "crun", "library": "/l.so", "depth": "symbols", "inject": "both", "future": 1}"#,
        )
        .unwrap();
        let load = |env: &[(&str, &str)]| {
            Settings::load(|name| {
                let named = env.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
                named.or_else(|| (name == FILE_ENV).then(|| path.clone()))
            })
        };
        let settings = load(&[(RUNTIME_ENV, "/bin/runc"), (LIBRARY_ENV, ""), (STATE_DIR_ENV, "/s")]);
        assert_eq!(settings.runtime, Some("/bin/runc".into()));
        assert_eq!((settings.agent(), &*settings.state_dir), ("/l.so".into(), Path::new("/s")));
        assert_eq!((settings.depth, settings.inject, settings.complaint), (Depth::Symbols, Inject::Both, None));

        std::fs::write(&path, "{").unwrap();
        assert!(load(&[]).complaint.unwrap().contains("no valid configuration"));
        assert_eq!((load(&[]).depth, load(&[]).inject), (Depth::Auto, Inject::Env));
        std::fs::write(&path, r#"{"inject": "somehow"}"#).unwrap();
        assert!(load(&[]).complaint.unwrap().contains("somehow"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(load(&[]).complaint, None);
    }
}
