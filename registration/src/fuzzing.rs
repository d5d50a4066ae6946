//! Doors for `fuzz/`: what is private and reads hostile bytes. Not in any build but its own.
#![allow(missing_docs)]

use crate::{share, sites};
use porthole_common::sites::{BUILD_ID, LENGTH, OBJECT_HEAD, OBJECTS, SITES, TABLE};

/// A library out of an image: everything said of it lies in it.
pub fn library(bytes: &[u8]) {
    sites::fuzz(bytes);
}

/// The bytes of an agent made of this file.
pub fn agent(bytes: &[u8]) -> Option<Vec<u8>> {
    share::prepared(bytes.to_vec())
}

/// The table of sites, as agents read it: never more than there is.
pub fn table(table: &[u8]) {
    let Some((count, mut rest)) = table.split_first_chunk::<4>() else { return };
    for _ in 0..u32::from_le_bytes(*count).min(OBJECTS as u32) {
        let Some((head, behind)) = rest.split_first_chunk::<OBJECT_HEAD>() else { return };
        let Some(n) = head[BUILD_ID + 4..].first_chunk::<4>() else { return };
        let Some((_, next)) = behind.split_at_checked(u32::from_le_bytes(*n) as usize * 4) else { return };
        rest = next;
    }
}

/// The table that the host writes is one that agents read to its end.
pub fn check_table(table: &[u8]) {
    assert!(table.len() <= TABLE);
    let (count, mut rest) = table.split_first_chunk::<4>().expect("a count");
    assert!((1..=OBJECTS as u32).contains(&u32::from_le_bytes(*count)));
    for _ in 0..u32::from_le_bytes(*count) {
        let (head, behind) = rest.split_first_chunk::<OBJECT_HEAD>().expect("a head");
        let n = u32::from_le_bytes(*head[BUILD_ID + 4..].first_chunk().expect("a number")) as usize;
        assert!((1..=SITES).contains(&n));
        rest = &behind[4 * n..];
    }
    assert!(rest.is_empty());
}

/// Every site's bytes are those of a site.
pub fn check_sites(code_at: u64, code: &[u8], sites: &[u32]) {
    for at in sites {
        let from = (u64::from(*at).checked_sub(code_at).expect("inside the code")) as usize;
        assert!(from >= 8, "the agent looks at eight bytes before");
        let bytes = &code[from..=from + LENGTH];
        let system_call = matches!(bytes[0], 0xb8 | 0xbf) && bytes[5..7] == [0x0f, 0x05];
        assert!(system_call || bytes[0] == 0xe8, "a system call, or a call of the function that makes it");
    }
}
