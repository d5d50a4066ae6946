//! Starts the command, so that it finds everything as if it had been started without porthole.
//!
//! `Command` alone would sort the environment, drop what is odd in it, and leave our signal mask; so the last step, the
//! exec itself, is made here.

#![allow(unsafe_code)]

use super::{Refused, target};
use crate::cli::inherited;
use crate::error::Error;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, geteuid};
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const VARIABLE: &[u8] = b"LD_PRELOAD=";

/// A command, ready to be executed.
pub struct Prepared {
    name: OsString,
    argv: Strings,
    envp: Strings,
    /// The environment without the agent, for when it does not fit.
    plain: Strings,
}

impl Prepared {
    /// `command` with the agent behind whatever else is preloaded into it.
    pub fn new(command: &[OsString], agent: &Path) -> Result<Prepared, Refused> {
        let argv: Result<Vec<CString>, _> = command.iter().map(|a| CString::new(a.as_bytes())).collect();
        let argv = argv.map_err(|e| Error::new(format!("an argument cannot be passed on: {e}")))?;
        let name = command.first().cloned().ok_or_else(|| Error::new("no command"))?;
        let environment = environment();
        let plain = strings(environment.clone());
        let envp = if target::of(&name).objection().is_some() { plain.clone() } else { preloaded(environment, agent) };
        Ok(Prepared { name, argv: Strings::new(argv), envp: Strings::new(envp), plain: Strings::new(plain) })
    }

    /// `command` as it would be without porthole.
    pub fn bare(command: &[OsString]) -> Result<Prepared, Refused> {
        let mut prepared = Prepared::new(command, Path::new(""))?;
        prepared.envp = Strings::new(strings(environment()));
        Ok(prepared)
    }

    /// Whether its file gives it privileges that we lack, which it would not get if we traced it.
    pub fn gains_privilege(&self) -> bool {
        let file = target::file(&self.name).filter(|_| !geteuid().is_root());
        file.is_some_and(|f| f.metadata().is_ok_and(|m| m.mode() & 0o6000 != 0) || has_capabilities(&f))
    }

    /// Starts it with this signal mask.
    pub fn start(self, mask: &SigSet) -> Result<Pid, Refused> {
        self.start_as(mask, |_| ())
    }

    /// Starts it with this signal mask, and with the streams (and steps before the exec) that `shape` adds.
    pub fn start_as(self, mask: &SigSet, shape: impl FnOnce(&mut Command)) -> Result<Pid, Refused> {
        let mut command = Command::new(&self.name);
        shape(&mut command);
        let name = self.name.clone();
        let mask = *mask;
        // SAFETY: between fork and exec the closure makes only calls that are safe there: pthread_sigmask, close,
        // rt_sigaction, execvpe (glibc's and musl's allocate nothing). It takes no lock and frees nothing.
        unsafe { command.pre_exec(move || Err(self.become_it(&mask))) };
        match command.spawn() {
            Ok(child) => Ok(Pid::from_raw(child.id() as i32)),
            Err(e) => Err(refusal(&name, &e)),
        }
    }

    /// Turns this process, a fresh child, into the command; returns only if that fails.
    fn become_it(&self, mask: &SigSet) -> io::Error {
        if let Err(e) = mask.thread_set_mask() {
            return e.into();
        }
        for fd in inherited::closed_streams() {
            // SAFETY: nothing of this child uses the stream, which Rust's runtime has opened.
            unsafe { libc::close(fd) };
        }
        for signal in 1..=inherited::SIGNALS {
            let mut action = inherited::KernelAction::default();
            action.0[0] = if inherited::was_ignored(signal) { libc::SIG_IGN } else { libc::SIG_DFL };
            let (size, none) = (inherited::SIGNALS as usize / 8, std::ptr::null::<inherited::KernelAction>());
            // SAFETY: an action without handler, flags and mask, in a buffer at least as large as the kernel's; the old
            // one is not asked for. Fails for SIGKILL and SIGSTOP, which cannot have been changed.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, none, size) };
        }
        for envp in [&self.envp, &self.plain] {
            // SAFETY: both arrays end with a null pointer and their strings with a NUL, and live as long as `self`;
            // `argv` has a first string, as `new` has seen to.
            unsafe {
                libc::execvpe(*self.argv.pointers.as_ptr(), self.argv.pointers.as_ptr(), envp.pointers.as_ptr());
            }
            // an environment that just fitted runs without the agent rather than not at all
            if Errno::last() != Errno::E2BIG {
                break;
            }
        }
        io::Error::last_os_error()
    }
}

