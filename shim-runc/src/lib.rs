//! porthole-runc: a drop-in runc that puts the agent into containers.
//!
//! ```text
//! command line ─args─► call ─plan─► edited spec ─create─► share, config.json, container.json ─runtime─► exec runc
//! ```
//!
//! It is the runtime's own process: it prepares, then becomes the runtime, with the same words, descriptors, working
//! directory and environment. Whatever goes wrong before, the runtime starts all the same as if porthole were not there, and one
//! line in the engine's log says so.

pub mod args;
pub mod create;
pub mod delete;
pub mod elf;
pub mod exec;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod log;
pub mod lxc;
pub mod overlay;
pub mod plan;
pub mod runtime;
pub mod settings;

/// What a spec says, which the collector reads as well.
pub use porthole_identity::spec as engine;
