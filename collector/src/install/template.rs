//! Templates from which k3s and rke2 make containerd's configuration at each start.
//!
//! They are programs, no TOML: what is ours is put in behind the rest between two marks, made after the configuration that
//! came out at the last start.

use super::{containerd, read};
use crate::error::Error;
use std::path::{Path, PathBuf};

/// What a template is that adds to the usual one.
const BASE: &str = "{{ template \"base\" . }}\n";
const BEGIN: &str = "# porthole: begin; written by `porthole install`, taken out by `porthole uninstall`\n";
const END: &str = "# porthole: end\n";

/// Whether a file is one.
pub fn is_one(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmpl")
}

/// The template in a directory, by what is there, else by the version of what came out of it.
pub fn of(dir: &Path) -> PathBuf {
    let (newer, older) = (dir.join("config-v3.toml.tmpl"), dir.join("config.toml.tmpl"));
    let made = read(&dir.join("config.toml")).ok().flatten().unwrap_or_default();
    let is_newer = made.lines().any(|line| line.replace(' ', "") == "version=3");
    if is_newer && (newer.exists() || !older.exists()) { newer } else { older }
}

/// With our runtime.
pub fn with(path: &Path, text: &str, wrapper: &str, default: bool) -> Result<(String, Vec<String>), Error> {
    if default {
        return Err(Error::new(
            "the default is set by the distribution itself here: install without --default, then write \
             \"default-runtime: porthole\" into its config.yaml (/etc/rancher/k3s or /etc/rancher/rke2)",
        ));
    }
    let made = path.with_file_name("config.toml");
    let Some(model) = read(&made)? else {
        let made = made.display();
        return Err(Error::new(format!(
            "{made} is not there: start the distribution once, for the runtime is made after what stands in it"
        )));
    };
    let (table, notes) = containerd::table(&model, wrapper)?;
    let text = if text.trim().is_empty() { BASE.to_owned() } else { without(text) };
    if containerd::header(&model).is_ok_and(|header| text.contains(&header)) {
        let path = path.display();
        return Err(Error::new(format!("{path} has a runtime of this name already; take it out first")));
    }
    let line = if text.ends_with('\n') { "" } else { "\n" };
    Ok((format!("{text}{line}{BEGIN}{}\n{END}", table.trim()), notes))
}

/// Without what stands between the marks.
pub fn without(text: &str) -> String {
    match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) if begin < end => format!("{}{}", &text[..begin], &text[end + END.len()..]),
        _ => text.to_owned(),
    }
}
