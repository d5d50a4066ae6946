//! Descriptions of processes: from what the kernel says where it says something, else from claims.

use super::paths;
use crate::event::{Identity, Process};
use crate::ingest::hello::Hello;
use crate::ingest::message::Sender;
use crate::redact;
use std::collections::HashMap;
use std::sync::Arc;

/// Descriptors of a process that later calls may name, and their texts' bytes: whoever writes records decides how many
/// there are.
const MAX_DESCRIPTORS: usize = 64;
/// See [`MAX_DESCRIPTORS`].
const MAX_DESCRIPTOR_BYTES: usize = 4096;

/// What a descriptor is, as far as later calls need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// A directory, that later paths may start from.
    Directory(Arc<str>),
    /// A socket.
    Socket(Socket),
    /// A file in memory, by its name.
    Memory(Arc<str>),
}

/// What events say of a socket that they do not say of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// `fd.type` and its letter.
    pub kind: (&'static str, &'static str),
    /// `fd.l4proto`, where there is one.
    pub protocol: Option<&'static str>,
}

impl Descriptor {
    fn len(&self) -> usize {
        match self {
            Descriptor::Directory(text) | Descriptor::Memory(text) => text.len(),
            Descriptor::Socket(_) => 0,
        }
    }
}

/// A process as the tag stage follows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub process: Arc<Process>,
    pub identity: Option<Identity>,
    /// Start time in clock ticks, where verified.
    pub start_ticks: Option<u64>,
    /// What some descriptors are, shared with forked children until one of them changes.
    descriptors: Arc<HashMap<i32, Descriptor>>,
    /// It makes system calls in a way that nobody sees (a ring of io_uring), and this has been told.
    pub has_io_uring: bool,
    /// Status that it gave when it asked to end.
    pub exit_status: Option<i32>,
}

impl Person {
    pub fn new(process: Process, identity: Identity) -> Person {
        Person { process: Arc::new(process), identity: Some(identity), ..Default::default() }
    }

    pub fn identity(&self) -> Identity {
        self.identity.unwrap_or(Identity::Claimed)
    }

    /// A descriptor now is this, or something that nobody needs to know.
    pub fn opened(&mut self, fd: i32, what: Option<Descriptor>) {
        let bytes = || self.descriptors.values().map(Descriptor::len).sum::<usize>();
        match what {
            Some(d) if self.descriptors.len() < MAX_DESCRIPTORS && bytes() + d.len() <= MAX_DESCRIPTOR_BYTES => {
                Arc::make_mut(&mut self.descriptors).insert(fd, d);
            }
            _ if self.descriptors.contains_key(&fd) => {
                Arc::make_mut(&mut self.descriptors).remove(&fd);
            }
            _ => {}
        }
    }

    /// What a descriptor is, if that is known.
    pub fn descriptor(&self, fd: i32) -> Option<&Descriptor> {
        self.descriptors.get(&fd)
    }

    /// A descriptor has got a second number. What both are, if that is known.
    pub fn duplicated(&mut self, old: i32, new: i32) -> Option<Descriptor> {
        let what = self.descriptors.get(&old).cloned();
        self.opened(new, what.clone());
        what
    }

    /// Where a path starts that is relative to `dirfd`; empty when nobody knows.
    pub fn base(&self, dirfd: i32) -> Arc<str> {
        if dirfd == libc::AT_FDCWD {
            return self.process.cwd.clone();
        }
        match self.descriptors.get(&dirfd) {
            Some(Descriptor::Directory(path)) => return path.clone(),
            Some(Descriptor::Memory(name)) => return format!("/memfd:{name}").into(),
            _ => {}
        }
        // Opened before us, or received from elsewhere: the kernel may still know. (A descriptor that has been
        // closed and used again since gives the newer path; so it is for every observer from outside.)
        let Some(pid) = self.process.pid.filter(|_| dirfd >= 0 && self.identity() == Identity::Verified) else {
            return Arc::default();
        };
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{dirfd}")).ok();
        let text = target.and_then(|t| t.into_os_string().into_string().ok()).filter(|t| t.starts_with('/'));
        text.unwrap_or_default().into()
    }

