//! Files of our own beside an engine's configuration.

use super::NAME;

const HEAD: &str = "# Written by `porthole install`; `porthole uninstall` removes it.\n";

/// For CRI-O.
pub fn crio(wrapper: &str, default: bool) -> String {
    let chosen = if default { format!("[crio.runtime]\ndefault_runtime = \"{NAME}\"\n\n") } else { String::new() };
    format!(
        "{HEAD}{chosen}[crio.runtime.runtimes.{NAME}]\nruntime_path = {wrapper:?}\nruntime_type = \"oci\"\nruntime_root = \"/run/runc\"\n"
    )
}

/// For podman.
pub fn podman(wrapper: &str, default: bool) -> String {
    let chosen = if default { format!("[engine]\nruntime = \"{NAME}\"\n\n") } else { String::new() };
    format!("{HEAD}{chosen}[engine.runtimes]\n{NAME} = [{wrapper:?}]\n")
}
