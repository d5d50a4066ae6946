//! What the kernel says of a process, read from /proc right after its hello.

use crate::container::Container;
use crate::event::{Namespaces, Process, text};
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use porthole_common::limits;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Kernel's view of a process on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub pid: u32,
    pub stat: Stat,
    pub ns: Namespaces,
    pub exe: String,
    pub cwd: String,
    /// Pids in each namespace, from the host's to the process's own.
    pub ns_pids: Vec<u32>,
    /// Arguments as the process has them, where they were asked for.
    pub argv: Vec<String>,
    /// User id in the process's own user namespace (for names).
    pub inner_uid: u32,
    /// Permitted capabilities.
    pub cap_permitted: Option<u64>,
    /// Who has logged in, asked for where a process comes from outside.
    pub loginuid: Option<u32>,
}

/// The fields of /proc/PID/stat that are used.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stat {
    pub comm: String,
    pub state: u8,
    pub ppid: u32,
    pub tty: u32,
    pub start_ticks: u64,
    /// Wait status; 0 while it runs.
    pub exit_code: i32,
}

/// A file of /proc is short; what is longer is none of those read here.
const PROC_FILE: u64 = 64 * 1024;

/// The directory of a process in /proc. Whatever is read there is of this process: nothing is there any more once it
/// has been reaped, whoever has its number then. (One way for all files is also shorter than one for each.)
struct Directory(OwnedFd);

impl Directory {
    fn of(pid: u32) -> Option<Directory> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(format!("/proc/{pid}").as_str(), flags, Mode::empty()).ok().map(Directory)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        beginning(File::from(file))
    }

    fn link(&self, name: &str) -> Option<OsString> {
        readlinkat(&self.0, name).ok()
    }

    /// Program that it executes, also where its file is gone.
    fn exe(&self) -> String {
        let exe = self.link("exe").map(|t| text(t.as_bytes())).unwrap_or_default();
        exe.strip_suffix(" (deleted)").map_or_else(|| exe.clone(), str::to_owned)
    }

    fn stat(&self) -> Option<Stat> {
        parse_stat(&self.read("stat")?)
    }
}

/// A process, a zombie included, as it was when it was looked at first.
pub(crate) struct Seen {
    directory: Directory,
    pub stat: Stat,
}

/// Looks at a process; `None` when it has been reaped.
pub(crate) fn look(pid: u32) -> Option<Seen> {
    let directory = Directory::of(pid)?;
    Some(Seen { stat: directory.stat()?, directory })
}

/// The beginning of a file of /proc.
pub(crate) fn read(path: &str) -> Option<Vec<u8>> {
    beginning(File::open(path).ok()?)
}

fn beginning(file: File) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    file.take(PROC_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// /proc/PID/stat of a process, a zombie included.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    Directory::of(pid)?.stat()
}

fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    // The name may hold anything, parentheses and blanks included: it ends at the last one.
    let open = bytes.iter().position(|b| *b == b'(')?;
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let comm = text(bytes.get(open + 1..close)?);
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<i64>().ok());
    Some(Stat {
        comm,
        state: *fields.first()?.as_bytes().first()?,
        ppid: number(4)? as u32,
        tty: number(7)? as u32,
        start_ticks: number(22)? as u64,
        exit_code: number(52).unwrap_or(0) as i32,
    })
}

/// What is asked of a process beside what is always asked: each costs some microseconds.
pub(crate) struct Wanted {
    /// Its working directory: the hello had no room for it.
    pub cwd: bool,
    /// All its arguments: the hello has only some of them, or none.
    pub arguments: bool,
    /// Who has logged in: it comes from outside the container.
    pub login: bool,
    /// User namespace in which numbers are the host's.
    pub host_users: Option<u64>,
}

