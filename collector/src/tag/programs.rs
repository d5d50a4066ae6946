//! New programs: each is the outcome of an exec, or comes from outside the container.

use super::execs::arguments;
use super::newcomers::{Newcomer, Program};
use super::pending::{Image, Pending};
use super::process::{Person, command_line, set_arguments, whole_arguments};
use super::{Draft, Followed, Tagger, paths};
use crate::container::Container;
use crate::event::{Process, Source};
use crate::ingest::hello::Hello;
use crate::ingest::message::SessionId;
use crate::loss::Counters;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A program that runs, and through which session it is known.
pub(super) struct Start {
    pub session: Arc<str>,
    pub source: Source,
    pub own: Person,
}

/// The number of a container's first terminal: where there is one, and the process was gone before it could be asked.
const TERMINAL: u32 = 136 << 8;

impl Followed {
    /// Adds to a process that has come from outside what the runtime tells of it, where the kernel was asked too late.
    fn introduced(&self, own: &mut Person, argv: &[String]) {
        let r = &self.container.registration;
        let process = Arc::make_mut(&mut own.process);
        // a process that is about to end has no terminal any more
        if process.tty.is_none_or(|tty| tty == 0) {
            let added = self.added.iter().find(|a| a.args == argv);
            let started = added.or_else(|| (!self.entered).then_some(&r.process));
            process.tty = started.map(|s| if s.terminal { TERMINAL } else { 0 }).or(process.tty);
        }
        if process.parent.is_none() && !self.container.is_host() && !r.runtime.is_empty() {
            let path: &str = &r.runtime;
            let name: Arc<str> = super::paths::comm(path).into();
            let runtime =
                Process { cmdline: name.clone(), exe: path.into(), exepath: path.into(), name, ..Process::default() };
            process.parent = Some(Arc::new(runtime));
        }
    }
}

impl Tagger {
    /// Looks for the exec that has started a new session's program, and tells it. Whether there is one.
    pub(super) fn meet(&mut self, id: SessionId) -> bool {
        let Some(t) = self.sessions.get(&id) else { return false };
        let (key, hello, own) = (t.container.key.clone(), t.hello.clone(), t.own.clone());
        let Some(own) = self.start_of(&key, Some(id), &hello, &own) else { return false };
        self.became(id, own);
        true
    }

    fn became(&mut self, id: SessionId, own: Person) {
        if let Some(t) = self.sessions.get_mut(&id) {
            t.own = own;
        }
        self.introduce(id);
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
        let pending = followed.pending.take_start(&Program::new(hello, own), session)?;
        let container = followed.container.clone();
        Some(self.started(&container, &pending, session, hello, own))
    }

    /// Tells an exec with the program that it has started.
    fn started(
        &mut self,
        container: &Arc<Container>,
        pending: &Pending,
        session: Option<SessionId>,
        hello: &Hello,
        own: &Person,
    ) -> Person {
        let mut own = own.after(&pending.caller, pending.image == Image::Own);
        if hello.execfn.starts_with("/dev/fd/") {
            // fexecve: the kernel names the descriptor, the exec record the file
            let process = Arc::make_mut(&mut own.process);
            process.name = paths::comm(&pending.resolved).into();
            process.exepath = pending.resolved.as_str().into();
            process.cmdline = command_line(&process.name, &process.args);
        }
        if let Some(file) = &pending.memory {
            Arc::make_mut(&mut own.process).exepath = file.clone();
        }
        if let Some(argv) = whole_arguments(hello, &pending.path, &pending.resolved, &pending.argv) {
            set_arguments(Arc::make_mut(&mut own.process), &argv);
        }
        if !pending.told {
            let program = session.and_then(|id| Some(self.sessions.get(&id)?.ring.session.clone()));
            self.tell(container, pending, own.clone(), 0, program);
            self.decided(pending.session);
        }
        own
    }

    /// An exec record has come after its program.
    pub(super) fn found(&mut self, container: &Arc<Container>, pending: Pending, newcomer: Newcomer) {
        let tracked = newcomer.session.and_then(|id| Some((id, self.sessions.get(&id)?)));
        match (newcomer.told, tracked) {
            (Some((own, hello)), _) => self.found_late(container, &pending, newcomer.session, &own, hello.as_deref()),
            (None, Some((id, t))) => {
                let (hello, own) = (t.hello.clone(), t.own.clone());
                let own = self.started(container, &pending, Some(id), &hello, &own);
                self.became(id, own);
                self.unhold(id);
            }
            (None, None) => {}
        }
    }

