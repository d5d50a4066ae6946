//! Why a call may be missed: what asked the kernel was not the program by a function that is hooked.

use super::programs::Through;

const NAMES: &str = "inside the C library: its name service";
const LOADER: &str = "inside the loader: dlopen";
const LOCALE: &str = "inside the C library: locales and character sets";
const SYSTEM: &str = "inside the C library: what the system is like (sysconf, getlogin and the like)";

/// Text that a missed call starts with, after its name, and who makes it.
const INSIDE: &[(&str, &str)] = &[
    ("/var/run/nscd/socket ", NAMES),
    ("/etc/nsswitch.conf ", NAMES),
    ("/etc/passwd ", NAMES),
    ("/etc/group ", NAMES),
    ("/etc/shadow ", NAMES),
    ("/etc/services ", NAMES),
    ("/etc/protocols ", NAMES),
    ("/etc/hosts ", NAMES),
    ("/etc/host.conf ", NAMES),
    ("/etc/resolv.conf ", NAMES),
    ("/etc/gai.conf ", NAMES),
    ("/run/systemd/userdb", NAMES),
    ("AF_UNSPEC ", "inside the C library: getaddrinfo sorts addresses"),
    ("0.0.0.0:", "inside the C library: getaddrinfo sorts addresses"),
    ("[::]:", "inside the C library: getaddrinfo sorts addresses"),
    ("/etc/localtime ", "inside the C library: time zones"),
    ("/usr/share/zoneinfo/", "inside the C library: time zones"),
    ("/etc/ld.so.cache ", LOADER),
    ("/usr/lib/locale/", LOCALE),
    ("/usr/share/locale/", LOCALE),
    ("/usr/lib/x86_64-linux-gnu/gconv/", LOCALE),
    ("/sys/devices/system/", SYSTEM),
    ("/proc/sys/kernel/", SYSTEM),
    ("/sys/fs/cgroup/", SYSTEM),
    ("/proc/self/maps ", "inside the C library: pthread_getattr_np"),
    ("/dev/shm/sem.", "inside the C library: sem_open"),
];

/// The reason, or `None`: such a call should have been recorded.
pub fn why(through: Through, depth: &str, missed: &str) -> Option<&'static str> {
    let (call, asked) = missed.split_once(' ')?;
    if call.starts_with("exec") {
        return None;
    }
    match through {
        Through::Raw => Some("outside any C library: a system call of its own"),
        Through::Glibc if depth != "symbols" => None,
        Through::Glibc | Through::Musl if call.ends_with("(O_PATH)") => Some("inside the C library: fchmodat"),
        Through::Glibc | Through::Musl => inside(asked),
    }
}

fn inside(asked: &str) -> Option<&'static str> {
    let path = asked.split(' ').next().unwrap_or("");
    let known = INSIDE.iter().find(|(start, _)| asked.starts_with(start)).map(|(_, why)| *why);
    known.or_else(|| path.rsplit('/').next()?.contains(".so").then_some(LOADER))
}
