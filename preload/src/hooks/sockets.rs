//! Sockets: made, bound, listening, accepting; and the first datagram to or from each address.

use super::calls;
use crate::record;
use crate::{control, sandbox, sys};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use porthole_common::record::{ARGUMENTS, Call, Kind};

calls! { after
    socket => Socket, Socket;
    socketpair => Socketpair, Int;
    bind => Bind, Int;
    listen => Listen, Int;
    accept => Accept, Accept;
    accept4 => Accept4, Accept;
    sendto => Sendto, Traffic;
    sendmsg => Sendmsg, Traffic;
    sendmmsg => Sendmmsg, Traffic;
    recvfrom => Recvfrom, Traffic;
    recvmsg => Recvmsg, Traffic;
    recvmmsg => Recvmmsg, Traffic;
}

type Arguments = [usize; ARGUMENTS];

/// One bit for each low descriptor: whether it was made as a stream of an internet family. A guess once the number
/// has been closed and used again; wrong, it costs a system call or an address.
#[unsafe(link_section = ".data")]
static STREAMS: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// Whether a descriptor was made by `socket` as a stream of an internet family.
pub fn is_stream(fd: c_int) -> bool {
    STREAMS.get(fd as usize / 64).is_some_and(|word| word.load(Relaxed) >> (fd % 64) & 1 != 0)
}

/// socket has returned.
///
/// # Safety
/// The arguments are the function's.
pub unsafe fn made(call: Call, shape: u32, arguments: &Arguments, res: c_int) {
    const AF_INET: usize = 2;
    const AF_INET6: usize = 10;
    const SOCK_STREAM: usize = 1;
    let [domain, kind, ..] = *arguments;
    if let (Ok(fd), true) = (usize::try_from(res), control::wants(Kind::Connect))
        && let Some(word) = STREAMS.get(fd / 64)
    {
        let bit = 1 << (fd % 64);
        match (domain as u32 as usize, kind & 15) {
            (AF_INET | AF_INET6, SOCK_STREAM) => word.fetch_or(bit, Relaxed),
            _ => word.fetch_and(!bit, Relaxed),
        };
    }
    // SAFETY: the caller's promise.
    unsafe { record::called(call, shape, arguments, res as isize) };
}

/// accept has returned. The program need not ask who it is, so we do.
///
/// # Safety
/// The arguments are the function's.
pub unsafe fn accepted(call: Call, shape: u32, arguments: &Arguments, res: c_int) {
    let mut peer = [0u8; sys::INTERNET_ADDRESS];
    let ask = res >= 0 && !sandbox::active() && control::wants(Kind::Called);
    let peer = if ask { sys::peer_address(res, &mut peer) } else { &[] };
    // SAFETY: the caller's promise.
    unsafe { record::called_at(call, shape, arguments, res as isize, Some(peer)) };
}

/// Addresses seen lately, by a hash of address, descriptor and direction.
#[unsafe(link_section = ".data")]
static SEEN: [AtomicU32; 32] = [const { AtomicU32::new(0) }; 32];

/// A send or a receive has returned: recorded if it names an address that was not seen lately. Whom a connected socket
/// talks to is known from its connect or accept.
///
/// # Safety
/// The arguments are the function's.
pub unsafe fn traffic(call: Call, shape: u32, arguments: &Arguments, result: isize) {
    let fd = arguments[0];
    // SAFETY: the caller's promise.
    let (address, incoming) = unsafe {
        let res = if result as i32 == -1 { super::failure() as isize } else { result };
        match call {
            Call::Sendto => (record::given(arguments[4], arguments.get(5), res), 0),
            Call::Recvfrom => (record::peer(arguments[4], arguments.get(5), res), 1),
            Call::Sendmsg | Call::Sendmmsg => (record::message(arguments[1], res), 0),
            _ => (record::message(arguments[1], res), 1),
        }
    };
    if address.is_empty() {
        return;
    }
    let start = (fd as u32).wrapping_mul(2).wrapping_add(incoming).wrapping_add(1);
    let hash = address.iter().fold(start, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    if SEEN[hash as usize % SEEN.len()].swap(hash, Relaxed) == hash {
        return;
    }
    let res = if result as i32 == -1 { super::failure() as isize } else { result };
    // SAFETY: the caller's promise.
    unsafe { record::called_at(call, shape, arguments, res, Some(address)) };
}
