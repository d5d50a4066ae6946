//! How many records a second one core turns into events: rings that are full when the collector starts, no output.
//! Prints one line; `cargo bench -p porthole-collector --bench throughput`.

#[path = "../tests/support/mod.rs"]
mod support;

use nix::time::{ClockId, clock_gettime};
use porthole_collector::detect::outputs::Target;
use porthole_collector::detect::{Detector, Plan, stories};
use porthole_collector::event::Event;
use porthole_collector::pipeline::{self, Options, Publish, Sink, Without};
use porthole_common::limits::RING_HEADER;
use porthole_common::record::Connect;
use porthole_common::ring::producer::{Shared, commit_word, reserve};
use porthole_common::ring::{self, RECORD_HEADER};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::{State, encoded, hello, open_record};

const RINGS: usize = 128;
const DATA: usize = 256 << 10;

/// A ring in memory, written out when it is full.
struct Memory(RefCell<Vec<u8>>);

impl Memory {
    fn put(&self, at: usize, bytes: &[u8]) {
        self.0.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0.borrow()[at..at + 8].try_into().expect("eight bytes"))
    }

    fn write(&self, payload: &[u8]) -> bool {
        let Ok(slot) = reserve(self, payload.len(), false) else { return false };
        let (pid, time) = (std::process::id(), 1_790_000_000_000_000_000 + u64::from(slot.sequence));
        let at = RING_HEADER + slot.offset as usize;
        self.put(at + 8, &slot.sequence.to_le_bytes());
        self.put(at + 12, &pid.to_le_bytes());
        self.put(at + 16, &time.to_le_bytes());
        self.put(at + RECORD_HEADER, payload);
        self.commit(slot.offset, commit_word(slot, pid, time, payload));
        true
    }
}

impl Shared for Memory {
    fn data_len(&self) -> u32 {
        DATA as u32
    }
    fn head(&self) -> u64 {
        self.word(ring::HEAD_OFFSET)
    }
    fn swap_head(&self, _: u64, new: u64) -> Result<(), u64> {
        self.put(ring::HEAD_OFFSET, &new.to_le_bytes());
        Ok(())
    }
    fn tail(&self) -> u32 {
        0
    }
    fn prepare(&self, _: u32) -> bool {
        true
    }
    fn commit(&self, offset: u32, word: u64) {
        self.put(RING_HEADER + offset as usize, &word.to_le_bytes());
    }
}

/// A full ring; how many records it has.
fn fill(name: &str) -> (Vec<u8>, u64) {
    let memory = Memory(RefCell::new(vec![0; RING_HEADER + DATA]));
    memory.put(0, &ring::MAGIC);
    memory.put(ring::VERSION_OFFSET, &u32::from(porthole_common::WIRE_VERSION).to_le_bytes());
    memory.put(ring::DATA_LEN_OFFSET, &(DATA as u32).to_le_bytes());
    let hello = hello(name, |_| {});
    memory.put(ring::HELLO_OFFSET, &hello);
    memory.put(ring::HELLO_LEN_OFFSET, &(hello.len() as u32).to_le_bytes());
    let addr = [&(libc::AF_INET as u16).to_ne_bytes()[..], &[0, 80, 10, 1, 2, 3], &[0; 8]].concat();
    let kinds = [
        open_record("/usr/lib/x86_64-linux-gnu/libselinux.so.1", 3),
        open_record("/etc/nsswitch.conf", 4),
        open_record("/usr/share/locale/en_US/LC_MESSAGES/coreutils.mo", -libc::ENOENT),
        open_record("src/main/java/Application.java", 5),
        open_record("../lib/node_modules/npm/package.json", 6),
        open_record("/proc/self/status", 7),
        open_record("/usr/lib/python3.11/site-packages/__init__.py", -libc::ENOENT),
        encoded(|w| Connect { res: 0, fd: 9, addr: &addr, local: &[] }.encode(w)),
    ];
    let count = (0..).take_while(|n| memory.write(&kinds[n % kinds.len()])).count();
    (memory.0.into_inner(), count as u64)
}

struct Count(AtomicU64);
impl Publish for Count {
    fn publish(&self, _: &Arc<Event>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock is always there").into()
}

fn main() {
    let modes =
        [("counted", false, false), ("JSON lines in a file", true, false), ("upstream's rules, stories", false, true)];
    for (title, file, judged) in modes {
        if judged && upstream().is_none() {
            println!("SKIP: upstream's rules are not in PORTHOLE_FALCO_DATA");
            continue;
        }
        let mut rates: Vec<u64> = (0..5).map(|_| round(file, judged)).collect();
        rates.sort_unstable();
        println!("collector, ring -> tag -> {title}: {} events/s of CPU (median of {rates:?})", rates[rates.len() / 2]);
    }
}

/// Upstream's rules files, where they are.
fn upstream() -> Option<Vec<PathBuf>> {
    let named = std::env::var_os("PORTHOLE_FALCO_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/falco"));
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    let files: Vec<PathBuf> = names.iter().map(|n| folder.join("upstream-rules").join(n)).collect();
    files.iter().all(|f| f.is_file()).then_some(files)
}

fn round(file: bool, judged: bool) -> u64 {
    let state = State::new();
    let container = state.register("0123456789abcdef0123456789abcdef");
    let mut total = 0;
    for n in 0..RINGS {
        let name = format!("r-{n:x}");
        let (bytes, count) = fill(&name);
        let path = container.dir.rings().join(&name);
        let file = fs::File::create(&path).expect("a ring");
        file.write_all_at(&bytes, 0).expect("room for it");
        total += count;
    }
    let hub = Arc::new(Count(AtomicU64::new(0)));
    let (started, deadline) = (cpu(), Instant::now() + Duration::from_secs(60));
    let mut publish: Arc<dyn Publish> = hub.clone();
    if let Some(rules) = upstream().filter(|_| judged) {
        let target = Target::File { path: "/dev/null".into(), keep_open: true };
        // as the collector does it unless it is told otherwise
        let stories =
            stories::Plan { keep: stories::KEEP, bytes: stories::BYTES, records: stories::RECORDS, dir: None };
        let plan = Plan { stories: Some(stories), ..Plan::of(rules, target) };
        publish = Arc::new(Detector::start(&plan, Some(publish)).expect("upstream's rules"));
    }
    let sinks = if file { vec![Sink::File(state.events())] } else { vec![] };
    let options = Options { state_dir: state.path.clone(), sinks, hub: Some(publish), without: Without::default() };
    let pipeline = pipeline::start(options).expect("the collector starts");
    while hub.0.load(Relaxed) < total {
        assert!(Instant::now() < deadline, "{} of {total} events", hub.0.load(Relaxed));
        std::thread::sleep(Duration::from_millis(2));
    }
    let used = cpu() - started;
    pipeline.stop();
    (total as f64 / used.as_secs_f64()) as u64
}