    /// The working directory is `cwd` from now on.
    pub fn moved_to(&mut self, cwd: &str) {
        Arc::make_mut(&mut self.process).cwd = paths::with_slash(cwd).into();
    }

    /// The process has this name from now on; `false` if it had it already.
    pub fn now_named(&mut self, name: &str) -> bool {
        let new = *self.process.name != *name;
        if new {
            let process = Arc::make_mut(&mut self.process);
            process.name = name.into();
            process.cmdline = command_line(name, &process.args);
        }
        new
    }

    /// The process is this user from now on, as the host sees it; `false` if it was already.
    pub fn now_user(&mut self, uid: u32) -> bool {
        let new = self.process.uid != Some(uid);
        if new {
            let process = Arc::make_mut(&mut self.process);
            // Any other name stands in the container's own list, which is not at hand.
            (process.uid, process.user) = (Some(uid), (uid == 0).then(|| "root".into()));
        }
        new
    }

    /// A forked child of this process, known by its pid in the container only.
    pub fn child(&self, vpid: u32, pid: Option<u32>) -> Person {
        let mut process = Process::clone(&self.process);
        process.parent = Some(Process::as_parent(&self.process));
        process.ppid = process.pid;
        process.vpid = Some(vpid);
        process.pid = pid;
        // nobody tells when it was forked
        process.start_ns = 0;
        Person {
            process: Arc::new(process),
            identity: Some(self.identity().min(Identity::Inherited)),
            start_ticks: None,
            descriptors: self.descriptors.clone(),
            has_io_uring: false,
            exit_status: None,
        }
    }

    /// The same process after an exec that nobody confirms: what the exec record says of the new image.
    pub fn executed(&self, path: &str, argv: &[String]) -> Person {
        let mut process = Process::clone(&self.process);
        process.name = paths::comm(path).into();
        process.exepath = path.into();
        set_arguments(&mut process, argv);
        let identity = Some(self.identity().min(Identity::Inherited));
        Person { process: Arc::new(process), identity, start_ticks: self.start_ticks, ..Default::default() }
    }

    /// The program of a new session, whose exec `caller` has called: what the kernel could not tell any more, because
    /// the process has already ended, follows from the caller. `own`: the caller's own image was replaced.
    pub fn after(&self, caller: &Person, own: bool) -> Person {
        let mut person = self.clone();
        let (process, before) = (Arc::make_mut(&mut person.process), &caller.process);
        let parent = if own { before.ppid } else { before.pid };
        process.ppid = process.ppid.or(parent);
        if own {
            // a ring that is found before its hello is heard has nobody who could be asked
            process.pid = process.pid.or(before.pid);
        }
        process.tty = process.tty.or(before.tty);
        if process.parent.is_none() {
            process.parent = if own { before.parent.clone() } else { Some(Process::as_parent(before)) };
        }
        if own && before.start_ns != 0 {
            process.start_ns = before.start_ns;
        }
        process.loginuid = process.loginuid.or(before.loginuid);
        if process.ns.mnt.is_none() {
            process.ns = before.ns;
        }
        person
    }

    /// A forked process: its program is the one of `before`, as the ring that it wrote to so far knew it.
    pub fn forked_from(&mut self, before: &Person) {
        self.descriptors.clone_from(&before.descriptors);
        self.exit_status = before.exit_status;
        let (process, old) = (Arc::make_mut(&mut self.process), &before.process);
        (process.name, process.exepath) = (old.name.clone(), old.exepath.clone());
        process.upper_layer = old.upper_layer;
        if process.cwd.is_empty() {
            process.cwd = old.cwd.clone();
        }
        process.ppid = process.ppid.or(old.ppid);
        process.tty = process.tty.or(old.tty);
        (process.exe, process.args) = (old.exe.clone(), old.args.clone());
        process.cmdline = command_line(&process.name, &process.args);
        (process.parent, process.loginuid) = (old.parent.clone(), process.loginuid.or(old.loginuid));
    }

    /// The process behind an open session has become known: what was learnt of it so far stays.
    pub fn learnt_from(&mut self, before: &Person) {
        self.descriptors.clone_from(&before.descriptors);
        self.has_io_uring = before.has_io_uring;
        self.exit_status = before.exit_status;
    }
}

