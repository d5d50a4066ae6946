//! Descriptions of processes: from what the kernel says where it says something, else from claims.

use super::paths;
use crate::event::{Identity, Process};
use crate::ingest::hello::Hello;
use crate::ingest::message::Sender;
use crate::redact;
use std::collections::HashMap;
use std::sync::Arc;

/// Directories that a process keeps open and that later paths may start from, and their paths' bytes: whoever writes
/// records decides how many there are.
const MAX_DIRECTORIES: usize = 64;
/// See [`MAX_DIRECTORIES`].
const MAX_DIRECTORY_BYTES: usize = 4096;

/// A process as the tag stage follows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub process: Arc<Process>,
    pub identity: Option<Identity>,
    /// Start time in clock ticks, where verified.
    pub start_ticks: Option<u64>,
    /// Paths of descriptors that are directories, shared with forked children until one of them changes.
    directories: Arc<HashMap<i32, Arc<str>>>,
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

    /// A descriptor now is this directory, or something else.
    pub fn opened(&mut self, fd: i32, directory: Option<&str>) {
        let bytes = || self.directories.values().map(|path| path.len()).sum::<usize>();
        match directory {
            Some(path) if self.directories.len() < MAX_DIRECTORIES && bytes() + path.len() <= MAX_DIRECTORY_BYTES => {
                Arc::make_mut(&mut self.directories).insert(fd, path.into());
            }
            _ if self.directories.contains_key(&fd) => {
                Arc::make_mut(&mut self.directories).remove(&fd);
            }
            _ => {}
        }
    }

    /// A descriptor has got a second number. The directory that both are, if they are one.
    pub fn duplicated(&mut self, old: i32, new: i32) -> Option<Arc<str>> {
        let directory = self.directories.get(&old).cloned();
        self.opened(new, directory.as_deref());
        directory
    }

    /// Where a path starts that is relative to `dirfd`; empty when nobody knows.
    pub fn base(&self, dirfd: i32) -> Arc<str> {
        if dirfd == libc::AT_FDCWD {
            return self.process.cwd.clone();
        }
        if let Some(path) = self.directories.get(&dirfd) {
            return path.clone();
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
        process.pname = Some(process.name.clone());
        process.pcmdline = Some(process.cmdline.clone());
        process.ppid = process.pid;
        process.vpid = Some(vpid);
        process.pid = pid;
        Person {
            process: Arc::new(process),
            identity: Some(self.identity().min(Identity::Inherited)),
            start_ticks: None,
            directories: self.directories.clone(),
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
        process.tty = process.tty.or(before.tty);
        if process.pname.is_none() {
            let of_caller = (Some(before.name.clone()), Some(before.cmdline.clone()));
            let told = if own { (before.pname.clone(), before.pcmdline.clone()) } else { of_caller };
            (process.pname, process.pcmdline) = told;
        }
        if process.ns.mnt.is_none() {
            process.ns = before.ns;
        }
        person
    }

    /// A forked process: its program is the one of `before`, as the ring that it wrote to so far knew it.
    pub fn forked_from(&mut self, before: &Person) {
        self.directories.clone_from(&before.directories);
        self.exit_status = before.exit_status;
        let (process, old) = (Arc::make_mut(&mut self.process), &before.process);
        (process.name, process.exepath) = (old.name.clone(), old.exepath.clone());
        if process.cwd.is_empty() {
            process.cwd = old.cwd.clone();
        }
        process.ppid = process.ppid.or(old.ppid);
        process.tty = process.tty.or(old.tty);
        (process.exe, process.args) = (old.exe.clone(), old.args.clone());
        process.cmdline = command_line(&process.name, &process.args);
        (process.pname, process.pcmdline) = (old.pname.clone(), old.pcmdline.clone());
    }

    /// The process behind an open session has become known: what was learnt of it so far stays.
    pub fn learnt_from(&mut self, before: &Person) {
        self.directories.clone_from(&before.directories);
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
            parent.opened(fd, Some(&format!("/{}", "d".repeat(100))));
        }
        let bytes: usize = parent.directories.values().map(|p| p.len()).sum();
        assert!(parent.directories.len() > 20 && bytes <= MAX_DIRECTORY_BYTES, "{bytes}");
        let mut child = parent.child(8, None);
        assert!(Arc::ptr_eq(&parent.directories, &child.directories));
        child.opened(0, None);
        assert!(parent.directories.contains_key(&0) && !child.directories.contains_key(&0));
        for fd in 0..1000 {
            parent.opened(fd + 2000, Some("/d"));
        }
        assert!(parent.directories.len() <= MAX_DIRECTORIES);
    }

    #[test]
    fn a_forked_child_is_inherited_and_knows_its_parent() {
        let mut parent = shell();
        parent.opened(5, Some("/data"));
        let child = parent.child(8, None);
        assert_eq!(child.identity(), Identity::Inherited);
        assert_eq!((child.process.vpid, child.process.pid, child.process.ppid), (Some(8), None, Some(100)));
        assert_eq!(child.process.pname.as_deref(), Some("sh"));
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
            p.opened(fd, Some("/d"));
        }
        assert_eq!((&*p.base(3), &*p.base(900)), ("/d", ""));
        p.opened(3, None);
        assert_eq!(&*p.base(3), "");
    }
}
