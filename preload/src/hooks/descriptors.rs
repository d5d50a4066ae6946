//! Descriptors duplicated.

use super::{calls, trampoline};

calls! { after
    dup => Dup, Int;
    dup2 => Dup2, Int;
    dup3 => Dup3, Int;
}

/// fcntl does many things; only duplicating is told.
macro_rules! duplicating {
    ($($name:ident)*) => {$(
        #[cfg_attr(porthole_agent, unsafe(no_mangle))]
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
                "test esi, esi",
                "je {after}",
                "cmp esi, {duplicate}",
                "je {after}",
                concat!("mov r10, [rip + porthole_next_", stringify!($name), "]"),
                "cmp r10, {none}",
                "jbe {after}", // not looked up yet
                "jmp r10",
                shape = const match porthole_common::record::Call::Fcntl.signature() { Some(s) => s.shape(), None => 0 },
                call = const porthole_common::record::Call::Fcntl as u8,
                what = const super::After::Duplicate as u8,
                duplicate = const F_DUPFD_CLOEXEC,
                none = const crate::next::Next::NONE,
                after = sym trampoline::after,
            )
        }
    )*};
}

/// `F_DUPFD` is 0.
const F_DUPFD_CLOEXEC: i32 = 1030;

duplicating! { fcntl fcntl64 }

/// Whether a call of fcntl duplicates.
pub fn duplicates(command: usize) -> bool {
    command as i32 == 0 || command as i32 == F_DUPFD_CLOEXEC
}
