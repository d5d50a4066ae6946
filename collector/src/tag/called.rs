//! Calls that are told by their signature, names looked up.

use super::hosts::Hosts;
use super::process::{Descriptor, Person, Socket};
use super::{Tagger, arguments, paths, sockets};
use crate::event::{Identity, Value, text};
use crate::ingest::message::SessionId;
use porthole_common::record::signature::Kind;
use porthole_common::record::{Call, Called, Lookup, Record, Value as Argument};

type Fields = Vec<(&'static str, Value)>;
type Told = (&'static str, i64, Fields);

/// The event of a call, and what its process has become by it. `None` for a call without a signature.
pub(super) fn called(r: &Called, person: &mut Person, hosts: &Hosts) -> Option<Told> {
    let signature = r.signature()?;
    let mut fields: Fields = Vec::with_capacity(16);
    // The descriptor that the paths behind it start from. lchmod is told as the fchmodat that it makes.
    let mut dirfd = (r.call == Call::Lchmod).then_some(libc::AT_FDCWD);
    if dirfd.is_some() {
        fields.push(("evt.arg.dirfd", "AT_FDCWD".into()));
    }
    let (mut fd, mut address) = (None, &[][..]);
    for ((name, kind), argument) in signature.arguments.iter().zip(r.arguments) {
        let Some(field) = arguments::field(name) else { continue };
        let value = match argument {
            Argument::Skipped => continue,
            Argument::Number(n) => {
                let n = arguments::declared(r.call, name, n);
                match *name {
                    "dirfd" | "olddirfd" | "newdirfd" | "linkdirfd" => dirfd = i32::try_from(n).ok(),
                    "fd" => fd = Some(n),
                    _ => {}
                }
                arguments::number(r.call, name, n)
            }
            Argument::Bytes(bytes) => match (kind, dirfd) {
                (Kind::Address | Kind::Peer | Kind::Message, _) => {
                    address = bytes;
                    super::address::parse(bytes).text().into()
                }
                (Kind::Path, Some(dirfd)) if !bytes.is_empty() => absolute(person, dirfd, &text(bytes)).into(),
                _ => text(bytes).into(),
            },
        };
        fields.push((field, value));
    }
    match made(r) {
        Some((kind, letter)) => {
            fields.push(("fd.num", r.res.max(-1).into()));
            fields.push(("fd.type", kind.into()));
            fields.push(("fd.typechar", letter.into()));
        }
        None if duplicates(r.call) => duplicated(&mut fields, r, person),
        None => {
            let accepts = matches!(r.call, Call::Accept | Call::Accept4);
            let fd = if accepts { Some(r.res.max(-1)) } else { fd };
            if let Some(fd) = fd
                && !sockets::of_call(&mut fields, r, address, fd, (&*person, hosts))
            {
                fields.push(("fd.num", fd.into()));
            }
        }
    }
    if let (Call::MemfdCreate, Some(Argument::Bytes(name))) = (r.call, r.argument("name")) {
        fields.push(("fd.name", text(name).into()));
    }
    if let (Ok(fd), true) = (i32::try_from(r.res), r.res >= 0 && gives_descriptor(r)) {
        person.opened(fd, given(r, address));
    }
    Some((signature.event, r.res, fields))
}

fn absolute(person: &Person, dirfd: i32, path: &str) -> String {
    if path.starts_with('/') { paths::resolve("/", path) } else { paths::resolve(&person.base(dirfd), path) }
}

/// `fd.type` and its letter of the descriptor that a call makes.
fn made(r: &Called) -> Option<(&'static str, &'static str)> {
    Some(match (r.call, r.argument("domain")) {
        (Call::Socket, Some(Argument::Number(domain))) => sockets::family(domain),
        (Call::MemfdCreate, _) => ("memfd", "m"),
        (Call::PidfdOpen, _) => ("pidfd", "P"),
        (Call::Userfaultfd, _) => ("userfaultfd", "u"),
        (Call::IoUringSetup, _) => ("io_uring", "r"),
        (Call::OpenByHandleAt, _) => ("file", "f"),
        _ => return None,
    })
}

fn gives_descriptor(r: &Called) -> bool {
    made(r).is_some() || matches!(r.call, Call::Accept | Call::Accept4)
}

fn duplicates(call: Call) -> bool {
    matches!(call, Call::Dup | Call::Dup2 | Call::Dup3 | Call::Fcntl)
}

/// A descriptor has a second number: what is known of the first holds for it too.
fn duplicated(fields: &mut Fields, r: &Called, person: &mut Person) {
    fields.push(("fd.num", r.res.max(-1).into()));
    let old = r.argument(if r.call == Call::Fcntl { "fd" } else { "oldfd" });
    if let (Some(Argument::Number(old)), Ok(new)) = (old, i32::try_from(r.res))
        && new >= 0
        && let Some(what) = person.duplicated(old as i32, new)
    {
        let (kind, letter) = match &what {
            Descriptor::Directory(_) => ("directory", "d"),
            Descriptor::Memory(_) => ("memfd", "m"),
            Descriptor::Socket(socket) => socket.kind,
        };
        fields.push(("fd.type", kind.into()));
        fields.push(("fd.typechar", letter.into()));
        match what {
            Descriptor::Directory(name) | Descriptor::Memory(name) => fields.push(("fd.name", name.into())),
            Descriptor::Socket(socket) => sockets::protocol(fields, Some(socket)),
        }
    }
}

/// What is to be remembered of the descriptor that a call has made.
fn given(r: &Called, address: &[u8]) -> Option<Descriptor> {
    match (r.call, r.argument("domain"), r.argument("type")) {
        (Call::Socket, Some(Argument::Number(domain)), Some(Argument::Number(kind))) => {
            Some(Descriptor::Socket(sockets::made(domain, kind)))
        }
        // only connections are accepted
        (Call::Accept | Call::Accept4, ..) => {
            let kind = super::address::parse(address).kind();
            let protocol = matches!(kind.1, "4" | "6").then_some("tcp");
            Some(Descriptor::Socket(Socket { kind, protocol }))
        }
        (Call::MemfdCreate, ..) => match r.argument("name") {
            Some(Argument::Bytes(name)) => Some(Descriptor::Memory(text(name).into())),
            _ => None,
        },
        _ => None,
    }
}

/// The event of a lookup, with its result: its errors are numbers of their own.
pub(super) fn lookup(r: &Lookup) -> (&'static str, Fields) {
    let event = if r.call == Call::Getaddrinfo { "getaddrinfo" } else { "gethostbyname" };
    let addresses: Vec<String> = r.ips().map(|ip| ip.to_string()).collect();
    let res = if event == "getaddrinfo" { lookup_error(r.res) } else { host_error(r.res) };
    let fields = vec![
        ("evt.res", res.into()),
        ("evt.rawres", i64::from(r.res).into()),
        ("evt.arg.name", text(r.name).into()),
        ("evt.arg.addresses", addresses.join(" ").into()),
    ];
    (event, fields)
}

/// Results of getaddrinfo, the same in glibc and musl.
fn lookup_error(res: i32) -> &'static str {
    match res {
        0 => "SUCCESS",
        -1 => "EAI_BADFLAGS",
        -2 => "EAI_NONAME",
        -3 => "EAI_AGAIN",
        -4 => "EAI_FAIL",
        -5 => "EAI_NODATA",
        -6 => "EAI_FAMILY",
        -7 => "EAI_SOCKTYPE",
        -8 => "EAI_SERVICE",
        -10 => "EAI_MEMORY",
        -11 => "EAI_SYSTEM",
        -12 => "EAI_OVERFLOW",
        _ => "EUNKNOWN",
    }
}

/// Results of gethostbyname: `h_errno`, or an errno of the functions that end in `_r`.
fn host_error(res: i32) -> &'static str {
    match res {
        0 => "SUCCESS",
        1 => "HOST_NOT_FOUND",
        n => super::errno::result(-i64::from(n).abs()),
    }
}

