//! Processes that announced themselves: watched until their end.

use super::facts;
use super::message::{Message, SessionId};
use super::{Ingest, Token};
use crate::sys;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Sessions of a process that end with it. A real one has a few; the rings of one that makes more are found to be over
/// like any other's that nobody announced.
const MAX_SESSIONS: usize = 64;

/// A process that announced itself.
pub(super) struct Process {
    pub token: u64,
    pub pidfd: Option<OwnedFd>,
    pub start_ticks: Option<u64>,
    pub sessions: Vec<SessionId>,
}

/// A process that has ended.
pub(super) struct Ended {
    pub pid: u32,
    pub status: Option<i32>,
    pub sessions: Vec<SessionId>,
}

impl Ingest {
    /// Learns of the process's end through its pidfd. A second session of the same process means that it has executed
    /// a program: the ring of the old image, which is the last one, may be over.
    pub(super) fn watch_process(
        &mut self,
        container: u64,
        pid: u32,
        start_ticks: Option<u64>,
        pidfd: Option<OwnedFd>,
        session: Option<SessionId>,
        forked: bool,
    ) {
        let token = self.id();
        let Some(c) = self.registered_mut(container) else { return };
        let same = c.processes.get(&pid).is_some_and(|p| p.start_ticks == start_ticks);
        let mut older = vec![];
        if same {
            if let Some(p) = c.processes.get_mut(&pid) {
                older.extend(p.sessions.last());
                p.sessions.extend(session);
                let surplus = p.sessions.len().saturating_sub(MAX_SESSIONS);
                p.sessions.drain(..surplus);
            }
        } else {
            if let Some(fd) = &pidfd {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Pidfd(token).pack());
                let _ = self.epoll.add(fd, event);
                self.pidfds.insert(token, (container, pid));
            }
            let Some(c) = self.registered_mut(container) else { return };
            let sessions = session.into_iter().collect();
            let replaced = c.processes.insert(pid, Process { token, pidfd, start_ticks, sessions });
            if let Some(old) = replaced {
                self.pidfds.remove(&old.token);
                older = old.sessions;
            }
        }
        if !forked {
            let now = Instant::now();
            for id in older {
                self.check_over(id, now);
            }
        }
    }

    pub(super) fn process_ended(&mut self, token: u64) {
        let Some(&(container, pid)) = self.pidfds.get(&token) else { return };
        let Some(process) = self.registered_mut(container).and_then(|c| c.processes.remove(&pid)) else { return };
        self.ended(container, pid, process);
    }

    fn ended(&mut self, container: u64, pid: u32, process: Process) {
        self.pidfds.remove(&process.token);
        let of_pidfd = process.pidfd.as_ref().filter(|_| !self.setup.without.exitinfo).and_then(sys::exit_status);
        let of_zombie = || {
            facts::stat(pid)
                .filter(|s| s.state == b'Z' && Some(s.start_ticks) == process.start_ticks)
                .map(|s| s.exit_code)
        };
        let status = of_pidfd.or_else(of_zombie);
        self.end_in_turn(container, Ended { pid, status, sessions: process.sessions });
    }

    /// Tells of a process's end, its last words first.
    pub(super) fn tell_end(&mut self, container: u64, ended: Ended) {
        let now = Instant::now();
        for id in ended.sessions {
            self.drain(id, now);
            self.check_over(id, now);
        }
        if let Some(c) = self.registered(container) {
            let container = c.container.clone();
            self.send(Message::Exited { container, pid: ended.pid, status: ended.status });
        }
    }

    /// Processes that no pidfd watches: by their start time.
    pub(super) fn look_after_processes(&mut self) {
        let gone = |pid: &u32, p: &Process| {
            p.pidfd.is_none()
                && facts::stat(*pid).is_none_or(|s| Some(s.start_ticks) != p.start_ticks || s.state == b'Z')
        };
        let mut over = vec![];
        for (id, watched) in &self.containers {
            let Some(c) = &watched.shared else { continue };
            over.extend(c.processes.iter().filter(|(pid, p)| gone(pid, p)).map(|(pid, _)| (*id, *pid)));
        }
        for (container, pid) in over {
            if let Some(process) = self.registered_mut(container).and_then(|c| c.processes.remove(&pid)) {
                self.ended(container, pid, process);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_SESSIONS;
    use crate::ingest::stage::Stage;
    use std::time::Instant;

    #[test]
    fn a_process_with_many_rings_costs_no_more_for_each() {
        let mut stage = Stage::new("sessions");
        let container = stage.register();
        // The start time of no process; nothing looks after it here.
        let (pid, start) = (1, Some(u64::MAX));
        let mut last = None;
        for n in 0..100 {
            let id = stage.open(container, &format!("r{n}"), Instant::now());
            stage.ingest.due.clear();
            stage.ingest.watch_process(container, pid, start, None, Some(id), false);
            let checked: Vec<_> = stage.ingest.due.iter().map(|d| d.0.1).collect();
            assert_eq!(checked, Vec::from_iter(last), "only the ring before it is asked for its writers");
            last = Some(id);
        }
        let process = &stage.ingest.registered(container).unwrap().processes[&pid];
        assert_eq!((process.sessions.len(), process.sessions.last().copied()), (MAX_SESSIONS, last));
        assert_eq!(stage.ingest.sessions.len(), 100, "all are read");
    }
}
