//! What an executed program inherits: the exec rule.
//!
//! The target is looked at first. Our `LD_PRELOAD` entry is kept, or added where the program has dropped it (`env -i`),
//! also for targets that ignore it in silence (static, set-user-id), because their own dynamic children need it. It is
//! taken out only where someone would complain on stderr: the loader of another word size or architecture, any loader
//! that cannot reach our library any more after a chroot, and the AddressSanitizer, which must be the first library; and
//! where a loader is to list the libraries of a program (`ldd`) and not to run it.

mod environment;
mod path;
mod target;

pub use environment::{Environment, Room, names};
pub use path::{FOUND, search};
pub use target::started_as;

use crate::{next, sandbox, sys};
use core::ffi::{c_char, c_int};
use porthole_common::record::{Injection, Target};
use target::NoDescriptor;

/// What a look at the target told.
#[derive(Clone, Copy)]
pub struct Look {
    /// What it is.
    pub target: Target,
    /// Why our entry must not be in its environment.
    pub unwelcome: Option<Injection>,
}

impl Look {
    /// Below a filter that the process has installed itself. Nothing is asked, and the new program must not bring
    /// the agent: its initialisation makes calls that the filter may answer with death.
    const SANDBOXED: Look = Look { target: Target::Unknown, unwelcome: Some(Injection::Sandboxed) };

    /// At `path`, from the directory `dir`.
    pub fn at(dir: c_int, path: *const c_char) -> Look {
        if sandbox::active() {
            return Look::SANDBOXED;
        }
        Look::from(target::of_path(dir, path))
    }

    /// At an open file.
    pub fn open_file(fd: c_int) -> Look {
        if sandbox::active() {
            return Look::SANDBOXED;
        }
        Look::from(target::of_file(fd))
    }

    fn from(found: Result<Target, NoDescriptor>) -> Look {
        // The loader of the new program could not open our library either.
        let Ok(target) = found else {
            return Look { target: Target::Unknown, unwelcome: Some(Injection::NoDescriptor) };
        };
        let unwelcome = match target {
            Target::OtherArchitecture | Target::WordSize | Target::Asan => Some(Injection::Removed),
            _ if library_reachable() => None,
            _ => Some(Injection::Unreachable),
        };
        Look { target, unwelcome }
    }
}

/// Whether the loader of a new program will find our library under the name we were loaded by: not after a chroot that
/// hides it.
fn library_reachable() -> bool {
    const R_OK: c_int = 4;
    next::own_path().is_some_and(|path| sys::access(sys::AT_FDCWD, path.as_ptr().cast(), R_OK) == 0)
}
