//! porthole-runc.
fn main() {}
