//! The agent by itself: rings and hellos as it writes them, without any collector.

use porthole_common::limits::RING_HEADER;
use porthole_common::record::{Call, Hello, Kind, Record, hello_flags};
use porthole_common::ring::reader::{Found, Reader};
use porthole_common::ring::{
    COST_OFFSET, HEAD_OFFSET, HELLO_LEN_OFFSET, HELLO_OFFSET, Head, SAMPLE_EVERY, SAMPLED, SAMPLES_OFFSET,
};
use porthole_common::{WIRE_VERSION, control};
use porthole_tests::binaries;
use porthole_tests::scratch::Scratch;
use porthole_tests::targets::{self, Flavour};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory as a container sees it: the library, and `rings/` beside it. No socket.
struct Share {
    dir: Scratch,
}

impl Share {
    fn new() -> Share {
        let dir = Scratch::new();
        std::fs::copy(binaries::agent(), dir.join("libporthole.so")).expect("the agent is copied");
        std::fs::create_dir(dir.join("rings")).expect("a directory for the rings");
        Share { dir }
    }

    fn library(&self) -> PathBuf {
        self.dir.join("libporthole.so")
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env("LD_PRELOAD", self.library());
        command
    }

    fn run(&self, program: &Path, args: &[&str]) -> String {
        let out = self.command(program, args).output().expect("the program runs");
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        String::from_utf8(out.stdout).expect("text")
    }

    /// Writes to the control page, as the host does.
    fn control(&self, offset: usize, value: u32) {
        let bytes = std::fs::read(self.library()).expect("the library is read");
        let page = control::find(&bytes).expect("the library has a control page");
        let file = std::fs::OpenOptions::new().write(true).open(self.library()).expect("the library is writable here");
        file.write_all_at(&value.to_le_bytes(), (page + offset) as u64).expect("the page is written");
    }

    fn rings(&self) -> Vec<Ring> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(self.dir.join("rings"))
            .expect("the rings are listed")
            .map(|e| e.expect("an entry").path())
            .collect();
        paths.sort();
        paths.into_iter().map(Ring::read).collect()
    }

    fn only_ring(&self) -> Ring {
        let mut rings = self.rings();
        assert_eq!(rings.len(), 1, "one process, one ring");
        rings.remove(0)
    }
}

struct Ring {
    name: String,
    file: Vec<u8>,
}

