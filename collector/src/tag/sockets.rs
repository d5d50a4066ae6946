//! What events say of a socket's ends.

use super::address::{self, Address};
use super::hosts::Hosts;
use super::process::{Descriptor, Person, Socket};
use crate::event::Value;
use porthole_common::record::{Call, Called, Connect};
use std::net::IpAddr;

type Fields = Vec<(&'static str, Value)>;

/// Which end the other side of a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// It was called by us.
    Server,
    /// It has called us.
    Client,
    /// Nobody knows: a datagram that came may be a question or an answer.
    Unknown,
}

pub(super) fn connected(res: i32) -> bool {
    res == 0 || res == -libc::EINPROGRESS
}

/// The fields of a connect.
pub(super) fn connect(r: &Connect, person: &Person, hosts: &Hosts) -> Fields {
    let remote = address::parse(r.addr);
    let mut fields: Fields = vec![("evt.arg.fd", i64::from(r.fd).into()), ("evt.arg.addr", remote.text().into())];
    fields.push(("fd.num", i64::from(r.fd).into()));
    kind(&mut fields, &remote);
    if connected(r.res) {
        ends(&mut fields, &address::parse(r.local), &remote, Peer::Server, hosts);
        protocol(&mut fields, socket(person, r.fd.into()));
        fields.push(("fd.connected", Value::Flag(r.res == 0)));
        fields.push(("fd.is_server", Value::Flag(false)));
    }
    fields
}

/// Adds to a call that has an address what follows from it; `false` if the call is none of a socket with an address.
pub(super) fn of_call(
    fields: &mut Fields,
    r: &Called,
    raw: &[u8],
    fd: i64,
    (person, hosts): (&Person, &Hosts),
) -> bool {
    let peer = match r.call {
        Call::Bind => None,
        Call::Accept | Call::Accept4 => Some(Peer::Client),
        Call::Sendto | Call::Sendmsg | Call::Sendmmsg => Some(Peer::Server),
        Call::Recvfrom | Call::Recvmsg | Call::Recvmmsg => Some(Peer::Unknown),
        _ => return false,
    };
    let address = address::parse(raw);
    fields.push(("fd.num", fd.into()));
    if address == Address::None {
        return true;
    }
    kind(fields, &address);
    match peer {
        _ if r.res < 0 => {}
        Some(peer) => {
            ends(fields, &Address::None, &address, peer, hosts);
            let accepted = peer == Peer::Client;
            let tcp = Socket { kind: address.kind(), protocol: matches!(address, Address::Ip(..)).then_some("tcp") };
            protocol(fields, if accepted { Some(tcp) } else { socket(person, fd) });
            fields.push(("fd.connected", Value::Flag(accepted)));
            fields.push(("fd.is_server", Value::Flag(accepted)));
        }
        None => {
            bound(fields, &address);
            protocol(fields, socket(person, fd));
        }
    }
    true
}

fn kind(fields: &mut Fields, address: &Address) {
    let (kind, letter) = address.kind();
    fields.push(("fd.type", kind.into()));
    fields.push(("fd.typechar", letter.into()));
}

/// `fd.type` and its letter of a new socket of this family.
pub(super) fn family(domain: i64) -> (&'static str, &'static str) {
    match domain as i32 {
        libc::AF_INET => ("ipv4", "4"),
        libc::AF_INET6 => ("ipv6", "6"),
        libc::AF_UNIX => ("unix", "u"),
        libc::AF_NETLINK => ("netlink", "n"),
        _ => ("other", "o"),
    }
}

/// What is to be remembered of a new socket of this family and type.
pub(super) fn made(domain: i64, kind: i64) -> Socket {
    let ip = matches!(domain as i32, libc::AF_INET | libc::AF_INET6);
    // the type's number shares its argument with flags
    let protocol = match kind as i32 & 0xf {
        libc::SOCK_STREAM if ip => Some("tcp"),
        libc::SOCK_DGRAM if ip => Some("udp"),
        libc::SOCK_RAW => Some("raw"),
        _ => None,
    };
    Socket { kind: family(domain), protocol }
}

fn socket(person: &Person, fd: i64) -> Option<Socket> {
    match person.descriptor(i32::try_from(fd).ok()?)? {
        Descriptor::Socket(socket) => Some(*socket),
        _ => None,
    }
}

/// Adds the protocol of a socket, where it is known.
pub(super) fn protocol(fields: &mut Fields, socket: Option<Socket>) {
    fields.extend(socket.and_then(|s| s.protocol).map(|p| ("fd.l4proto", p.into())));
}

/// A socket that only has an end of its own: it waits for whoever comes.
fn bound(fields: &mut Fields, address: &Address) {
    match address {
        Address::Ip(ip, port) => {
            fields.push(("fd.name", address.text().into()));
            fields.push(("fd.sockfamily", "ip".into()));
            end(fields, ["fd.lip", "fd.lport", ""], *ip, *port, None);
            end(fields, ["fd.sip", "fd.sport", ""], *ip, *port, None);
        }
        Address::Unix(path) => unix(fields, path),
        Address::Other(_) | Address::None => {}
    }
}

