//! What the arguments of a call are: the table that the agent encodes by and the collector decodes by.

use super::Call;

/// What one argument of a libc function is, and so how it stands in a [`super::Called`] record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Not recorded.
    Skip = 0,
    /// A number: a descriptor, flags, a mode, an id.
    Number = 1,
    /// A path, as given.
    Path = 2,
    /// Any other string.
    Text = 3,
    /// A `struct sockaddr` that the program passes; its length is the next argument.
    Address = 4,
    /// A `struct sockaddr` that the call fills in; a pointer to its length is the next argument.
    Peer = 5,
    /// A `struct msghdr` with an address of its own.
    Message = 6,
}

/// Name (Falco's, where Falco has the call) and kind of an argument. A skipped one has no name.
pub type Argument = (&'static str, Kind);

/// How a call is told: its event and its arguments, in the order of the C function. What stands behind the last one is
/// skipped.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// `evt.type`: the system call on x86-64.
    pub event: &'static str,
    /// The arguments, at most six.
    pub arguments: &'static [Argument],
}

impl Signature {
    /// The kinds, four bits each, the first argument lowest.
    pub const fn shape(&self) -> u32 {
        let mut shape = 0;
        let mut n = 0;
        while n < self.arguments.len() {
            shape |= (self.arguments[n].1 as u32) << (4 * n);
            n += 1;
        }
        shape
    }
}

macro_rules! signatures {
    ($($call:ident $event:ident ( $($kind:ident $(($name:ident))?),* );)*) => {
        impl Call {
            /// [`Signature::shape`]; 0 without a signature.
            pub const fn shape(self) -> u32 {
                match self.signature() {
                    Some(signature) => signature.shape(),
                    None => 0,
                }
            }

            /// The signature of a call that is told by a [`super::Called`] record.
            pub const fn signature(self) -> Option<Signature> {
                match self {
                    $(Call::$call => Some(Signature {
                        event: stringify!($event),
                        arguments: &[$((concat!($(stringify!($name))?), Kind::$kind)),*],
                    }),)*
                    _ => None,
                }
            }
        }
    };
}

signatures! {
    OpenByHandleAt open_by_handle_at(Number(mountfd), Skip, Number(flags));
    Prctl prctl(Number(option), Number(arg2_int));
    Socket socket(Number(domain), Number(type), Number(proto));
    Bind bind(Number(fd), Address(addr));
    Listen listen(Number(fd), Number(backlog));
    Accept accept(Number(fd), Peer(addr));
    Accept4 accept4(Number(fd), Peer(addr), Skip, Number(flags));
    Sendto sendto(Number(fd), Skip, Number(size), Number(flags), Address(addr));
    Sendmsg sendmsg(Number(fd), Message(addr), Number(flags));
    Sendmmsg sendmmsg(Number(fd), Message(addr), Number(vlen), Number(flags));
    Recvfrom recvfrom(Number(fd), Skip, Number(size), Number(flags), Peer(addr));
    Recvmsg recvmsg(Number(fd), Message(addr), Number(flags));
    Socketpair socketpair(Number(domain), Number(type), Number(proto));
    Recvmmsg recvmmsg(Number(fd), Message(addr), Number(vlen), Number(flags));
    Rename rename(Path(oldpath), Path(newpath));
    Renameat renameat(Number(olddirfd), Path(oldpath), Number(newdirfd), Path(newpath));
    Renameat2 renameat2(Number(olddirfd), Path(oldpath), Number(newdirfd), Path(newpath), Number(flags));
    Unlink unlink(Path(path));
    Unlinkat unlinkat(Number(dirfd), Path(name), Number(flags));
    Remove unlink(Path(path));
    Rmdir rmdir(Path(path));
    Mkdir mkdir(Path(path), Number(mode));
    Mkdirat mkdirat(Number(dirfd), Path(path), Number(mode));
    Link link(Path(oldpath), Path(newpath));
    Linkat linkat(Number(olddirfd), Path(oldpath), Number(newdirfd), Path(newpath), Number(flags));
    Symlink symlink(Path(target), Path(linkpath));
    Symlinkat symlinkat(Path(target), Number(linkdirfd), Path(linkpath));
    Mknod mknod(Path(path), Number(mode), Number(dev));
    Mknodat mknodat(Number(dirfd), Path(path), Number(mode), Number(dev));
    Chmod chmod(Path(filename), Number(mode));
    Fchmod fchmod(Number(fd), Number(mode));
    Fchmodat fchmodat(Number(dirfd), Path(filename), Number(mode), Number(flags));
    Lchmod fchmodat(Path(filename), Number(mode));
    Chown chown(Path(path), Number(uid), Number(gid));
    Fchown fchown(Number(fd), Number(uid), Number(gid));
    Lchown lchown(Path(path), Number(uid), Number(gid));
    Fchownat fchownat(Number(dirfd), Path(pathname), Number(uid), Number(gid), Number(flags));
    Truncate truncate(Path(path), Number(length));
    Ftruncate ftruncate(Number(fd), Number(length));
    Mount mount(Path(dev), Path(dir), Text(type), Number(flags));
    Umount umount2(Path(name));
    Umount2 umount2(Path(name), Number(flags));
    PivotRoot pivot_root(Path(new_root), Path(put_old));
    Chroot chroot(Path(path));
    Setns setns(Number(fd), Number(nstype));
    Unshare unshare(Number(flags));
    Setuid setuid(Number(uid));
    Setgid setgid(Number(gid));
    Setreuid setreuid(Number(ruid), Number(euid));
    Setregid setregid(Number(rgid), Number(egid));
    Setresuid setresuid(Number(ruid), Number(euid), Number(suid));
    Setresgid setresgid(Number(rgid), Number(egid), Number(sgid));
    Seteuid setresuid(Number(euid));
    Setegid setresgid(Number(egid));
    Setgroups setgroups(Number(size));
    Setfsuid setfsuid(Number(uid));
    Setfsgid setfsgid(Number(gid));
    Capset capset();
    Setsid setsid();
    Dup dup(Number(oldfd));
    Dup2 dup2(Number(oldfd), Number(newfd));
    Dup3 dup3(Number(oldfd), Number(newfd), Number(flags));
    Fcntl fcntl(Number(fd), Number(cmd), Number(arg));
    Kill kill(Number(pid), Number(sig));
    Tgkill tgkill(Number(pid), Number(tid), Number(sig));
    Ptrace ptrace(Number(request), Number(pid), Number(addr), Number(data));
    ProcessVmReadv process_vm_readv(Number(pid));
    ProcessVmWritev process_vm_writev(Number(pid));
    MemfdCreate memfd_create(Text(name), Number(flags));
    InitModule init_module(Skip, Number(length), Text(uargs));
    FinitModule finit_module(Number(fd), Text(uargs), Number(flags));
    DeleteModule delete_module(Text(name), Number(flags));
    Bpf bpf(Number(cmd));
    Userfaultfd userfaultfd(Number(flags));
    IoUringSetup io_uring_setup(Number(entries));
    PidfdSendSignal pidfd_send_signal(Number(fd), Number(sig));
    PidfdOpen pidfd_open(Number(pid), Number(flags));
    SetName prctl(Number(option), Text(name));
    Dlopen dlopen(Path(filename), Number(flags));
    Dlmopen dlopen(Number(namespace), Path(filename), Number(flags));
}