/// The process that has announced itself. Parent and namespaces are the caller's to add.
///
/// Who it is says the kernel. What it was when it announced itself, the hello: /proc is read a little later, and a
/// process that has executed something else by then (a script's `env`, a shell's last command) has another name there.
pub(super) fn of_sender(sender: &Sender) -> Person {
    let (hello, facts) = (&sender.hello, sender.facts.as_ref());
    let name = paths::comm(&hello.execfn);
    let same = facts.filter(|f| name.is_empty() || f.stat.comm == name);
    let of_kernel = |text: Option<&str>, claim: &str| match text {
        Some(t) if !t.is_empty() => t.to_owned(),
        _ => claim.to_owned(),
    };
    let cwd = if hello.cwd.is_empty() { of_kernel(facts.map(|f| f.cwd.as_str()), "") } else { hello.cwd.clone() };
    let mut process = Process {
        pid: sender.pid,
        vpid: Some(hello.pid).filter(|p| *p != 0),
        ppid: facts.map(|f| f.stat.ppid),
        name: if name.is_empty() { of_kernel(facts.map(|f| f.stat.comm.as_str()), "").into() } else { name.into() },
        exepath: of_kernel(same.map(|f| f.exe.as_str()), &claimed_executable(hello, &cwd)).into(),
        cwd: paths::with_slash(&cwd).into(),
        tty: facts.map(|f| f.stat.tty),
        uid: sender.uid,
        user: sender.user.clone(),
        gid: Some(hello.egid),
        vpgid: Some(hello.pgid),
        sid: Some(hello.sid),
        start_ns: sender.time_ns,
        cap_effective: Some(hello.cap_effective),
        cap_permitted: same.and_then(|f| f.cap_permitted).or(Some(hello.cap_effective)),
        loginuid: facts.and_then(|f| f.loginuid),
        ns: facts.map(|f| f.ns).unwrap_or_default(),
        ..Default::default()
    };
    let whole = same.map(|f| &f.argv).filter(|a| !a.is_empty() && a.first() == hello.argv.first());
    set_arguments(&mut process, whole.unwrap_or(&hello.argv));
    let start_ticks = facts.map(|f| f.stat.start_ticks);
    // The kernel knows another program: the process has executed something since, or its hello lies.
    let contradicted = facts.is_some() && same.is_none();
    let identity = if contradicted { sender.identity.min(Identity::Inherited) } else { sender.identity };
    Person { start_ticks, ..Person::new(process, identity) }
}

/// The executable by the hello's word. The kernel hands a script to its interpreter as an argument, and an interpreter
/// that is a script itself to its own, each with one argument at most.
fn claimed_executable(hello: &Hello, cwd: &str) -> String {
    const NESTED: usize = 2 * 5;
    let script = || hello.argv.iter().skip(1).take(NESTED).any(|a| *a == hello.execfn);
    match hello.argv.first() {
        Some(interpreter) if interpreter.starts_with('/') && script() => interpreter.clone(),
        _ if hello.execfn.is_empty() => String::new(),
        _ => paths::resolve(cwd, &hello.execfn),
    }
}

/// The whole argument list of a program whose hello had no room for it, from the exec that has started it. The kernel
/// puts a script's interpreter before the script: what the hello has up to the script's path stays.
pub(super) fn whole_arguments(hello: &Hello, path: &str, resolved: &str, argv: &[String]) -> Option<Vec<String>> {
    if !hello.truncated() || argv.is_empty() {
        return None;
    }
    if hello.argv.first() == argv.first() && hello.argv.get(1) == argv.get(1) {
        return Some(argv.to_vec());
    }
    let script = hello.argv.iter().position(|a| a == path || a == resolved)?;
    Some([&hello.argv[..=script], &argv[1..]].concat())
}

pub(super) fn set_arguments(process: &mut Process, argv: &[String]) {
    process.exe = argv.first().map_or("", String::as_str).into();
    let args = redact::arguments(argv.get(1..).unwrap_or_default());
    process.cmdline = command_line(&process.name, &args);
    process.args = args.into();
}

