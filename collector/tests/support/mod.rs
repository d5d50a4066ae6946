//! A container made by hand and an agent made of plain writes: what the collector reads, without any program hooked.
#![allow(dead_code)] // each test file uses its part

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};
use porthole_collector::pipeline::{self, Options, Pipeline, Sink, Without};
use porthole_common::limits::{HELLO, RING_DATA_MIN, RING_HEADER};
use porthole_common::msgpack::Writer;
use porthole_common::record::{Args, Call, Clock, Hello, Libc, Open};
use porthole_common::ring::producer::{Shared, Slot, commit_word, reserve};
use porthole_common::ring::{self, RECORD_HEADER};
use porthole_registration::container::{Container, Engine, Injection};
use porthole_registration::layout::ContainerDir;
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// One line of the event file.
pub type Line = Map<String, Value>;

/// A state directory that is removed at the end.
pub struct State {
    pub path: PathBuf,
}

impl State {
    pub fn new() -> State {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ph-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        State { path }
    }

    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// Starts a pipeline that writes to [`State::events`].
    pub fn start(&self) -> Pipeline {
        self.start_without(Without::default())
    }

    pub fn start_without(&self, without: Without) -> Pipeline {
        let sinks = vec![Sink::File(self.events())];
        pipeline::start(Options { state_dir: self.path.clone(), sinks, hub: None, without }).unwrap()
    }

    /// Every whole line written so far.
    pub fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.events()).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |n| n + 1)];
        whole.lines().map(|l| serde_json::from_str(l).expect("each line is a JSON object")).collect()
    }

    /// Waits until the events are as wanted.
    pub fn wait(&self, what: &str, wanted: impl Fn(&[Line]) -> bool) -> Vec<Line> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let lines = self.lines();
            if wanted(&lines) {
                return lines;
            }
            assert!(Instant::now() < deadline, "no {what} in {lines:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Registers a container as a runtime wrapper would.
    pub fn register(&self, id: &str) -> Registered {
        let dir = ContainerDir::new(&self.path, id).unwrap();
        fs::create_dir_all(dir.mnt()).unwrap();
        fs::create_dir_all(dir.rings()).unwrap();
        fs::create_dir_all(dir.execs()).unwrap();
        fs::set_permissions(dir.rings(), Permissions::from_mode(0o1777)).unwrap();
        let container = Container {
            version: 1,
            id: id.into(),
            engine: Engine::Runc,
            name: "test".into(),
            image: "localhost/img:v1".into(),
            created_ns: 1_700_000_000_000_000_000,
            injection: Injection::Preload {
                library: "/dev/porthole/libporthole.so".into(),
                inject: Default::default(),
            },
            ..Default::default()
        };
        let written = dir.root().join("tmp");
        fs::write(&written, serde_json::to_vec(&container).unwrap()).unwrap();
        fs::rename(written, dir.container_json()).unwrap();
        Registered { dir }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The lines of one type.
pub fn of_type<'a>(lines: &'a [Line], evt_type: &str) -> Vec<&'a Line> {
    lines.iter().filter(|l| l["evt.type"] == evt_type).collect()
}

pub struct Registered {
    pub dir: ContainerDir,
}

impl Registered {
    /// Waits for the collector's socket.
    pub fn listening(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.dir.socket().exists() {
            assert!(Instant::now() < deadline, "no socket");
            std::thread::sleep(Duration::from_millis(1));
        }
        // It exists from bind(); connections are taken from listen() on.
        std::thread::sleep(Duration::from_millis(20));
    }

    pub fn connect(&self) -> nix::Result<OwnedFd> {
        let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(&self.dir.socket())?)?;
        Ok(fd)
    }

    /// One packet on a connection of its own.
    pub fn send(&self, packet: &[u8]) {
        let fd = self.connect().unwrap();
        send(fd.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL).unwrap();
    }

    pub fn ring(&self, name: &str) -> Ring {
        Ring::make(&self.dir.rings(), name, &hello(name, |_| {}))
    }
}

/// This test program, as the kernel knows it too.
fn own_program() -> &'static [u8] {
    static PATH: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PATH.get_or_init(|| std::env::current_exe().unwrap().into_os_string().into_encoded_bytes())
}

