/* Calls every function that the agent hooks, as it fails and as it succeeds: every DIR (an empty directory).
   A line says the function, what came of it, errno behind it, and how many allocations it made if hostile.c counts
   them. What is not as the manual says is marked WRONG. A call that succeeds keeps errno. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int capset(void *, const void *), capget(void *, void *), pivot_root(const char *, const char *);
#ifdef __GLIBC__
#include <fts.h>
#include <sys/pidfd.h>
int __open_2(const char *, int), __open64_2(const char *, int);
int __openat_2(int, const char *, int), __openat64_2(int, const char *, int);
int init_module(void *, unsigned long, const char *), delete_module(const char *, unsigned);
#endif

enum { KEPT = 1234, ANY = -1 };

static int *armed, none;
static unsigned long *allocations, never;

static void say(const char *text, ...) {
    char line[256];
    va_list more;
    va_start(more, text);
    int n = vsnprintf(line, sizeof line, text, more);
    va_end(more);
    write(1, line, n);
}

static void told(const char *name, int failed, int error, int should_fail, int expected, long made) {
    say("%s %s: errno %d", name, failed ? "fails" : "works", error);
    if (allocations != &never)
        say(", %ld allocations", made);
    say("%s\n", failed == should_fail && (expected == ANY || error == expected) ? "" : ", WRONG");
}

/* `allocates`: the C library may do so for this function; for all others hostile.c aborts */
#define ONE(name, should_fail, expected, allocates, failed)                                                            \
    ({                                                                                                                 \
        unsigned long before_ = *allocations;                                                                          \
        *armed = !allocates;                                                                                           \
        errno = KEPT;                                                                                                  \
        int failed_ = (failed), error_ = errno;                                                                        \
        *armed = 0;                                                                                                    \
        told(#name, failed_, error_, should_fail, expected, *allocations - before_);                                   \
    })
#define FAILS(name, error, ...) ONE(name, 1, error, 0, (long)name(__VA_ARGS__) == -1)
#define WORKS(name, ...) ONE(name, 0, KEPT, 0, (long)name(__VA_ARGS__) == -1)
/* these allocate */
#define FAILS_INSIDE(name, error, ...) ONE(name, 1, error, 1, (long)name(__VA_ARGS__) == -1)
#define WORKS_INSIDE(name, ...) ONE(name, 0, KEPT, 1, (long)name(__VA_ARGS__) == -1)
#define NO_POINTER(name, error, ...) ONE(name, 1, error, 1, !name(__VA_ARGS__))
#define POINTER(name, ...) ONE(name, 0, KEPT, 1, !name(__VA_ARGS__))
#define CODE_INSIDE(name, should_fail, ...) ONE(name, should_fail, ANY, 1, name(__VA_ARGS__) != 0)

/* what changes the process happens in a child */
#define IN_CHILD(...)                                                                                                  \
    ({                                                                                                                 \
        if (syscall(SYS_fork) == 0) {                                                                                  \
            __VA_ARGS__;                                                                                               \
            syscall(SYS_exit_group, 0);                                                                                \
        }                                                                                                              \
        wait_for("child");                                                                                             \
    })

static void wait_for(const char *what) {
    int status;
    if (wait(&status) < 0 || status)
        say("%s: status %x\n", what, status);
}

static const char *missing = "/no/such/file", *good = "/etc/passwd";

static void opens(void) {
    char handle[64] = {0};
    WORKS(open, good, O_RDONLY), FAILS(open, ENOENT, missing, O_RDONLY);
    WORKS(open, "made", O_RDWR | O_CREAT, 0600), FAILS(open, EISDIR, "/", O_WRONLY);
    WORKS(openat, AT_FDCWD, good, O_RDONLY), FAILS(openat, EBADF, 99, "x", O_RDONLY);
    WORKS(creat, "made", 0600), FAILS(creat, ENOENT, "/no/such/file", 0600);
    FAILS(open_by_handle_at, EINVAL, AT_FDCWD, (void *)handle, O_RDONLY);
    POINTER(fopen, good, "r"), NO_POINTER(fopen, ENOENT, missing, "r"), NO_POINTER(fopen, EINVAL, good, "?");
    POINTER(freopen, good, "r", stdin), NO_POINTER(freopen, ENOENT, missing, "r", stdin);
    POINTER(opendir, "/"), NO_POINTER(opendir, ENOENT, missing), NO_POINTER(opendir, ENOTDIR, good);
    WORKS(shm_open, "/porthole-every", O_CREAT | O_RDWR, 0600), FAILS(shm_open, ENOENT, "/no-such-file", O_RDONLY, 0);
    shm_unlink("/porthole-every");
#ifdef __GLIBC__
    WORKS(open64, good, O_RDONLY), FAILS(open64, ENOTDIR, "/etc/passwd/x", O_RDONLY);
    WORKS(openat64, AT_FDCWD, good, O_RDONLY), FAILS(openat64, ENOENT, AT_FDCWD, "", O_RDONLY);
    WORKS(creat64, "made", 0600), FAILS(creat64, EISDIR, "/", 0600);
    WORKS(__open_2, good, O_RDONLY), FAILS(__open_2, ENOENT, missing, O_RDONLY);
    WORKS(__open64_2, good, O_RDONLY), FAILS(__open64_2, ENOENT, missing, O_RDONLY);
    WORKS(__openat_2, AT_FDCWD, good, O_RDONLY), FAILS(__openat_2, EBADF, 99, "x", O_RDONLY);
    WORKS(__openat64_2, AT_FDCWD, good, O_RDONLY), FAILS(__openat64_2, EBADF, 99, "x", O_RDONLY);
    POINTER(fopen64, good, "r"), NO_POINTER(fopen64, ENOENT, missing, "r");
    POINTER(freopen64, good, "r", stdin), NO_POINTER(freopen64, ENOENT, missing, "r", stdin);
#endif
}

static int visit(const char *path, const struct stat *st, int flag) { return 0; }
static int nvisit(const char *path, const struct stat *st, int flag, struct FTW *ftw) { return 0; }

static void walks(void) {
    struct dirent **list;
    glob_t found;
    mkdir("walk", 0700), mkdir("walk/one", 0700);
    ONE(scandir, 0, ANY, 1, scandir("walk", &list, 0, 0) < 0), FAILS_INSIDE(scandir, ENOENT, missing, &list, 0, 0);
    ONE(ftw, 0, ANY, 1, ftw("walk", visit, 4) < 0), FAILS_INSIDE(ftw, ENOENT, missing, visit, 4);
    ONE(nftw, 0, ANY, 1, nftw("walk", nvisit, 4, 0) < 0), FAILS_INSIDE(nftw, ENOENT, missing, nvisit, 4, 0);
    CODE_INSIDE(glob, 0, "walk/*", 0, 0, &found), CODE_INSIDE(glob, 1, "/no/such/*", 0, 0, &found);
#ifdef __GLIBC__
    struct dirent64 **list64;
    glob64_t found64;
    char *paths[] = {"walk", 0}, *no_path[] = {"", 0};
    ONE(scandir64, 0, ANY, 1, scandir64("walk", &list64, 0, 0) < 0);
    FAILS_INSIDE(scandir64, ENOENT, missing, &list64, 0, 0);
    ONE(ftw64, 0, ANY, 1, ftw64("walk", (void *)visit, 4) < 0), FAILS_INSIDE(ftw64, ENOENT, missing, (void *)visit, 4);
    ONE(nftw64, 0, ANY, 1, nftw64("walk", (void *)nvisit, 4, 0) < 0);
    FAILS_INSIDE(nftw64, ENOENT, missing, (void *)nvisit, 4, 0);
    CODE_INSIDE(glob64, 0, "walk/*", 0, 0, &found64), CODE_INSIDE(glob64, 1, "/no/such/*", 0, 0, &found64);
    POINTER(fts_open, paths, FTS_PHYSICAL, 0), NO_POINTER(fts_open, EINVAL, paths, -1, 0);
    POINTER(fts64_open, paths, FTS_PHYSICAL, 0), NO_POINTER(fts64_open, EINVAL, no_path, -1, 0);
#endif
}

static void temporaries(void) {
    char name[8][32];
    for (int i = 0; i < 8; i++)
        strcpy(name[i], i & 4 ? "aXXXXXX.tmp" : "aXXXXXX");
    char bad[] = "X";
    WORKS(mkstemp, name[0]), FAILS(mkstemp, EINVAL, bad);
    WORKS(mkostemp, name[1], O_CLOEXEC), FAILS(mkostemp, EINVAL, bad, 0);
    WORKS(mkstemps, name[4], 4), FAILS(mkstemps, EINVAL, bad, 0);
    WORKS(mkostemps, name[5], 4, 0), FAILS(mkostemps, EINVAL, bad, 0, 0);
    POINTER(tmpfile);
#ifdef __GLIBC__
    WORKS(mkstemp64, name[2]), FAILS(mkstemp64, EINVAL, bad);
    WORKS(mkostemp64, name[3], 0), FAILS(mkostemp64, EINVAL, bad, 0);
    WORKS(mkstemps64, name[6], 4), FAILS(mkstemps64, EINVAL, bad, 0);
    WORKS(mkostemps64, name[7], 4, 0), FAILS(mkostemps64, EINVAL, bad, 0, 0);
    POINTER(tmpfile64);
#endif
    struct rlimit no_more = {3, 3};
    IN_CHILD(setrlimit(RLIMIT_NOFILE, &no_more); NO_POINTER(tmpfile, EMFILE));
#ifdef __GLIBC__
    IN_CHILD(setrlimit(RLIMIT_NOFILE, &no_more); NO_POINTER(tmpfile64, EMFILE));
#endif
}

static void names(void) {
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    WORKS(mkdir, "sub", 0700), FAILS(mkdir, EEXIST, "sub", 0700);
    WORKS(mkdirat, AT_FDCWD, "sub2", 0700), FAILS(mkdirat, EBADF, 99, "x", 0700);
    WORKS(rmdir, "sub2"), FAILS(rmdir, ENOENT, "sub2");
    WORKS(mknod, "fifo", S_IFIFO | 0600, 0), FAILS(mknod, EEXIST, "fifo", S_IFIFO | 0600, 0);
    WORKS(mknodat, AT_FDCWD, "fifo2", S_IFIFO | 0600, 0), FAILS(mknodat, EBADF, 99, "x", S_IFIFO | 0600, 0);
    WORKS(rename, "fifo", "fifo3"), FAILS(rename, ENOENT, "fifo", "x");
    WORKS(renameat, AT_FDCWD, "fifo3", AT_FDCWD, "fifo"), FAILS(renameat, EBADF, 99, "x", AT_FDCWD, "y");
    WORKS(link, "file", "hard"), FAILS(link, EEXIST, "file", "hard");
    WORKS(linkat, AT_FDCWD, "file", AT_FDCWD, "hard2", 0), FAILS(linkat, EBADF, 99, "x", AT_FDCWD, "y", 0);
    WORKS(symlink, "x", "soft"), FAILS(symlink, EEXIST, "x", "soft");
    WORKS(symlinkat, "x", AT_FDCWD, "soft2"), FAILS(symlinkat, EBADF, "x", 99, "y");
    WORKS(unlink, "soft"), FAILS(unlink, ENOENT, "soft");
    WORKS(unlinkat, AT_FDCWD, "soft2", 0), FAILS(unlinkat, EBADF, 99, "x", 0);
    WORKS(remove, "hard2"), FAILS(remove, ENOENT, "hard2"), FAILS(remove, ENOTEMPTY, "walk");
    WORKS(chmod, "file", 0640), FAILS(chmod, ENOENT, missing, 0);
    WORKS(fchmod, fd, 0600), FAILS(fchmod, EBADF, 99, 0);
    WORKS(fchmodat, AT_FDCWD, "file", 0600, 0), FAILS(fchmodat, EBADF, 99, "x", 0, 0);
    WORKS(chown, "file", 1, 1), FAILS(chown, ENOENT, missing, 1, 1);
    WORKS(fchown, fd, 0, 0), FAILS(fchown, EBADF, 99, 0, 0);
    WORKS(fchownat, AT_FDCWD, "file", 0, 0, 0), FAILS(fchownat, EBADF, 99, "x", 0, 0, 0);
    WORKS(lchown, "file", 0, 0), FAILS(lchown, ENOENT, missing, 0, 0);
    WORKS(truncate, "file", 5), FAILS(truncate, EINVAL, "file", -1);
    WORKS(ftruncate, fd, 6), FAILS(ftruncate, EBADF, 99, 6);
    WORKS(chdir, "."), FAILS(chdir, ENOTDIR, good);
    WORKS(fchdir, open(".", O_DIRECTORY)), FAILS(fchdir, EBADF, 99);
#ifdef __GLIBC__
    WORKS(renameat2, AT_FDCWD, "fifo", AT_FDCWD, "fifo3", 0), FAILS(renameat2, EINVAL, AT_FDCWD, "a", AT_FDCWD, "b", 99);
    ONE(lchmod, 0, ANY, 1, lchmod("file", 0600) != 0), FAILS_INSIDE(lchmod, ENOENT, missing, 0);
    WORKS(truncate64, "file", 5), FAILS(truncate64, EISDIR, "/", 5);
    WORKS(ftruncate64, fd, 6), FAILS(ftruncate64, EINVAL, fd, -1);
#endif
}

static void sockets(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/no/such/socket"};
    struct sockaddr_storage from;
    socklen_t len = sizeof at, room = sizeof from;
    struct iovec io = {"x", 1};
    char byte;
    struct iovec in = {&byte, 1};
    struct msghdr to = {.msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &io, .msg_iovlen = 1};
    struct msghdr got = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &in, .msg_iovlen = 1};
    struct mmsghdr tos = {.msg_hdr = to}, gots = {.msg_hdr = got};
    int pair[2], l = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
    WORKS(socket, AF_INET, SOCK_STREAM, 0), FAILS(socket, EAFNOSUPPORT, 77, SOCK_STREAM, 0);
    WORKS(socketpair, AF_UNIX, SOCK_STREAM, 0, pair), FAILS(socketpair, EOPNOTSUPP, AF_INET, SOCK_STREAM, 0, pair);
    WORKS(bind, l, (void *)&at, len), FAILS(bind, EINVAL, l, (void *)&at, len);
    WORKS(listen, l, 3), FAILS(listen, EBADF, 99, 3);
    getsockname(l, (void *)&at, &len);
    int s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);
    WORKS(connect, s, (void *)&at, len), FAILS(connect, EISCONN, s, (void *)&at, len);
    FAILS(connect, EBADF, 99, (void *)&at, len), FAILS(connect, EINVAL, s, (void *)&at, 1 << 30);
    FAILS(connect, ENOENT, socket(AF_UNIX, SOCK_STREAM, 0), (void *)&un, sizeof un);
    WORKS(accept, l, (void *)&from, &room), FAILS(accept, EBADF, 99, 0, 0);
    connect(t, (void *)&at, len);
    WORKS(accept4, l, 0, 0, SOCK_CLOEXEC), FAILS(accept4, EBADF, 99, 0, 0, SOCK_CLOEXEC);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bind(u, (void *)&own, sizeof own), getsockname(u, (void *)&at, &len);
    WORKS(sendto, u, "x", 1, 0, (void *)&at, len), FAILS(sendto, EBADF, 99, "x", 1, 0, (void *)&at, len);
    WORKS(recvfrom, u, &byte, 1, 0, (void *)&from, &room), FAILS(recvfrom, EAGAIN, u, &byte, 1, MSG_DONTWAIT, 0, 0);
    WORKS(sendmsg, u, &to, 0), FAILS(sendmsg, EBADF, 99, &to, 0);
    WORKS(recvmsg, u, &got, 0), FAILS(recvmsg, EAGAIN, u, &got, MSG_DONTWAIT);
    WORKS(sendmmsg, u, &tos, 1, 0), FAILS(sendmmsg, EBADF, 99, &tos, 1, 0);
    WORKS(recvmmsg, u, &gots, 1, 0, 0), FAILS(recvmmsg, EAGAIN, u, &gots, 1, MSG_DONTWAIT, 0);
    WORKS(dup, u), FAILS(dup, EBADF, 99);
    WORKS(dup2, u, 60), FAILS(dup2, EBADF, 99, 60);
    WORKS(dup3, u, 61, O_CLOEXEC), FAILS(dup3, EINVAL, u, u, 0);
    WORKS(fcntl, u, F_DUPFD, 62), WORKS(fcntl, u, F_GETFL), FAILS(fcntl, EBADF, 99, F_DUPFD_CLOEXEC, 62);
