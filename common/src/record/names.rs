//! Names: of hosts that were looked up, of libraries that the loader has brought.

use super::{Call, HEAD, Kind, head};
use crate::limits;
use crate::msgpack::{self, Malformed, Reader, Writer, bin_len};

/// A host name was looked up.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The call.
    pub call: Call,
    /// 0, or the error of the call as it is (`EAI_…`, or `h_errno`).
    pub res: i32,
    /// The name that was asked for.
    pub name: &'a [u8],
    /// The answer: for each address a family, `4` or `6`, and 4 or 16 bytes. At most [`limits::LOOKUP`] bytes.
    pub addresses: &'a [u8],
}

impl<'a> Lookup<'a> {
    pub(super) const FIELDS: usize = 5;

    /// Encoded bytes for a name and an answer of these lengths.
    pub const fn encoded_len(name: usize, addresses: usize) -> usize {
        HEAD + msgpack::U8 + msgpack::I32 + bin_len(name) + bin_len(addresses)
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Lookup, Self::FIELDS);
        w.u8(self.call as u8);
        w.i32(self.res);
        w.bin(self.name);
        w.bin(self.addresses);
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Lookup {
            call: Call::read(r)?,
            res: r.i32()?,
            name: r.bin(limits::HOST_NAME)?,
            addresses: r.bin(limits::LOOKUP)?,
        })
    }

    /// The addresses, up to the first that makes no sense.
    pub fn ips(&self) -> impl Iterator<Item = core::net::IpAddr> + 'a {
        let mut rest = self.addresses;
        core::iter::from_fn(move || {
            let (&family, bytes) = rest.split_first()?;
            let (ip, behind) = match family {
                4 => bytes.split_first_chunk::<4>().map(|(ip, behind)| ((*ip).into(), behind))?,
                6 => bytes.split_first_chunk::<16>().map(|(ip, behind)| ((*ip).into(), behind))?,
                _ => return None,
            };
            rest = behind;
            Some(ip)
        })
    }
}

/// The libraries that the loader had brought before the agent came to run.
#[derive(Clone, Copy, Debug)]
pub struct Libraries<'a> {
    /// How many there are; fewer names stand here if they are long.
    pub count: u32,
    /// Their paths as the loader opened them, each with a NUL behind it.
    pub paths: &'a [u8],
}

impl<'a> Libraries<'a> {
    pub(super) const FIELDS: usize = 3;

    /// Encoded bytes for paths of this length together.
    pub const fn encoded_len(paths: usize) -> usize {
        HEAD + msgpack::U32 + bin_len(paths)
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        head(w, Kind::Libraries, Self::FIELDS);
        w.u32(self.count);
        w.bin(self.paths);
    }

    /// Encodes with paths that lie apart; `len` is their length together, each with its NUL.
    pub fn encode_each<'p>(&self, w: &mut Writer, len: usize, paths: impl Iterator<Item = &'p [u8]>) {
        head(w, Kind::Libraries, Self::FIELDS);
        w.u32(self.count);
        w.bin_head(len);
        for path in paths {
            w.raw(path);
            w.raw(&[0]);
        }
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Libraries { count: r.number()?, paths: r.bin(limits::LIBRARIES)? })
    }

    /// The paths one by one.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.paths.split(|&b| b == 0).filter(|p| !p.is_empty())
    }
}
