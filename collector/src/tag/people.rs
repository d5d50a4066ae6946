//! Who made a record, and how a process ends.

use super::process::Person;
use super::{Draft, Tagger};
use crate::container::Container;
use crate::event::{Identity, Source, Value};
use crate::ingest::message::SessionId;
use std::sync::Arc;

impl Tagger {
    /// A process that announced itself has ended.
    pub(super) fn exited(&mut self, container: &Arc<Container>, pid: u32, status: Option<i32>) {
        let held = self.containers.get(&container.key).and_then(|f| f.newcomers.held_process(pid));
        if let Some(t) = held.and_then(|id| self.sessions.get_mut(&id)) {
            t.exited = Some((pid, status));
            return;
        }
        let Some(known) = self.containers.get_mut(&container.key).and_then(|f| f.known.remove(&pid)) else { return };
        if let (Some(vpid), Some(f)) = (known.process.vpid, self.containers.get_mut(&container.key)) {
            f.seen.remove(&vpid);
        }
        let fields = records_exit(status, known.exit_status);
        // A namespace within the container's has a first process, too.
        let own = self.containers.get(&container.key).and_then(|f| f.ns?.pid).or(known.process.ns.pid);
        let of_container = own != self.host_pids && known.process.ns.pid == own;
        let first = known.identity == Identity::Verified && known.process.vpid == Some(1) && of_container;
        let draft = Draft {
            evt_type: "procexit",
            time_ns: crate::clock::now_ns(),
            rawres: None,
            fields: fields.clone(),
            source: Source::Host,
            identity: known.identity,
            process: Some(known.process),
            session: known.session,
            seq: None,
        };
        self.emit(container, draft);
        if first {
            self.died(container, fields);
        }
    }

    /// A process has given its exit status. Whether its end will be told when the kernel announces it.
    pub(super) fn will_end(&mut self, container: &str, pid: Option<u32>, status: i32) -> bool {
        let Some(followed) = self.containers.get_mut(container) else { return false };
        let Some(known) = pid.and_then(|pid| followed.known.get_mut(&pid)) else { return false };
        known.exit_status = Some(status);
        true
    }

    /// The session's process has changed.
    pub(super) fn update_known(&mut self, id: SessionId) {
        let Some(t) = self.sessions.get(&id) else { return };
        let Some(followed) = self.containers.get_mut(&t.container.key) else { return };
        if let Some(known) = t.own.process.pid.and_then(|pid| followed.known.get_mut(&pid)) {
            known.process = t.own.process.clone();
            known.exit_status = t.own.exit_status;
        }
    }

    /// The process that made a record: the session's own, or a child that was forked and has no session yet. It is
    /// lent, not copied: [`Tagger::put_back`] must follow.
    pub(super) fn person(&mut self, id: SessionId, vpid: u32) -> Option<Person> {
        let host_pids = self.host_pids;
        let t = self.sessions.get_mut(&id)?;
        if !t.shared && (t.own.process.vpid == Some(vpid) || t.own.process.vpid.is_none()) {
            t.lent = Some(vpid);
            return Some(std::mem::take(&mut t.own));
        }
        if let Some(person) = t.others.remove(&vpid) {
            return Some(person);
        }
        let ns = t.own.process.ns;
        // The first process of a namespace is nobody's child there.
        t.elsewhere |= vpid == 1;
        let (elsewhere, host) = (t.elsewhere, ns.pid.is_some() && ns.pid == host_pids);
        let mut person = match t.shared {
            true => self.of_shared(id, vpid)?,
            false => t.own.child(vpid, (host && !elsewhere).then_some(vpid)),
        };
        if elsewhere {
            Arc::make_mut(&mut person.process).ns.pid = None;
        }
        let t = self.sessions.get_mut(&id)?;
        if t.others.len() >= t.room_for_others() {
            t.others.clear();
        }
        Some(person)
    }

    /// The process with this pid by any session of the container: only the record claims that it is the one.
    fn of_shared(&self, id: SessionId, vpid: u32) -> Option<Person> {
        let t = self.sessions.get(&id)?;
        let followed = self.containers.get(&t.container.key)?;
        let known = followed.known.values().find(|k| k.process.vpid == Some(vpid));
        let mut process = known.map(|k| (*k.process).clone()).unwrap_or_default();
        process.vpid = Some(vpid);
        if process.ns.mnt.is_none() {
            process.ns = followed.ns.unwrap_or_default();
        }
        Some(Person::new(process, Identity::Claimed))
    }

    /// Puts back what [`Tagger::person`] has given out.
    pub(super) fn put_back(&mut self, id: SessionId, vpid: u32, person: Person) {
        let Some(t) = self.sessions.get_mut(&id) else { return };
        if t.lent == Some(vpid) {
            t.lent = None;
            t.own = person;
        } else {
            t.others.insert(vpid, person);
        }
    }
}

/// `evt.arg.status` and what follows from it: the kernel's word, else the status that the process gave itself.
fn records_exit(status: Option<i32>, given: Option<i32>) -> Vec<(&'static str, Value)> {
    let Some(status) = status.or(given.map(|s| (s & 0xff) << 8)) else { return vec![] };
    let mut fields = vec![("evt.arg.status", i64::from(status).into())];
    if status & 0x7f == 0 {
        fields.push(("evt.arg.ret", i64::from(status >> 8 & 0xff).into()));
    } else {
        fields.push(("evt.arg.sig", i64::from(status & 0x7f).into()));
        fields.push(("evt.arg.core", i64::from(status >> 7 & 1).into()));
    }
    fields
}