#ifdef __GLIBC__
    WORKS(fcntl64, u, F_DUPFD, 62), WORKS(fcntl64, u, F_GETFD), FAILS(fcntl64, EBADF, 99, F_DUPFD, 62);
#endif
}

static void identity(void) {
    struct {
        unsigned version;
        int pid;
    } head = {0x20080522, 0}, bad = {1, 0}; /* of 64 capabilities; not one that is known */
    unsigned data[6];
    capget(&head, data);
    WORKS(capset, &head, data), FAILS(capset, EINVAL, &bad, data);
    WORKS(setgroups, 0, 0), FAILS(setgroups, EINVAL, 1 << 20, 0);
    WORKS(setuid, 0), WORKS(setgid, 0), WORKS(setreuid, -1, 0), WORKS(setregid, -1, 0);
    WORKS(setresuid, -1, -1, 0), WORKS(setresgid, -1, -1, 0), WORKS(seteuid, 0), WORKS(setegid, 0);
    WORKS(setfsuid, 0), WORKS(setfsgid, 0);
    IN_CHILD(WORKS(setsid); FAILS(setsid, EPERM));
    IN_CHILD(syscall(SYS_setresgid, 1, 1, 1); syscall(SYS_setresuid, 1, 1, 1);
             FAILS(setuid, EPERM, 0); FAILS(setgid, EPERM, 0); FAILS(setreuid, EPERM, 0, 0);
             FAILS(setregid, EPERM, 0, 0); FAILS(setresuid, EPERM, 0, 0, 0); FAILS(setresgid, EPERM, 0, 0, 0);
             FAILS(seteuid, EPERM, 0); FAILS(setegid, EPERM, 0); FAILS(chroot, EPERM, "/"));
}

