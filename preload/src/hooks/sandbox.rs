//! prctl and seccomp: the process forbids itself system calls or the time stamp counter, or changes its name.

use super::{failure, from_kernel, hook};
use crate::emit::{self, Caller, Urgency};
use crate::{clock, process, record, ring, sandbox, sys};
use core::ffi::{c_int, c_long};
use porthole_common::record::{ARGUMENTS, Call, Clock, Sandbox};

const PR_SET_SECCOMP: c_int = 22;
const PR_SET_NAME: c_int = 15;
const MODE_STRICT: usize = 1;
const MODE_FILTER: usize = 2;

// constants: the signatures themselves are tables of strings, which would have to be relocated in every process
const PRCTL: u32 = Call::Prctl.shape();
const SET_NAME: u32 = Call::SetName.shape();

/// prctl as such: there is no number in front of the arguments.
const BY_NAME: usize = usize::MAX;

hook! {
    fn prctl(option: usize, a: usize, b: usize, c: usize, d: usize) -> c_int, missing from_kernel(-(sys::ENOSYS as isize)),
    real => {
        match NEXT.address("prctl") {
            Some(at) => changing(at, BY_NAME, &[option, a, b, c, d, 0]) as c_int,
            None => real(option, a, b, c, d),
        }
    }
}

type Six = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize) -> c_long;

/// `real(…)`, or `real(number, …)`.
fn call(real: usize, number: usize, arguments: &[usize; ARGUMENTS]) -> c_long {
    let [a, b, c, d, e, _] = *arguments;
    // SAFETY: prctl or syscall of the C library with the program's arguments.
    unsafe {
        let real = core::mem::transmute::<usize, Six>(real);
        // prctl gives an int
        if number == BY_NAME { c_long::from(real(a, b, c, d, e, 0) as c_int) } else { real(number, a, b, c, d, e) }
    }
}

/// prctl, as itself or through `syscall()`.
#[inline(never)]
pub fn changing(real: usize, number: usize, arguments: &[usize; ARGUMENTS]) -> c_long {
    let [option, a, ..] = *arguments;
    let option = option as c_int;
    let result = match option {
        PR_SET_SECCOMP => return installing(Call::Prctl, a, real, number, arguments),
        clock::PR_SET_TSC => {
            let before = clock::current();
            clock::forbid();
            let result = call(real, number, arguments);
            match (result, a) {
                (0, clock::PR_TSC_ENABLE) => clock::choose(),
                (0, _) => {}
                _ => clock::set(before),
            }
            result
        }
        _ => call(real, number, arguments),
    };
    let res = if result == -1 { failure() as isize } else { result as isize };
    let (call, shape) = if option == PR_SET_NAME { (Call::SetName, SET_NAME) } else { (Call::Prctl, PRCTL) };
    // SAFETY: the arguments of the call, which has returned.
    unsafe { record::called(call, shape, arguments, res) };
    result
}

/// `seccomp(2)` through `syscall()`: there is no libc function. See `number`.
pub fn seccomp(real: usize, number: usize, arguments: &[usize; ARGUMENTS]) -> c_long {
    const SET_MODE_STRICT: u32 = 0;
    const SET_MODE_FILTER: u32 = 1;
    match arguments[0] as u32 {
        SET_MODE_STRICT => installing(Call::Seccomp, MODE_STRICT, real, number, arguments),
        SET_MODE_FILTER => installing(Call::Seccomp, MODE_FILTER, real, number, arguments),
        _ => call(real, number, arguments),
    }
}

/// Everything that needs a system call later is done before; what is recorded after makes none.
#[inline(never)]
fn installing(of: Call, mode: usize, real: usize, number: usize, arguments: &[usize; ARGUMENTS]) -> c_long {
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
    let result = call(real, number, arguments);
    if result == -1 {
        sandbox::set(was.0);
        clock::set(was.1);
    }
    let record = Sandbox { call: of, mode: mode as u32, res: if result == -1 { failure() } else { result as c_int } };
    emit::record(Caller::Process, Urgency::Normal, Sandbox::LEN, |w| record.encode(w));
    result
}
