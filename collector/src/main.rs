//! porthole.
fn main() {}