static void kernel(void) {
    char byte = 0, copy = 0;
    struct iovec io = {&byte, 1}, io2 = {&copy, 1};
    IN_CHILD(syscall(SYS_unshare, CLONE_NEWNS); syscall(SYS_mount, "none", "/", 0, MS_REC | MS_PRIVATE, 0);
             WORKS(mount, "none", "sub", "tmpfs", 0, 0); FAILS(mount, ENOENT, "none", missing, "tmpfs", 0, 0);
             syscall(SYS_mount, "none", "sub", "tmpfs", 0, 0);
             WORKS(umount, "sub"); FAILS(umount, ENOENT, missing);
             WORKS(umount2, "sub", MNT_DETACH); FAILS(umount2, EINVAL, "sub", 0);
             FAILS(pivot_root, ENOENT, missing, missing);
             syscall(SYS_mount, "none", "sub", "tmpfs", 0, 0); mkdir("sub/old", 0700);
             WORKS(pivot_root, "sub", "sub/old"));
    IN_CHILD(WORKS(chroot, "."); FAILS(chroot, ENOENT, missing));
    IN_CHILD(WORKS(unshare, CLONE_FS); FAILS(unshare, EINVAL, -1));
    IN_CHILD(WORKS(setns, open("/proc/self/ns/uts", O_RDONLY), CLONE_NEWUTS); FAILS(setns, EBADF, 99, 0));
    IN_CHILD(WORKS(ptrace, PTRACE_TRACEME, 0, 0, 0); FAILS(ptrace, ESRCH, PTRACE_ATTACH, 0x3fffffff, 0, 0));
    WORKS(process_vm_readv, getpid(), &io, 1, &io2, 1, 0), FAILS(process_vm_readv, ESRCH, 0x3fffffff, &io, 1, &io2, 1, 0);
    WORKS(process_vm_writev, getpid(), &io, 1, &io2, 1, 0);
    FAILS(process_vm_writev, ESRCH, 0x3fffffff, &io, 1, &io2, 1, 0);
    WORKS(memfd_create, "name", 0), FAILS(memfd_create, EINVAL, "name", 0xff00);
    WORKS(prctl, PR_SET_NAME, "every", 0, 0, 0), FAILS(prctl, EINVAL, 99999, 0, 0, 0, 0);
    FAILS(prctl, EINVAL, PR_SET_SECCOMP, 99, 0, 0, 0);
    WORKS(kill, getpid(), 0), FAILS(kill, ESRCH, 0x3fffffff, 0);
    WORKS(syscall, SYS_getpid), WORKS(syscall, SYS_openat, AT_FDCWD, good, O_RDONLY);
    FAILS(syscall, ENOENT, SYS_openat, AT_FDCWD, missing, O_RDONLY), FAILS(syscall, EBADF, SYS_dup, 99);
    FAILS(syscall, ENOSYS, 9999), FAILS(syscall, ENOENT, SYS_execve, missing, 0, 0);
#ifdef __GLIBC__
    int fd = -1;
    WORKS(tgkill, getpid(), getpid(), 0), FAILS(tgkill, ESRCH, 0x3fffffff, 0x3fffffff, 0);
    ONE(pidfd_open, 0, KEPT, 0, (fd = pidfd_open(getpid(), 0)) == -1), FAILS(pidfd_open, EINVAL, -1, 0);
    WORKS(pidfd_send_signal, fd, 0, 0, 0), FAILS(pidfd_send_signal, EBADF, 99, 0, 0, 0);
    IN_CHILD(syscall(SYS_setresuid, 1, 1, 1); FAILS(init_module, ANY, "", 0, "");
             FAILS(delete_module, ANY, "no_such_module", 0));
#endif
}

