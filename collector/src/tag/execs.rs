//! Execs: told once their outcome is known, with the new program's description.

use super::pending::{HELLO_WAIT, Image, MAX, Pending, WAIT, evt_type, image};
use super::process::{Person, command_line, set_arguments, whole_arguments};
use super::{Draft, Tagger, paths};
use crate::container::Container;
use crate::event::{Source, Value, text};
use crate::ingest::hello::Hello;
use crate::ingest::message::SessionId;
use crate::loss::Counters;
use porthole_common::record::{Exec, ExecFailed, Target};
use std::sync::Arc;
use std::time::Instant;

/// Which record of its session a blind spot is about.
pub(crate) const EXEC: &str = "porthole.exec";

/// A program that runs, and through which session it is known.
pub(super) struct Start {
    pub session: Arc<str>,
    pub source: Source,
    pub own: Person,
}

impl Tagger {
    /// An exec record: waits for its outcome, unless it brings it along.
    pub(super) fn exec(&mut self, id: SessionId, sequence: u32, vpid: u32, time_ns: u64, exec: &Exec, caller: Person) {
        let Some(t) = self.sessions.get_mut(&id) else { return };
        let container = t.container.clone();
        let path = text(exec.path);
        let base = caller.base(exec.dirfd);
        let resolved = if path.is_empty() { base } else { paths::resolve(&base, &path) };
        let pending = Pending {
            session: id,
            session_name: t.ring.session.clone(),
            sequence,
            time_ns,
            evt_type: evt_type(exec.call),
            image: image(exec),
            vpid,
            caller,
            path,
            resolved,
            argv: exec.argv.iter().map(text).collect(),
            target: Target::from_number(exec.target),
            injection: exec.injection,
            deadline: Instant::now() + WAIT,
            told: false,
        };
        if exec.res < 0 {
            return self.tell_failure(&container, &pending, i64::from(exec.res));
        }
        t.undecided += 1;
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        followed.pending.push(pending);
        let crowded = followed.pending.len() > MAX;
        if crowded {
            let oldest = followed.pending.remove(0);
            self.assume(&container, oldest);
        }
        // The program's hello may have come first.
        for held in self.held_in(&container.key) {
            if self.is_held(held) && self.meet(held) {
                self.unhold(held);
            }
        }
    }

    /// The exec with this sequence number has failed: the old program goes on.
    pub(super) fn exec_failed(&mut self, id: SessionId, failed: &ExecFailed) {
        let Some(container) = self.sessions.get(&id).map(|t| t.container.clone()) else { return };
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        let at = followed.pending.iter().position(|p| p.session == id && p.sequence == failed.exec);
        if let Some(pending) = at.map(|at| followed.pending.remove(at)) {
            if pending.told {
                return;
            }
            self.tell_failure(&container, &pending, -i64::from(failed.errno));
            self.decided(id);
        }
    }

    fn tell_failure(&mut self, container: &Arc<Container>, pending: &Pending, rawres: i64) {
        let person = pending.caller.clone();
        self.tell(container, pending, person, rawres);
    }

    /// Looks for the exec that has started a new session's program, and tells it. Whether there is one.
    pub(super) fn meet(&mut self, id: SessionId) -> bool {
        let Some(t) = self.sessions.get(&id) else { return false };
        let (key, hello, own) = (t.container.key.clone(), t.hello.clone(), t.own.clone());
        let Some(own) = self.start_of(&key, Some(id), &hello, &own) else { return false };
        if let Some(t) = self.sessions.get_mut(&id) {
            t.own = own;
        }
        self.introduce(id);
        true
    }

    /// Looks for the exec that has started a program, and tells it. The process with what the exec knows of it.
    pub(super) fn start_of(
        &mut self,
        container: &str,
        session: Option<SessionId>,
        hello: &Hello,
        own: &Person,
    ) -> Option<Person> {
        let followed = self.containers.get_mut(container)?;
        let (pid, parent) = (own.process.pid, own.process.ppid);
        // A process that has executed something itself comes before one that some parent has started.
        let matching = |own_image: bool| {
            followed.pending.iter().position(|p| {
                let other = session != Some(p.session);
                (p.image == Image::Own) == own_image && other && p.started(hello.pid, pid, parent, hello.ppid)
            })
        };
        let at = matching(true).or_else(|| matching(false))?;
        let pending = followed.pending.remove(at);
        let container = followed.container.clone();
        let mut own = own.after(&pending.caller, pending.image == Image::Own);
        if hello.execfn.starts_with("/dev/fd/") {
            // fexecve: the kernel names the descriptor, the exec record the file
            let process = Arc::make_mut(&mut own.process);
            process.name = paths::comm(&pending.resolved).into();
            process.exepath = pending.resolved.as_str().into();
            process.cmdline = command_line(&process.name, &process.args);
        }
        if let Some(argv) = whole_arguments(hello, &pending.path, &pending.resolved, &pending.argv) {
            set_arguments(Arc::make_mut(&mut own.process), &argv);
        }
        if !pending.told {
            self.tell(&container, &pending, own.clone(), 0);
            self.decided(pending.session);
        }
        Some(own)
    }

    /// A session's program without an exec record. `entry`: it comes from outside the container, from the runtime.
    pub(super) fn enter(&mut self, id: SessionId, time_ns: u64, entry: bool) {
        let Some(t) = self.sessions.get(&id) else { return };
        let (container, argv) = (t.container.clone(), t.hello.argv.clone());
        let start = Start { session: t.ring.session.clone(), source: t.source, own: t.own.clone() };
        self.tell_start(&container, start, &argv, time_ns, entry);
    }

