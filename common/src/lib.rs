//! The wire between the agent (inside a container's processes) and the collector (on the host).
//!
//! Both sides import this crate and nothing else is shared, so it is `no_std`, has no features and no dependencies.
//!
//! # Trust
//!
//! The agent's side of every structure here lies in memory that the container can write. The collector must treat
//! each byte as hostile: [`record::Record::decode`] and [`ring::reader`] are total functions, they never panic, never
//! allocate and never look outside the slice they are given. What a record says of its sender is a claim; identity
//! comes from the kernel and from the registration of the container.
//!
//! `docs/WIRE.md` describes the formats in words.
#![cfg_attr(not(any(test, loom)), no_std)]

pub mod control;
pub mod limits;
pub mod msgpack;
pub mod record;
pub mod ring;
pub mod sites;

/// Version of the wire: record kinds, ring layout, control page. Raised only when an old reader could misread.
pub const WIRE_VERSION: u8 = 1;
