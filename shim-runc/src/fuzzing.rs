//! Doors for `fuzz/`: what is private and reads hostile bytes. Not in any build but its own.
#![allow(missing_docs)]

use crate::plan::dev::{clean, covers};
use crate::{args, exec, overlay};
use porthole_registration::elf::look;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A process object with the agent added.
pub fn add(mut process: Value, library: &str) -> Option<Value> {
    exec::add(&mut process, library).ok().map(|()| process)
}

/// A file with these contents.
fn file_of(bytes: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("porthole-fuzz-{}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).expect("an own file");
    file.write_all_at(bytes, 0).expect("room for it");
    file
}

/// A program, a line of words, a path of a spec, a list of mounts.
pub fn program(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 4 {
        0 => _ = look(&file_of(bytes)),
        1 => {
            let words: Vec<OsString> = bytes.split(|b| *b == 0).map(|w| OsString::from_vec(w.to_vec())).collect();
            let parsed = args::parse(&words);
            assert!(!(parsed.call.is_some() && parsed.unclear));
        }
        2 => {
            let path = clean(&String::from_utf8_lossy(bytes));
            assert!(path.starts_with('/') && covers("/", &path));
            assert!(path == "/" || path[1..].split('/').all(|part| !matches!(part, "" | "." | "..")));
            assert_eq!(clean(&path), path);
        }
        _ => _ = overlay::find(bytes, Path::new("/merged")),
    }
}