    pub(super) fn tell_start(
        &mut self,
        container: &Arc<Container>,
        start: Start,
        argv: &[String],
        time_ns: u64,
        entry: bool,
    ) {
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        let mut args = argv.to_vec();
        if entry {
            if let Some(at) = followed.added.iter().position(|a| *a == argv) {
                followed.added.remove(at);
            } else if !followed.entered && !container.registration.process.args.is_empty() {
                args.clone_from(&container.registration.process.args);
            }
            followed.entered = true;
        }
        Counters::count(&container.counters.execs);
        let Start { session, source, own } = start;
        let draft = Draft {
            evt_type: "execve",
            time_ns,
            rawres: Some(0),
            fields: arguments(&own.process.exepath, &args),
            source: if entry { Source::Runtime } else { source },
            identity: own.identity(),
            process: Some(own.process),
            session,
            seq: None,
        };
        self.emit(container, draft);
    }

    pub(super) fn expire_pending(&mut self, now: Instant) {
        let mut late = vec![];
        for followed in self.containers.values_mut() {
            let container = followed.container.clone();
            let expired = followed.pending.extract_if(.., |p| p.deadline <= now);
            late.extend(expired.map(|p| (container.clone(), p)));
        }
        for (container, pending) in late {
            self.assume(&container, pending);
        }
    }

    /// Neither failure nor hello came: the exec has succeeded, and its program may be one that we cannot see.
    fn assume(&mut self, container: &Arc<Container>, mut pending: Pending) {
        let mut person = pending.caller.executed(&pending.resolved, &pending.argv);
        if pending.image != Image::Own {
            let child = match pending.image {
                Image::Child(vpid) => Some(vpid),
                _ => None,
            };
            let process = Arc::make_mut(&mut person.process);
            (process.ppid, process.pname) = (process.pid, Some(pending.caller.process.name.clone()));
            process.pcmdline = Some(pending.caller.process.cmdline.clone());
            (process.pid, process.vpid) = (None, child);
        }
        let first = !pending.told;
        if first {
            if let (Image::Own, Some(pid)) = (pending.image, person.process.pid) {
                let known = self.containers.get_mut(&container.key).and_then(|f| f.known.get_mut(&pid));
                if let Some(known) = known {
                    known.process = person.process.clone();
                }
            }
            self.tell(container, &pending, person.clone(), 0);
        }
        match pending.blind() {
            None if first && !self.ending => {
                pending.told = true;
                pending.deadline = Instant::now() + HELLO_WAIT;
                let session = pending.session;
                if let Some(f) = self.containers.get_mut(&container.key) {
                    f.pending.push(pending);
                }
                return self.decided(session);
            }
            None if self.ending || self.announced_to_nobody(container, &pending) => {}
            reason => self.blind(container, &pending, person, reason.unwrap_or("no_hello")),
        }
        if first {
            self.decided(pending.session);
        }
    }

    /// Whether the program was started before this collector listened: no hello proves nothing then.
    fn announced_to_nobody(&self, container: &Arc<Container>, pending: &Pending) -> bool {
        self.containers.get(&container.key).is_some_and(|f| pending.time_ns < f.since_ns)
    }

    fn blind(&mut self, container: &Arc<Container>, pending: &Pending, person: Person, reason: &'static str) {
        let draft = Draft {
            evt_type: "porthole.blindspot",
            time_ns: pending.time_ns,
            rawres: None,
            fields: vec![
                ("porthole.reason", reason.into()),
                ("porthole.path", pending.resolved.as_str().into()),
                (EXEC, i64::from(pending.sequence).into()),
            ],
            source: Source::Host,
            identity: person.identity(),
            process: Some(person.process),
            session: pending.session_name.clone(),
            seq: None, // the record with that number is the exec's
        };
        self.emit(container, draft);
    }

    fn tell(&mut self, container: &Arc<Container>, pending: &Pending, person: Person, rawres: i64) {
        if rawres == 0 {
            Counters::count(&container.counters.execs);
        }
        let mut fields = arguments(&pending.resolved, &pending.argv);
        if pending.path != pending.resolved {
            fields.push(("evt.rawarg.filename", pending.path.as_str().into()));
        }
        let source = self.sessions.get(&pending.session).map_or(Source::Symbols, |t| t.source);
        let draft = Draft {
            evt_type: pending.evt_type,
            time_ns: pending.time_ns,
            rawres: Some(rawres),
            fields,
            source,
            identity: person.identity(),
            process: Some(person.process),
            session: pending.session_name.clone(),
            seq: Some(pending.sequence),
        };
        self.emit(container, draft);
    }

    /// One exec fewer stands in the way of the ring's position.
    fn decided(&mut self, id: SessionId) {
        if let Some(t) = self.sessions.get_mut(&id) {
            t.undecided = t.undecided.saturating_sub(1);
        }
        self.finish(id);
    }
}

/// `evt.arg.*` of an exec.
fn arguments(filename: &str, argv: &[String]) -> Vec<(&'static str, Value)> {
    let exe = argv.first().map_or("", String::as_str);
    let args = argv.get(1..).unwrap_or_default().join(" ");
    vec![("evt.arg.exe", exe.into()), ("evt.arg.args", args.into()), ("evt.arg.filename", filename.into())]
}