static void at_exit(void) { say("exit: errno %d\n", errno); }

static void programs(const char *self) {
    char *argv[] = {"every", 0}, *envp[] = {0};
    pid_t child;
    FAILS(execve, ENOENT, missing, argv, envp), FAILS(execve, EACCES, good, argv, envp);
    FAILS(execv, ENOENT, missing, argv), FAILS(execvp, ENOENT, "no-such-program", argv);
    FAILS(execvpe, ENOENT, "no-such-program", argv, envp), FAILS(fexecve, EBADF, 99, argv, envp);
    FAILS(execl, ENOENT, missing, "x", (char *)0), FAILS(execlp, ENOENT, "no-such-program", "x", (char *)0);
    FAILS(execle, ENOENT, missing, "x", (char *)0, envp);
    IN_CHILD(FAILS(execve, 0, self, argv, envp)), IN_CHILD(FAILS(execv, 0, self, argv));
    IN_CHILD(FAILS(execvp, 0, self, argv)), IN_CHILD(FAILS(execvpe, 0, self, argv, envp));
    IN_CHILD(FAILS(fexecve, 0, open(self, O_RDONLY), argv, envp)), IN_CHILD(FAILS(execl, 0, self, "x", (char *)0));
    IN_CHILD(FAILS(execlp, 0, self, "x", (char *)0)), IN_CHILD(FAILS(execle, 0, self, "x", (char *)0, envp));
#ifdef __GLIBC__
    FAILS(execveat, EBADF, 99, "x", argv, envp, 0);
    IN_CHILD(FAILS(execveat, 0, AT_FDCWD, self, argv, envp, 0));
#endif
    ONE(posix_spawn, 0, KEPT, 0, posix_spawn(&child, self, 0, 0, argv, envp) != 0), wait_for("posix_spawn");
    ONE(posix_spawn, 1, ANY, 0, posix_spawn(&child, missing, 0, 0, argv, envp) == ENOENT);
    ONE(posix_spawnp, 0, ANY, 0, posix_spawnp(&child, "true", 0, 0, argv, envp) != 0), wait_for("posix_spawnp");
    ONE(posix_spawnp, 1, ANY, 0, posix_spawnp(&child, "no-such-program", 0, 0, argv, envp) == ENOENT);
    WORKS(system, "exit 3");
    FILE *pipe = 0;
    ONE(popen, 0, KEPT, 1, !(pipe = popen("exit 4", "r"))), NO_POINTER(popen, EINVAL, "true", "?");
    pclose(pipe);
    ONE(fork, 0, KEPT, 1, ({
            if ((child = fork()) > 0)
                wait_for("fork"); /* both tell, one after the other */
            child == -1;
        }));
    if (!child)
        syscall(SYS_exit_group, 0);
    struct rlimit no_more = {0, 0};
    IN_CHILD(setrlimit(RLIMIT_NPROC, &no_more); syscall(SYS_setresuid, 1, 1, 1);
             ONE(fork, 1, EAGAIN, 1, (child = fork()) == -1));
    IN_CHILD(atexit(at_exit); *armed = 1; errno = KEPT; exit(0));
    IN_CHILD(*armed = 1; _exit(0)), IN_CHILD(*armed = 1; _Exit(0));
}

