//! Makes events of records: who did it, in which container, to what.

pub mod errno;
