//! syscall(number, …): what other hooks see by name, some programs ask for by number.

use super::{from_kernel, sandbox};
use crate::next::Next;
use crate::{record, sys};
use core::ffi::{c_char, c_int, c_long};
use porthole_common::record::{ARGUMENTS, Call};
use sys::nr;

#[unsafe(link_section = ".data")]
static SYSCALL: Next = Next::new();

/// A system call that is recorded as its signature says.
#[repr(C)]
struct Numbered {
    number: u16,
    call: Call,
    shape: u32,
}

macro_rules! numbered {
    ($($number:literal => $call:ident,)*) => {
        const NUMBERED: &[Numbered] = &[$(Numbered {
            number: $number,
            call: Call::$call,
            shape: Call::$call.shape(),
        },)*];
    };
}

// x86-64
numbered! {
    32 => Dup, 33 => Dup2, 41 => Socket, 43 => Accept, 44 => Sendto, 45 => Recvfrom, 46 => Sendmsg, 47 => Recvmsg, 49 => Bind,
    50 => Listen, 53 => Socketpair, 62 => Kill, 76 => Truncate, 77 => Ftruncate, 82 => Rename, 83 => Mkdir, 84 => Rmdir,
    86 => Link, 87 => Unlink, 88 => Symlink, 90 => Chmod, 91 => Fchmod, 92 => Chown, 93 => Fchown, 94 => Lchown,
    101 => Ptrace, 105 => Setuid, 106 => Setgid, 112 => Setsid, 113 => Setreuid, 114 => Setregid, 116 => Setgroups,
    117 => Setresuid, 119 => Setresgid, 122 => Setfsuid, 123 => Setfsgid, 126 => Capset, 133 => Mknod, 155 => PivotRoot,
    161 => Chroot, 165 => Mount, 166 => Umount2, 175 => InitModule, 176 => DeleteModule, 234 => Tgkill,
    258 => Mkdirat, 259 => Mknodat, 260 => Fchownat, 263 => Unlinkat, 264 => Renameat, 265 => Linkat, 266 => Symlinkat,
    268 => Fchmodat, 272 => Unshare, 288 => Accept4, 292 => Dup3, 299 => Recvmmsg, 304 => OpenByHandleAt,
    307 => Sendmmsg, 308 => Setns, 310 => ProcessVmReadv, 311 => ProcessVmWritev, 313 => FinitModule, 316 => Renameat2,
    319 => MemfdCreate, 321 => Bpf, 323 => Userfaultfd, 424 => PidfdSendSignal, 425 => IoUringSetup, 434 => PidfdOpen,
    452 => Fchmodat,
}

/// The calls that are looked at, a bit each: those of [`NUMBERED`] and those that `numbered_call` handles itself.
static WATCHED: [u64; 8] = {
    let mut bits = [0u64; 8];
    let own = [2, nr::CONNECT, nr::EXECVE, 80, 81, 85, nr::PRCTL, nr::OPENAT, nr::SECCOMP, nr::EXECVEAT, 437];
    let mut n = 0;
    while n < own.len() {
        bits[own[n] / 64] |= 1 << (own[n] % 64);
        n += 1;
    }
    n = 0;
    while n < NUMBERED.len() {
        let number = NUMBERED[n].number as usize;
        bits[number / 64] |= 1 << (number % 64);
        n += 1;
    }
    bits
};

/// Up to six arguments behind the number, the last one on the stack. Programs that make their own system calls make
/// many: what is not looked at costs a few instructions and a jump.
#[cfg_attr(porthole_agent, unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn syscall() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "cmp rdi, 511",
        "ja 2f",
        "lea r10, [rip + {watched}]",
        "bt [r10], rdi",
        "jc 3f",
        "2:",
        "mov rax, qword ptr [rip + {found}]",
        "cmp rax, {none}",
        "jbe 4f",
        "jmp rax",
        "3:",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push [rbp + 16]", // the arguments as an array, from its end
        "push r9",
        "push r8",
        "push rcx",
        "push rdx",
        "push rsi",
        "mov rsi, rsp",
        "call {numbered}",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        "4:", // not looked up yet
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push r8",
        "push r9",
        "sub rsp, 8",
        ".cfi_def_cfa_offset 64",
        "call {next}",
        "add rsp, 8",
        "pop r9",
        "pop r8",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        ".cfi_def_cfa_offset 8",
        "jmp rax",
        ".cfi_endproc",
        watched = sym WATCHED,
        found = sym SYSCALL,
        none = const Next::NONE,
        next = sym next_syscall,
        numbered = sym numbered_call,
    )
}

extern "C" fn next_syscall() -> usize {
    SYSCALL.address("syscall").unwrap_or(no_syscall as *const () as usize)
}

extern "C" fn no_syscall() -> c_long {
    from_kernel(-(sys::ENOSYS as isize)).into()
}

type Syscall = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize) -> c_long;

unsafe extern "C" fn numbered_call(number: usize, arguments: &[usize; ARGUMENTS]) -> c_long {
    let [a, b, c, d, e, f] = *arguments;
    // SAFETY: `syscall` of the C library with the program's arguments.
    let real = || unsafe { core::mem::transmute::<usize, Syscall>(next_syscall())(number, a, b, c, d, e, f) };
    match number {
        nr::EXECVE | nr::EXECVEAT => return from_kernel(super::exec_at_site(number, arguments)).into(),
        nr::PRCTL => return sandbox::changing(next_syscall(), number, arguments),
        nr::SECCOMP => return sandbox::seccomp(next_syscall(), number, arguments),
        _ => {}
    }
    let result = real();
    let res = if result == -1 { super::failure() as isize } else { result as isize };
    // SAFETY: the arguments are those of the system call, and it has returned.
    unsafe { made(number, arguments, res) };
    result
}

/// Records a system call that returned `res`.
///
/// # Safety
/// The arguments are the call's.
pub unsafe fn made(number: usize, arguments: &[usize; ARGUMENTS], res: isize) {
    let [a, b, c, d, ..] = *arguments;
    let int = res as c_int;
    // SAFETY: the caller's promise.
    unsafe {
        match number {
            2 => super::opened(Call::Open, int, sys::AT_FDCWD, a as *const c_char, b as c_int, c as u32),
            nr::OPENAT => super::opened(Call::Openat, int, a as c_int, b as *const c_char, c as c_int, d as u32),
            85 => super::opened(
                Call::Creat,
                int,
                sys::AT_FDCWD,
                a as *const c_char,
                super::open::CREAT as c_int,
                b as u32,
            ),
            437 => super::opened_how(int, a as c_int, b, c),
            nr::CONNECT => super::connected(a as c_int, b, c, int),
            80 => super::chdir::changed(Call::Chdir, int, -1, a as *const c_char),
            81 => super::chdir::changed(Call::Fchdir, int, a as c_int, core::ptr::null()),
            _ => {
                let Some(known) = NUMBERED.iter().find(|n| usize::from(n.number) == number) else { return };
                match known.call {
                    Call::Socket => super::sockets::made(known.call, known.shape, arguments, int),
                    Call::Accept | Call::Accept4 => super::sockets::accepted(known.call, known.shape, arguments, int),
                    Call::Sendto | Call::Sendmsg | Call::Sendmmsg | Call::Recvfrom | Call::Recvmsg | Call::Recvmmsg => {
                        super::sockets::traffic(known.call, known.shape, arguments, res)
                    }
                    _ => record::called(known.call, known.shape, arguments, res),
                }
            }
        }
    }
}
