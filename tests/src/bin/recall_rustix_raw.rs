//! A program whose calls rustix makes, as system calls of its own: what no library in the process sees.

#[path = "../recall/rustix_calls.rs"]
mod calls;

fn main() {
    calls::all!(rustix, connect);
}
