//! Finds the agent.

use crate::error::Error;
use porthole_registration::layout::LIBRARY;
use porthole_registration::share::Agent;
use std::path::{Path, PathBuf};

/// Environment variable that names the agent.
const VARIABLE: &str = "PORTHOLE_LIBRARY";
/// Data bytes of a ring. Nobody's memory limit is charged for these rings, and a single command may be all burst.
const RING_DATA: u32 = 256 * 1024;

/// The agent that `PORTHOLE_LIBRARY` names, else the one beside this program, else the one in `../lib/porthole/`.
pub fn find() -> Result<Agent, Error> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
        return load(Path::new(&path)).map_err(|e| Error::new(format!("{VARIABLE}: {e}")));
    }
    let places = places(std::env::current_exe().ok().as_deref());
    match places.iter().find(|p| p.exists()) {
        Some(path) => load(path),
        None => {
            let tried: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            Err(Error::new(format!(
                "cannot find the agent {LIBRARY} (tried {})\nname it with {VARIABLE}=/path/to/{LIBRARY}",
                tried.join(", ")
            )))
        }
    }
}

fn places(program: Option<&Path>) -> Vec<PathBuf> {
    let dir = program.and_then(Path::parent);
    let beside = dir.map(|d| d.join(LIBRARY));
    let installed = dir.and_then(Path::parent).map(|d| d.join("lib/porthole").join(LIBRARY));
    beside.into_iter().chain(installed).collect()
}

fn load(path: &Path) -> Result<Agent, Error> {
    Ok(Agent::load(path).map_err(|e| Error::new(e.to_string()))?.with_rings_of(RING_DATA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_sought_where_it_is_built_and_where_it_is_installed() {
        let places = places(Some(Path::new("/usr/bin/porthole")));
        assert_eq!(places, [Path::new("/usr/bin/libporthole.so"), Path::new("/usr/lib/porthole/libporthole.so")]);
    }
}