impl Tagger {
    /// Keeps what a lookup has found, for the connects to come.
    pub(super) fn learn(&mut self, id: SessionId, r: &Lookup) {
        let Some(t) = self.sessions.get(&id) else { return };
        if let Some(followed) = self.containers.get_mut(&t.container.key) {
            followed.hosts.learn(&text(r.name), r.ips());
        }
    }
}

/// Whether a call that succeeded may have changed what the kernel says of its process.
pub(super) fn changes_process(r: &Called) -> bool {
    use Call::{SetName, Seteuid, Setresuid, Setreuid, Setuid};
    r.res == 0 && matches!(r.call, SetName | Setuid | Setreuid | Setresuid | Seteuid)
}

/// Whether children that the process forks from now on are in another pid namespace than itself.
pub(super) fn moves_children(record: &Record) -> bool {
    let Record::Called(r) = record else { return false };
    let what = match r.call {
        Call::Unshare => r.argument("flags"),
        Call::Setns => r.argument("nstype"),
        _ => return false,
    };
    // setns without a type takes what the descriptor is
    let pids = |n| n & i64::from(libc::CLONE_NEWPID) != 0 || r.call == Call::Setns && n == 0;
    r.res == 0 && matches!(what, Some(Argument::Number(n)) if pids(n))
}

/// Lets the process follow such a call, where the kernel confirms it: a thread may have given a name to itself only.
pub(super) fn follow(r: &Called, person: &mut Person) -> bool {
    let Some(pid) = person.process.pid.filter(|_| person.identity() == Identity::Verified) else { return false };
    if r.call != Call::SetName {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
        return effective_user(&status).is_some_and(|uid| person.now_user(uid));
    }
    let Some(Argument::Bytes(name)) = r.argument("name") else { return false };
    let name = name.get(..15).unwrap_or(name);
    match std::fs::read(format!("/proc/{pid}/comm")) {
        Ok(comm) if comm.strip_suffix(b"\n") == Some(name) => person.now_named(&text(name)),
        _ => false,
    }
}

fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Process;
    use porthole_common::record::ARGUMENTS;

    fn person() -> Person {
        Person::new(Process { cwd: "/work/".into(), ..Default::default() }, Identity::Claimed)
    }

    fn tell(call: Call, res: i64, given: &[Argument], person: &mut Person) -> Fields {
        let mut arguments = [Argument::Skipped; ARGUMENTS];
        arguments[..given.len()].copy_from_slice(given);
        let (event, rawres, fields) = called(&Called { call, res, arguments }, person, &Hosts::default()).unwrap();
        assert_eq!((event, rawres), (call.signature().unwrap().event, res));
        fields
    }

    fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
        fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    #[test]
    fn paths_are_absolute_where_the_call_names_a_directory() {
        use Argument::{Bytes, Number};
        let mut p = person();
        p.opened(5, Some(Descriptor::Directory("/etc".into())));
        let plain = tell(Call::Rename, 0, &[Bytes(b"a"), Bytes(b"../b")], &mut p);
        assert_eq!(get(&plain, "evt.arg.oldpath"), Some(&"a".into()));
        assert_eq!(get(&plain, "evt.arg.newpath"), Some(&"../b".into()));
        let at = tell(Call::Renameat, -2, &[Number(-100), Bytes(b"a"), Number(5), Bytes(b"../b")], &mut p);
        assert_eq!(get(&at, "evt.arg.olddirfd"), Some(&"AT_FDCWD".into()));
        assert_eq!(get(&at, "evt.arg.oldpath"), Some(&"/work/a".into()));
        assert_eq!(get(&at, "evt.arg.newdirfd"), Some(&5.into()));
        assert_eq!(get(&at, "evt.arg.newpath"), Some(&"/b".into()));
        let link = tell(Call::Symlinkat, 0, &[Bytes(b"../t"), Number(5), Bytes(b"l")], &mut p);
        assert_eq!(get(&link, "evt.arg.target"), Some(&"../t".into()));
        assert_eq!(get(&link, "evt.arg.linkpath"), Some(&"/etc/l".into()));
        let mode = tell(Call::Lchmod, 0, &[Bytes(b"x"), Number(0o2000)], &mut p);
        assert_eq!(get(&mode, "evt.arg.filename"), Some(&"/work/x".into()));
        assert_eq!(get(&mode, "evt.arg.mode"), Some(&"S_ISGID".into()));
    }

    #[test]
    fn descriptors_are_followed() {
        use Argument::Number;
        let mut p = person();
        p.opened(5, Some(Descriptor::Directory("/etc".into())));
        let dup = tell(Call::Dup2, 9, &[Number(5), Number(9)], &mut p);
        assert_eq!((get(&dup, "fd.num"), get(&dup, "fd.name")), (Some(&9.into()), Some(&"/etc".into())));
        assert_eq!(&*p.base(9), "/etc");
        let socket = tell(Call::Socket, 9, &[Number(10), Number(1), Number(0)], &mut p);
        assert_eq!((get(&socket, "fd.num"), get(&socket, "fd.type")), (Some(&9.into()), Some(&"ipv6".into())));
        assert_eq!(&*p.base(9), "");
        let wide = tell(Call::Ftruncate, -9, &[Number(0xffff_ffff), Number(1 << 40)], &mut p);
        assert_eq!((get(&wide, "fd.num"), get(&wide, "evt.arg.length")), (Some(&(-1).into()), Some(&(1 << 40).into())));
        let failed = tell(Call::Dup, -9, &[Number(77)], &mut p);
        assert_eq!(get(&failed, "fd.num"), Some(&(-1).into()));
    }

    #[test]
    fn every_call_with_a_signature_has_an_event() {
        for call in Call::ALL.iter().filter(|c| c.signature().is_some()) {
            let kinds = call.signature().unwrap().arguments;
            let given: Vec<Argument> = kinds
                .iter()
                .map(|(_, kind)| match kind {
                    Kind::Skip => Argument::Skipped,
                    Kind::Number => Argument::Number(1),
                    _ => Argument::Bytes(b"x"),
                })
                .collect();
            let fields = tell(*call, 0, &given, &mut person());
            for (name, _) in kinds.iter().filter(|(_, kind)| *kind != Kind::Skip) {
                assert!(get(&fields, &format!("evt.arg.{name}")).is_some(), "{call:?} {name}");
            }
        }
    }

    #[test]
    fn lookups_have_errors_of_their_own() {
        let (event, fields) =
            lookup(&Lookup { call: Call::Getaddrinfo, res: -2, name: b"no.such", addresses: &[4, 127, 0, 0, 1] });
        assert_eq!((event, get(&fields, "evt.res")), ("getaddrinfo", Some(&"EAI_NONAME".into())));
        assert_eq!(get(&fields, "evt.arg.addresses"), Some(&"127.0.0.1".into()));
    }

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_user("Name:\tx\nUid:\t0\t33\t0\t33\n"), Some(33));
    }
}
