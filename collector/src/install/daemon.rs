//! Engines that run, found without a service manager.
//!
//! A daemon is told apart from others of its name (in containers, of tests) by the very file that it reads: the same file in
//! its own root directory.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process that runs.
#[derive(Debug)]
pub struct Daemon {
    /// Its number.
    pub pid: i32,
    args: Vec<String>,
}

/// All whose program has this name.
pub fn running(name: &str) -> Vec<Daemon> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_name =
        pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name));
    of_name
        .filter_map(|pid| {
            let args = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let args = args.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
            Some(Daemon { pid, args })
        })
        .collect()
}

impl Daemon {
    /// The value of an option, as `--name value` or `--name=value`.
    pub fn option<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.options(name).next()
    }

    /// All values of an option that may be there more than once.
    pub fn options<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let next = self.args.iter().skip(1).map(Some).chain([None]);
        self.args.iter().zip(next).filter_map(move |(arg, next)| match arg.strip_prefix(name)? {
            "" => Some(next?.as_str()),
            rest => rest.strip_prefix('='),
        })
    }

    /// Whether what it has at `path` is what is there for us: the file, else the directory that it would be in.
    pub fn reads(&self, path: &Path) -> bool {
        let inside = |path: &Path| PathBuf::from(format!("/proc/{}/root{}", self.pid, path.display()));
        let same = |path: &Path| match (fs::metadata(path), fs::metadata(inside(path))) {
            (Ok(a), Ok(b)) => Some((a.dev(), a.ino()) == (b.dev(), b.ino())),
            _ => None,
        };
        path.ancestors().find_map(same).unwrap_or(false)
    }

    /// Asks it to read its configuration again.
    pub fn reload(&self) -> Result<(), String> {
        let said = kill(Pid::from_raw(self.pid), Signal::SIGHUP);
        said.map_err(|e| format!("SIGHUP to process {} failed: {e}", self.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_either_form_and_files_that_are_the_same() {
        let own = std::process::id() as i32;
        let args =
            ["dockerd", "-H", "unix:///a", "--config-file=/x/y", "-H=tcp://b", "--debug"].map(str::to_owned).to_vec();
        let daemon = Daemon { pid: own, args };
        assert_eq!(daemon.option("--config-file"), Some("/x/y"));
        assert_eq!((daemon.option("--config"), daemon.option("--debug")), (None, None));
        assert_eq!(daemon.options("-H").collect::<Vec<_>>(), ["unix:///a", "tcp://b"]);
        assert!(daemon.reads(Path::new("/etc/passwd")) && daemon.reads(Path::new("/etc/no/such")));
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        assert!(running(comm.trim()).iter().any(|d| d.pid == own));
        assert!(running("no such program").is_empty());
    }
}
