//! prctl and seccomp: the process forbids itself system calls, or the time stamp counter.

use super::{from_kernel, hook, outcome};
use crate::emit::{self, Caller, Urgency};
use crate::{clock, process, ring, sandbox, sys};
use core::ffi::{c_int, c_long};
use porthole_common::record::{Call, Clock, Sandbox};

const PR_SET_SECCOMP: c_int = 22;
const MODE_STRICT: usize = 1;
const MODE_FILTER: usize = 2;

hook! {
    fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int,
    missing from_kernel(sys::prctl(option, a, b, c, d)),
    real => { changing(option, a, || real(option, a, b, c, d)) }
}

/// prctl, called as itself or through `syscall()`.
pub fn changing(option: c_int, a: usize, call: impl Fn() -> c_int) -> c_int {
    match option {
        PR_SET_SECCOMP => installing(Call::Prctl, a, call),
        clock::PR_SET_TSC => {
            let before = clock::current();
            clock::forbid();
            let result = call();
            match (result, a) {
                (0, clock::PR_TSC_ENABLE) => clock::choose(),
                (0, _) => {}
                _ => clock::set(before),
            }
            result
        }
        _ => call(),
    }
}

/// `seccomp(2)` through `syscall()`: there is no libc function. See `variadic`.
pub fn seccomp(operation: u32, install: impl Fn() -> c_long) -> c_long {
    const SET_MODE_STRICT: u32 = 0;
    const SET_MODE_FILTER: u32 = 1;
    match operation {
        SET_MODE_STRICT => installing(Call::Seccomp, MODE_STRICT, || install() as c_int) as c_long,
        SET_MODE_FILTER => installing(Call::Seccomp, MODE_FILTER, || install() as c_int) as c_long,
        _ => install(),
    }
}

/// Everything that needs a system call later is done before; what is recorded after makes none.
fn installing(call: Call, mode: usize, install: impl Fn() -> c_int) -> c_int {
    crate::init::ensure();
    if !sandbox::active() {
        process::pid();
        ring::prepare_all();
        sandbox::prepare();
    }
    let was = (sandbox::active(), clock::current());
    sandbox::set(true);
    // Strict mode takes the counter away on older kernels; the C library's clock may turn out to be a system call.
    if mode == MODE_STRICT || was.1 == Clock::Realtime as u8 {
        clock::forbid();
    }
    let result = install();
    if result == -1 {
        sandbox::set(was.0);
        clock::set(was.1);
    }
    let record = Sandbox { call, mode: mode as u32, res: outcome(result) };
    emit::record(Caller::Process, Urgency::Normal, Sandbox::LEN, |w| record.encode(w));
    result
}
