//! How a container is announced to the collector: a directory, so that it works while no collector runs.
//!
//! ```text
//! <state>/containers/<id>/       0700  one container (0710 and the group of its root's for one in a user namespace, 0711
//!                                      for `porthole run`: who mounts or opens the share must be able to walk there)
//!     container.json             0600  what is known of it; written last and atomically: its appearance is the announcement
//!     execs/<n>.json             0600  processes that the engine adds from outside (docker exec), one file each
//!     config.original            0600  the bundle's config.json before porthole's edits …
//!     config.written             0600  … and after, to tell whether someone else has changed it since
//!     deleted                    0600  empty; the runtime has deleted the container, the collector may clean up
//!     share/                           a tmpfs of this container alone, bounded in bytes and inodes; for a container
//!                                      without the agent a directory with empty mnt/ and rings/
//!         mnt/                   0755  what the container sees read-only, at `/dev/porthole` or `/.porthole`
//!             libporthole.so     0755  a copy of the agent, its control page included
//!             ld.so.preload      0644  with `inject: file` or `both`: what the container sees as /etc/ld.so.preload
//!             sock               0666  the collector's socket (made by the collector)
//!             rings/                   where `rings/` is mounted inside the container (`porthole run`: a link to it)
//!         rings/                 1777  what the container can write: one file per session, and `overflow`
//! ```
//!
//! Written by porthole-runc and by `porthole run`, read by the collector. Whoever registers holds a lock (flock) on the
//! container's directory until `container.json` is there.

pub mod bounds;
pub mod clock;
pub mod container;
pub mod edits;
pub mod elf;
pub mod error;
pub mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod layout;
pub mod life;
pub mod preload_file;
pub mod registry;
pub mod share;
pub mod sites;
pub mod undo;
