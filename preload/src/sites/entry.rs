//! What a patched instruction jumps to.
//!
//! A system call keeps every register but `rax`, `rcx` and `r11`, and the 128 bytes below the stack pointer; so do we
//! (but for the arithmetic flags, which nothing reads behind a call). What is wider than 16 bytes is not saved because
//! nothing of ours writes to it: the agent is compiled for the first x86-64 processors.
//! A thread that is cancelled while it waits here is unwound through us: the unwind table says that the frame's caller
//! is the patched function, at the instruction behind the site; so it does for every instruction here.

use super::{PLACES, SITES};
use crate::hooks;
use crate::sys::nr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of a stub.
const STUB: usize = 16;

/// The address of stub `n`, which serves site `n`.
pub fn stub(n: usize) -> usize {
    stubs as *const () as usize + n * STUB
}

/// One after the other: `r11` = the site, then [`enter`]. A profiler's signal may come before the first instruction,
/// where `r11` is anything. So the unwind table finds the site as that instruction does: the stub is where the last four
/// bits of the address are 0, and the site as far behind its seventh byte as its bytes 3 to 6 say.
#[unsafe(naked)]
unsafe extern "C" fn stubs() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa rsp, 0",
        // the caller goes on at [s + 7 + ([s - 1] >> 32)], s = rip & -16: in operations that valgrind knows
        ".cfi_escape 0x16, 0x10, 21, 0x80, 0, 0x09, 0xf0, 0x1a", // s
        ".cfi_escape 0x80, 0, 0x09, 0xf0, 0x1a, 0x09, 0xff, 0x22, 0x06, 0x09, 32, 0x25",
        ".cfi_escape 0x22, 0x23, 7, 0x06",
        ".set porthole_stub, 0",
        ".rept {count}",
        ".p2align 4",
        "lea r11, [rip + {sites} + 16 * porthole_stub]",
        "jmp {enter}",
        ".set porthole_stub, porthole_stub + 1",
        ".endr",
        ".cfi_endproc",
        count = const PLACES,
        sites = sym SITES,
        enter = sym enter,
    )
}

/// A system call that a site makes: its result and its arguments in the kernel's order. [`enter`] lays it out.
#[repr(C)]
struct Frame {
    result: isize,
    arguments: [usize; 6],
}

#[unsafe(naked)]
unsafe extern "C" fn enter() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        ".cfi_def_cfa rsp, 0",
        ".cfi_escape 0x16, 0x10, 3, 0x7b, 0, 0x06",
        "lea rsp, [rsp - 128]", // what the function keeps below its stack pointer
        ".cfi_def_cfa_offset 128",
        "push qword ptr [r11]",
        ".cfi_def_cfa_offset 136",
        ".cfi_offset rip, -136",
        "push rbp",
        ".cfi_def_cfa_offset 144",
        ".cfi_offset rbp, -144",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "cmp dword ptr [r11 + 12], 0",
        "je 2f",
        "mov edi, -100",
        "2:",
        "mov eax, [r11 + 8]",
        "push r11",
        "push r9", // a `Frame`, from its end
        "push r8",
        "push r10",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax", // the number, in place of the result
        "cmp eax, {execve}",
        "je 3f",
        "cmp eax, {execveat}",
        "je 3f",
        "syscall",
        "xchg rax, [rsp]", // the result in, the number out
        "lea rcx, [rip + {made}]",
        "jmp 4f",
        "3:",
        "lea rcx, [rip + {execute}]",
        "4:",
        "mov rdi, rax",
        "mov rsi, rsp",
        "call {tell}",
        "pop rax",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop r10",
        "pop r8",
        "pop r9",
        "mov r11, [rbp + 8]",
        "lea rcx, [rbp + 144]",
        "mov rbp, [rbp]",
        ".cfi_def_cfa rcx, 0",
        ".cfi_restore rbp",
        ".cfi_escape 0x16, 0x10, 2, 0x7b, 0", // the caller goes on at r11
        "mov rsp, rcx",
        ".cfi_def_cfa rsp, 0",
        "jmp r11",
        ".cfi_endproc",
        execve = const nr::EXECVE,
        execveat = const nr::EXECVEAT,
        made = sym made,
        execute = sym execute,
        tell = sym tell,
    )
}

