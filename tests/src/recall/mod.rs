//! What the kernel saw of a program, beside what porthole recorded of the same execution.

pub mod judge;
pub mod programs;
pub mod reasons;
pub mod tools;
pub mod trace;

pub use programs::{PROGRAMS, Program, Through};
