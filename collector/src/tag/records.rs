//! Records become events.

use super::hosts::Hosts;
use super::process::{Descriptor, Person};
use super::{Draft, Tagger, called, flags, paths, sockets};
use crate::event::{Source, Text, Value, lossy, text};
use crate::ingest::message::{Batch, Item, SessionId};
use crate::loss::Counters;
use crate::outputs::Output;
use porthole_common::record::{Call, Chdir, Exit, Fork, Open, Record, Sandbox};
use std::sync::Arc;

/// Fields of one event.
type Fields = Vec<(&'static str, Value)>;

impl Tagger {
    /// Everything that a look at a ring has brought, in order.
    pub(super) fn records(&mut self, batch: Batch) {
        let id = batch.session;
        for item in batch.items {
            match item {
                Item::Lost { sequence, count, reason } => self.lost(id, sequence, count, reason),
                Item::Record { sequence, pid, time_ns, payload } => {
                    match Record::decode(batch.bytes.get(payload).unwrap_or_default()) {
                        Ok(record) => self.record(id, sequence, pid, time_ns, &record),
                        Err(_) => self.malformed(id, sequence),
                    }
                }
            }
        }
        if !batch.cut {
            self.settle_fresh(id);
        }
        self.out.extend(batch.share.map(Output::Told));
        if let Some(t) = self.sessions.get_mut(&id) {
            t.until = Some(batch.until);
            let container = t.container.clone();
            self.keep_losses(&container);
        }
        self.finish(id);
    }

    fn record(&mut self, id: SessionId, sequence: u32, vpid: u32, time_ns: u64, record: &Record) {
        let Some(mut person) = self.person(id, vpid) else { return };
        let Some(t) = self.sessions.get(&id) else { return };
        let (libc, container) = (LibcCalls { musl: t.musl, sites: t.source == Source::Sites }, t.container.clone());
        let none = Hosts::default();
        let hosts = self.containers.get(&container.key).map_or(&none, |f| &f.hosts);
        let counters = &container.counters;
        let (evt_type, rawres, fields) = match record {
            Record::Exec(exec) => {
                self.put_back(id, vpid, person.clone());
                return self.exec(id, sequence, vpid, time_ns, exec, person);
            }
            Record::ExecFailed(failed) => {
                self.put_back(id, vpid, person);
                return self.exec_failed(id, failed);
            }
            Record::Open(r) => {
                if r.res >= 0 && r.call != Call::Load {
                    Counters::count(&counters.files);
                }
                (libc.open_type(r.call), i64::from(r.res), open(r, &mut person, libc))
            }
            Record::Connect(r) => {
                if sockets::connected(r.res) {
                    Counters::count(&counters.connections);
                }
                ("connect", i64::from(r.res), sockets::connect(r, &person, hosts))
            }
            Record::Fork(Fork { res, .. }) => ("clone", i64::from(*res), vec![]),
            Record::Chdir(r) => {
                let draft = chdir(r, &mut person);
                if r.res == 0 {
                    self.put_back(id, vpid, person.clone());
                    self.update_known(id);
                    self.save(id);
                }
                draft
            }
            Record::Exit(Exit { status, .. }) => {
                person.exit_status = Some(*status);
                if self.will_end(&container.key, person.process.pid, *status) {
                    return self.put_back(id, vpid, person);
                }
                // No pidfd watches this process: its own word is all there will be.
                let code = i64::from(*status & 0xff);
                let fields = vec![("evt.arg.status", (code << 8).into()), ("evt.arg.ret", code.into())];
                return self.tell_record(id, sequence, vpid, time_ns, ("procexit", None, fields), person);
            }
            Record::Sandbox(r) => sandbox(r),
            Record::Drop(r) => {
                self.put_back(id, vpid, person);
                return self.agent_lost(id, sequence, r);
            }
            Record::Called(r) => {
                let Some(draft) = called::called(r, &mut person, hosts) else {
                    self.put_back(id, vpid, person);
                    return self.malformed(id, sequence);
                };
                if called::changes_process(r) && called::follow(r, &mut person) {
                    self.put_back(id, vpid, person.clone());
                    self.update_known(id);
                    self.save(id);
                }
                draft
            }
            Record::Lookup(r) => {
                self.learn(id, r);
                let (evt_type, fields) = called::lookup(r);
                return self.tell_record(id, sequence, vpid, time_ns, (evt_type, None, fields), person);
            }
            Record::Hello(_) => {
                self.put_back(id, vpid, person);
                return self.malformed(id, sequence);
            }
        };
        if called::moves_children(record)
            && let Some(t) = self.sessions.get_mut(&id)
        {
            t.elsewhere = true;
        }
        let io_uring = !person.has_io_uring && makes_ring(record);
        person.has_io_uring |= io_uring;
        let blind = io_uring.then(|| person.clone());
        self.tell_record(id, sequence, vpid, time_ns, (evt_type, Some(rawres), fields), person);
        if let Some(person) = blind {
            let session = self.sessions.get(&id).map(|t| t.ring.session.clone()).unwrap_or_default();
            self.blind(&container, "io_uring", (session, Some(sequence)), time_ns, person, vec![]);
        }
    }

    fn tell_record(
        &mut self,
        id: SessionId,
        sequence: u32,
        vpid: u32,
        time_ns: u64,
        (evt_type, rawres, fields): (&'static str, Option<i64>, Fields),
        person: Person,
    ) {
        let Some(t) = self.sessions.get(&id) else { return };
        let container = t.container.clone();
        let draft = Draft {
            evt_type,
            time_ns,
            rawres,
            fields,
            source: t.source,
            identity: person.identity(),
            process: Some(person.process.clone()),
            session: t.ring.session.clone(),
            seq: Some(sequence),
        };
        self.put_back(id, vpid, person);
        self.emit(&container, draft);
    }
}

/// Whether the process makes a ring, whose calls nobody sees, or has brought the library that makes them: liburing asks
/// the kernel itself.
fn makes_ring(record: &Record) -> bool {
    let path = match record {
        Record::Called(r) if r.call == Call::IoUringSetup => return r.res >= 0,
        Record::Open(r) if r.call == Call::Load => r.path,
        _ => return false,
    };
    path.rsplit(|b| *b == b'/').next().is_some_and(|name| name.starts_with(b"liburing.so"))
}

/// How a program's libc asks the kernel, and from where the agent sees it.
#[derive(Clone, Copy, Default)]
struct LibcCalls {
    musl: bool,
    /// The agent has seen the system call itself.
    sites: bool,
}

impl LibcCalls {
    /// The flags of an open as the kernel has seen them: the agent tells glibc's, where the C library chooses.
    fn open_flags(self, call: Call, flags: u32) -> u32 {
        let directory = matches!(call, Call::Opendir | Call::Scandir | Call::Ftw | Call::Glob | Call::FtsOpen);
        if self.musl && directory { flags & !(libc::O_NONBLOCK as u32) } else { flags }
    }

    /// The system call behind an open.
    fn open_type(self, call: Call) -> &'static str {
        match call {
            Call::Openat2 => "openat2",
            Call::Openat => "openat",
            Call::Open if self.sites => "open",
            Call::Creat if cfg!(target_arch = "x86_64") && (self.sites || !self.musl) => "creat",
            _ if self.musl => "open",
            _ => "openat",
        }
    }
}

/// Calls that open a directory inside and close it again, and the loader, which has closed its libraries: their result
/// is no descriptor.
fn keeps_none(call: Call) -> bool {
    matches!(call, Call::Scandir | Call::Ftw | Call::Glob | Call::FtsOpen | Call::Load)
}

fn open(r: &Open, person: &mut Person, libc: LibcCalls) -> Fields {
    let raw = lossy(r.path);
    let at = matches!(r.call, Call::Openat | Call::Openat2);
    let dirfd = if at { r.dirfd } else { libc::AT_FDCWD };
    let base = if raw.starts_with('/') { "/".into() } else { person.base(dirfd) };
    let name: Arc<str> = paths::resolve(&base, &raw).into();
    let asked = libc.open_flags(r.call, r.flags);
    let directory = r.call == Call::Opendir || flags::is_directory(asked);
    let descriptor = r.res < 0 || !keeps_none(r.call);
    if r.res >= 0 && descriptor {
        person.opened(r.res, directory.then(|| Descriptor::Directory(name.clone())));
    }
    let evt_type = libc.open_type(r.call);
    let mut fields: Fields = Vec::with_capacity(14);
    if descriptor {
        fields.push(("evt.arg.fd", i64::from(r.res).into()));
    }
    if evt_type.starts_with("openat") {
        fields.push(match dirfd {
            libc::AT_FDCWD => ("evt.arg.dirfd", "AT_FDCWD".into()),
            n => ("evt.arg.dirfd", i64::from(n).into()),
        });
    }
    fields.push(("evt.arg.name", name.clone().into()));
    if evt_type != "creat" {
        fields.push(("evt.arg.flags", flags::open_flags(asked)));
    }
    fields.push(("evt.arg.mode", flags::mode(r.mode)));
    let (kind, letter) = if directory { ("directory", "d") } else { ("file", "f") };
    let (parent, file) = paths::split(&name);
    if descriptor {
        fields.push(("fd.num", i64::from(r.res.max(-1)).into()));
    }
    fields.push(("fd.type", kind.into()));
    fields.push(("fd.typechar", letter.into()));
    fields.push(("fd.directory", Text::part(&name, parent).into()));
    if r.res >= 0 {
        fields.push(("fd.filename", Text::part(&name, file).into()));
    }
    let collapsed = paths::collapse(&raw);
    fields.push(("fd.nameraw", if *collapsed == *name { name.clone().into() } else { collapsed.into_owned().into() }));
    fields.push(("fd.name", name.into()));
    if r.call == Call::Load {
        fields.push(("porthole.call", "load".into()));
    }
    fields
}

fn chdir(r: &Chdir, person: &mut Person) -> (&'static str, i64, Fields) {
    let path = text(r.path);
    let (evt_type, fields, target): (_, Fields, _) = if r.call == Call::Fchdir {
        ("fchdir", vec![("evt.arg.fd", i64::from(r.fd).into())], person.base(r.fd))
    } else {
        let target: Arc<str> = paths::resolve(&person.process.cwd, &path).into();
        ("chdir", vec![("evt.arg.path", path.into())], target)
    };
    if r.res == 0 {
        let told = text(r.cwd);
        person.moved_to(if told.starts_with('/') { &told } else { &target });
    }
    (evt_type, i64::from(r.res), fields)
}

fn sandbox(r: &Sandbox) -> (&'static str, i64, Fields) {
    let mode = i64::from(r.mode);
    if r.call == Call::Seccomp {
        // SECCOMP_SET_MODE_STRICT is operation 0, SECCOMP_SET_MODE_FILTER operation 1.
        return ("seccomp", i64::from(r.res), vec![("evt.arg.op", (mode - 1).into())]);
    }
    let fields = vec![("evt.arg.option", "PR_SET_SECCOMP".into()), ("evt.arg.arg2_int", mode.into())];
    ("prctl", i64::from(r.res), fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Identity, Process};

    fn person() -> Person {
        Person::new(Process { cwd: "/work/".into(), ..Default::default() }, Identity::Claimed)
    }

    fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
        fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    fn record<'a>(call: Call, res: i32, flags: i32, dirfd: i32, path: &'a [u8]) -> Open<'a> {
        Open { call, res, flags: flags as u32, mode: 0, dirfd, path }
    }

    #[test]
    fn each_libc_call_is_the_system_call_it_makes() {
        for (call, glibc, musl, glibc_sites, musl_sites) in [
            (Call::Open, "openat", "open", "open", "open"),
            (Call::Fopen, "openat", "open", "openat", "open"),
            (Call::Opendir, "openat", "open", "openat", "open"),
            (Call::Mkstemp, "openat", "open", "openat", "open"),
            (Call::Openat, "openat", "openat", "openat", "openat"),
            (Call::Openat2, "openat2", "openat2", "openat2", "openat2"),
            (Call::Creat, "creat", "open", "creat", "creat"),
        ] {
            let of = |musl, sites| LibcCalls { musl, sites }.open_type(call);
            let all = [of(false, false), of(true, false), of(false, true), of(true, true)];
            assert_eq!(all, [glibc, musl, glibc_sites, musl_sites], "{call:?}");
        }
    }

    #[test]
    fn a_walk_gives_no_descriptor() {
        let mut p = person();
        let fields = open(&record(Call::Ftw, 0, libc::O_DIRECTORY, 0, b"sub"), &mut p, LibcCalls::default());
        assert_eq!((get(&fields, "fd.num"), get(&fields, "fd.type")), (None, Some(&"directory".into())));
        assert_eq!(&*p.base(0), "");
    }

    #[test]
    fn a_directory_is_opened_as_its_c_library_does() {
        let asked = libc::O_DIRECTORY | libc::O_NONBLOCK;
        let flags =
            |call, libc| get(&open(&record(call, 3, asked, 0, b"d"), &mut person(), libc), "evt.arg.flags").cloned();
        let musl = LibcCalls { musl: true, sites: false };
        assert_eq!(flags(Call::Opendir, LibcCalls::default()), Some("O_DIRECTORY|O_NONBLOCK|O_RDONLY".into()));
        assert_eq!(flags(Call::Opendir, musl), Some("O_DIRECTORY|O_RDONLY".into()));
        assert_eq!(flags(Call::Open, musl), Some("O_DIRECTORY|O_NONBLOCK|O_RDONLY".into()), "the program's own words");
    }

    #[test]
    fn names_start_from_where_the_call_does() {
        let mut p = person();
        let dir = open(&record(Call::Opendir, 5, libc::O_DIRECTORY, 0, b"sub"), &mut p, LibcCalls::default());
        assert_eq!(get(&dir, "fd.name"), Some(&"/work/sub".into()));
        assert_eq!(get(&dir, "fd.type"), Some(&"directory".into()));
        let file = open(&record(Call::Openat, 6, 0, 5, b"..//x"), &mut p, LibcCalls::default());
        assert_eq!(get(&file, "fd.name"), Some(&"/work/x".into()));
        assert_eq!(get(&file, "fd.nameraw"), Some(&"../x".into()));
        assert_eq!(get(&file, "evt.arg.dirfd"), Some(&5.into()));
        assert_eq!(get(&file, "fd.filename"), Some(&"x".into()));
        let failed = open(&record(Call::Open, -libc::ENOENT, 0, -100, b"/no/such"), &mut p, LibcCalls::default());
        assert_eq!((get(&failed, "fd.num"), get(&failed, "fd.filename")), (Some(&(-1).into()), None));
        assert_eq!(get(&failed, "fd.directory"), Some(&"/no".into()));
    }

    #[test]
    fn a_new_directory_counts_only_if_the_call_succeeded() {
        let mut p = person();
        chdir(&Chdir { call: Call::Chdir, res: -2, fd: -1, path: b"a", cwd: b"" }, &mut p);
        assert_eq!(&*p.process.cwd, "/work/");
        chdir(&Chdir { call: Call::Chdir, res: 0, fd: -1, path: b"a", cwd: b"" }, &mut p);
        assert_eq!(&*p.process.cwd, "/work/a/");
        chdir(&Chdir { call: Call::Chdir, res: 0, fd: -1, path: b"link", cwd: b"/real" }, &mut p);
        assert_eq!(&*p.process.cwd, "/real/");
    }
}
