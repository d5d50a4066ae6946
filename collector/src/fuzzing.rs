//! Doors for `fuzz/`: what is private and reads hostile bytes. Not in any build but its own.
#![allow(missing_docs)]

use crate::api::EventsQuery;
use crate::container::Container;
use crate::ingest::hello::{Hello, valid_ring_name};
use crate::ingest::{facts, ring, users};
use crate::positions::Saved;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use porthole_common::limits::{HELLO, RING_DATA_MAX, RING_DATA_MIN, RING_HEADER};
use porthole_common::ring::reader::{Found, Reader};
use porthole_common::ring::{self as layout, valid_data_len};
use porthole_registration::layout::ContainerDir;
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

pub use crate::tag::fuzzing::events;

/// A directory for this process's rings.
pub(crate) struct Place {
    pub path: PathBuf,
    pub fd: Arc<OwnedFd>,
}

pub(crate) static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("porthole-fuzz-{}", std::process::id()));
    fs::create_dir_all(&path).expect("a directory for the rings");
    let fd = open(&path, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).expect("it is there");
    Place { path, fd: Arc::new(fd) }
});

/// A packet.
pub fn hello(bytes: &[u8]) {
    let Ok(hello) = Hello::decode(bytes) else { return };
    let _ = (hello.forked(), hello.truncated(), hello.again(), valid_ring_name(hello.ring.as_bytes()));
}

/// A file of the host that is about the container, or that the container's processes decide the contents of.
pub fn state(which: u8, bytes: &[u8]) {
    match which % 4 {
        0 => {
            let Ok(registration) = serde_json::from_slice(bytes) else { return };
            let dir = ContainerDir::new(&PLACE.path, "c").expect("a good name");
            let view = Container::new("c", dir, registration).view();
            assert!(serde_json::to_vec(&view).is_ok());
        }
        1 => {
            let Ok(saved) = serde_json::from_slice::<Saved>(bytes) else { return };
            let written = serde_json::to_vec(&saved).expect("it has string keys");
            assert_eq!(serde_json::from_slice::<Saved>(&written).expect("what we write we read"), saved);
        }
        2 => {
            facts::fuzz(bytes);
            assert!(users::parse(bytes).values().all(|name| !name.contains([':', '\n'])));
        }
        _ => {
            let Ok(uri) = std::str::from_utf8(bytes).unwrap_or_default().parse::<hyper::Uri>() else { return };
            let Ok(query) = axum::extract::Query::<EventsQuery>::try_from_uri(&uri) else { return };
            let again: hyper::Uri = query.uri().parse().expect("our own request");
            let back = axum::extract::Query::<EventsQuery>::try_from_uri(&again).expect("our own request");
            assert_eq!(back.0, query.0);
        }
    }
}

/// A ring's file and what is done to it while it is open.
pub fn ring_file(bytes: &[u8]) {
    let mut rest = bytes;
    let mut take = |n: usize| {
        let (taken, behind) = rest.split_at(n.min(rest.len()));
        rest = behind;
        taken
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let file = made(number(take(1)), number(take(3)), take(64));
    let Ok(opened) = ring::open(&PLACE.fd, "ring", "fuzz") else { return };
    let ring = opened.ring;
    assert!(valid_data_len(ring.data_len as usize) && opened.hello.len() <= HELLO);
    hello(&opened.hello);
    let (mut reader, mut data) = (Reader::default(), vec![0; ring.data_len as usize]);
    for _ in 0..16 {
        let [choice] = *take(1) else { break };
        match choice % 4 {
            0 => {
                let at = [64, 128, RING_HEADER, number(take(3)) % (2 * RING_DATA_MAX)][usize::from(choice / 4 % 4)];
                let _ = file.write_all_at(take(usize::from(choice / 16)), at as u64);
            }
            1 => _ = file.set_len((number(take(3)) % (2 * RING_DATA_MAX)) as u64),
            _ => look(&ring, &mut reader, &mut data, choice % 4 == 3),
        }
    }
    assert!(ring.has_writers(), "this very function");
}

/// A ring of which the header is right, but for what `patch` puts there; `kind` decides its size.
fn made(kind: usize, len: usize, patch: &[u8]) -> File {
    let path = PLACE.path.join("ring");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("an own file");
    let data_len = RING_DATA_MIN << (kind % 6);
    let len = if kind & 64 == 0 { RING_HEADER + data_len } else { len % (2 * RING_DATA_MAX) };
    let mut header = [0u8; layout::HELLO_OFFSET + 16];
    header[..8].copy_from_slice(&layout::MAGIC);
    header[layout::VERSION_OFFSET] = porthole_common::WIRE_VERSION;
    header[layout::DATA_LEN_OFFSET..][..4].copy_from_slice(&(data_len as u32).to_le_bytes());
    header[layout::HELLO_LEN_OFFSET] = 16;
    let at = if kind & 128 == 0 { layout::HEAD_OFFSET } else { 0 };
    header[at..][..patch.len()].copy_from_slice(patch);
    let _ = file.write_all_at(&header, 0).and_then(|()| file.set_len(len as u64));
    file
}

fn look(ring: &ring::Ring, reader: &mut Reader, data: &mut [u8], give_up: bool) {
    let Some(ring::Words { head, .. }) = ring.words() else { return };
    if !ring.copy(*reader, head, data) {
        reader.jump(head);
    }
    for step in 0.. {
        assert!(step <= data.len() / 4, "a look ends");
        match reader.next(data, head) {
            Found::Empty => break,
            Found::Pending if !give_up => break,
            Found::Pending => _ = reader.skip(data, head),
            Found::Impossible => _ = reader.jump(head),
            Found::Record(_) | Found::Dropped(_) => {}
        }
    }
    ring.release(*reader);
}
