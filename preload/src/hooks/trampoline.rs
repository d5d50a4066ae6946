//! The bodies that most hooks share.
//!
//! A hook made by [`calls!`] is two instructions: the address of its [`Hook`], and a jump. [`after`] calls the next
//! definition with the arguments as they came and then records; [`before`] records and then jumps to the next
//! definition, which so sees the program's own return address (`dlopen` looks at its caller) and may never return.

use super::{descriptors, from_kernel, lookup, open, outcome, shell, sockets, stdio};
use crate::capture::c_str;
use crate::{next, record, sites};
use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use porthole_common::record::Call;

/// What is recorded after a function has returned.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum After {
    /// The call as its signature says; it returns an `int`.
    Int,
    /// The same; it returns a `long`.
    Long,
    /// Two ids of the caller's before the call are what it returns (setfsuid).
    Plain,
    /// open: path, flags, mode.
    Open,
    /// openat: directory, path, flags, mode.
    Openat,
    /// creat: path, mode.
    Creat,
    /// connect.
    Connect,
    /// fcntl, when it duplicates a descriptor.
    Duplicate,
    /// socket: what kind of a socket it is, is kept.
    Socket,
    /// accept: the peer is asked for.
    Accept,
    /// send, receive: the first record of each address.
    Traffic,
    /// fopen, freopen: path, mode string.
    Stream,
    /// opendir.
    Directory,
    /// A path that is opened inside, as a directory; it returns an `int`, negative if that failed.
    Walk,
    /// mkstemp and the like: a template that now is the path; a descriptor.
    Template,
    /// tmpfile.
    Temporary,
    /// shm_open.
    Shared,
    /// glob: a pattern.
    Pattern,
    /// fts_open: an array of paths.
    Paths,
    /// getaddrinfo.
    Addresses,
    /// gethostbyname.
    Host,
    /// gethostbyname_r: the answer lies where an argument says; its number in front of that argument's.
    HostInto,
}

/// What is recorded before a function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Before {
    /// The call as its signature says, without a result.
    Call,
    /// The process ends.
    Exit,
    /// A shell is started.
    Shell,
}

/// What is fixed about one hook. Lies in the read-only data; made by [`calls!`].
#[repr(C)]
pub struct Hook {
    /// Distance from here to the word that caches the next definition.
    next: i32,
    /// [`porthole_common::record::signature::Signature::shape`].
    shape: u32,
    /// The call.
    call: Call,
    /// What to do: [`After`] or [`Before`].
    what: u8,
    /// The function's name, NUL-terminated.
    name: [u8; 0],
}

/// One call of a hooked function.
#[repr(C)]
pub struct Frame {
    /// What the function returned.
    pub result: usize,
    /// Its arguments; what stands in registers beyond them is meaningless.
    pub arguments: [usize; 6],
    hook: &'static Hook,
}

/// Declares hooks: `name => Call, What;`, the body in front: [`after`], [`before`], [`duplicating`].
macro_rules! calls {
    ($when:ident $($name:ident => $call:ident, $what:ident;)*) => {$(
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
        #[allow(non_snake_case)] // the C library's own names
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".pushsection .data.porthole_next,\"aw\",@progbits",
                ".p2align 3",
                concat!("porthole_next_", stringify!($name), ": .quad 0"),
                ".popsection",
                ".pushsection .rodata.porthole_hooks,\"a\",@progbits",
                ".p2align 2",
                concat!("porthole_hook_", stringify!($name), ":"),
                concat!(".long porthole_next_", stringify!($name), " - porthole_hook_", stringify!($name)),
                ".long {shape}",
                ".byte {call}, {what}",
                concat!(".asciz \"", stringify!($name), "\""),
                ".popsection",
                concat!("lea r11, [rip + porthole_hook_", stringify!($name), "]"),
                "jmp {common}",
                shape = const porthole_common::record::Call::$call.shape(),
                call = const porthole_common::record::Call::$call as u8,
                what = const calls!(@what $when $what) as u8,
                common = sym $crate::hooks::trampoline::$when,
            )
        }
    )*};
    (@what duplicating $what:ident) => { $crate::hooks::After::$what };
    (@what after $what:ident) => { $crate::hooks::After::$what };
    (@what before $what:ident) => { $crate::hooks::Before::$what };
}
pub(super) use calls;

/// `rax` and the argument registers are the caller's, `r11` is the [`Hook`].
#[unsafe(naked)]
pub unsafe extern "C" fn after() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push r11", // a `Frame`, from its end
        "push r9",
        "push r8",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax", // the number of vector registers, for functions with `...`
        "movsxd r10, dword ptr [r11]",
        "mov r10, [r11 + r10]",
        "cmp r10, {none}",
        "jbe 3f",
        "2:",
        "push qword ptr [rbp + 24]", // a seventh argument stands on the stack; two, for the alignment
        "push qword ptr [rbp + 16]",
        "call r10",
        "lea rdi, [rbp - 64]",
        "mov [rdi], rax",
        "call {recorded}",
        "mov rax, [rbp - 64]",
        "leave",
        ".cfi_remember_state",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_restore_state",
        "3:", // not looked up yet
        "mov rdi, r11",
        "call {look_up}",
        "mov r10, rax",
        "mov rax, [rsp]",
        "mov rdi, [rsp + 8]",
        "mov rsi, [rsp + 16]",
        "mov rdx, [rsp + 24]",
        "mov rcx, [rsp + 32]",
        "mov r8, [rsp + 40]",
        "mov r9, [rsp + 48]",
        "jmp 2b",
        ".cfi_endproc",
        none = const next::Next::NONE,
        recorded = sym recorded_after,
        look_up = sym look_up,
    )
}