fn has_capabilities(file: &Path) -> bool {
    let Ok(file) = CString::new(file.as_os_str().as_bytes()) else { return false };
    let (name, nowhere) = (c"security.capability", std::ptr::null_mut());
    // SAFETY: two strings with a NUL at their end; only the length is asked for, so nothing is written.
    unsafe { libc::getxattr(file.as_ptr(), name.as_ptr(), nowhere, 0) > 0 }
}

/// Gives a signal its default disposition; Rust's runtime ignores SIGPIPE and handles SIGSEGV and SIGBUS.
pub fn make_default(signal: Signal) {
    // SAFETY: the default disposition needs no function, and no handler of this program relies on being called.
    unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
}

/// Strings as exec wants them.
struct Strings {
    pointers: Vec<*const libc::c_char>,
    _owner: Vec<CString>,
}

// SAFETY: the pointers lead to strings that the same value owns and that nobody changes.
unsafe impl Send for Strings {}
// SAFETY: as above.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(strings: Vec<CString>) -> Strings {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Strings { pointers, _owner: strings }
    }
}

/// As a shell would say and count it.
fn refusal(name: &OsStr, error: &io::Error) -> Refused {
    let name = crate::format::escape::escape(&name.to_string_lossy()).into_owned();
    match error.kind() {
        ErrorKind::NotFound => Refused { code: 127, error: Error::new(format!("{name}: command not found")) },
        _ => Refused { code: 126, error: Error::new(format!("cannot execute {name}: {error}")) },
    }
}

/// The environment that porthole was started with, in its order, odd entries included.
fn environment() -> Vec<Vec<u8>> {
    match std::fs::read("/proc/self/environ") {
        Ok(block) => {
            let block = block.strip_suffix(b"\0").unwrap_or(&block);
            if block.is_empty() { vec![] } else { block.split(|b| *b == 0).map(<[u8]>::to_vec).collect() }
        }
        Err(_) => std::env::vars_os().map(|(k, v)| [k.into_vec(), v.into_vec()].join(&b'=')).collect(),
    }
}

/// The environment with the agent as the last preloaded library.
fn preloaded(environment: Vec<Vec<u8>>, agent: &Path) -> Vec<CString> {
    let agent = agent.as_os_str().as_bytes();
    let mut found = false;
    let merge = |mut entry: Vec<u8>| {
        if entry.starts_with(VARIABLE) {
            found = true;
            // also behind nothing: the variable was there, and still is when our entry is taken out
            entry.push(b':');
            entry.extend_from_slice(agent);
        }
        entry
    };
    let mut entries: Vec<Vec<u8>> = environment.into_iter().map(merge).collect();
    if !found {
        entries.push([VARIABLE, agent].concat());
    }
    strings(entries)
}

fn strings(entries: Vec<Vec<u8>>) -> Vec<CString> {
    // an entry of an environment cannot hold a NUL
    entries.into_iter().filter_map(|e| CString::new(e).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(entries: &[&str]) -> Vec<String> {
        let entries = entries.iter().map(|e| e.as_bytes().to_vec()).collect();
        preloaded(entries, Path::new("/p/l.so")).into_iter().map(|e| e.into_string().unwrap()).collect()
    }

    #[test]
    fn the_agent_comes_last_and_nothing_else_changes() {
        assert_eq!(merged(&["B=1", "A=2", "odd"]), ["B=1", "A=2", "odd", "LD_PRELOAD=/p/l.so"]);
        assert_eq!(merged(&["LD_PRELOAD=/x.so /y.so", "A="]), ["LD_PRELOAD=/x.so /y.so:/p/l.so", "A="]);
        assert_eq!(merged(&["LD_PRELOAD="]), ["LD_PRELOAD=:/p/l.so"]);
        assert_eq!(merged(&[]), ["LD_PRELOAD=/p/l.so"]);
    }

    #[test]
    fn the_environment_is_the_one_we_were_started_with() {
        let path = environment().into_iter().find(|e| e.starts_with(b"PATH="));
        assert_eq!(path.map(|p| p[5..].to_vec()), std::env::var_os("PATH").map(|p| p.into_vec()));
    }
}