/// Everything of a process that has just been seen. Complete only while it lives: a zombie has no namespaces.
pub(crate) fn read_all(pid: u32, seen: &Seen, host_uid: u32, wanted: &Wanted) -> Facts {
    let of = &seen.directory;
    let status = of.read("status").unwrap_or_default();
    let ns = namespaces_of(of);
    let of_host = ns.user.is_some() && ns.user == wanted.host_users;
    let uid_map = || of.read("uid_map").unwrap_or_default();
    let cwd = || of.link("cwd").map(|t| text(t.as_bytes())).unwrap_or_default();
    Facts {
        pid,
        ns,
        exe: of.exe(),
        cwd: if wanted.cwd { cwd() } else { String::new() },
        ns_pids: ns_pids(&status),
        cap_permitted: cap_permitted(&status),
        loginuid: if wanted.login { loginuid(of) } else { None },
        inner_uid: if of_host { host_uid } else { inner_uid(&uid_map(), host_uid) },
        argv: if wanted.arguments { arguments_of(of) } else { vec![] },
        stat: seen.stat.clone(),
    }
}

/// Whether the control groups of a process say that it belongs to another container than the one it announced itself in.
pub(crate) fn is_of_another(seen: &Seen, container: &Container) -> bool {
    let id = &container.registration.id;
    if container.is_host() || id.len() != 64 {
        return false;
    }
    let groups = seen.directory.read("cgroup").unwrap_or_default();
    !porthole_identity::cgroup::may_belong(&String::from_utf8_lossy(&groups), id)
}

/// Arguments of a process, as many as an exec record would hold.
pub(crate) fn arguments(pid: u32) -> Vec<String> {
    Directory::of(pid).map(|of| arguments_of(&of)).unwrap_or_default()
}

fn arguments_of(of: &Directory) -> Vec<String> {
    let mut bytes = of.read("cmdline").unwrap_or_default();
    bytes.truncate(limits::ARGV);
    let whole = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if whole.is_empty() { vec![] } else { whole.split(|b| *b == 0).map(text).collect() }
}

/// Namespace inode numbers, as far as the process still has namespaces.
pub(crate) fn namespaces(pid: u32) -> Namespaces {
    Directory::of(pid).map(|of| namespaces_of(&of)).unwrap_or_default()
}

fn namespaces_of(of: &Directory) -> Namespaces {
    let inode = |name: &str| namespace_inode(of.link(name)?.to_str()?);
    Namespaces {
        mnt: inode("ns/mnt"),
        pid: inode("ns/pid"),
        net: inode("ns/net"),
        ipc: inode("ns/ipc"),
        uts: inode("ns/uts"),
        user: inode("ns/user"),
        cgroup: inode("ns/cgroup"),
        time: inode("ns/time"),
    }
}

/// Inode number of its pid namespace.
pub(crate) fn pid_namespace(pid: u32) -> Option<u64> {
    namespace_inode(Directory::of(pid)?.link("ns/pid")?.to_str()?)
}

/// Its number in its own pid namespace.
pub(crate) fn inner_pid(pid: u32) -> Option<u32> {
    ns_pids(&Directory::of(pid)?.read("status")?).last().copied()
}

/// The number in `mnt:[4026531841]`.
fn namespace_inode(link: &str) -> Option<u64> {
    link.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

fn ns_pids(status: &[u8]) -> Vec<u32> {
    let status = String::from_utf8_lossy(status);
    let line = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or("");
    line.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect()
}

fn cap_permitted(status: &[u8]) -> Option<u64> {
    let status = String::from_utf8_lossy(status);
    let digits = status.lines().find_map(|l| l.strip_prefix("CapPrm:"))?.trim();
    u64::from_str_radix(digits, 16).ok()
}

/// Who has logged in: the same for all that descend from a process, unless a login changes it.
fn loginuid(of: &Directory) -> Option<u32> {
    String::from_utf8_lossy(&of.read("loginuid")?).trim().parse().ok()
}

/// A host uid as the user namespace with this `uid_map` names it.
fn inner_uid(map: &[u8], host_uid: u32) -> u32 {
    let map = String::from_utf8_lossy(map);
    let inner = map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().filter_map(|n| n.parse::<u32>().ok());
        let (inside, outside, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let offset = host_uid.checked_sub(outside).filter(|o| *o < count)?;
        inside.checked_add(offset)
    });
    inner.unwrap_or(host_uid)
}

