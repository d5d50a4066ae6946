//! The libc calls that records are made of.

use crate::msgpack::{Malformed, Reader};

macro_rules! calls {
    ($($name:ident = $number:literal,)*) => {
        /// The libc call behind a record. Numbers are shared by all kinds; what the kernel is asked follows from them
        /// (`evt.type`, see `docs/WIRE.md`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // the calls' own names
        pub enum Call {
            $($name = $number,)*
        }

        impl Call {
            /// Every call, in the order of their numbers.
            pub const ALL: &[Call] = &[$(Call::$name,)*];

            /// The call with this number.
            pub fn from_number(n: u8) -> Option<Call> {
                match n {
                    $($number => Some(Call::$name),)*
                    _ => None,
                }
            }
        }
    };
}

calls! {
    Execve = 1,
    Execv = 2,
    Execvp = 3,
    Execvpe = 4,
    Execl = 5,
    Execlp = 6,
    Execle = 7,
    Fexecve = 8,
    Execveat = 9,
    PosixSpawn = 10,
    PosixSpawnp = 11,
    System = 12,
    Popen = 13,
    Open = 20,
    Openat = 21,
    Creat = 22,
    Fopen = 23,
    Freopen = 24,
    Opendir = 25,
    Openat2 = 26,
    OpenByHandleAt = 27,
    Scandir = 28,
    Ftw = 29,
    Connect = 30,
    Glob = 31,
    Mkstemp = 32,
    Tmpfile = 33,
    ShmOpen = 34,
    FtsOpen = 35,
    Load = 36,
    Fork = 40,
    Chdir = 50,
    Fchdir = 51,
    Exit = 60,
    ExitNow = 61,
    Prctl = 70,
    Seccomp = 71,
    Socket = 80,
    Bind = 81,
    Listen = 82,
    Accept = 83,
    Accept4 = 84,
    Sendto = 85,
    Sendmsg = 86,
    Sendmmsg = 87,
    Recvfrom = 88,
    Recvmsg = 89,
    Socketpair = 90,
    Recvmmsg = 91,
    Rename = 100,
    Renameat = 101,
    Renameat2 = 102,
    Unlink = 103,
    Unlinkat = 104,
    Remove = 105,
    Rmdir = 106,
    Mkdir = 107,
    Mkdirat = 108,
    Link = 109,
    Linkat = 110,
    Symlink = 111,
    Symlinkat = 112,
    Mknod = 113,
    Mknodat = 114,
    Chmod = 120,
    Fchmod = 121,
    Fchmodat = 122,
    Lchmod = 123,
    Chown = 124,
    Fchown = 125,
    Lchown = 126,
    Fchownat = 127,
    Truncate = 128,
    Ftruncate = 129,
    Mount = 140,
    Umount = 141,
    Umount2 = 142,
    PivotRoot = 143,
    Chroot = 144,
    Setns = 145,
    Unshare = 146,
    Setuid = 150,
    Setgid = 151,
    Setreuid = 152,
    Setregid = 153,
    Setresuid = 154,
    Setresgid = 155,
    Seteuid = 156,
    Setegid = 157,
    Setgroups = 158,
    Setfsuid = 159,
    Setfsgid = 160,
    Capset = 161,
    Setsid = 162,
    Dup = 170,
    Dup2 = 171,
    Dup3 = 172,
    Fcntl = 173,
    Kill = 180,
    Tgkill = 181,
    Ptrace = 182,
    ProcessVmReadv = 183,
    ProcessVmWritev = 184,
    MemfdCreate = 185,
    InitModule = 186,
    FinitModule = 187,
    DeleteModule = 188,
    Bpf = 189,
    Userfaultfd = 190,
    IoUringSetup = 191,
    PidfdSendSignal = 192,
    PidfdOpen = 193,
    SetName = 194,
    Dlopen = 200,
    Dlmopen = 201,
    Getaddrinfo = 210,
    Gethostbyname = 211,
    Gethostbyname2 = 212,
}

impl Call {
    pub(super) fn read(r: &mut Reader) -> Result<Call, Malformed> {
        Call::from_number(r.number()?).ok_or(Malformed::Range)
    }
}
