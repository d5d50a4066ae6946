/* Makes one call of each family, in a directory of its own: families DIR
 * Each line says what the record of the call must become: event type, result, and arguments as the event has them,
 * with tabs between. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char dir[2048];

static void told(const char *event, long result, const char *arguments, ...) {
    va_list more;
    va_start(more, arguments);
    printf("%s\t%ld", event, result);
    if (*arguments) putchar('\t');
    vprintf(arguments, more);
    putchar('\n');
    va_end(more);
}

/* the call, then what is expected of it */
#define T(event, expr, ...) do { \
        errno = 0; \
        long result_ = (expr); \
        told(event, result_ == -1 ? -errno : result_, __VA_ARGS__); \
    } while (0)

static void names(void) {
    int d = open(dir, O_RDONLY | O_DIRECTORY);
    T("mkdir", mkdir("sub", 0750), "path=sub\tmode=0750");
    T("mkdir", mkdir("sub", 0750), "path=sub\tmode=0750");
    T("mkdirat", mkdirat(d, "sub2", 0700), "dirfd=%d\tpath=%s/sub2\tmode=0700", d, dir);
    T("rmdir", rmdir("sub2"), "path=sub2");
    T("mknod", mknod("fifo", S_IFIFO | 0600, 0), "path=fifo\tmode=010600");
    T("mknodat", mknodat(AT_FDCWD, "fifo", S_IFIFO | 0600, 0), "dirfd=AT_FDCWD\tpath=%s/fifo", dir);
    T("rename", rename("fifo", "sub/fifo"), "oldpath=fifo\tnewpath=sub/fifo");
    T("rename", rename("none", "x"), "oldpath=none\tnewpath=x");
    T("renameat", renameat(d, "sub/fifo", AT_FDCWD, "file"), "olddirfd=%d\toldpath=%s/sub/fifo\tnewdirfd=AT_FDCWD\tnewpath=%s/file", d, dir, dir);
    T("link", link("file", "hard"), "oldpath=file\tnewpath=hard");
    T("linkat", linkat(d, "file", d, "hard", 0), "oldpath=%s/file\tnewpath=%s/hard\tflags=0", dir, dir);
    T("symlink", symlink("/etc/shadow", "soft"), "target=/etc/shadow\tlinkpath=soft");
    T("symlinkat", symlinkat("../x", d, "soft2"), "target=../x\tlinkdirfd=%d\tlinkpath=%s/soft2", d, dir);
    T("chmod", chmod("file", 04755), "filename=file\tmode=S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID");
    T("chmod", chmod("none", 0), "filename=none\tmode=0");
    T("fchmod", fchmod(d, 0700), "fd=%d\tmode=S_IXUSR|S_IWUSR|S_IRUSR", d);
    T("fchmodat", fchmodat(d, "file", 0400, 0), "dirfd=%d\tfilename=%s/file\tmode=S_IRUSR", d, dir);
    T("chown", chown("file", 1, 2), "path=file\tuid=1\tgid=2");
    T("lchown", lchown("soft", 1, -1), "path=soft\tuid=1\tgid=-1");
    T("fchown", fchown(d, 0, 0), "fd=%d\tuid=0\tgid=0", d);
    T("fchownat", fchownat(AT_FDCWD, "none", 0, 0, 0), "dirfd=AT_FDCWD\tpathname=%s/none", dir);
    T("truncate", truncate("none", 5), "path=none\tlength=5");
    T("ftruncate", ftruncate(-1, 0x100000000), "fd=-1\tlength=4294967296");
    T("unlink", unlink("hard"), "path=hard");
    T("unlinkat", unlinkat(d, "sub", AT_REMOVEDIR), "dirfd=%d\tname=%s/sub\tflags=512", d, dir);
    T("unlink", remove("file"), "path=file");
    T("unlink", unlink("file"), "path=file");
}

