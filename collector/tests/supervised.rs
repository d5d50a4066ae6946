//! The collector under a service manager: what it says, what it has kept, what it is given back. There is none here; its
//! end of the sockets is the test's.

mod support;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{State, of_type};

/// The manager's end of the notify socket.
struct Manager(UnixDatagram);

/// A message, with the descriptor that came along.
type Said = (String, Option<OwnedFd>);

impl Manager {
    fn new(state: &State) -> Manager {
        let socket = UnixDatagram::bind(state.path.join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Manager(socket)
    }

    fn hear(&self) -> Said {
        let (mut bytes, mut room) = ([0; 4096], nix::cmsg_space!([RawFd; 4]));
        let mut data = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut data, Some(&mut room), MsgFlags::empty());
        let message = message.expect("the collector says something within 10 s");
        let fds: Vec<RawFd> = message
            .cmsgs()
            .unwrap()
            .flat_map(|c| if let ControlMessageOwned::ScmRights(fds) = c { fds } else { vec![] })
            .collect();
        let len = message.bytes;
        #[allow(unsafe_code)]
        // SAFETY: the kernel has just made it for this process.
        let fd = fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
        (String::from_utf8_lossy(&bytes[..len]).into_owned(), fd)
    }

    /// Waits for a message with this line; what comes before it is passed over.
    fn wait(&self, line: &str) -> Said {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let said = self.hear();
            if said.0.lines().any(|l| l.starts_with(line)) {
                return said;
            }
            assert!(Instant::now() < deadline, "{line} is not said");
        }
    }
}

/// A collector, which does not outlive a test that fails.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a collector as a manager does, with this descriptor as the first that is passed.
fn start(state: &State, passed: Option<(&str, OwnedFd)>) -> Collector {
    let mut command = Command::new("/bin/sh");
    let program = "export LISTEN_PID=$$; exec \"$0\" collector --quiet --events \"$1\" 3<&0 </dev/null";
    command.args(["-c", program, env!("CARGO_BIN_EXE_porthole")]).arg(state.events());
    command.env("PORTHOLE_STATE_DIR", &state.path).env("NOTIFY_SOCKET", state.path.join("notify"));
    command.env("WATCHDOG_USEC", "200000").stdout(Stdio::null());
    match passed {
        Some((name, fd)) => command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name).stdin(fd),
        None => command.stdin(Stdio::null()),
    };
    Collector(command.spawn().unwrap())
}

fn stop(mut collector: Collector) {
    kill(Pid::from_raw(collector.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(collector.0.wait().unwrap().success());
}

#[test]
fn it_says_how_it_goes() {
    let state = State::new();
    let manager = Manager::new(&state);
    let collector = start(&state, None);
    manager.wait("READY=1");
    UnixStream::connect(state.path.join("api.sock")).expect("who is ready answers");
    manager.wait("WATCHDOG=1");
    manager.wait("WATCHDOG=1");
    kill(Pid::from_raw(collector.0.id() as i32), Signal::SIGHUP).unwrap();
    manager.wait("RELOADING=1");
    manager.wait("READY=1");
    stop(collector);
    manager.wait("STOPPING=1");
}

#[test]
fn a_containers_socket_outlives_both_processes() {
    let state = State::new();
    let manager = Manager::new(&state);
    let mut collector = start(&state, None);
    manager.wait("READY=1");
    let c = state.register("kept");
    c.listening();
    let (said, fd) = manager.wait("FDSTORE=1");
    let name = said.lines().find_map(|l| l.strip_prefix("FDNAME=")).unwrap();
    assert!(name.starts_with("agent.") && name.ends_with(".kept"), "{name}");
    collector.0.kill().unwrap();
    collector.0.wait().unwrap();
    // a process announces itself to nobody, and waits for nobody
    let ring = c.ring("meanwhile");
    c.send(&ring.hello);
    ring.open("/meanwhile", 3);
    let collector = start(&state, Some((name, fd.expect("a descriptor is kept"))));
    let lines = state.wait("the open", |l| !of_type(l, "openat").is_empty());
    assert_eq!(of_type(&lines, "openat")[0]["porthole.identity"], "verified", "its hello was heard");
    std::fs::write(c.dir.deleted(), "").unwrap();
    let (said, _) = manager.wait("FDSTOREREMOVE=1");
    assert!(said.contains(name), "{said}");
    stop(collector);
}

#[test]
fn a_socket_that_the_manager_has_opened_is_used_and_left() {
    let state = State::new();
    let manager = Manager::new(&state);
    let path = state.path.join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let early = UnixStream::connect(&path).expect("a request may come before the collector");
    let collector = start(&state, Some(("api", listener.into())));
    manager.wait("READY=1");
    use std::io::{Read, Write};
    let mut early = early;
    early.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop(collector);
    assert!(path.exists(), "it is the manager's");
}

#[test]
fn what_cannot_work_is_told_at_once() {
    let state = State::new();
    let manager = Manager::new(&state);
    std::fs::create_dir(state.events()).unwrap(); // no file can be opened there
    let mut collector = start(&state, None);
    assert_eq!(collector.0.wait().unwrap().code(), Some(1), "no worker is started again and again");
    manager.0.set_nonblocking(true).unwrap();
    let mut bytes = [0; 100];
    while let Ok(len) = manager.0.recv(&mut bytes) {
        assert!(!bytes[..len].starts_with(b"READY"), "it was never ready");
    }
}