static void lookups(void) {
    struct addrinfo *list, numeric = {.ai_flags = AI_NUMERICHOST};
    struct hostent room, *host;
    char buffer[4096];
    int why;
    CODE_INSIDE(getaddrinfo, 0, "127.0.0.1", "80", &numeric, &list);
    CODE_INSIDE(getaddrinfo, 1, "no number", "80", &numeric, &list);
    ONE(gethostbyname, 0, ANY, 1, !gethostbyname("127.0.0.1"));
    ONE(gethostbyname2, 0, ANY, 1, !gethostbyname2("127.0.0.1", AF_INET));
    CODE_INSIDE(gethostbyname_r, 0, "127.0.0.1", &room, buffer, sizeof buffer, &host, &why);
    CODE_INSIDE(gethostbyname_r, 1, "127.0.0.1", &room, buffer, 1, &host, &why);
    CODE_INSIDE(gethostbyname2_r, 0, "127.0.0.1", AF_INET, &room, buffer, sizeof buffer, &host, &why);
    why = KEPT;
    CODE_INSIDE(gethostbyname2_r, 1, "127.0.0.1", AF_INET, &room, buffer, 1, &host, &why);
    say("its seventh argument: %d\n", why);
    ONE(dlopen, 0, ANY, 1, !dlopen(0, RTLD_NOW)), ONE(dlopen, 1, ANY, 1, !dlopen(missing, RTLD_NOW));
#ifdef __GLIBC__ /* musl asks for seconds, even without a network */
    ONE(gethostbyname, 1, ANY, 1, !gethostbyname("no.such.host.invalid"));
    ONE(gethostbyname2, 1, ANY, 1, !gethostbyname2("no.such.host.invalid", AF_INET));
    ONE(dlmopen, 0, ANY, 1, !dlmopen(LM_ID_BASE, "libc.so.6", RTLD_NOW));
    ONE(dlmopen, 1, ANY, 1, !dlmopen(LM_ID_BASE, missing, RTLD_NOW));
#endif
}

int main(int argc, char **argv) {
    if (argc < 2) /* executed by itself */
        return 0;
    int *(*get_armed)(void) = (int *(*)(void))dlsym(RTLD_DEFAULT, "hostile_armed");
    unsigned long *(*get_calls)(void) = (unsigned long *(*)(void))dlsym(RTLD_DEFAULT, "hostile_calls");
    armed = get_armed ? get_armed() : &none;
    allocations = get_calls ? get_calls() : &never;
    char self[4096] = "";
    if (chdir(argv[1]) || readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 2;
    opens();
    walks();
    temporaries();
    names();
    sockets();
    identity();
    kernel();
    programs(self);
    lookups();
    return 0;
}
