//! Execs: told once their outcome is known. (What becomes of the programs: `programs.rs`.)

use super::index::{Late, Wait};
use super::pending::{Image, Pending, evt_type, image};
use super::process::{Descriptor, Person};
use super::sight::{Sight, sight};
use super::{Draft, Tagger, layers, paths};
use crate::container::Container;
use crate::event::{Process, Source, Value, text};
use crate::ingest::message::SessionId;
use crate::loss::Counters;
use crate::redact;
use porthole_common::record::{Exec, ExecFailed, Target};
use std::sync::Arc;

/// Which record of its session a blind spot is about.
pub(crate) const EXEC: &str = "porthole.exec";
/// Which session the program of an exec has.
pub(crate) const PROGRAM: &str = "porthole.program";

impl Tagger {
    /// An exec record: waits for its outcome, unless it brings it along.
    pub(super) fn exec(&mut self, id: SessionId, sequence: u32, vpid: u32, time_ns: u64, exec: &Exec, caller: Person) {
        let Some(t) = self.sessions.get_mut(&id) else { return };
        let container = t.container.clone();
        let path = text(exec.path);
        let base = caller.base(exec.dirfd);
        let resolved = if path.is_empty() { base.to_string() } else { paths::resolve(&base, &path) };
        let pending = Pending {
            session: id,
            session_name: t.ring.session.clone(),
            sequence,
            time_ns,
            evt_type: evt_type(exec.call),
            image: image(exec),
            vpid,
            memory: memory(&caller, &resolved),
            caller,
            path,
            resolved,
            argv: exec.argv.iter().map(text).collect(),
            target: Target::from_number(exec.target),
            injection: exec.injection,
            told: false,
            given_up: false,
        };
        if exec.res < 0 {
            return self.tell_failure(&container, &pending, i64::from(exec.res));
        }
        t.undecided += 1;
        self.number += 1;
        t.fresh.push(self.number);
        self.wait(&container, self.number, pending);
    }

    fn wait(&mut self, container: &Arc<Container>, number: u64, pending: Pending) {
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        let late = Late::Exec(container.key.clone(), number);
        let wait = match sight(pending.target, pending.injection) {
            _ if pending.given_up => Wait::Minute,
            _ if pending.told => Wait::Hello,
            Sight::Blind(_) => Wait::Short,
            Sight::Expected | Sight::Doubtful(_) => Wait::Answer,
        };
        self.deadlines.insert(wait, late);
        followed.pending.insert(number, pending);
        let Some(oldest) = followed.pending.take_surplus() else { return };
        if !oldest.told {
            container.counters.refuse("too_many_execs");
            self.succeeded(container, &oldest);
            self.decided(oldest.session);
        }
    }

    /// Looks for the programs that the execs of a batch have started: their hellos may have come first. Not before the
    /// whole batch is read, since a failure follows its exec, and another try may follow that.
    pub(super) fn settle_fresh(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get_mut(&id) else { return };
        let (container, fresh) = (t.container.clone(), std::mem::take(&mut t.fresh));
        for number in fresh {
            let Some(followed) = self.containers.get_mut(&container.key) else { return };
            let Some(pending) = followed.pending.get(number) else { continue };
            let Some(newcomer) = followed.newcomers.started_by(pending) else { continue };
            let Some(pending) = followed.pending.take(number) else { continue };
            self.found(&container, pending, newcomer);
        }
    }

    /// The exec with this sequence number has failed: the old program goes on.
    pub(super) fn exec_failed(&mut self, id: SessionId, failed: &ExecFailed) {
        let Some(container) = self.sessions.get(&id).map(|t| t.container.clone()) else { return };
        let Some(followed) = self.containers.get_mut(&container.key) else { return };
        if let Some(pending) = followed.pending.take_record(id, failed.exec) {
            if pending.told {
                return;
            }
            self.tell_failure(&container, &pending, -i64::from(failed.errno));
            self.decided(id);
        }
    }

    fn tell_failure(&mut self, container: &Arc<Container>, pending: &Pending, rawres: i64) {
        let person = pending.caller.clone();
        self.tell(container, pending, person, rawres, None);
    }

    /// The exec has waited long enough.
    pub(super) fn exec_is_late(&mut self, key: &Arc<str>, number: u64) {
        let Some(followed) = self.containers.get_mut(key) else { return };
        let container = followed.container.clone();
        if let Some(pending) = followed.pending.take(number) {
            self.assume(&container, pending);
        }
    }

    /// Neither failure nor hello came: the exec has succeeded, and its program may be one that we cannot see.
    pub(super) fn assume(&mut self, container: &Arc<Container>, mut pending: Pending) {
        let first = !pending.told;
        let person = if first { self.succeeded(container, &pending) } else { assumed(&pending) };
        let reason = match sight(pending.target, pending.injection) {
            _ if pending.given_up => return,
            Sight::Blind(reason) => Some(reason),
            _ if first && !self.ending => {
                pending.told = true;
                let session = pending.session;
                self.wait_on(container, pending);
                return self.decided(session);
            }
            Sight::Doubtful(reason) => Some(reason),
            Sight::Expected if self.ending || self.announced_to_nobody(container, &pending) => None,
            Sight::Expected => Some("no_hello"),
        };
        if let Some(reason) = reason {
            let about = (pending.session_name.clone(), Some(pending.sequence));
            let path = vec![("porthole.path", pending.resolved.clone().into())];
            self.blind(container, reason, about, pending.time_ns, person, path);
        }
        if first {
            return self.decided(pending.session);
        }
        // A machine may stand still for longer than a hello is waited for. Which child a shell's command is, its hello
        // alone would tell: that of another one must not be taken for it.
        if reason == Some("no_hello") && pending.image != Image::SomeChild {
            pending.given_up = true;
            self.wait_on(container, pending);
        }
    }

