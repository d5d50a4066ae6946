//! connect.

use super::{from_kernel, hook, outcome};
use crate::emit::{self, Urgency};
use crate::{control, sys};
use core::ffi::{c_int, c_void};
use porthole_common::limits::SOCKADDR;
use porthole_common::record::{Connect, Kind};

hook! {
    fn connect(fd: c_int, addr: *const c_void, len: u32) -> c_int,
    missing from_kernel(sys::connect(fd, addr, len as usize)),
    real => {
        let result = real(fd, addr, len);
        connected(fd, addr, len, outcome(result));
        result
    }
}

#[inline(never)]
fn connected(fd: c_int, addr: *const c_void, len: u32, res: c_int) {
    if !control::wants(Kind::Connect) {
        return;
    }
    // Errors that the kernel gives before it has read the address.
    let unread = [-sys::EFAULT, -sys::EINVAL, -sys::EBADF];
    let readable = !addr.is_null() && !unread.contains(&res);
    let len = if readable { (len as usize).min(SOCKADDR) } else { 0 };
    // SAFETY: the kernel has taken this address, or refused it for another reason than its place or length.
    let addr = unsafe { core::slice::from_raw_parts(if len == 0 { [].as_ptr() } else { addr.cast::<u8>() }, len) };
    let connect = Connect { res, fd, addr, local: &[] };
    emit::record_hot(Urgency::Patient, connect.prefix(), addr);
}
