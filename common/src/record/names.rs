//! Names of hosts that were looked up.

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
