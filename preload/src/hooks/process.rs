//! fork, exit. vfork and clone are not wrapped: they return twice on one stack.

use super::{from_kernel, hook, outcome};
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

fn ending(call: Call, status: c_int) {
    let exit = Exit { call, status };
    emit::record(Caller::AnyChild, Urgency::Patient, Exit::LEN, |w| exit.encode(w));
}

macro_rules! exits {
    ($($name:ident, $call:ident;)*) => {$(
        hook! {
            fn $name(status: c_int) -> (), missing { sys::call1(sys::nr::EXIT_GROUP, status as usize); },
            real => {
                ending(Call::$call, status);
                real(status)
            }
        }
    )*};
}

exits! {
    exit, Exit;
    _exit, ExitNow;
    _Exit, ExitNow;
}
