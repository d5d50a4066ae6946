//! What the suites below `tests/` share: the release binaries, C targets compiled on first use, a collector with a
//! state directory of its own, containers and an own docker daemon, and everything stopped and removed at the end.
//!
//! A test that cannot run on this machine says so with [`skip!`], which prints one `SKIP: reason` line past the test
//! harness' capture; `scripts/test` counts those lines.

pub mod attack;
pub mod binaries;
pub mod bundle;
pub mod collector;
pub mod compare;
pub mod containerd;
pub mod cri;
pub mod crowd;
pub mod docker;
pub mod events;
pub mod falco;
pub mod image;
pub mod installed;
pub mod kubernetes;
pub mod podman;
pub mod program;
pub mod recall;
pub mod registered;
pub mod release;
pub mod rootfs;
pub mod rootless;
pub mod scratch;
pub mod stream;
pub mod suite;
pub mod targets;
pub mod usage;
pub mod wait;

/// Prints `SKIP: reason` where the harness cannot capture it, and returns from the test.
#[macro_export]
macro_rules! skip {
    ($($arg:tt)*) => {{
        $crate::print_skip(&format!($($arg)*));
        return Default::default();
    }};
}

/// The line that [`skip!`] prints.
pub fn print_skip(reason: &str) {
    use std::io::Write;
    // stderr itself, not eprintln!, whose output the harness keeps for failed tests only
    let _ = writeln!(std::io::stderr(), "SKIP: {reason}");
}
