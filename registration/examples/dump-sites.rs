//! Prints the sites that are found in root file systems:
//! `cargo run -p porthole-registration --example dump-sites -- ROOT…`.
use porthole_common::sites::{BUILD_ID, OBJECT_HEAD};
use std::path::Path;

fn main() {
    let state = std::env::temp_dir().join(format!("porthole-dump-sites-{}", std::process::id()));
    for root in std::env::args().skip(1) {
        println!("{root}");
        match porthole_registration::sites::table(Path::new(&root), &state) {
            Ok(table) => dump(&table[4..]),
            Err(reason) => println!("  {reason}"),
        }
    }
}

fn dump(mut rest: &[u8]) {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    while let Some((head, behind)) = rest.split_at_checked(OBJECT_HEAD) {
        let (id, numbers) = head.split_at(BUILD_ID);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let (sites, next) = behind.split_at(4 * number(&numbers[4..]));
        println!("  build-id {id} coverage {:#x}, {} sites:", number(&numbers[..4]), sites.len() / 4);
        sites.chunks(4).for_each(|at| println!("    {:#x}", number(at)));
        rest = next;
    }
}
