//! Descriptions of processes: from what the kernel says where it says something, else from claims.

use super::paths;
use crate::event::{Identity, Process};
use crate::ingest::message::Session;
use std::collections::HashMap;
use std::sync::Arc;

/// Directories that a process keeps open and that later paths may start from.
const MAX_DIRECTORIES: usize = 256;

/// A process as the tag stage follows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub process: Arc<Process>,
    pub identity: Option<Identity>,
    /// Start time in clock ticks, where verified.
    pub start_ticks: Option<u64>,
    /// Paths of descriptors that are directories.
    directories: HashMap<i32, Arc<str>>,
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
        match directory {
            Some(path) if self.directories.len() < MAX_DIRECTORIES => {
                self.directories.insert(fd, path.into());
            }
            _ => {
                self.directories.remove(&fd);
            }
        }
    }

    /// Where a path starts that is relative to `dirfd`; empty when nobody knows.
    pub fn base(&self, dirfd: i32) -> String {
        if dirfd == libc::AT_FDCWD {
            return self.process.cwd.to_string();
        }
        if let Some(path) = self.directories.get(&dirfd) {
            return path.to_string();
        }
        // Opened before us, or received from elsewhere: the kernel may still know. (A descriptor that has been
        // closed and used again since gives the newer path; so it is for every observer from outside.)
        let Some(pid) = self.process.pid.filter(|_| dirfd >= 0 && self.identity() == Identity::Verified) else {
            return String::new();
        };
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{dirfd}")).ok();
        target.and_then(|t| t.into_os_string().into_string().ok()).filter(|t| t.starts_with('/')).unwrap_or_default()
    }

    /// The working directory is `cwd` from now on.
    pub fn moved_to(&mut self, cwd: &str) {
        Arc::make_mut(&mut self.process).cwd = paths::with_slash(cwd).into();
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

    /// What a fork hands down.
    pub fn inherit(&mut self, parent: &Person) {
        self.directories.clone_from(&parent.directories);
    }
}

/// The process of a new session. Parent and namespaces are the caller's to add.
pub(crate) fn of_session(session: &Session) -> Person {
    let (hello, facts) = (&session.hello, session.facts.as_ref());
    let of_kernel = |text: Option<&str>, claim: &str| match text {
        Some(t) if !t.is_empty() => t.to_owned(),
        _ => claim.to_owned(),
    };
    let cwd = of_kernel(facts.map(|f| f.cwd.as_str()), &hello.cwd);
    let claimed_exe = paths::resolve(&cwd, &hello.execfn);
    let mut process = Process {
        pid: session.pid,
        vpid: Some(hello.pid).filter(|p| *p != 0),
        ppid: facts.map(|f| f.stat.ppid),
        name: of_kernel(facts.map(|f| f.stat.comm.as_str()), paths::comm(&hello.execfn)).into(),
        exepath: of_kernel(facts.map(|f| f.exe.as_str()), &claimed_exe).into(),
        cwd: paths::with_slash(&cwd).into(),
        tty: facts.map(|f| f.stat.tty),
        uid: Some(session.ring.uid),
        user: session.user.clone(),
        ns: facts.map(|f| f.ns).unwrap_or_default(),
        ..Default::default()
    };
    set_arguments(&mut process, &hello.argv);
    let start_ticks = facts.map(|f| f.stat.start_ticks);
    Person { start_ticks, ..Person::new(process, session.identity) }
}

fn set_arguments(process: &mut Process, argv: &[String]) {
    process.exe = argv.first().map_or("", String::as_str).into();
    let args = argv.get(1..).unwrap_or_default().join(" ");
    let line = if args.is_empty() { process.name.to_string() } else { format!("{} {args}", process.name) };
    process.cmdline = line.into();
    process.args = args.into();
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
    fn a_forked_child_is_inherited_and_knows_its_parent() {
        let mut parent = shell();
        parent.opened(5, Some("/data"));
        let child = parent.child(8, None);
        assert_eq!(child.identity(), Identity::Inherited);
        assert_eq!((child.process.vpid, child.process.pid, child.process.ppid), (Some(8), None, Some(100)));
        assert_eq!(child.process.pname.as_deref(), Some("sh"));
        assert_eq!(child.base(5), "/data");
        assert_eq!(child.base(libc::AT_FDCWD), "/w/");
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
    fn directories_are_bounded_and_forgotten_when_reused() {
        let mut p = shell();
        p.identity = Some(Identity::Claimed);
        for fd in 0..1000 {
            p.opened(fd, Some("/d"));
        }
        assert_eq!((p.base(3).as_str(), p.base(900).as_str()), ("/d", ""));
        p.opened(3, None);
        assert_eq!(p.base(3), "");
    }
}
