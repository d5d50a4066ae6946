//! Alerts to the system's log, as its daemon takes them from any program.

use super::{Line, Out};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where the daemon listens.
pub(super) const SOCKET: &str = "/dev/log";
/// `LOG_USER`, as Falco has it.
const FACILITY: u8 = 1;

/// See the module. The daemon may start later, or again: it is looked for with each alert that finds none.
pub(super) struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub fn new(path: &Path) -> Syslog {
        Syslog { path: path.to_owned(), socket: None }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                socket
            }
        };
        socket.send(message)?;
        self.socket = Some(socket);
        Ok(())
    }
}

impl Out for Syslog {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let priority = FACILITY * 8 + line.severity;
        let message = format!("<{priority}>porthole[{}]: {}", std::process::id(), line.text);
        self.send(message.as_bytes()).or_else(|_| self.send(message.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_was_restarted_is_found_again() {
        let path = std::env::temp_dir().join(format!("porthole-syslog-{}", std::process::id()));
        let mut syslog = Syslog::new(&path);
        let line = Line { text: "Warning x".into(), severity: 4 };
        assert!(syslog.write(&line).is_err(), "nobody listens");
        for _ in 0..2 {
            let _ = std::fs::remove_file(&path);
            let daemon = UnixDatagram::bind(&path).unwrap();
            syslog.write(&line).unwrap();
            let mut buffer = [0; 100];
            let n = daemon.recv(&mut buffer).unwrap();
            let want = format!("<12>porthole[{}]: Warning x", std::process::id());
            assert_eq!(String::from_utf8_lossy(&buffer[..n]), want);
        }
        std::fs::remove_file(path).unwrap();
    }
}
