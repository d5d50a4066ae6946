//! Archives of images, as `docker save` makes them, without a daemon.

use crate::program;
use crate::scratch::Scratch;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packs a root file system as the only layer of an image; `config` is what containers of it get (`Cmd`, `Labels`, …).
///
/// # Panics
/// If it cannot be packed.
pub fn archive(scratch: &Scratch, rootfs: &Path, name: &str, config: &Value) -> PathBuf {
    let dir = scratch.dir("image");
    let tar = |from: &Path, to: &Path| {
        program::run(Command::new("tar").arg("-C").arg(from).arg("-cf").arg(to).arg(".")).ok("tar");
    };
    let layer = dir.join("layer.tar");
    tar(rootfs, &layer);
    let sum = program::run(Command::new("sha256sum").arg(&layer)).ok("sha256sum").text();
    let sum = sum.split(' ').next().unwrap_or_default();
    let description = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    for (file, value) in [("config.json", &description), ("manifest.json", &manifest)] {
        std::fs::write(dir.join(file), value.to_string()).expect("an own file");
    }
    let archive = scratch.join("image.tar");
    tar(&dir, &archive);
    std::fs::remove_dir_all(dir).expect("an own directory");
    archive
}
