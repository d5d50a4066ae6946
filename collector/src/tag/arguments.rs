//! Arguments of calls as events have them: their fields' names, and numbers that Falco writes as text.

use super::flags;
use crate::event::Value;
use porthole_common::record::Call;

macro_rules! fields {
    ($($name:ident)*) => {
        /// The field of the argument with this name in a signature.
        pub(super) fn field(name: &str) -> Option<&'static str> {
            match name {
                $(stringify!($name) => Some(concat!("evt.arg.", stringify!($name))),)*
                "type" => Some("evt.arg.type"),
                _ => None,
            }
        }
    };
}

fields! {
    addr arg arg2_int backlog cmd data dev dir dirfd domain egid entries euid fd filename flags gid length linkdirfd
    linkpath mode mountfd name namespace new_root newdirfd newfd newpath nstype olddirfd oldfd oldpath option path
    pathname pid proto put_old request rgid ruid sgid sig size suid target tid uargs uid vlen
}

/// A number as C declares its argument: what is no `long` there is an `int`, whatever stood in the upper half of its
/// register.
pub(super) fn declared(call: Call, name: &str, n: i64) -> i64 {
    let long = matches!(name, "addr" | "arg" | "arg2_int" | "data" | "dev" | "length" | "size");
    if long || (call, name) == (Call::Mount, "flags") { n } else { i64::from(n as i32) }
}

/// A number as its event has it.
pub(super) fn number(call: Call, name: &str, n: i64) -> Value {
    let text = match (call, name) {
        (_, "domain") => family(n),
        (_, "dirfd" | "olddirfd" | "newdirfd" | "linkdirfd") if n == i64::from(libc::AT_FDCWD) => Some("AT_FDCWD"),
        (_, "sig") => signal(n),
        (Call::Chmod | Call::Fchmod | Call::Fchmodat | Call::Lchmod, "mode") => {
            return flags::permissions(n as u32).into();
        }
        (_, "mode") => return flags::mode(n as u32),
        (Call::Unshare, "flags") | (Call::Setns, "nstype") => return flags::namespaces(n as u32).into(),
        (Call::Ptrace, "request") => request(n),
        (Call::Bpf, "cmd") => bpf(n),
        (Call::Fcntl, "cmd") => duplicate(n),
        (_, "option") => option(n),
        _ => None,
    };
    text.map_or(Value::Number(n), Value::from)
}

