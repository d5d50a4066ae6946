//! execl, execlp, execle and syscall: functions with a variable number of arguments.
//!
//! Rust has no stable way to receive them. For the exec forms a few instructions lay the arguments that came in
//! registers directly below those on the stack, which makes them the array that execv wants; `syscall` is passed on
//! as it came, unless it is seccomp(2).

use super::exec::{Array, inheriting, plain, searching};
use super::sandbox;
use crate::next::Next;
use crate::start;
use core::ffi::{c_char, c_int, c_long};
use porthole_common::record::Call;

#[unsafe(link_section = ".data")]
static EXECV: Next = Next::new();
#[unsafe(link_section = ".data")]
static EXECVP: Next = Next::new();
#[unsafe(link_section = ".data")]
static SYSCALL: Next = Next::new();

type Execv = unsafe extern "C" fn(*const c_char, Array) -> c_int;

fn next_execv(next: &Next, name: &'static str, path: *const c_char, argv: Array) -> c_int {
    match next.address(name) {
        // SAFETY: execv or execvp of the C library, with the program's arguments.
        Some(at) => unsafe { core::mem::transmute::<usize, Execv>(at)(path, argv) },
        None => -1,
    }
}

unsafe extern "C" fn execl_array(path: *const c_char, argv: Array) -> c_int {
    inheriting(Call::Execl, path, argv, || next_execv(&EXECV, "execv", path, argv))
}

unsafe extern "C" fn execlp_array(file: *const c_char, argv: Array) -> c_int {
    searching(Call::Execlp, file, argv, start::environment().array(), || next_execv(&EXECVP, "execvp", file, argv))
}

unsafe extern "C" fn execle_array(path: *const c_char, argv: Array) -> c_int {
    let mut n = 0;
    // SAFETY: the arguments end with a null pointer, behind which execle has its environment.
    let envp = unsafe {
        while !(*argv.add(n)).is_null() {
            n += 1;
        }
        (*argv.add(n + 1)).cast::<*const c_char>()
    };
    plain(Call::Execle, path, argv, envp)
}

/// `$name(path, argument, …, null)`: gathers the arguments and calls `$array(path, argv)`.
macro_rules! gather {
    ($($name:ident => $array:ident;)*) => {$(
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "pop rax",       // the return address stands between the registers' arguments and the stack's
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",  // argv
                "push rax",
                "push rax",      // twice, for the alignment that a call wants
                "sub rsp, 8",
                "call {array}",
                "add rsp, 16",
                "pop rcx",
                "add rsp, 40",
                "jmp rcx",
                array = sym $array,
            )
        }
    )*};
}

gather! {
    execl => execl_array;
    execlp => execlp_array;
    execle => execle_array;
}

use crate::sys::nr::{PRCTL, SECCOMP};

/// syscall(number, …): up to six arguments, the last one on the stack. Programs that make their own system calls make
/// many: once the next definition is known, this is three instructions and a jump.
#[cfg_attr(porthole_agent, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn syscall() {
    core::arch::naked_asm!(
        "cmp rdi, {seccomp}",
        "je {own_seccomp}",
        "cmp rdi, {prctl}",
        "je {own_prctl}",
        "mov rax, qword ptr [rip + {found}]",
        "cmp rax, {none}",
        "jbe 2f",
        "jmp rax",
        "2:", // not looked up yet
        "sub rsp, 56",
        "mov [rsp], rdi",
        "mov [rsp+8], rsi",
        "mov [rsp+16], rdx",
        "mov [rsp+24], rcx",
        "mov [rsp+32], r8",
        "mov [rsp+40], r9",
        "call {next}",
        "mov rdi, [rsp]",
        "mov rsi, [rsp+8]",
        "mov rdx, [rsp+16]",
        "mov rcx, [rsp+24]",
        "mov r8, [rsp+32]",
        "mov r9, [rsp+40]",
        "add rsp, 56",
        "jmp rax",
        seccomp = const SECCOMP,
        own_seccomp = sym syscall_seccomp,
        prctl = const PRCTL,
        own_prctl = sym syscall_prctl,
        found = sym SYSCALL,
        none = const Next::NONE,
        next = sym next_syscall,
    )
}

extern "C" fn next_syscall() -> usize {
    SYSCALL.address("syscall").unwrap_or(no_syscall as *const () as usize)
}

extern "C" fn no_syscall() -> c_long {
    super::from_kernel(-(crate::sys::ENOSYS as isize)).into()
}

type Syscall = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize) -> c_long;

unsafe extern "C" fn syscall_seccomp(number: usize, operation: usize, flags: usize, args: usize) -> c_long {
    sandbox::seccomp(operation as u32, || {
        // SAFETY: `syscall` of the C library with the program's arguments.
        unsafe { core::mem::transmute::<usize, Syscall>(next_syscall())(number, operation, flags, args, 0, 0) }
    })
}

unsafe extern "C" fn syscall_prctl(number: usize, option: usize, a: usize, b: usize, c: usize, d: usize) -> c_long {
    let result = sandbox::changing(option as c_int, a, || {
        // SAFETY: as above; results of prctl are small numbers.
        unsafe { core::mem::transmute::<usize, Syscall>(next_syscall())(number, option, a, b, c, d) as c_int }
    });
    c_long::from(result)
}
