//! The same calls by rustix, through the C library.

#[path = "../recall/rustix_calls.rs"]
mod calls;

fn main() {
    calls::all!(rustix_libc, connect_v4);
}