/// Names of numbers.
macro_rules! names {
    ($($(#[$doc:meta])* $function:ident { $($number:pat => $name:literal,)* })*) => {$(
        $(#[$doc])*
        pub(super) fn $function(n: i64) -> Option<&'static str> {
            Some(match n {
                $($number => $name,)*
                _ => return None,
            })
        }
    )*};
}

names! {
    /// Socket families.
    family {
        0 => "AF_UNSPEC",
        1 => "AF_LOCAL|AF_UNIX",
        2 => "AF_INET",
        3 => "AF_AX25",
        4 => "AF_IPX",
        5 => "AF_APPLETALK",
        10 => "AF_INET6",
        15 => "AF_KEY",
        16 => "AF_NETLINK",
        17 => "AF_PACKET",
        29 => "AF_CAN",
        30 => "AF_TIPC",
        31 => "AF_BLUETOOTH",
        38 => "AF_ALG",
        40 => "AF_VSOCK",
        44 => "AF_XDP",
    }

    signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        16 => "SIGSTKFLT",
        17 => "SIGCHLD",
        18 => "SIGCONT",
        19 => "SIGSTOP",
        20 => "SIGTSTP",
        21 => "SIGTTIN",
        22 => "SIGTTOU",
        23 => "SIGURG",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        26 => "SIGVTALRM",
        27 => "SIGPROF",
        28 => "SIGWINCH",
        29 => "SIGIO",
        30 => "SIGPWR",
        31 => "SIGSYS",
    }

    /// Requests of ptrace on x86-64; those from 0x4200 on are the same everywhere.
    request {
        0 => "PTRACE_TRACEME",
        1 => "PTRACE_PEEKTEXT",
        2 => "PTRACE_PEEKDATA",
        3 => "PTRACE_PEEKUSR",
        4 => "PTRACE_POKETEXT",
        5 => "PTRACE_POKEDATA",
        6 => "PTRACE_POKEUSR",
        7 => "PTRACE_CONT",
        8 => "PTRACE_KILL",
        9 => "PTRACE_SINGLESTEP",
        12 => "PTRACE_GETREGS",
        13 => "PTRACE_SETREGS",
        14 => "PTRACE_GETFPREGS",
        15 => "PTRACE_SETFPREGS",
        16 => "PTRACE_ATTACH",
        17 => "PTRACE_DETACH",
        24 => "PTRACE_SYSCALL",
        0x4200 => "PTRACE_SETOPTIONS",
        0x4201 => "PTRACE_GETEVENTMSG",
        0x4202 => "PTRACE_GETSIGINFO",
        0x4203 => "PTRACE_SETSIGINFO",
        0x4204 => "PTRACE_GETREGSET",
        0x4205 => "PTRACE_SETREGSET",
        0x4206 => "PTRACE_SEIZE",
        0x4207 => "PTRACE_INTERRUPT",
        0x4208 => "PTRACE_LISTEN",
        0x4209 => "PTRACE_PEEKSIGINFO",
        0x420a => "PTRACE_GETSIGMASK",
        0x420b => "PTRACE_SETSIGMASK",
    }

    bpf {
        0 => "BPF_MAP_CREATE",
        1 => "BPF_MAP_LOOKUP_ELEM",
        2 => "BPF_MAP_UPDATE_ELEM",
        3 => "BPF_MAP_DELETE_ELEM",
        4 => "BPF_MAP_GET_NEXT_KEY",
        5 => "BPF_PROG_LOAD",
        6 => "BPF_OBJ_PIN",
        7 => "BPF_OBJ_GET",
        8 => "BPF_PROG_ATTACH",
        9 => "BPF_PROG_DETACH",
        10 => "BPF_PROG_TEST_RUN",
        11 => "BPF_PROG_GET_NEXT_ID",
        12 => "BPF_MAP_GET_NEXT_ID",
        13 => "BPF_PROG_GET_FD_BY_ID",
        14 => "BPF_MAP_GET_FD_BY_ID",
        15 => "BPF_OBJ_GET_INFO_BY_FD",
        16 => "BPF_PROG_QUERY",
        17 => "BPF_RAW_TRACEPOINT_OPEN",
        18 => "BPF_BTF_LOAD",
        28 => "BPF_LINK_CREATE",
    }

    /// Commands of fcntl that give a new descriptor.
    duplicate {
        0 => "F_DUPFD",
        1030 => "F_DUPFD_CLOEXEC",
    }

    /// Options of prctl.
    option {
        1 => "PR_SET_PDEATHSIG",
        4 => "PR_SET_DUMPABLE",
        8 => "PR_SET_KEEPCAPS",
        15 => "PR_SET_NAME",
        22 => "PR_SET_SECCOMP",
        24 => "PR_CAPBSET_DROP",
        28 => "PR_SET_SECUREBITS",
        35 => "PR_SET_MM",
        36 => "PR_SET_CHILD_SUBREAPER",
        38 => "PR_SET_NO_NEW_PRIVS",
        47 => "PR_CAP_AMBIENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_of_every_signature_has_a_field() {
        for call in Call::ALL {
            for (name, _) in call.signature().map_or(&[][..], |s| s.arguments).iter().filter(|(n, _)| !n.is_empty()) {
                assert_eq!(field(name), Some(format!("evt.arg.{name}").as_str()), "{call:?}");
            }
        }
    }

    #[test]
    fn numbers_are_texts_where_falco_has_them() {
        for (call, name, n, text) in [
            (Call::Socket, "domain", 17, "AF_PACKET"),
            (Call::Unlinkat, "dirfd", -100, "AT_FDCWD"),
            (Call::Chmod, "mode", 0o4700, "S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"),
            (Call::Mkdir, "mode", 0o755, "0755"),
            (Call::Kill, "sig", 15, "SIGTERM"),
            (Call::Setns, "nstype", 0x4002_0000, "CLONE_NEWNS|CLONE_NEWNET"),
            (Call::Ptrace, "request", 16, "PTRACE_ATTACH"),
            (Call::Bpf, "cmd", 5, "BPF_PROG_LOAD"),
            (Call::SetName, "option", 15, "PR_SET_NAME"),
        ] {
            assert_eq!(number(call, name, n), text.into(), "{call:?}");
        }
        for (call, name, n) in [(Call::Unlinkat, "dirfd", 3), (Call::Kill, "sig", 99), (Call::Unlinkat, "flags", 512)] {
            assert_eq!(number(call, name, n), n.into(), "{call:?}");
        }
    }
}