static void sockets(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l, s, a, pair[2];
    T("socket", l = socket(AF_INET, SOCK_STREAM, 0), "domain=AF_INET\ttype=1\tproto=0");
    T("socket", socket(77, SOCK_STREAM, 0), "domain=77");
    T("bind", bind(l, (void *)&at, len), "fd=%d\taddr=127.0.0.1:0", l);
    T("listen", listen(l, 3), "fd=%d\tbacklog=3", l);
    getsockname(l, (void *)&at, &len);
    T("socket", s = socket(AF_INET, SOCK_STREAM, 0), "domain=AF_INET");
    connect(s, (void *)&at, sizeof at);
    struct sockaddr_in own;
    getsockname(s, (void *)&own, &len);
    T("accept", a = accept(l, 0, 0), "fd=%d\taddr=127.0.0.1:%d", l, ntohs(own.sin_port));
    T("accept4", accept4(a, 0, 0, SOCK_CLOEXEC), "fd=%d\tflags=524288", a);
    T("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "domain=AF_LOCAL|AF_UNIX\ttype=1");
    T("socket", s = socket(AF_INET, SOCK_DGRAM, 0), "domain=AF_INET\ttype=2");
    at.sin_port = htons(9);
    T("sendto", sendto(s, "x", 1, 0, (void *)&at, sizeof at), "fd=%d\tsize=1\taddr=127.0.0.1:9", s);
    T("dup", dup(s), "oldfd=%d", s);
    T("dup2", dup2(s, 60), "oldfd=%d\tnewfd=60", s);
    T("dup3", dup3(-1, 61, O_CLOEXEC), "oldfd=-1\tnewfd=61\tflags=524288");
    T("fcntl", fcntl(s, F_DUPFD_CLOEXEC, 62), "fd=%d\tcmd=F_DUPFD_CLOEXEC\targ=62", s);
}

static void identity(void) {
    T("setgroups", setgroups(0, 0), "size=0");
    T("setgid", setgid(getgid()), "gid=%d", getgid());
    T("setregid", setregid(-1, -1), "rgid=-1\tegid=-1");
    T("setresgid", setresgid(-1, getgid(), -1), "rgid=-1\tegid=%d\tsgid=-1", getgid());
    T("setuid", setuid(getuid()), "uid=%d", getuid());
    T("setreuid", setreuid(-1, getuid()), "ruid=-1\teuid=%d", getuid());
    T("setresuid", setresuid(-1, -1, -1), "ruid=-1\teuid=-1\tsuid=-1");
    T("setresuid", seteuid(geteuid()), "euid=%d", geteuid());
    T("setresgid", setegid(getegid()), "egid=%d", getegid());
    T("setfsuid", setfsuid(geteuid()), "uid=%d", geteuid());
    T("setfsgid", setfsgid(getegid()), "gid=%d", getegid());
    T("setsid", setsid(), "");
}

static void kernel(void) {
    char byte = 0, *name = "0123456789abcdefg";
    struct iovec io = {&byte, 1};
    T("mount", mount("none", "/no/such/dir", "tmpfs", MS_NOSUID, 0), "dev=none\tdir=/no/such/dir\ttype=tmpfs\tflags=2");
    T("umount2", umount("/no/such/dir"), "name=/no/such/dir");
    T("umount2", umount2("/no/such/dir", MNT_DETACH), "name=/no/such/dir\tflags=2");
    T("chroot", chroot("/no/such/dir"), "path=/no/such/dir");
    T("setns", setns(-1, CLONE_NEWNET), "fd=-1\tnstype=CLONE_NEWNET");
    T("unshare", unshare(CLONE_FS), "flags=CLONE_FS");
    T("kill", kill(getpid(), 0), "pid=%d\tsig=0", getpid());
    T("kill", kill(0x3fffffff, SIGTERM), "pid=%d\tsig=SIGTERM", 0x3fffffff);
    T("ptrace", ptrace(PTRACE_ATTACH, 0x3fffffff, 0, 0), "request=PTRACE_ATTACH\tpid=%d", 0x3fffffff);
    T("process_vm_readv", process_vm_readv(0x3fffffff, &io, 1, &io, 1, 0), "pid=%d", 0x3fffffff);
    T("process_vm_writev", process_vm_writev(0x3fffffff, &io, 1, &io, 1, 0), "pid=%d", 0x3fffffff);
    T("memfd_create", memfd_create("hidden", MFD_CLOEXEC), "name=hidden\tflags=1");
    T("prctl", prctl(PR_SET_NAME, name), "option=PR_SET_NAME\tname=%s", name);
    T("pidfd_open", syscall(SYS_pidfd_open, getpid(), 0), "pid=%d\tflags=0", getpid());
    T("bpf", syscall(SYS_bpf, 99, 0, 0), "cmd=99");
    T("delete_module", syscall(SYS_delete_module, "no_such_module", 0), "name=no_such_module\tflags=0");
    T("tgkill", syscall(SYS_tgkill, getpid(), getpid(), 0), "pid=%d\ttid=%d\tsig=0", getpid(), getpid());
}

int main(int argc, char **argv) {
    if (argc < 2 || chdir(argv[1]) || !getcwd(dir, sizeof dir)) return 2;
    signal(SIGPIPE, SIG_IGN);
    names();
    sockets();
    identity();
    kernel();
    struct addrinfo *found = 0;
    printf("getaddrinfo\t%d\tname=localhost\n", getaddrinfo("localhost", "9", 0, &found));
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        if (a->ai_family != AF_INET || a->ai_socktype != SOCK_DGRAM) continue;
        int s;
        T("socket", s = socket(AF_INET, SOCK_DGRAM, 0), "domain=AF_INET");
        connect(s, a->ai_addr, a->ai_addrlen);
        break;
    }
    return 0;
}