/// Calls the function in `rcx` as it is written in Rust: on an aligned stack, with the vector registers kept.
#[unsafe(naked)]
unsafe extern "C" fn tell() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "pushfq", // string instructions may go down: a system call does not mind, compiled code does
        "cld",
        "and rsp, -16",
        "sub rsp, 256",
        "movaps [rsp], xmm0",
        "movaps [rsp + 16], xmm1",
        "movaps [rsp + 32], xmm2",
        "movaps [rsp + 48], xmm3",
        "movaps [rsp + 64], xmm4",
        "movaps [rsp + 80], xmm5",
        "movaps [rsp + 96], xmm6",
        "movaps [rsp + 112], xmm7",
        "movaps [rsp + 128], xmm8",
        "movaps [rsp + 144], xmm9",
        "movaps [rsp + 160], xmm10",
        "movaps [rsp + 176], xmm11",
        "movaps [rsp + 192], xmm12",
        "movaps [rsp + 208], xmm13",
        "movaps [rsp + 224], xmm14",
        "movaps [rsp + 240], xmm15",
        "call rcx",
        "movaps xmm0, [rsp]",
        "movaps xmm1, [rsp + 16]",
        "movaps xmm2, [rsp + 32]",
        "movaps xmm3, [rsp + 48]",
        "movaps xmm4, [rsp + 64]",
        "movaps xmm5, [rsp + 80]",
        "movaps xmm6, [rsp + 96]",
        "movaps xmm7, [rsp + 112]",
        "movaps xmm8, [rsp + 128]",
        "movaps xmm9, [rsp + 144]",
        "movaps xmm10, [rsp + 160]",
        "movaps xmm11, [rsp + 176]",
        "movaps xmm12, [rsp + 192]",
        "movaps xmm13, [rsp + 208]",
        "movaps xmm14, [rsp + 224]",
        "movaps xmm15, [rsp + 240]",
        "test byte ptr [rbp - 7], 4",
        "je 5f",
        "std",
        "5:",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// The system call has returned.
unsafe extern "C" fn made(number: usize, frame: &Frame) {
    // SAFETY: what the kernel was given and has answered.
    unsafe { hooks::made(number, &frame.arguments, frame.result) };
}

/// An exec, which is recorded before and may need another environment: made here.
unsafe extern "C" fn execute(number: usize, frame: &mut Frame) {
    frame.result = hooks::exec_at_site(number, &frame.arguments);
}

/// The C library's function for all calls at which a thread can be cancelled, where it has one.
#[unsafe(link_section = ".data")]
static CALLED: AtomicUsize = AtomicUsize::new(0);

/// Remembers that function. There is one: false for another.
pub fn calls(function: usize) -> bool {
    match CALLED.load(Relaxed) {
        0 => CALLED.store(function, Relaxed),
        known => return known == function,
    }
    true
}

/// What is called in its place, for the numbers that are watched: a function between the caller and it. A thread may be
/// cancelled in there and is unwound through us, as through a hook.
#[unsafe(naked)]
pub unsafe extern "C" fn cancellable() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push r9", // a `Frame`, from its end
        "push r8",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax",
        "push [rbp + 16]", // the number
        "call [rip + {function}]",
        "pop rdi",
        "mov [rsp], rax",
        "mov rsi, rsp",
        "lea rcx, [rip + {returned}]",
        "call {tell}",
        "pop rax",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
        function = sym CALLED,
        returned = sym returned,
        tell = sym tell,
    )
}

/// The C library's function has returned: -1 and `errno`, or what the kernel gave.
unsafe extern "C" fn returned(number: usize, frame: &Frame) {
    let result = if frame.result == -1 { hooks::failure() as isize } else { frame.result };
    // SAFETY: what the kernel was given and has answered.
    unsafe { hooks::made(number, &frame.arguments, result) };
}
