//! The control page: the only way from the collector to the agents.
//!
//! It is a part of the library itself. Each container maps its own copy of `libporthole.so` from its own tmpfs; memory
//! that no process can write to is shared with the file, so what the collector writes there with one `pwrite` is
//! seen by every process at once. The agent needs no descriptor, no mapping and no system call for it (opening and
//! mapping a file of its own costs each exec about 5 µs), and the container sees it read-only.
//!
//! The page starts with [`MAGIC`] at an offset of the file that is a multiple of [`ALIGN`]; numbers are little endian.
//! It has no page of memory for itself: the agent's file is small, and what surrounds it is as constant.

/// Bytes of the page: its fields, and the largest table of [`crate::sites`].
pub const SIZE: usize = 1280;

/// What its offset in the file is a multiple of.
pub const ALIGN: usize = 64;

/// First bytes of the page; how the collector finds it in the file.
pub const MAGIC: [u8; 32] = *b"porthole control page, wire v01\0";

/// Offset of the generation (u32): a new number asks every agent to announce itself again.
pub const GENERATION: usize = 32;
/// Offset of the capture mask (u32): bit n = records of kind n are wanted. 0 in the file as built means all.
pub const CAPTURE: usize = 36;
/// Offset of the clock (u8): [`crate::record::Clock`].
pub const CLOCK: usize = 40;
/// Offset of how the agent gets into programs (u8): [`entry`]. 0 in the file as built: by the variable alone.
pub const ENTRY: usize = 41;

/// How the agent gets into programs.
pub mod entry {
    /// `/etc/ld.so.preload` names it: whatever is executed loads it.
    pub const FILE: u8 = 1;
    /// `LD_PRELOAD` does not, and stays as the program has it.
    pub const NO_VARIABLE: u8 = 2;
}
/// Offset of the ring size (u32, data bytes, a power of two); 0 means [`crate::limits::RING_DATA`].
pub const RING_DATA: usize = 44;

/// The offset of the control page in the library's bytes.
pub fn find(library: &[u8]) -> Option<usize> {
    let last = library.len().checked_sub(SIZE)?;
    (0..=last / ALIGN).map(|n| n * ALIGN).find(|&at| library[at..].starts_with(&MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_found_only_where_it_can_be() {
        let mut file = vec![0u8; 5 * SIZE];
        file[100..132].copy_from_slice(&MAGIC);
        assert_eq!(find(&file), None);
        file[7 * ALIGN..7 * ALIGN + 32].copy_from_slice(&MAGIC);
        assert_eq!(find(&file), Some(7 * ALIGN));
        assert_eq!(find(&file[..7 * ALIGN + SIZE - 1]), None, "a page that is cut off is none");
    }
}
