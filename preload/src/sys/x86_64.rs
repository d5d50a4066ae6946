//! x86-64: the instruction, the numbers, the layout of `struct stat`. The only place with assembly for system calls.

use core::arch::asm;

/// System call numbers.
#[allow(missing_docs)]
pub mod nr {
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const PREAD64: usize = 17;
    pub const MADVISE: usize = 28;
    pub const NANOSLEEP: usize = 35;
    pub const GETPID: usize = 39;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const SENDTO: usize = 44;
    pub const GETSOCKNAME: usize = 51;
    pub const GETPEERNAME: usize = 52;
    pub const FORK: usize = 57;
    pub const EXECVE: usize = 59;
    pub const FTRUNCATE: usize = 77;
    pub const GETCWD: usize = 79;
    pub const CHDIR: usize = 80;
    pub const FCHDIR: usize = 81;
    pub const GETPPID: usize = 110;
    pub const GETRESUID: usize = 118;
    pub const GETRESGID: usize = 120;
    pub const GETPGID: usize = 121;
    pub const GETSID: usize = 124;
    pub const CAPGET: usize = 125;
    pub const PRCTL: usize = 157;
    pub const FGETXATTR: usize = 193;
    pub const OPENAT: usize = 257;
    pub const NEWFSTATAT: usize = 262;
    pub const UNLINKAT: usize = 263;
    pub const READLINKAT: usize = 267;
    pub const FACCESSAT: usize = 269;
    pub const FALLOCATE: usize = 285;
    pub const PRLIMIT64: usize = 302;
    pub const SECCOMP: usize = 317;
    pub const EXECVEAT: usize = 322;
}

/// `struct stat`, as far as it is wanted.
#[repr(C)]
pub struct RawStat {
    /// `st_dev`, `st_ino`, `st_nlink`.
    pub dev_ino_nlink: [u64; 3],
    pub mode: u32,
    pub uid: u32,
    pub rest: [u64; 14],
}

impl RawStat {
    /// All zeros.
    pub const ZERO: RawStat = RawStat { dev_ino_nlink: [0; 3], mode: 0, uid: 0, rest: [0; 14] };
}

const _: () = assert!(core::mem::size_of::<RawStat>() == 144);

/// A system call with six arguments.
#[inline(always)]
pub fn call6(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let r: isize;
    // SAFETY: the kernel clobbers rax, rcx and r11 only; every caller passes arguments that the call allows, and the
    // kernel answers bad addresses with EFAULT.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => r, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack))
    };
    r
}

/// With four.
#[inline(always)]
pub fn call4(n: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let r: isize;
    // SAFETY: as in `call6`.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => r, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             lateout("rcx") _, lateout("r11") _, options(nostack))
    };
    r
}

/// With three.
#[inline(always)]
pub fn call3(n: usize, a: usize, b: usize, c: usize) -> isize {
    call4(n, a, b, c, 0)
}
/// With two.
#[inline(always)]
pub fn call2(n: usize, a: usize, b: usize) -> isize {
    call4(n, a, b, 0, 0)
}
/// With one.
#[inline(always)]
pub fn call1(n: usize, a: usize) -> isize {
    call4(n, a, 0, 0, 0)
}
/// With none.
#[inline(always)]
pub fn call0(n: usize) -> isize {
    call4(n, 0, 0, 0, 0)
}

/// The time stamp counter.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: reads a register; `clock` has made sure that the process has not forbidden it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// What the thread's local variables are found by: different in each thread, the same in a vfork child.
pub fn thread_pointer() -> usize {
    let at: usize;
    // SAFETY: the first word of a thread's control block is its own address (System V ABI).
    unsafe { core::arch::asm!("mov {}, fs:[0]", out(reg) at, options(pure, readonly, nostack, preserves_flags)) };
    at
}

/// An instruction that raises SIGILL.
pub fn trap() -> ! {
    // SAFETY: does not return.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}
