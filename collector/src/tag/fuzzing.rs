//! Door for `fuzz/`: hostile sessions through the whole stage. Not in any build but its own.

use super::Tagger;
use crate::container::Container;
use crate::event::{Event, Identity, text};
use crate::fuzzing::PLACE;
use crate::ingest::hello::Hello;
use crate::ingest::message::{Batch, Item, Message, Sender, Session};
use crate::ingest::ring::{self, Ring};
use crate::loss::Reason;
use crate::outputs::Output;
use crate::pace::Feeder;
use crossbeam_channel::Receiver;
use porthole_common::limits::{OVERFLOW_RING, RING_DATA_MIN, RING_HEADER};
use porthole_common::ring as layout;
use porthole_common::ring::reader::Reader;
use porthole_registration::container::{Exec, Process};
use porthole_registration::layout::ContainerDir;
use std::cell::RefCell;
use std::fs;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Two rings of one container, the second the one that all share.
static RINGS: LazyLock<[Arc<Ring>; 2]> = LazyLock::new(|| {
    ["first", OVERFLOW_RING].map(|name| {
        let mut file = vec![0u8; RING_HEADER + RING_DATA_MIN];
        file[..8].copy_from_slice(&layout::MAGIC);
        file[layout::VERSION_OFFSET] = porthole_common::WIRE_VERSION;
        file[layout::DATA_LEN_OFFSET..][..4].copy_from_slice(&(RING_DATA_MIN as u32).to_le_bytes());
        file[layout::HELLO_LEN_OFFSET] = 1;
        fs::write(PLACE.path.join(name), file).expect("an own file");
        Arc::new(ring::open(&PLACE.fd, name, "fuzz").expect("a good ring").ring)
    })
});

thread_local! {
    /// One stage for all inputs: nothing of a container may be left in it when that is gone.
    static STAGE: RefCell<(Tagger, Receiver<Vec<Output>>)> = {
        let (tx, rx) = crossbeam_channel::unbounded();
        RefCell::new((Tagger::new(Feeder::new(tx, None), Arc::default()), rx))
    };
}

/// Runs what the input says, and looks at every event that comes out.
pub fn events(bytes: &[u8]) {
    STAGE.with_borrow_mut(|(tagger, rx)| {
        container(tagger, bytes);
        assert!(tagger.containers.is_empty() && tagger.sessions.is_empty());
        tagger.expire(None);
        assert!(tagger.deadlines.next().is_none(), "nothing is waited for");
        for output in rx.try_iter().flatten() {
            if let Output::Event(event) = output {
                check(&event);
            }
        }
    });
}

/// One that comes, does what the input says, and goes.
fn container(tagger: &mut Tagger, bytes: &[u8]) {
    let dir = ContainerDir::new(&PLACE.path, "c").expect("a good name");
    let registration = r#"{"injection": {"mode": "preload", "library": "/dev/porthole/libporthole.so"}}"#;
    let registration = serde_json::from_str(registration).expect("a registration");
    let container = Arc::new(Container::new("c", dir, registration));
    tagger.take(Message::Registered(container.clone()));
    let mut input = Input(bytes);
    let mut sequence = 0;
    for _ in 0..64 {
        let Some(choice) = input.byte() else { break };
        let id = u64::from(choice >> 7) + 1;
        match choice & 15 {
            0 => {
                let ring = RINGS[usize::from(id > 1)].clone();
                let sender = sender(&mut input);
                let session = Session { id, container: container.clone(), ring, sender, saved: None };
                tagger.take(Message::Opened(Box::new(session)));
            }
            1 => {
                let sender = Box::new(sender(&mut input));
                tagger.take(Message::Ringless { container: container.clone(), shared: Some(id), sender });
            }
            2 => tagger.take(Message::Over(id)),
            3 => {
                let (pid, status) = (u32::from(input.byte().unwrap_or(0)), input.byte().map(i32::from));
                tagger.take(Message::Exited { container: container.clone(), pid, status });
            }
            4 => {
                let process = Process { args: vec![text(input.some())], cwd: text(input.some()), ..Default::default() };
                let exec = Exec { process, ..Default::default() };
                tagger.take(Message::ExecAdded { container: container.clone(), file: "x".into(), exec });
            }
            5 => tagger.expire(Some(Instant::now() + Duration::from_secs(1))),
            6 => {
                let items = vec![Item::Lost { sequence, count: 7, reason: Reason::RingFull }];
                tagger.take(Message::Records(batch(id, items, vec![])));
                sequence += 7;
            }
            _ => {
                let pid = u32::from(input.byte().unwrap_or(0));
                let bytes = input.some().to_vec();
                let payload = 0..bytes.len();
                let items = vec![Item::Record { sequence, pid, time_ns: 1, payload }];
                tagger.take(Message::Records(batch(id, items, bytes)));
                sequence += 1;
            }
        }
    }
    tagger.take(Message::Deleted(container));
    tagger.flush();
}

fn batch(session: u64, items: Vec<Item>, bytes: Vec<u8>) -> Batch {
    Batch { session, items, bytes, until: Reader::default(), cut: false, share: None }
}

fn check(event: &Event) {
    let mut line = vec![];
    event.write_json(&mut line);
    assert!(!line.iter().any(|b| *b < b' ' || *b == 0x7f), "one line, and nothing that a terminal obeys");
    // Comparing them all would take most of the time.
    if line.len() % 8 == 0 {
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(read, event.to_json());
    } else {
        serde_json::from_slice::<serde::de::IgnoredAny>(&line).expect("JSON");
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A byte string behind its length of two bytes.
    fn some(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte().unwrap_or(0)) | usize::from(self.byte().unwrap_or(0)) << 8;
        let (some, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        some
    }
}

fn sender(input: &mut Input) -> Sender {
    let flags = input.byte().unwrap_or(0);
    let pid = (flags & 1 != 0).then_some(u32::from(flags) << 24 | 7);
    let hello = Hello::decode(input.some()).unwrap_or_default();
    let identity = if flags & 2 != 0 { Identity::Verified } else { Identity::Inherited };
    Sender { hello, pid, facts: None, uid: Some(0), user: None, identity, time_ns: 1 }
}
