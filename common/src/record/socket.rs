//! Sockets connected.

use super::{HEAD, Kind};
use crate::limits;
use crate::msgpack::{self, Malformed, Reader, Writer, bin_len};

/// A socket was connected, or not.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// 0 or negative errno.
    pub res: i32,
    /// The socket.
    pub fd: i32,
    /// The raw `struct sockaddr`.
    pub addr: &'a [u8],
    /// The socket's own end, raw too; empty where it was not asked (a datagram socket, a sandbox, a call that failed).
    pub local: &'a [u8],
}

/// Bytes of a connect record before its address: a multiple of eight too; the result has the wide form of a number for
/// that.
const CONNECT_PREFIX: usize = HEAD + msgpack::I64 + msgpack::I32 + msgpack::BIN32;
const _: () = assert!(CONNECT_PREFIX.is_multiple_of(8));

impl<'a> Connect<'a> {
    pub(super) const FIELDS: usize = 4;

    /// Encoded bytes for addresses of these lengths.
    #[inline(always)]
    pub const fn encoded_len(addr: usize, local: usize) -> usize {
        CONNECT_PREFIX + addr + if local == 0 { 0 } else { bin_len(local) }
    }

    /// Everything before the address, which follows as it is; behind it the local end as a byte string, if there is one.
    #[inline(always)]
    pub fn prefix(&self) -> [u8; CONNECT_PREFIX] {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = i64::from(self.res).to_be_bytes();
        let [f0, f1, f2, f3] = self.fd.to_be_bytes();
        let [l0, l1, l2, l3] = (self.addr.len() as u32).to_be_bytes();
        let fields = Self::FIELDS as u8 + !self.local.is_empty() as u8;
        let kind = Kind::Connect as u8;
        [0xdc, 0, fields, 0xcc, kind, 0xd3, r0, r1, r2, r3, r4, r5, r6, r7, 0xd2, f0, f1, f2, f3, 0xc6, l0, l1, l2, l3]
    }

    /// Encodes into `w`.
    pub fn encode(&self, w: &mut Writer) {
        w.raw(&self.prefix());
        w.raw(self.addr);
        if !self.local.is_empty() {
            w.bin(self.local);
        }
    }

    pub(super) fn read(r: &mut Reader<'a>, fields: usize) -> Result<Self, Malformed> {
        let (res, fd, addr) = (r.i32()?, r.i32()?, r.bin(limits::SOCKADDR)?);
        let local = if fields > Self::FIELDS { r.bin(limits::SOCKADDR)? } else { &[] };
        Ok(Connect { res, fd, addr, local })
    }
}