/// A hello of this process.
pub fn hello(ring: &str, change: impl FnOnce(&mut Hello)) -> Vec<u8> {
    let mut hello = Hello {
        version: porthole_common::WIRE_VERSION,
        ring: ring.as_bytes(),
        pid: std::process::id(),
        ppid: 1,
        pgid: 0,
        sid: 0,
        uid: 0,
        euid: 0,
        gid: 0,
        egid: 0,
        cap_effective: 0,
        libc: Libc::Glibc as u8,
        depth: 1,
        clock: Clock::Realtime as u8,
        flags: 0,
        time: 0,
        execfn: own_program(),
        cwd: b"/work",
        parent_ring: b"",
        argc: 2,
        argv: Args::EMPTY,
        namespaces: [0; 8],
    };
    change(&mut hello);
    let mut bytes = vec![0; HELLO];
    let mut writer = Writer::new(&mut bytes);
    hello.encode(&mut writer, 2, [&b"agent"[..], b"-x"].into_iter());
    let len = writer.finish().unwrap();
    bytes.truncate(len);
    bytes
}

/// A ring file, written as an agent would, with pwrite instead of a mapping.
pub struct Ring {
    pub file: File,
    pub path: PathBuf,
    pub hello: Vec<u8>,
}

impl Ring {
    pub fn make(rings: &Path, name: &str, hello: &[u8]) -> Ring {
        let path = rings.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len((RING_HEADER + RING_DATA_MIN) as u64).unwrap();
        file.write_all_at(&ring::MAGIC, 0).unwrap();
        let put = |at: usize, v: u32| file.write_all_at(&v.to_le_bytes(), at as u64).unwrap();
        put(ring::VERSION_OFFSET, u32::from(porthole_common::WIRE_VERSION));
        put(ring::DATA_LEN_OFFSET, RING_DATA_MIN as u32);
        file.write_all_at(hello, ring::HELLO_OFFSET as u64).unwrap();
        put(ring::HELLO_LEN_OFFSET, hello.len() as u32);
        Ring { file, path, hello: hello.to_vec() }
    }

    fn word(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at as u64).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// One record; false if the ring is full.
    pub fn write(&self, pid: u32, payload: &[u8]) -> bool {
        let Ok(slot) = reserve(self, payload.len(), false) else { return false };
        self.fill(slot, now_ns(), pid, payload);
        true
    }

    /// Records of this time that are read by one look, perhaps long after they were made.
    pub fn write_together(&self, time: u64, pid: u32, payloads: &[&[u8]]) {
        let slots: Vec<_> = payloads.iter().map(|p| reserve(self, p.len(), false).expect("room")).collect();
        // nothing is read past the first, which is finished last
        for (slot, payload) in slots.into_iter().zip(payloads).rev() {
            self.fill(slot, time, pid, payload);
        }
    }

    /// One record, however long the collector takes to make room.
    pub fn write_patiently(&self, pid: u32, payload: &[u8]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(slot) = reserve(self, payload.len(), true) {
                return self.fill(slot, now_ns(), pid, payload);
            }
            assert!(Instant::now() < deadline, "the ring stays full");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn fill(&self, slot: Slot, time: u64, pid: u32, payload: &[u8]) {
        let mut bytes = vec![];
        bytes.extend_from_slice(&slot.sequence.to_le_bytes());
        bytes.extend_from_slice(&pid.to_le_bytes());
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(payload);
        self.file.write_all_at(&bytes, (RING_HEADER + slot.offset as usize + 8) as u64).unwrap();
        assert_eq!(bytes.len(), RECORD_HEADER - 8 + payload.len());
        self.commit(slot.offset, commit_word(slot, pid, time, payload));
    }

    /// An open of this process.
    pub fn open(&self, path: &str, res: i32) -> bool {
        self.write(std::process::id(), &open_record(path, res))
    }
}

impl Shared for Ring {
    fn data_len(&self) -> u32 {
        RING_DATA_MIN as u32
    }
    fn head(&self) -> u64 {
        self.word(ring::HEAD_OFFSET)
    }
    fn swap_head(&self, _: u64, new: u64) -> Result<(), u64> {
        self.file.write_all_at(&new.to_le_bytes(), ring::HEAD_OFFSET as u64).unwrap();
        Ok(())
    }
    fn tail(&self) -> u32 {
        self.word(ring::TAIL_OFFSET) as u32
    }
    fn prepare(&self, _: u32) -> bool {
        true
    }
    fn commit(&self, offset: u32, word: u64) {
        self.file.write_all_at(&word.to_le_bytes(), (RING_HEADER + offset as usize) as u64).unwrap();
    }
}

pub fn now_ns() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64
}

/// An encoded open.
pub fn open_record(path: &str, res: i32) -> Vec<u8> {
    encoded(|w| {
        Open { call: Call::Open, res, flags: libc::O_CLOEXEC as u32, mode: 0, dirfd: -100, path: path.as_bytes() }
            .encode(w);
    })
}

/// Any encoded record.
pub fn encoded(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut bytes = vec![0; 16 * 1024];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer);
    let len = writer.finish().unwrap();
    bytes.truncate(len);
    bytes
}