/// As [`after`], but the next definition takes our place.
#[unsafe(naked)]
pub unsafe extern "C" fn before() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push r11",
        "push r9",
        "push r8",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax",
        "mov rdi, rsp",
        "call {recorded}",
        "mov rdi, [rsp + 56]",
        "call {look_up}",
        "mov r10, rax",
        "pop rax",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop r8",
        "pop r9",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "jmp r10",
        ".cfi_endproc",
        recorded = sym recorded_before,
        look_up = sym look_up_before,
    )
}

/// [`after`] for fcntl when its command duplicates a descriptor; every other passes through in a few instructions.
#[unsafe(naked)]
pub unsafe extern "C" fn duplicating() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "test esi, esi",
        "je {after}",
        "cmp esi, {duplicate}",
        "je {after}",
        "movsxd r10, dword ptr [r11]",
        "mov r10, [r11 + r10]",
        "cmp r10, {none}",
        "jbe {after}", // not looked up yet
        "jmp r10",
        ".cfi_endproc",
        duplicate = const descriptors::F_DUPFD_CLOEXEC,
        none = const next::Next::NONE,
        after = sym after,
    )
}

impl Hook {
    fn name(&'static self) -> &'static [u8] {
        // SAFETY: `calls!` puts the name behind the other fields, with a NUL.
        unsafe { c_str(self.name.as_ptr().cast(), 64) }
    }

    fn next(&'static self) -> &'static AtomicUsize {
        // SAFETY: `calls!` makes the word and measures the distance.
        unsafe { &*(&raw const *self).cast::<u8>().offset(self.next as isize).cast::<AtomicUsize>() }
    }
}

/// The next definition; where there is none, a function that fails.
extern "C" fn look_up(hook: &'static Hook) -> usize {
    found(
        hook,
        if returns_pointer(hook.what) { no_pointer as *const () as usize } else { no_function as *const () as usize },
    )
}

/// [`look_up`] for [`before`]: `dlopen` may be missing, where it has a library of its own that is not loaded.
extern "C" fn look_up_before(hook: &'static Hook) -> usize {
    found(hook, no_pointer as *const () as usize)
}

fn found(hook: &'static Hook, missing: usize) -> usize {
    let known = hook.next().load(Relaxed);
    if known > next::Next::NONE {
        return known;
    }
    let found = next::definition(hook.name()).unwrap_or(missing);
    hook.next().store(found, Relaxed);
    found
}

fn returns_pointer(what: u8) -> bool {
    [After::Stream, After::Directory, After::Temporary, After::Paths, After::Host].iter().any(|w| *w as u8 == what)
}

extern "C" fn no_function() -> isize {
    from_kernel(-(crate::sys::ENOSYS as isize)) as isize
}

extern "C" fn no_pointer() -> usize {
    no_function();
    0
}

extern "C" fn recorded_after(frame: &mut Frame) {
    let hook = frame.hook;
    let [a, b, c, d, ..] = frame.arguments;
    let result = frame.result as c_int;
    // SAFETY: `calls!` stores an `After` for this body.
    let what = unsafe { core::mem::transmute::<u8, After>(hook.what) };
    // SAFETY: in each case the arguments of a function that the handler is made for.
    unsafe {
        match what {
            After::Open => open::hooked(hook.call, result, crate::sys::AT_FDCWD, a, b, c),
            After::Openat => open::hooked(hook.call, result, a as c_int, b, c, d),
            After::Creat => open::hooked(hook.call, result, crate::sys::AT_FDCWD, a, open::CREAT, b),
            After::Connect if sites::tells_connect() => {}
            After::Connect => super::connected(a as c_int, b, c, outcome(result)),
            what => rarely(what, frame, result),
        }
    }
}

/// # Safety
/// `frame` is one of a function with this `what`.
#[inline(never)]
unsafe fn rarely(what: After, frame: &Frame, result: c_int) {
    let hook = frame.hook;
    let arguments = &frame.arguments;
    // SAFETY: the caller's promise.
    unsafe {
        match what {
            After::Duplicate if !descriptors::duplicates(arguments[1]) => {}
            After::Int | After::Duplicate => record::called(hook.call, hook.shape, arguments, outcome(result) as isize),
            After::Long => {
                let long = frame.result as isize;
                record::called(
                    hook.call,
                    hook.shape,
                    arguments,
                    if long == -1 { super::failure() as isize } else { long },
                );
            }
            After::Plain => record::called(hook.call, hook.shape, arguments, result as isize),
            After::Socket => sockets::made(hook.call, hook.shape, arguments, outcome(result)),
            After::Accept => sockets::accepted(hook.call, hook.shape, arguments, outcome(result)),
            After::Traffic => sockets::traffic(hook.call, hook.shape, arguments, frame.result as isize),
            After::Addresses | After::Host | After::HostInto => lookup::done(what, hook.call, arguments, frame.result),
            _ => stdio::done(what, hook.call, arguments, frame.result),
        }
    }
}

extern "C" fn recorded_before(frame: &mut Frame) {
    let hook = frame.hook;
    let [a, ..] = frame.arguments;
    // SAFETY: `calls!` stores a `Before` for this body.
    match unsafe { core::mem::transmute::<u8, Before>(hook.what) } {
        // SAFETY: the function's own arguments.
        Before::Call => unsafe { record::called(hook.call, hook.shape, &frame.arguments, 0) },
        Before::Exit => super::process::ending(hook.call, a as c_int),
        Before::Shell => shell::starting(hook.call, a as *const _),
    }
}
