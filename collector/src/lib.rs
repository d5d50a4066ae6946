//! porthole's collector: finds the rings of registered containers, reads their records, says whose they are, and
//! passes them on as events.
//!
//! ```text
//! ingest (sockets, ring files, pidfds) ─► tag (process tree, paths, execs) ─► outputs (file, stdout) ─► detect (rules, alerts) ─► hub
//! ```
//!
//! Everything that comes from a container is hostile input: bounded, validated, counted when refused.

pub mod api;
mod census;
mod cleanup;
pub mod cli;
mod clock;
pub mod config;
mod container;
pub mod detect;
pub mod error;
pub mod event;
pub mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod hub;
mod ingest;
pub mod install;
mod json;
mod loss;
mod outputs;
mod owed;
mod pace;
pub mod pipeline;
mod positions;
pub mod redact;
pub mod rights;
pub mod status;
mod supervisor;
mod sys;
pub mod tag;
