//! The real runtime: which one it is, and becoming it.

use crate::settings::Settings;
use porthole_registration::layout::own_runtime_dir;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

/// Tried in this order if none is configured.
const NAMES: [&str; 3] = ["runc", "crun", "youki"];
/// Where to look if there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Set for a runtime that is a script, because it may call `runc` and mean this program. Taken out again by the call
/// that finds it.
pub const CALLED_ENV: &str = "PORTHOLE_RUNC_CALLED";
/// Every build of this program carries it in its first page (see `main.rs`), so that a copy under another name is
/// known for what it is.
pub const MARK: [u8; 24] = *b"porthole-runc, a wrapper";

/// The runtime to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its file.
    pub path: PathBuf,
    /// Whether it is something other than a program of this machine, a script most likely.
    pub script: bool,
}

impl Runtime {
    /// Where it keeps its containers without `--root`.
    pub fn default_root(&self) -> PathBuf {
        let name = self.path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let name = ["crun", "youki"].into_iter().find(|known| name.contains(known)).unwrap_or("runc");
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        // crun asks for nothing but the variable
        let own = if name == "crun" { own.filter(|dir| !dir.as_os_str().is_empty()) } else { own_runtime_dir(own) };
        own.unwrap_or_else(|| "/run".into()).join(name)
    }
}

/// Finds the real runtime: the configured one, else the first of runc, crun and youki in `PATH`; never this program,
/// whatever its name. With `programs_only` (this program was called by a runtime that is a script) no scripts either.
///
/// # Errors
/// There is none; what to do, in words.
pub fn find(settings: &Settings, programs_only: bool) -> Result<Runtime, String> {
    let path = std::env::var_os("PATH").filter(|p| !p.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into());
    let me = std::fs::metadata("/proc/self/exe").ok();
    let usable = |path: PathBuf| look(path, me.as_ref()).filter(|r| !(programs_only && r.script));
    let in_path = |name: &OsStr| std::env::split_paths(&path).find_map(|dir| usable(dir.join(name)));
    let named = settings.runtime.as_ref().and_then(|runtime| {
        if runtime.as_os_str().as_bytes().contains(&b'/') {
            usable(runtime.clone())
        } else {
            in_path(runtime.as_os_str())
        }
    });
    named.or_else(|| NAMES.iter().find_map(|name| in_path(OsStr::new(name)))).ok_or_else(|| match &settings.runtime {
        Some(runtime) => format!(
            "{} is no runtime that can be executed, and no runc, crun or youki is in PATH; set {} to one",
            runtime.display(),
            crate::settings::RUNTIME_ENV
        ),
        None => {
            format!("no runc, crun or youki is in PATH; install one, or set {} to it", crate::settings::RUNTIME_ENV)
        }
    })
}

/// Becomes the runtime. Returns only if that fails.
///
/// # Errors
/// What the kernel said.
pub fn become_it(runtime: &Runtime, words: &[OsString]) -> Result<Infallible, String> {
    let c = |word: &OsStr| CString::new(word.as_bytes()).map_err(|e| e.to_string());
    let words: Vec<CString> = words.iter().map(|word| c(word)).collect::<Result<_, _>>()?;
    nix::unistd::execv(&c(runtime.path.as_os_str())?, &words)
        .map_err(|e| format!("cannot execute the runtime {}: {}", runtime.path.display(), e.desc()))
}

/// `path` as a runtime, unless it cannot be executed or is this program.
fn look(path: PathBuf, me: Option<&Metadata>) -> Option<Runtime> {
    let meta = std::fs::metadata(&path).ok()?;
    let same = me.is_some_and(|me| (me.dev(), me.ino()) == (meta.dev(), meta.ino()));
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 || same {
        return None;
    }
    // A program that may be executed but not read (then it is no copy of this one, which anyone may read) is fine.
    let mut head = Vec::with_capacity(4096);
    let _ = File::open(&path).and_then(|file| file.take(4096).read_to_end(&mut head));
    if head.windows(MARK.len()).any(|w| w == MARK) {
        return None;
    }
    Some(Runtime { path, script: !head.is_empty() && !head.starts_with(b"\x7fELF") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_taken_for_a_runtime() {
        let dir = std::env::temp_dir().join(format!("porthole-runtime-{}", std::process::id()));
        fs::create_dir_all(dir.join("directory")).unwrap();
        let make = |name: &str, mode: u32, bytes: &[u8]| {
            fs::write(dir.join(name), bytes).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        make("elf", 0o755, b"\x7fELF and so on");
        make("script", 0o755, b"#!/bin/sh\n");
        make("data", 0o644, b"\x7fELF");
        make("copy", 0o755, &[&b"\x7fELF...."[..], &MARK].concat());
        let look = |name: &str| super::look(dir.join(name), None).map(|r| r.script);
        assert_eq!((look("elf"), look("script")), (Some(false), Some(true)));
        for no in ["data", "copy", "directory", "none"] {
            assert_eq!(look(no), None, "{no}");
        }
        let me = fs::metadata(dir.join("elf")).unwrap();
        assert_eq!(super::look(dir.join("elf"), Some(&me)), None);

        let settings = |name: &str| Settings { runtime: Some(dir.join(name)), ..Settings::default() };
        assert_eq!(find(&settings("script"), false).unwrap().path, dir.join("script"));
        assert_ne!(find(&settings("script"), true).map(|r| r.path), Ok(dir.join("script")));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_runtime_keeps_its_containers_below_its_name() {
        let root = |path: &str| Runtime { path: path.into(), script: false }.default_root();
        assert!(root("/usr/bin/crun").ends_with("crun") && root("/opt/my-runtime").ends_with("runc"));
    }
}
