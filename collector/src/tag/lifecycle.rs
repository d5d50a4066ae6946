//! Events that are the container's own: its start and end, losses, tampering.

use super::created::created;
use super::{Draft, Followed, Tagger};
use crate::cleanup;
use crate::clock::now_ns;
use crate::container::Container;
use crate::event::{Identity, Source, Value};
use crate::ingest::message::SessionId;
use crate::outputs::Output;
use crate::redact;
use porthole_registration::container::{Exec, Injection, Process};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Processes from outside that are remembered until their hello comes.
const MAX_ADDED: usize = 256;

/// Events of tampering that one container causes in a second at most: it could do more than anyone reads.
const TAMPERING: u32 = 20;

/// How much of a container's tampering has been told.
pub(super) struct Tampering {
    since: Instant,
    told: u32,
    untold: i64,
    last_untold: Option<&'static str>,
}

impl Tampering {
    fn new(since: Instant) -> Tampering {
        Tampering { since, told: 0, untold: 0, last_untold: None }
    }

    fn is_to_be_told(&mut self, what: &'static str, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.told) = (now, 0);
        }
        self.told += 1;
        if self.told > TAMPERING {
            self.untold += 1;
            self.last_untold = Some(what);
        }
        self.told <= TAMPERING
    }

    /// How many there were since the event before.
    fn all_told(&mut self) -> i64 {
        self.last_untold = None;
        std::mem::take(&mut self.untold)
    }
}

impl Tagger {
    pub(super) fn registered(&mut self, container: Arc<Container>) {
        let followed = Followed {
            since_ns: now_ns(),
            container: container.clone(),
            known: HashMap::new(),
            seen: HashSet::new(),
            ns: None,
            pending: Default::default(),
            newcomers: Default::default(),
            added: vec![],
            hosts: Default::default(),
            losses: Default::default(),
            tampering: Tampering::new(Instant::now()),
            entered: false,
            died: false,
        };
        self.containers.insert(container.key.clone(), followed);
        self.tell_owed(&container);
        if cleanup::is_started(&container.dir) {
            return;
        }
        let r = &container.registration;
        if !container.is_host() {
            let made = created(&container.info, &r.process);
            self.say(&container, "container.create", "create", Source::Runtime, r.created_ns, made);
        }
        self.say(&container, "container.start", "start", Source::Runtime, r.created_ns, started(&r.process));
        let blind = match &r.injection {
            Injection::None { reason } => Some(("not_injected", reason.as_str())),
            Injection::Preload { .. } => invisible(&r.process.target).map(|reason| (reason, "")),
        };
        if let Some((reason, detail)) = blind {
            let fields = about_entry(reason, detail, &r.process);
            self.say(&container, "porthole.blindspot", "start", Source::Runtime, r.created_ns, fields);
        }
        for shortfall in &r.shortfalls {
            let fields = vec![
                ("porthole.reason", shortfall.reason.clone().into()),
                ("porthole.detail", shortfall.detail.clone().into()),
            ];
            self.say(&container, "porthole.blindspot", &shortfall.reason, Source::Runtime, r.created_ns, fields);
        }
        self.out.push(Output::Started(container));
    }

    pub(super) fn exec_added(&mut self, container: &Arc<Container>, file: PathBuf, exec: Exec) {
        let name = format!("execs/{}", file.file_name().unwrap_or_default().to_string_lossy());
        let time_ns = if exec.time_ns == 0 { now_ns() } else { exec.time_ns };
        let frozen = match exec.verb.as_str() {
            "" => None,
            "pause" => Some("container.pause"),
            "resume" => Some("container.unpause"),
            _ => return self.out.push(Output::Consumed(file)),
        };
        if let Some(evt_type) = frozen {
            self.say(container, evt_type, &name, Source::Runtime, time_ns, vec![]);
            return self.out.push(Output::Consumed(file));
        }
        let mut fields = started(&exec.process);
        fields.push(("evt.arg.purpose", container.info.probes.of_added(&exec.process.args).as_str().into()));
        self.say(container, "container.exec", &name, Source::Runtime, time_ns, fields);
        let blind = match invisible(&exec.process.target) {
            _ if !exec.injected => Some(("not_injected", exec.reason)),
            reason => reason.map(|reason| (reason, String::new())),
        };
        if let Some((reason, detail)) = blind {
            let fields = about_entry(reason, &detail, &exec.process);
            self.say(container, "porthole.blindspot", &name, Source::Runtime, time_ns, fields);
        }
        if let Some(f) = self.containers.get_mut(&container.key) {
            if f.added.len() >= MAX_ADDED {
                f.added.remove(0);
            }
            f.added.push(exec.process);
        }
        self.out.push(Output::Consumed(file));
    }

