//! System calls, made directly: they never touch `errno` and no other library can hook them.
//!
//! Results are the kernel's: a negative errno, or the value.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

use core::ffi::{c_char, c_int, c_void};

/// `AT_EMPTY_PATH`.
pub const AT_EMPTY_PATH: c_int = 0x1000;
/// `AT_FDCWD`.
pub const AT_FDCWD: c_int = -100;
/// `O_RDONLY`.
pub const O_RDONLY: c_int = 0;
/// `O_RDWR`.
pub const O_RDWR: c_int = 2;
/// `O_CREAT`.
pub const O_CREAT: c_int = 0o100;
/// `O_EXCL`.
pub const O_EXCL: c_int = 0o200;
/// `O_NOCTTY`.
pub const O_NOCTTY: c_int = 0o400;
/// `O_TRUNC`.
pub const O_TRUNC: c_int = 0o1000;
/// `O_APPEND`.
pub const O_APPEND: c_int = 0o2000;
/// `O_NONBLOCK`.
pub const O_NONBLOCK: c_int = 0o4000;
/// `O_DIRECTORY` (x86-64).
pub const O_DIRECTORY: c_int = 0o200000;
/// `O_NOFOLLOW` (x86-64).
pub const O_NOFOLLOW: c_int = 0o400000;
/// `O_CLOEXEC`.
pub const O_CLOEXEC: c_int = 0o2000000;
/// The bit that tells `O_TMPFILE` from `O_DIRECTORY`.
pub const O_TMPFILE_BIT: c_int = 0o20000000;
/// `EBADF`.
pub const EBADF: c_int = 9;
/// `EFAULT`.
pub const EFAULT: c_int = 14;
/// `EINVAL`.
pub const EINVAL: c_int = 22;
/// `EMFILE`.
pub const EMFILE: c_int = 24;
/// `ENOSYS`.
pub const ENOSYS: c_int = 38;
/// `E2BIG`.
pub const E2BIG: c_int = 7;

/// Path argument: NUL-terminated.
pub type Path = *const c_char;

/// openat(2).
pub fn openat(dir: c_int, path: Path, flags: c_int, mode: u32) -> isize {
    call4(nr::OPENAT, dir as usize, path as usize, flags as usize, mode as usize)
}
/// unlink(2).
pub fn unlink(path: Path) {
    call3(nr::UNLINKAT, AT_FDCWD as usize, path as usize, 0);
}
/// close(2).
pub fn close(fd: c_int) {
    call1(nr::CLOSE, fd as usize);
}
/// ftruncate(2).
pub fn ftruncate(fd: c_int, len: usize) -> isize {
    call2(nr::FTRUNCATE, fd as usize, len)
}
/// fallocate(2) of the whole file.
pub fn fallocate(fd: c_int, len: usize) -> isize {
    call4(nr::FALLOCATE, fd as usize, 0, 0, len)
}
/// mmap(2) of a file, shared and writable.
pub fn map_shared(fd: c_int, len: usize) -> isize {
    call6(nr::MMAP, 0, len, 3, 1, fd as usize, 0)
}
/// mmap(2) of private memory.
pub fn map_private(len: usize) -> isize {
    call6(nr::MMAP, 0, len, 3, 0x22, usize::MAX, 0)
}
/// munmap(2).
pub fn unmap(at: usize, len: usize) {
    call2(nr::MUNMAP, at, len);
}
/// madvise(2).
pub fn madvise(at: usize, len: usize, advice: usize) -> isize {
    call3(nr::MADVISE, at, len, advice)
}
/// `MADV_WIPEONFORK` (Linux 4.14).
pub const MADV_WIPEONFORK: usize = 18;
/// `MADV_POPULATE_WRITE` (Linux 5.14): allocates the pages, or fails where a write would raise SIGBUS.
pub const MADV_POPULATE_WRITE: usize = 23;

/// getpid(2).
pub fn getpid() -> u32 {
    call0(nr::GETPID) as u32
}
/// getppid(2).
pub fn getppid() -> u32 {
    call0(nr::GETPPID) as u32
}
/// getpgid(0).
pub fn getpgid() -> u32 {
    call1(nr::GETPGID, 0) as u32
}
/// getsid(0).
pub fn getsid() -> u32 {
    call1(nr::GETSID, 0) as u32
}
/// getresuid(2) or getresgid(2): real, effective and saved id.
pub fn getres(number: usize) -> [u32; 3] {
    let mut ids = [0u32; 3];
    let [a, b, c] = &mut ids;
    call3(number, a as *mut u32 as usize, b as *mut u32 as usize, c as *mut u32 as usize);
    ids
}
/// The effective capabilities of the caller.
pub fn effective_capabilities() -> u64 {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data = [0u32; 6];
    call2(nr::CAPGET, header.as_ptr() as usize, data.as_mut_ptr() as usize);
    u64::from(data[3]) << 32 | u64::from(data[0])
}
/// getcwd(2) into `buf`: the path without its NUL, empty if it does not fit or is not reachable.
pub fn getcwd(buf: &mut [u8]) -> &[u8] {
    let n = call2(nr::GETCWD, buf.as_mut_ptr() as usize, buf.len());
    match buf.get(..(n - 1).max(0) as usize) {
        Some(path) if path.first() == Some(&b'/') => path,
        _ => &[],
    }
}
/// The soft limit of `resource`.
pub fn soft_limit(resource: usize) -> u64 {
    let mut limit = [u64::MAX; 2];
    call4(nr::PRLIMIT64, 0, resource, 0, limit.as_mut_ptr() as usize);
    limit[0]
}
/// `RLIMIT_FSIZE`.
pub const RLIMIT_FSIZE: usize = 1;
/// `RLIMIT_AS`.
pub const RLIMIT_AS: usize = 9;