    fn wait_on(&mut self, container: &Arc<Container>, pending: Pending) {
        self.number += 1;
        self.wait(container, self.number, pending);
    }

    /// Tells an exec as a success, with what its record says of the program.
    fn succeeded(&mut self, container: &Arc<Container>, pending: &Pending) -> Person {
        let mut person = assumed(pending);
        layers::note(container, &mut person);
        if let (Image::Own, Some(pid)) = (pending.image, person.process.pid) {
            let known = self.containers.get_mut(&container.key).and_then(|f| f.known.get_mut(&pid));
            if let Some(known) = known {
                known.process = person.process.clone();
            }
        }
        self.tell(container, pending, person.clone(), 0, None);
        person
    }

    /// Whether the program was started before this collector listened: no hello proves nothing then.
    fn announced_to_nobody(&self, container: &Arc<Container>, pending: &Pending) -> bool {
        self.containers.get(&container.key).is_some_and(|f| pending.time_ns < f.since_ns)
    }

    /// A process of which not everything will be seen. `about`: a session, and which of its records tells.
    pub(super) fn blind(
        &mut self,
        container: &Arc<Container>,
        reason: &'static str,
        about: (Arc<str>, Option<u32>),
        time_ns: u64,
        person: Person,
        more: Vec<(&'static str, Value)>,
    ) {
        let (session, record) = about;
        let mut fields = vec![("porthole.reason", reason.into())];
        fields.extend(more);
        fields.extend(record.map(|n| (EXEC, i64::from(n).into())));
        let draft = Draft {
            evt_type: "porthole.blindspot",
            time_ns,
            rawres: None,
            fields,
            source: Source::Host,
            identity: person.identity(),
            process: Some(person.process),
            session,
            seq: None, // the record with that number is another event
        };
        self.emit(container, draft);
    }

    /// `program`: the session of the program that runs now, where it is known.
    pub(super) fn tell(
        &mut self,
        container: &Arc<Container>,
        pending: &Pending,
        person: Person,
        rawres: i64,
        program: Option<Arc<str>>,
    ) {
        if rawres == 0 {
            Counters::count(&container.counters.execs);
        }
        let mut fields = arguments(&pending.resolved, &pending.argv);
        if pending.path != pending.resolved {
            fields.push(("evt.rawarg.filename", pending.path.clone().into()));
        }
        fields.extend(program.map(|session| (PROGRAM, session.into())));
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
    pub(super) fn decided(&mut self, id: SessionId) {
        if let Some(t) = self.sessions.get_mut(&id) {
            t.undecided = t.undecided.saturating_sub(1);
        }
        self.finish(id);
    }
}

/// The program that an exec record speaks of.
fn assumed(pending: &Pending) -> Person {
    let mut person = pending.caller.executed(&pending.resolved, &pending.argv);
    if let Some(file) = &pending.memory {
        Arc::make_mut(&mut person.process).exepath = file.clone();
    }
    if pending.image != Image::Own {
        let child = match pending.image {
            Image::Child(vpid) => Some(vpid),
            _ => None,
        };
        let process = Arc::make_mut(&mut person.process);
        (process.ppid, process.parent) = (process.pid, Some(Process::as_parent(&pending.caller.process)));
        (process.pid, process.vpid, process.start_ns) = (None, child, pending.time_ns);
    }
    person
}

/// The file in memory that is executed by a descriptor of it, as the kernel names it.
fn memory(caller: &Person, resolved: &str) -> Option<Arc<str>> {
    if resolved.starts_with("/memfd:") {
        return Some(resolved.into());
    }
    let (directory, fd) = resolved.rsplit_once('/')?;
    let own = |pid: &str| pid == "self" || pid.parse().ok() == caller.process.vpid;
    let of_process = || directory.strip_prefix("/proc/").and_then(|d| d.strip_suffix("/fd")).is_some_and(own);
    if directory != "/dev/fd" && !of_process() {
        return None;
    }
    match caller.descriptor(fd.parse().ok()?)? {
        Descriptor::Memory(name) => Some(format!("/memfd:{name}").into()),
        _ => None,
    }
}

/// `evt.arg.*` of an exec.
pub(super) fn arguments(filename: &str, argv: &[String]) -> Vec<(&'static str, Value)> {
    let exe = argv.first().cloned().unwrap_or_default();
    let args = redact::arguments(argv.get(1..).unwrap_or_default());
    vec![("evt.arg.exe", exe.into()), ("evt.arg.args", args.into()), ("evt.arg.filename", filename.to_owned().into())]
}
