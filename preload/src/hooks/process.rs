//! fork, exit. vfork and clone are not wrapped: they return twice on one stack.

use super::{calls, from_kernel, hook, outcome};
use crate::emit::{self, Caller, Urgency};
use crate::{process, sys};
use core::ffi::c_int;
use porthole_common::record::{Call, Exit, Fork};

hook! {
    fn fork() -> c_int, missing from_kernel(sys::call0(sys::nr::FORK)),
    real => {
        process::about_to_fork();
        let result = real();
        if result != 0 {
            let fork = Fork { call: Call::Fork, res: outcome(result) };
            emit::record(Caller::AnyChild, Urgency::Normal, Fork::LEN, |w| fork.encode(w));
        }
        result
    }
}

/// Records that the process ends.
pub fn ending(call: Call, status: c_int) {
    let exit = Exit { call, status };
    emit::record(Caller::AnyChild, Urgency::Patient, Exit::LEN, |w| exit.encode(w));
}

calls! { before
    exit => Exit, Exit;
    _exit => ExitNow, Exit;
    _Exit => ExitNow, Exit;
}