fn ends(fields: &mut Fields, local: &Address, remote: &Address, peer: Peer, hosts: &Hosts) {
    let (ip, port) = match remote {
        Address::Ip(ip, port) => (*ip, *port),
        Address::Unix(path) => return unix(fields, path),
        Address::Other(_) | Address::None => return,
    };
    let (from, to) = if peer == Peer::Server { (local, remote) } else { (remote, local) };
    fields.push(("fd.name", format!("{}->{}", from.text(), to.text()).into()));
    fields.push(("fd.sockfamily", "ip".into()));
    fields.push(("fd.name_changed", Value::Flag(true)));
    let name = hosts.name(ip);
    end(fields, ["fd.rip", "fd.rport", "fd.rip.name"], ip, port, name);
    match peer {
        Peer::Server => end(fields, ["fd.sip", "fd.sport", "fd.sip.name"], ip, port, name),
        Peer::Client => end(fields, ["fd.cip", "fd.cport", "fd.cip.name"], ip, port, name),
        Peer::Unknown => {}
    }
    if let Address::Ip(ip, port) = local {
        end(fields, ["fd.lip", "fd.lport", ""], *ip, *port, None);
        let other = if peer == Peer::Server { ["fd.cip", "fd.cport", ""] } else { ["fd.sip", "fd.sport", ""] };
        end(fields, other, *ip, *port, None);
    }
}

fn unix(fields: &mut Fields, path: &str) {
    fields.push(("fd.name", path.to_owned().into()));
    fields.push(("fd.sockfamily", "unix".into()));
}

fn end(fields: &mut Fields, names: [&'static str; 3], ip: IpAddr, port: u16, name: Option<&str>) {
    fields.push((names[0], ip.to_string().into()));
    fields.push((names[1], i64::from(port).into()));
    if let Some(name) = name {
        fields.push((names[2], name.to_owned().into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_common::record::{ARGUMENTS, Value as Argument};

    fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
        fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    fn raw(last: u8, port: u8) -> Vec<u8> {
        [&(libc::AF_INET as u16).to_ne_bytes()[..], &[0, port, 10, 0, 0, last]].concat()
    }

    #[test]
    fn an_address_shows_only_after_a_connection() {
        let addr = raw(1, 80);
        let made =
            |res| connect(&Connect { res, fd: 3, addr: &addr, local: &[] }, &Person::default(), &Hosts::default());
        for res in [0, -libc::EINPROGRESS] {
            assert_eq!(get(&made(res), "fd.name"), Some(&"->10.0.0.1:80".into()));
            assert_eq!(get(&made(res), "fd.rport"), Some(&80.into()));
        }
        let refused = made(-libc::ECONNREFUSED);
        assert_eq!((get(&refused, "fd.name"), get(&refused, "fd.rip")), (None, None));
        assert_eq!(get(&refused, "evt.arg.addr"), Some(&"10.0.0.1:80".into()));
    }

    #[test]
    fn both_ends_and_the_name_that_was_looked_up() {
        let (addr, local) = (raw(1, 80), raw(2, 99));
        let mut hosts = Hosts::default();
        hosts.learn("web.example", [IpAddr::from([10, 0, 0, 1])].into_iter());
        let fields = connect(&Connect { res: 0, fd: 3, addr: &addr, local: &local }, &Person::default(), &hosts);
        for (name, value) in [
            ("fd.name", "10.0.0.2:99->10.0.0.1:80"),
            ("fd.sip", "10.0.0.1"),
            ("fd.sip.name", "web.example"),
            ("fd.rip.name", "web.example"),
            ("fd.cip", "10.0.0.2"),
            ("fd.lip", "10.0.0.2"),
        ] {
            assert_eq!(get(&fields, name), Some(&value.into()), "{name}");
        }
        assert_eq!((get(&fields, "fd.cport"), get(&fields, "fd.lport")), (Some(&99.into()), Some(&99.into())));
    }

    #[test]
    fn who_is_the_server_follows_from_the_call() {
        let addr = raw(1, 80);
        let of = |call, res| {
            let mut fields = vec![];
            let r = Called { call, res, arguments: [Argument::Skipped; ARGUMENTS] };
            assert!(of_call(&mut fields, &r, &addr, 3, (&Person::default(), &Hosts::default())));
            ["fd.name", "fd.rip", "fd.sip", "fd.cip", "fd.lip"].map(|name| match get(&fields, name) {
                Some(Value::Text(t)) => t.to_string(),
                _ => String::new(),
            })
        };
        let ip = "10.0.0.1";
        assert_eq!(of(Call::Bind, 0), ["10.0.0.1:80", "", ip, "", ip]);
        assert_eq!(of(Call::Accept, 4), ["10.0.0.1:80->", ip, "", ip, ""]);
        assert_eq!(of(Call::Sendto, 1), ["->10.0.0.1:80", ip, ip, "", ""]);
        assert_eq!(of(Call::Recvmsg, 1), ["10.0.0.1:80->", ip, "", "", ""]);
        assert_eq!(of(Call::Bind, -13), ["", "", "", "", ""]);
    }
}
