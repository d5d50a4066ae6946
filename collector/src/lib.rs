//! porthole.
