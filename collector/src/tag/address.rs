//! Raw socket addresses, as a program gave them: hostile bytes of any length.

use super::arguments;
use crate::event::text;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Ip(IpAddr, u16),
    /// A path, `@name` for an abstract one, empty for an unnamed socket.
    Unix(String),
    /// Another family.
    Other(u16),
    /// No address: too short.
    None,
}

/// Reads a `struct sockaddr`.
pub(crate) fn parse(raw: &[u8]) -> Address {
    let Some((family, rest)) = raw.split_first_chunk::<2>() else { return Address::None };
    let family = u16::from_ne_bytes(*family);
    match i32::from(family) {
        libc::AF_INET => match rest.first_chunk::<6>() {
            Some([p, q, a, b, c, d]) => Address::Ip(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*p, *q])),
            None => Address::None,
        },
        libc::AF_INET6 => match (rest.first_chunk::<2>(), rest.get(6..22).and_then(|b| b.first_chunk::<16>())) {
            (Some(port), Some(ip)) => Address::Ip(Ipv6Addr::from(*ip).into(), u16::from_be_bytes(*port)),
            _ => Address::None,
        },
        libc::AF_UNIX => Address::Unix(match rest.split_first() {
            None => String::new(),
            Some((0, name)) => format!("@{}", text(name)),
            Some(_) => text(rest.split(|b| *b == 0).next().unwrap_or_default()),
        }),
        _ => Address::Other(family),
    }
}

impl Address {
    /// As `evt.arg.addr` has it.
    pub fn text(&self) -> String {
        match self {
            Address::Ip(IpAddr::V4(ip), port) => format!("{ip}:{port}"),
            Address::Ip(IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
            Address::Unix(path) => path.clone(),
            Address::Other(family) => family_name(*family),
            Address::None => String::new(),
        }
    }

    /// `fd.type` and `fd.typechar` of a socket connected to it.
    pub fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Address::Ip(IpAddr::V4(_), _) => ("ipv4", "4"),
            Address::Ip(IpAddr::V6(_), _) => ("ipv6", "6"),
            Address::Unix(_) => ("unix", "u"),
            Address::Other(16) => ("netlink", "n"),
            Address::Other(_) | Address::None => ("other", "o"),
        }
    }
}

fn family_name(family: u16) -> String {
    arguments::family(family.into()).map_or_else(|| format!("AF_{family}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(family: i32, rest: &[u8]) -> Vec<u8> {
        [&(family as u16).to_ne_bytes()[..], rest].concat()
    }

    #[test]
    fn addresses_are_read() {
        let v4 = parse(&raw(libc::AF_INET, &[0, 80, 127, 0, 0, 1, 0, 0]));
        assert_eq!((v4.text().as_str(), v4.kind().0), ("127.0.0.1:80", "ipv4"));
        let mut six = vec![0x1f, 0x90, 0, 0, 0, 0];
        six.extend(Ipv6Addr::LOCALHOST.octets());
        let v6 = parse(&raw(libc::AF_INET6, &six));
        assert_eq!((v6.text().as_str(), v6.kind().1), ("[::1]:8080", "6"));
        assert_eq!(parse(&raw(libc::AF_UNIX, b"/run/x\0junk")).text(), "/run/x");
        assert_eq!(parse(&raw(libc::AF_UNIX, b"\0abstract")).text(), "@abstract");
        assert_eq!(parse(&raw(libc::AF_UNIX, b"")).text(), "");
        assert_eq!(parse(&raw(16, &[0; 10])).text(), "AF_NETLINK");
        assert_eq!(parse(&raw(999, &[])).text(), "AF_999");
    }

    #[test]
    fn short_addresses_are_none() {
        let full = raw(libc::AF_INET6, &[0; 26]);
        for n in 0..24 {
            let _ = parse(&full[..n]);
        }
        assert_eq!(parse(&[]), Address::None);
        assert_eq!(parse(&raw(libc::AF_INET, &[0, 80, 1])), Address::None);
    }
}