    /// The program has been told already; only what nobody knew is told now.
    fn found_late(
        &mut self,
        container: &Arc<Container>,
        pending: &Pending,
        session: Option<SessionId>,
        own: &Person,
        hello: Option<&Hello>,
    ) {
        let open = session.and_then(|id| Some((id, self.sessions.get(&id)?.own.clone())));
        let mut own = open.as_ref().map_or(own, |(_, own)| own).after(&pending.caller, pending.image == Image::Own);
        let whole = hello.and_then(|h| whole_arguments(h, &pending.path, &pending.resolved, &pending.argv));
        if let Some(argv) = &whole {
            set_arguments(Arc::make_mut(&mut own.process), argv);
            let draft = Draft {
                evt_type: "porthole.arguments",
                time_ns: pending.time_ns,
                rawres: None,
                fields: arguments(&pending.resolved, argv),
                source: self.sessions.get(&pending.session).map_or(Source::Symbols, |t| t.source),
                identity: own.identity(),
                process: Some(own.process.clone()),
                session: pending.session_name.clone(),
                seq: Some(pending.sequence),
            };
            self.emit(container, draft);
        }
        if let Some((id, _)) = open {
            self.became(id, own);
            self.save(id);
        }
        self.decided(pending.session);
    }

    /// A program is told without its exec's record, which may still come.
    pub(super) fn remember(
        &mut self,
        key: &str,
        session: Option<SessionId>,
        hello: &Hello,
        own: &Person,
        time_ns: u64,
    ) {
        self.number += 1;
        let Some(followed) = self.containers.get_mut(key) else { return };
        let told = Some((own.clone(), hello.truncated().then(|| Box::new(hello.clone()))));
        let newcomer = Newcomer { session, program: Program::new(hello, own), time_ns, told };
        followed.newcomers.insert(self.number, newcomer);
    }

    /// A session's program without an exec record. `entry`: it comes from outside the container, from the runtime.
    pub(super) fn enter(&mut self, id: SessionId, time_ns: u64, entry: bool) {
        let Some(t) = self.sessions.get(&id) else { return };
        let (container, hello, mut own) = (t.container.clone(), t.hello.clone(), t.own.clone());
        if entry && let Some(followed) = self.containers.get(&container.key) {
            followed.introduced(&mut own, &hello.argv);
            self.became(id, own.clone());
        }
        let Some(t) = self.sessions.get(&id) else { return };
        let start = Start { session: t.ring.session.clone(), source: t.source, own };
        self.tell_start(&container, start, &hello, time_ns, entry);
    }

    pub(super) fn tell_start(
        &mut self,
        container: &Arc<Container>,
        start: Start,
        hello: &Hello,
        time_ns: u64,
        entry: bool,
    ) {
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        let mut args = hello.argv.clone();
        if entry {
            if let Some(at) = followed.added.iter().position(|a| a.args == hello.argv) {
                followed.added.remove(at);
            } else if !followed.entered {
                // the first one keeps its time when a restarted collector meets a later one
                let _ = container.info.started_ns.compare_exchange(0, time_ns, Relaxed, Relaxed);
                if !container.registration.process.args.is_empty() {
                    args.clone_from(&container.registration.process.args);
                }
            }
            followed.entered = true;
        }
        Counters::count(&container.counters.execs);
        let Start { session, source, own } = start;
        let (given, own_path) = (&hello.execfn, &own.process.exepath);
        // The runtime's exec is told by the file that it found, and so is a file that was executed by a descriptor.
        let found = entry || given.is_empty() || given.starts_with("/dev/fd/");
        let path = if found { own_path.to_string() } else { paths::resolve(&own.process.cwd, given) };
        let mut fields = arguments(&path, &args);
        if !found && *given != path {
            fields.push(("evt.rawarg.filename", given.clone().into()));
        }
        let draft = Draft {
            evt_type: "execve",
            time_ns,
            rawres: Some(0),
            fields,
            source: if entry { Source::Runtime } else { source },
            identity: own.identity(),
            process: Some(own.process),
            session,
            seq: None,
        };
        self.emit(container, draft);
    }
}
