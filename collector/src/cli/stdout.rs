//! A collector's standard output: whether anybody reads it.

use super::Stop;
use crate::error::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static UNREAD: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads it any more.
pub fn is_unread() -> bool {
    UNREAD.load(Relaxed)
}

/// Ends the collector as a SIGTERM from outside would.
pub fn end() {
    UNREAD.store(true, Relaxed);
    let _ = kill(Pid::this(), Signal::SIGTERM);
}

/// Whether what is printed goes to `/dev/null`: then formatting it would be work for nothing.
pub fn is_null() -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let device = |meta: std::fs::Metadata| meta.file_type().is_char_device().then(|| meta.rdev());
    let device_of = stdout.and_then(|s| s.metadata()).ok().and_then(device);
    device_of.is_some() && device_of == std::fs::metadata("/dev/null").ok().and_then(device)
}

/// Where standard output is a pipe, ends the collector when nobody reads it any more, even if no event comes.
pub fn end_with_the_reader() -> Result<(), Stop> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    let Ok(stdout) = stdout else { return Ok(()) };
    if !stdout.metadata().is_ok_and(|m| m.file_type().is_fifo()) {
        return Ok(());
    }
    let watch = move || {
        // asks for nothing but the errors that poll always reports: the other end was closed
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        while matches!(poll(&mut fds, PollTimeout::NONE), Err(nix::errno::Errno::EINTR)) {}
        end();
    };
    let thread = std::thread::Builder::new().name("stdout".into()).spawn(watch);
    thread.map(drop).map_err(|e| Error::new(format!("cannot start a thread: {e}")).into())
}
