//! connect.

use super::{calls, sockets};
use crate::emit::{self, Urgency};
use crate::{control, process, record, sandbox, sys};
use core::ffi::c_int;
use porthole_common::limits::SOCKADDR;
use porthole_common::msgpack::{Writer, bin_len};
use porthole_common::record::{Connect, Kind};

calls! { after
    connect => Connect, Connect;
}

/// Records a connect that returned `res`.
#[inline(never)]
pub fn connected(fd: c_int, addr: usize, len: usize, res: c_int) {
    if !control::wants(Kind::Connect) {
        return;
    }
    // SAFETY: the program's arguments.
    let addr = unsafe { record::given(addr, Some(&len), res as isize) };
    const EINPROGRESS: c_int = 115;
    let mut local = [0u8; sys::INTERNET_ADDRESS];
    // both ends, as they follow the prefix
    let mut ends = [0u8; SOCKADDR + bin_len(sys::INTERNET_ADDRESS)];
    let (mut rest, mut connect) = (addr, Connect { res, fd, addr, local: &[] });
    // The local end of a stream: a datagram socket's is worth less than asking for it would cost.
    if (res == 0 || res == -EINPROGRESS) && sockets::is_stream(fd) && !sandbox::active() {
        connect.local = sys::own_address(fd, &mut local);
        if !connect.local.is_empty() {
            let mut w = Writer::new(&mut ends);
            w.raw(addr);
            w.bin(connect.local);
            let len = w.finish().unwrap_or(0);
            rest = ends.get(..len).unwrap_or(&[]);
        }
    }
    emit::record_hot(process::caller(), Urgency::Patient, &emit::words::<_, 3>(connect.prefix()), rest);
}