pub(super) fn command_line(name: &str, args: &str) -> Arc<str> {
    if args.is_empty() { name.into() } else { format!("{name} {args}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Person {
        let process =
            Process { pid: Some(100), vpid: Some(7), name: "sh".into(), cwd: "/w/".into(), ..Default::default() };
        Person::new(process, Identity::Verified)
    }

    #[test]
    fn directories_are_remembered_within_bounds_and_shared_with_children() {
        let mut parent = shell();
        for fd in 0..1000 {
            parent.opened(fd, Some(Descriptor::Directory(format!("/{}", "d".repeat(100)).into())));
        }
        let bytes: usize = parent.descriptors.values().map(Descriptor::len).sum();
        assert!(parent.descriptors.len() > 20 && bytes <= MAX_DESCRIPTOR_BYTES, "{bytes}");
        let mut child = parent.child(8, None);
        assert!(Arc::ptr_eq(&parent.descriptors, &child.descriptors));
        child.opened(0, None);
        assert!(parent.descriptors.contains_key(&0) && !child.descriptors.contains_key(&0));
        for fd in 0..1000 {
            parent.opened(fd + 2000, Some(Descriptor::Directory("/d".into())));
        }
        assert!(parent.descriptors.len() <= MAX_DESCRIPTORS);
    }

    #[test]
    fn a_forked_child_is_inherited_and_knows_its_parent() {
        let mut parent = shell();
        parent.opened(5, Some(Descriptor::Directory("/data".into())));
        let child = parent.child(8, None);
        assert_eq!(child.identity(), Identity::Inherited);
        assert_eq!((child.process.vpid, child.process.pid, child.process.ppid), (Some(8), None, Some(100)));
        assert_eq!(child.process.pname(), Some("sh"));
        assert_eq!(&*child.base(5), "/data");
        assert_eq!(&*child.base(libc::AT_FDCWD), "/w/");
    }

    #[test]
    fn an_unconfirmed_exec_takes_name_and_arguments_of_the_record() {
        let p = shell().executed("/opt/server-with-a-long-name", &["server".into(), "-v".into()]);
        assert_eq!(&*p.process.name, "server-with-a-l");
        assert_eq!(&*p.process.cmdline, "server-with-a-l -v");
        assert_eq!((&*p.process.exe, &*p.process.args), ("server", "-v"));
        assert_eq!(p.process.pid, Some(100));
    }

    #[test]
    fn long_arguments_come_from_the_exec() {
        let words = |w: &[&str]| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let argv = words(&["x", "a", "b", "c"]);
        let hello = |kept: &[&str], argc| Hello { argv: words(kept), argc, ..Default::default() };
        let whole = |h: &Hello| whole_arguments(h, "x", "/bin/x", &argv);
        assert_eq!(whole(&hello(&["x", "a"], 2)), None, "nothing is missing");
        assert_eq!(whole(&hello(&["x", "a"], 4)), Some(argv.clone()));
        let script = whole(&hello(&["/bin/sh", "/bin/x", "a"], 5));
        assert_eq!(script, Some(words(&["/bin/sh", "/bin/x", "a", "b", "c"])));
        assert_eq!(whole(&hello(&["other"], 9)), None);
    }

    #[test]
    fn directories_are_bounded_and_forgotten_when_reused() {
        let mut p = shell();
        p.identity = Some(Identity::Claimed);
        for fd in 0..1000 {
            p.opened(fd, Some(Descriptor::Directory("/d".into())));
        }
        assert_eq!((&*p.base(3), &*p.base(900)), ("/d", ""));
        p.opened(3, None);
        assert_eq!(&*p.base(3), "");
    }

    #[test]
    fn an_exec_keeps_the_pid_of_its_caller() {
        let of = |pid| Person::new(Process { pid, vpid: Some(7), ..Default::default() }, Identity::Claimed);
        assert_eq!(of(None).after(&of(Some(100)), true).process.pid, Some(100), "a ring whose hello was not heard");
        assert_eq!(of(Some(101)).after(&of(Some(100)), true).process.pid, Some(101));
        assert_eq!(of(None).after(&of(Some(100)), false).process.pid, None, "a child has another");
    }
}
