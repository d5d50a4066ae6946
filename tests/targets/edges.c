/* edges NAME: corners in which an agent could make a difference. What is printed is the same with and without one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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

#define SAY(call)                                                                                                      \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long r = (call);                                                                                               \
        printf("%s: %ld, errno %d\n", #call, r, errno);                                                                \
        fflush(stdout);                                                                                                \
    } while (0)

static void large_environment(void) {
    for (int i = 0; i < 80; i++) {
        char name[16];
        snprintf(name, sizeof name, "V%d", i);
        setenv(name, "x", 1);
    }
}

/* errors that the kernel gives before it reads a pointer */
static void early_errors(void) {
    char *volatile nowhere = (char *)0x7fff0000, *argv[] = {"true", 0};
    int fd = open("/bin/true", O_RDONLY);
    SAY(connect(-1, (struct sockaddr *)nowhere, 16));
    SAY(open(nowhere, O_TMPFILE | O_RDONLY, 0));
    SAY(open(nowhere, O_CREAT | O_DIRECTORY, 0600));
    SAY(fexecve(fd, argv, 0));
}

/* a forked child with a large environment of its own, without LD_PRELOAD, executes ARG... */
static void forked_environment(char **argv) {
    clearenv();
    large_environment();
    if (!fork()) {
        execv(argv[0], argv);
        _exit(9);
    }
    int status;
    wait(&status);
    printf("status %x\n", status);
}

/* below a filter that kills what begins a session: two vfork children with a large environment */
static void filtered(int by_syscall) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    large_environment();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    long r = by_syscall ? syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)
                        : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    printf("filter %ld\n", r);
    fflush(stdout);
    for (int i = 0; i < 6; i++) {
        char *argv[] = {"true", 0};
        if (!vfork()) {
            execve("/bin/true", argv, environ);
            _exit(9);
        }
        int status;
        wait(&status);
        printf("status %x\n", status);
    }
}

/* the counter is forbidden through syscall() */
static void no_counter(void) {
    SAY(syscall(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
    SAY(open("/no/such/file", O_RDONLY));
}

/* the first record is a vfork child's */
static void vforked_first(void) {
    if (!vfork()) {
        open("/no/such/file/of/the/child", O_RDONLY);
        _exit(0);
    }
    int status;
    wait(&status);
    for (int i = 0; i < 20; i++)
        open("/no/such/file/of/the/parent", O_RDONLY);
    printf("%d\n", (int)getpid());
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "early-errors"))
        early_errors();
    else if (!strcmp(what, "forked-environment"))
        forked_environment(argv + 2);
    else if (!strcmp(what, "filtered"))
        filtered(argc > 2);
    else if (!strcmp(what, "no-counter"))
        no_counter();
    else if (!strcmp(what, "vforked-first"))
        vforked_first();
    return 0;
}