    pub(super) fn deleted(&mut self, container: &Arc<Container>) {
        // What was still waited for cannot come any more.
        let held: Vec<SessionId> = self.containers.get(&container.key).map_or(vec![], |f| f.newcomers.held().collect());
        held.into_iter().for_each(|id| self.session_is_late(id));
        while let Some(pending) = self.containers.get_mut(&container.key).and_then(|f| f.pending.take_oldest()) {
            self.assume(container, pending);
        }
        let ids: Vec<SessionId> =
            self.sessions.iter().filter(|(_, t)| t.container.key == container.key).map(|(id, _)| *id).collect();
        for id in ids {
            self.over(id);
        }
        self.tell_losses(container);
        if let Some(what) = self.containers.get(&container.key).and_then(|f| f.tampering.last_untold) {
            self.tell_tampering(container, container.session_prefix().into(), what);
        }
        container.deleted.store(true, Relaxed);
        self.containers.remove(&container.key);
        self.say(container, "container.stop", "stop", Source::Runtime, now_ns(), vec![]);
        self.out.push(Output::Gone(container.clone()));
    }

    /// The first process of a container has ended, and the container with it.
    pub(super) fn died(&mut self, container: &Arc<Container>, fields: Vec<(&'static str, Value)>) {
        let Some(f) = self.containers.get_mut(&container.key) else { return };
        if !container.is_host() && !std::mem::replace(&mut f.died, true) {
            self.say(container, "container.die", "die", Source::Host, now_ns(), fields);
        }
    }

    /// The kernel has killed some of its processes.
    pub(super) fn starved(&mut self, container: &Arc<Container>, killed: u64, all: u64) {
        let fields = vec![("evt.arg.killed", (killed as i64).into())];
        self.say(container, "container.oom", &format!("oom.{all}"), Source::Host, now_ns(), fields);
    }

    pub(super) fn tampered(&mut self, container: &Arc<Container>, session: Arc<str>, what: &'static str) {
        let Some(f) = self.containers.get_mut(&container.key) else { return };
        if f.tampering.is_to_be_told(what, Instant::now()) {
            self.tell_tampering(container, session, what);
        }
    }

    fn tell_tampering(&mut self, container: &Arc<Container>, session: Arc<str>, what: &'static str) {
        let untold = self.containers.get_mut(&container.key).map_or(0, |f| f.tampering.all_told());
        let mut fields = vec![("porthole.reason", what.into())];
        if untold > 0 {
            fields.push(("porthole.count", untold.into()));
        }
        let draft = Draft {
            evt_type: "porthole.tamper",
            time_ns: now_ns(),
            rawres: None,
            fields,
            source: Source::Host,
            identity: Identity::Inherited,
            process: None,
            session,
            seq: None,
        };
        self.emit(container, draft);
    }

    /// An event about the container. `what` tells it from others of its kind, also after a restart.
    fn say(
        &mut self,
        container: &Arc<Container>,
        evt_type: &'static str,
        what: &str,
        source: Source,
        time_ns: u64,
        fields: Vec<(&'static str, Value)>,
    ) {
        let session = format!("{}/{what}.{}", container.session_prefix(), container.registration.created_ns);
        let draft = Draft {
            evt_type,
            time_ns,
            rawres: None,
            fields,
            source,
            identity: Identity::Verified,
            process: None,
            session: session.into(),
            seq: None,
        };
        self.emit(container, draft);
    }
}

/// Why a program that the engine, or `porthole run`, starts will not be seen.
fn invisible(target: &str) -> Option<&'static str> {
    Some(match target {
        "static" => "static",
        "setuid" => "setuid",
        "asan" => "asan",
        "word-size" => "word_size",
        "other-architecture" => "other_architecture",
        _ => return None,
    })
}

/// The fields of a blind spot that is a program which the engine starts.
fn about_entry(reason: &'static str, detail: &str, process: &Process) -> Vec<(&'static str, Value)> {
    let mut fields: Vec<(&'static str, Value)> = vec![("porthole.reason", reason.into())];
    if !detail.is_empty() {
        fields.push(("porthole.detail", detail.to_owned().into()));
    }
    fields.extend(process.args.first().map(|path| ("porthole.path", path.clone().into())));
    fields
}

/// `evt.arg.*` of a process that the engine starts.
pub(super) fn started(process: &Process) -> Vec<(&'static str, Value)> {
    let exe = process.args.first().cloned().unwrap_or_default();
    vec![
        ("evt.arg.exe", exe.into()),
        ("evt.arg.args", redact::arguments(process.args.get(1..).unwrap_or_default()).into()),
        ("evt.arg.cwd", process.cwd.clone().into()),
        ("evt.arg.uid", i64::from(process.uid).into()),
        ("evt.arg.tty", i64::from(process.terminal).into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_tampering_is_told_in_few_events_that_count_it() {
        let start = Instant::now();
        let mut tampering = Tampering::new(start);
        let mut told = |n: u64, at| (0..n).filter(|_| tampering.is_to_be_told("x", start + at)).count() as u32;
        assert_eq!(told(1000, Duration::ZERO), TAMPERING);
        assert_eq!(told(1, Duration::from_secs(1)), 1);
        assert_eq!((tampering.all_told(), tampering.all_told()), (1000 - i64::from(TAMPERING), 0));
        assert_eq!(tampering.last_untold, None);
    }
}
