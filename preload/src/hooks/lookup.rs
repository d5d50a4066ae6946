//! Host names looked up: the answer is what a later connect is judged by.

use super::calls;
use super::trampoline::After;
use crate::capture::c_str;
use crate::control;
use crate::emit::{self, Caller, Urgency};
use core::ffi::{c_char, c_int};
use porthole_common::limits;
use porthole_common::record::{ARGUMENTS, Call, Kind, Lookup};

calls! { after
    getaddrinfo => Getaddrinfo, Addresses;
    gethostbyname => Gethostbyname, Host;
    gethostbyname2 => Gethostbyname2, Host;
    gethostbyname_r => Gethostbyname, HostInto;
    gethostbyname2_r => Gethostbyname2, HostInto;
}

/// The answer as the record has it.
struct Answer {
    bytes: [u8; limits::LOOKUP],
    len: usize,
}

impl Answer {
    /// Adds an address if it is another than the one before (there is one for each type of socket).
    unsafe fn add(&mut self, family: c_int, at: *const u8) {
        const AF_INET: c_int = 2;
        const AF_INET6: c_int = 10;
        let (mark, len) = match family {
            AF_INET => (4, 4),
            AF_INET6 => (6, 16),
            _ => return,
        };
        if at.is_null() {
            return;
        }
        // SAFETY: an address of that family, which the C library has written.
        let address = unsafe { core::slice::from_raw_parts(at, len) };
        if self.len > len && self.bytes.get(self.len - len..self.len) == Some(address) {
            return;
        }
        if let Some([head, room @ ..]) = self.bytes.get_mut(self.len..self.len + 1 + len) {
            *head = mark;
            room.copy_from_slice(address);
            self.len += 1 + len;
        }
    }

    /// `struct addrinfo`: flags, family, socket type, protocol; length; address; name; next.
    unsafe fn add_list(&mut self, mut list: usize) {
        for _ in 0..64 {
            if list == 0 {
                break;
            }
            // SAFETY: the C library has made the list.
            unsafe {
                let (family, address) = (*((list + 4) as *const c_int), *((list + 24) as *const usize));
                if address != 0 {
                    let skip = if family == 2 { 4 } else { 8 }; // sockaddr_in: family, port; sockaddr_in6: flow label
                    self.add(family, (address + skip) as *const u8);
                }
                list = *((list + 40) as *const usize);
            }
        }
    }

    /// `struct hostent`: name, aliases, family, length, addresses.
    unsafe fn add_host(&mut self, host: usize) {
        if host == 0 {
            return;
        }
        // SAFETY: the C library has filled in the structure.
        unsafe {
            let (family, list) = (*((host + 16) as *const c_int), *((host + 24) as *const *const *const u8));
            for n in 0..16 {
                if list.is_null() || (*list.add(n)).is_null() {
                    break;
                }
                self.add(family, *list.add(n));
            }
        }
    }
}

/// One of the functions above has returned.
///
/// # Safety
/// `arguments` and `result` are those of a function with this `what`.
#[inline(never)]
pub unsafe fn done(what: After, call: Call, arguments: &[usize; ARGUMENTS], result: usize) {
    let mut answer = Answer { bytes: [0; limits::LOOKUP], len: 0 };
    let name = arguments[0] as *const c_char;
    if name.is_null() || !control::wants(Kind::Lookup) {
        return;
    }
    let failed = result as c_int;
    // SAFETY: what the C library has written when it succeeded.
    let res = unsafe {
        match what {
            After::Addresses => {
                if failed == 0 {
                    answer.add_list(*(arguments[3] as *const usize));
                }
                failed
            }
            After::Host => {
                answer.add_host(result);
                if result == 0 { 1 } else { 0 } // HOST_NOT_FOUND; h_errno itself is the thread's
            }
            // gethostbyname_r: name, room, buffer, length, place of the answer; gethostbyname2_r: a family before these
            _ => {
                let place = arguments[if call == Call::Gethostbyname { 4 } else { 5 }];
                if failed == 0 && place != 0 {
                    answer.add_host(*(place as *const usize));
                }
                failed
            }
        }
    };
    // SAFETY: the program's argument, which the C library has read.
    let name = unsafe { c_str(name, limits::HOST_NAME) };
    let lookup = Lookup { call, res, name, addresses: answer.bytes.get(..answer.len).unwrap_or(&[]) };
    let len = Lookup::encoded_len(name.len(), answer.len);
    emit::record(Caller::AnyChild, Urgency::Normal, len, |w| lookup.encode(w));
}