/// prctl(2).
pub fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> isize {
    call6(nr::PRCTL, option as usize, a, b, c, d, 0)
}
/// A Unix socket of packets, closed on exec, that never waits.
pub fn packet_socket() -> isize {
    call3(nr::SOCKET, 1, 5 | 0o2000000 | 0o4000, 0)
}
/// connect(2).
pub fn connect(fd: c_int, addr: *const c_void, len: usize) -> isize {
    call3(nr::CONNECT, fd as usize, addr as usize, len)
}
/// Bytes of the largest internet address: `struct sockaddr_in6`.
pub const INTERNET_ADDRESS: usize = 28;
/// getsockname(2): a socket's own end, empty if it is of no internet family.
pub fn own_address(fd: c_int, buf: &mut [u8; INTERNET_ADDRESS]) -> &[u8] {
    address(nr::GETSOCKNAME, fd, buf)
}
/// getpeername(2): the other end, cut to [`INTERNET_ADDRESS`] bytes.
pub fn peer_address(fd: c_int, buf: &mut [u8; INTERNET_ADDRESS]) -> &[u8] {
    address(nr::GETPEERNAME, fd, buf)
}
fn address(number: usize, fd: c_int, buf: &mut [u8; INTERNET_ADDRESS]) -> &[u8] {
    let mut len = INTERNET_ADDRESS as u32;
    if call3(number, fd as usize, buf.as_mut_ptr() as usize, &raw mut len as usize) != 0 {
        return &[];
    }
    buf.get(..(len as usize).min(INTERNET_ADDRESS)).unwrap_or(&[])
}
/// mprotect(2).
pub fn protect(at: usize, len: usize, protection: usize) -> isize {
    call3(nr::MPROTECT, at, len, protection)
}
/// send(2) that neither waits nor signals.
pub fn send(fd: c_int, bytes: &[u8]) -> isize {
    call6(nr::SENDTO, fd as usize, bytes.as_ptr() as usize, bytes.len(), 0x4040, 0, 0)
}
/// faccessat(2).
pub fn access(dir: c_int, path: Path, mode: c_int) -> isize {
    call3(nr::FACCESSAT, dir as usize, path as usize, mode as usize)
}
/// pread(2).
pub fn pread(fd: c_int, buf: &mut [u8], at: usize) -> isize {
    call4(nr::PREAD64, fd as usize, buf.as_mut_ptr() as usize, buf.len(), at)
}
/// readlink(2).
pub fn readlink(path: Path, buf: &mut [u8]) -> isize {
    call4(nr::READLINKAT, AT_FDCWD as usize, path as usize, buf.as_mut_ptr() as usize, buf.len())
}
/// Mode, owner and group of a file, or a negative errno.
pub fn stat(dir: c_int, path: Path, flags: c_int) -> Result<FileStat, isize> {
    let mut st = RawStat::ZERO;
    match call4(nr::NEWFSTATAT, dir as usize, path as usize, &raw mut st as usize, flags as usize) {
        0 => Ok(FileStat { inode: st.dev_ino_nlink[1], mode: st.mode, uid: st.uid, gid: st.rest[0] as u32 }),
        e => Err(e),
    }
}
/// What [`stat`] tells.
pub struct FileStat {
    /// `st_ino`.
    pub inode: u64,
    /// `st_mode`.
    pub mode: u32,
    /// `st_uid`.
    pub uid: u32,
    /// `st_gid`.
    pub gid: u32,
}
/// Whether an open file has this extended attribute.
pub fn has_attribute(fd: c_int, name: &core::ffi::CStr) -> bool {
    call4(nr::FGETXATTR, fd as usize, name.as_ptr() as usize, 0, 0) > 0
}
/// nanosleep(2).
pub fn sleep_ns(ns: u64) {
    let time = [0u64, ns];
    call2(nr::NANOSLEEP, time.as_ptr() as usize, 0);
}
