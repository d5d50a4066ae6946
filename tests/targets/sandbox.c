/* sandbox prctl|syscall [exec]: installs a filter like sshd's (open is refused, what is not listed kills), then opens,
 * forks, and opens in the child, as a sandboxed server does. With `exec` it allows execve and runs /bin/true. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define IF(nr, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), RETURN(what)
#define ALLOW(nr) IF(nr, SECCOMP_RET_ALLOW)
#define REFUSE(nr) IF(nr, SECCOMP_RET_ERRNO | EACCES)

static struct sock_filter strict[] = {
    LOAD(nr),
    REFUSE(SYS_open), REFUSE(SYS_openat), REFUSE(SYS_newfstatat),
    ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_close), ALLOW(SYS_exit), ALLOW(SYS_exit_group),
    ALLOW(SYS_brk), ALLOW(SYS_munmap), ALLOW(SYS_mmap), ALLOW(SYS_clone), ALLOW(SYS_wait4),
    ALLOW(SYS_rt_sigprocmask), ALLOW(SYS_rt_sigreturn), ALLOW(SYS_getpid), ALLOW(SYS_gettid),
    ALLOW(SYS_clock_gettime), ALLOW(SYS_futex), ALLOW(SYS_set_robust_list), ALLOW(SYS_rseq), ALLOW(SYS_fstat),
    RETURN(SECCOMP_RET_KILL_PROCESS),
};

/* kills only what an agent would need to begin a session */
static struct sock_filter loose[] = {
    LOAD(nr),
    IF(SYS_socket, SECCOMP_RET_KILL_PROCESS), IF(SYS_ftruncate, SECCOMP_RET_KILL_PROCESS),
    IF(SYS_connect, SECCOMP_RET_KILL_PROCESS), IF(SYS_memfd_create, SECCOMP_RET_KILL_PROCESS),
    IF(SYS_fallocate, SECCOMP_RET_KILL_PROCESS),
    RETURN(SECCOMP_RET_ALLOW),
};

static void opens(const char *who) {
    int fd = open("/etc/passwd", O_RDONLY);
    char line[80];
    int n = snprintf(line, sizeof line, "%s: %d\n", who, fd < 0 ? -errno : 0);
    write(1, line, n);
}

int main(int argc, char **argv) {
    int by_exec = argc > 2 && !strcmp(argv[2], "exec");
    struct sock_fprog program = {sizeof strict / sizeof *strict, strict};
    if (by_exec)
        program = (struct sock_fprog){sizeof loose / sizeof *loose, loose};
    opens("before");
    if (argc > 2 && !strcmp(argv[2], "show")) /* executed under the loose filter */
        return 4;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 2;
    long r = argc > 1 && !strcmp(argv[1], "syscall") ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)
                                                      : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    if (r) {
        perror("seccomp");
        return 2;
    }
    opens("after");
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < 5; i++)
            opens("child");
        if (by_exec) {
            execl(argv[0], argv[0], "-", "show", (char *)0);
            _exit(126);
        }
        _exit(9);
    }
    int status = 0;
    char line[80];
    waitpid(child, &status, 0);
    write(1, line, snprintf(line, sizeof line, "child's status %x\n", status));
    opens("end");
    _exit(0);
}