/// Its user, who has this number on the host, by the number in its own user namespace.
pub(crate) fn inner_uid_of(pid: u32, host_uid: u32) -> u32 {
    inner_uid(&read(&format!("/proc/{pid}/uid_map")).unwrap_or_default(), host_uid)
}

/// Ancestors of a container's process that are looked at: a runtime, its engine's shim, the shim's parent.
const OUTSIDERS: usize = 4;

/// A process outside the containers (a runtime, `porthole run`'s shell), with its ancestors.
pub(crate) fn outsider(pid: u32) -> Option<Arc<Process>> {
    outsiders(pid, OUTSIDERS)
}

fn outsiders(pid: u32, generations: usize) -> Option<Arc<Process>> {
    let Seen { directory, stat } = look(pid).filter(|_| generations > 0 && pid != 0)?;
    let argv = arguments_of(&directory);
    let args = crate::redact::arguments(argv.get(1..).unwrap_or_default());
    Some(Arc::new(Process {
        pid: Some(pid),
        ppid: Some(stat.ppid),
        exe: argv.first().map_or("", String::as_str).into(),
        exepath: directory.exe().into(),
        cmdline: if args.is_empty() { stat.comm.as_str().into() } else { format!("{} {args}", stat.comm).into() },
        args: args.into(),
        name: stat.comm.into(),
        tty: Some(stat.tty),
        parent: outsiders(stat.ppid, generations - 1),
        ..Process::default()
    }))
}

/// What `fuzz/` asks of any file of /proc: a process names itself as it likes.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = (parse_stat(bytes), ns_pids(bytes), inner_uid(bytes, 1000), cap_permitted(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_name_cannot_forge_the_stat_line() {
        let line = b"42 (a) S 1 (b) R 7 42 42 34816 42 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2";
        let s = parse_stat(line).unwrap();
        assert_eq!((s.comm.as_str(), s.ppid, s.tty, s.start_ticks), ("a) S 1 (b", 7, 34816, 12345));
        assert_eq!(s.state, b'R');
        assert!(parse_stat(b"").is_none() && parse_stat(b"1 )(").is_none() && parse_stat(b"1 (x) R").is_none());
    }

    #[test]
    fn uid_maps_are_followed_inwards() {
        assert_eq!(inner_uid(b"         0     100000      65536\n", 100_033), 33);
        assert_eq!(inner_uid(b"0 0 4294967295\n", 1000), 1000);
        assert_eq!(inner_uid(b"0 100000 10\n", 5), 5);
    }

    #[test]
    fn this_process_is_described() {
        let pid = std::process::id();
        let wanted = |users| Wanted { cwd: true, arguments: true, login: true, host_users: users };
        let seen = look(pid).unwrap();
        let f = read_all(pid, &seen, 7, &wanted(None));
        assert!(f.ns.mnt.is_some() && f.ns.time.is_some());
        assert_eq!(f.ns_pids.first(), Some(&pid));
        assert!(Path::new(&f.exe).exists() && Path::new(&f.cwd).exists() && !f.argv.is_empty());
        assert_eq!(read_all(pid, &seen, 7, &wanted(f.ns.user)).inner_uid, 7);
    }

    #[test]
    fn of_a_process_that_was_reaped_nothing_is_read() {
        let mut child = std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let seen = look(child.id()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(look(child.id()).is_none() && seen.directory.stat().is_none());
        let wanted = Wanted { cwd: true, arguments: true, login: true, host_users: None };
        let f = read_all(child.id(), &seen, 7, &wanted);
        assert!(f.ns == Namespaces::default() && f.exe.is_empty() && f.ns_pids.is_empty());
    }
}