impl Ring {
    fn read(path: PathBuf) -> Ring {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        Ring { name, file: std::fs::read(path).expect("the ring is read") }
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.file[at..at + 4].try_into().expect("four bytes"))
    }

    fn hello(&self) -> Hello<'_> {
        let bytes = &self.file[HELLO_OFFSET..HELLO_OFFSET + self.u32_at(HELLO_LEN_OFFSET) as usize];
        match Record::decode(bytes) {
            Ok(Record::Hello(hello)) => hello,
            other => panic!("no hello: {other:?}"),
        }
    }

    fn head(&self) -> Head {
        Head { position: self.u32_at(HEAD_OFFSET), sequence: self.u32_at(HEAD_OFFSET + 4) }
    }

    /// Pid and call of each open, and how many records were dropped because the ring was full.
    fn opens(&self) -> (Vec<(u32, Call)>, u32) {
        let (mut reader, mut opens, mut dropped) = (Reader::default(), vec![], 0);
        loop {
            match reader.next(&self.file[RING_HEADER..], self.head()) {
                Found::Record(raw) => {
                    if let Ok(Record::Open(o)) = Record::decode(raw.payload)
                        && o.call != Call::Load
                    {
                        opens.push((raw.pid, o.call));
                    }
                }
                Found::Dropped(n) => dropped += n,
                Found::Empty => return (opens, dropped),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn one_file_records_a_glibc_and_a_musl_program() {
    let share = Share::new();
    for flavour in [Flavour::Glibc, Flavour::Musl] {
        share.run(&targets::build("opens", flavour), &["3"]);
    }
    let rings = share.rings();
    let mut libcs: Vec<u8> = rings.iter().map(|r| r.hello().libc).collect();
    libcs.sort_unstable();
    assert_eq!(libcs, [1, 2], "one of each");
    for ring in rings {
        assert_eq!(ring.opens(), (vec![(ring.hello().pid, Call::Open); 3], 0));
    }
}

#[test]
fn the_hello_says_who_and_where() {
    let share = Share::new();
    share.run(&targets::glibc("opens"), &["0"]);
    let ring = share.only_ring();
    let hello = ring.hello();
    assert_eq!((hello.version, hello.ring, hello.flags), (WIRE_VERSION, ring.name.as_bytes(), 0));
    assert_eq!(hello.ppid, std::process::id());
    assert_eq!(hello.uid, nix::unistd::getuid().as_raw());
    assert_eq!(hello.cwd, std::env::current_dir().expect("a directory").as_os_str().as_encoded_bytes());
    assert_eq!(hello.execfn, targets::glibc("opens").as_os_str().as_encoded_bytes());
    assert_eq!(hello.argv.iter().nth(1), Some(&b"0"[..]));
    assert!(hello.pid != 0 && hello.argc == 2);
}

#[test]
fn a_running_process_sees_the_control_page_change() {
    let share = Share::new();
    let go = share.dir.join("go");
    let mut child = share
        .command(&targets::glibc("opens"), &["20", &go.display().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("it says half");
    share.control(control::CAPTURE, 1 << Kind::Connect as u32); // no opens any more
    std::fs::write(&go, "").expect("it may go on");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(share.only_ring().opens().0.len(), 10);
}

#[test]
fn what_a_full_ring_drops_is_counted_by_its_sequence() {
    let share = Share::new();
    share.run(&targets::glibc("opens"), &["5000"]);
    let ring = share.only_ring();
    let (opens, dropped) = ring.opens();
    assert!(opens.len() > 300 && dropped > 1000, "{} kept, {dropped} dropped", opens.len());
    assert_eq!(opens.len() as u32 + dropped, 5000);
    assert_eq!(ring.head().sequence, 1 + 5000, "the libraries, and the opens");
}

#[test]
fn a_forked_child_borrows_its_parents_ring_for_a_few_records() {
    let share = Share::new();
    let child: u32 = share.run(&targets::glibc("opens"), &["fork", "5"]).trim().parse().expect("a pid");
    assert_eq!(share.only_ring().opens().0, [(child, Call::Open); 5]);
}

#[test]
fn a_forked_child_that_goes_on_gets_a_session_of_its_own() {
    let share = Share::new();
    let child: u32 = share.run(&targets::glibc("opens"), &["fork", "40"]).trim().parse().expect("a pid");
    let rings = share.rings();
    assert_eq!(rings.len(), 2);
    let (own, parent): (Vec<_>, Vec<_>) = rings.iter().partition(|r| r.hello().flags & hello_flags::FORKED != 0);
    let (own, parent) = (own[0], parent[0]);
    assert_eq!((own.hello().pid, own.hello().ppid), (child, parent.hello().pid));
    assert_eq!(own.hello().parent_ring, parent.name.as_bytes());
    let (first, rest) = (parent.opens().0, own.opens().0);
    assert!(!first.is_empty() && first.len() < 20 && first.len() + rest.len() == 40, "{} {}", first.len(), rest.len());
    assert!(first.iter().chain(&rest).all(|(pid, _)| *pid == child));
}

#[test]
fn a_process_that_does_little_touches_one_page_of_its_ring() {
    use std::os::unix::fs::MetadataExt;
    let share = Share::new();
    share.run(&targets::glibc("opens"), &["3"]);
    let entry = std::fs::read_dir(share.dir.join("rings")).expect("rings").next().expect("a ring").expect("an entry");
    assert!(entry.metadata().expect("its size").blocks() * 512 <= 4096, "{:?}", entry.metadata());
}

#[test]
fn without_rings_a_program_runs_as_it_is() {
    let share = Share::new();
    std::fs::remove_dir(share.dir.join("rings")).expect("the directory is removed");
    share.run(&targets::glibc("opens"), &["100"]);
}

#[test]
fn a_vfork_child_leaves_its_parent_its_pid() {
    let share = Share::new();
    let pid: u32 = share.run(&targets::glibc("edges"), &["vforked-first"]).trim().parse().expect("a pid");
    let ring = share.only_ring();
    assert_eq!(ring.hello().pid, pid);
    let (opens, _) = ring.opens();
    assert_eq!(opens.len(), 21);
    assert!(opens[0].0 != pid && opens[1..].iter().all(|(p, _)| *p == pid), "{opens:?}");
}

#[test]
fn a_forked_child_with_a_large_environment_of_its_own_is_seen() {
    let share = Share::new();
    share.run(&targets::glibc("edges"), &["forked-environment", "/bin/cat", "/etc/hostname"]);
    let rings = share.rings();
    let cat = rings.iter().find(|r| r.hello().execfn == b"/bin/cat");
    assert_eq!(cat.map(|r| r.opens().0.len()), Some(1), "cat has a session, and an open in it");
}

/// KiB that a shell has written of the memory that no file is behind, after it has started 40 programs with an
/// environment that does not fit on our stack and has to be made again each time.
fn shell_memory(preload: Option<&Path>) -> u64 {
    const SCRIPT: &str = "unset LD_PRELOAD; for n in 1 2 3 4; do for m in 0 1 2 3 4 5 6 7 8 9; do /bin/true; done; done
        awk '/^[0-9a-f]+-/ { named = NF > 5 } /^Private_Dirty/ && !named { kb += $2 } END { print kb }' /proc/$$/smaps";
    let mut command = Command::new("dash");
    command.args(["-c", SCRIPT]).env_clear().env("PATH", "/usr/bin:/bin");
    command.envs((0..60).map(|n| (format!("VARIABLE_{n}"), "value")));
    command.envs(preload.map(|path| ("LD_PRELOAD", path)));
    let out = command.output().expect("dash runs");
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number")
}

#[test]
fn large_environments_of_vfork_children_do_not_fill_memory() {
    let share = Share::new();
    let (bare, hooked) = (shell_memory(None), shell_memory(Some(&share.library())));
    assert!(hooked <= bare + 8, "{hooked} KiB, without the agent {bare}");
}

#[test]
fn what_a_record_costs_is_sampled() {
    let share = Share::new();
    share.run(&targets::glibc("opens"), &["200"]);
    let ring = share.only_ring();
    // of each 64 sequence numbers one, whether it is an open or what the start tells
    let expected = (ring.head().sequence + SAMPLE_EVERY - SAMPLED - 1) / SAMPLE_EVERY;
    assert_eq!(ring.u32_at(SAMPLES_OFFSET), expected);
    assert!(expected >= 3 && ring.u32_at(COST_OFFSET) > 0, "{expected} samples");
}
