/* life NAME ...: what processes do between birth and death. What is printed is the same with and without porthole. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *file; /* the argument of most: what children open */

static void said(const char *what, pid_t child) {
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s: %x\n", what, status);
}

/* -- children ---------------------------------------------------------------------------------------------------- */

static int cat(void *name) {
    char *argv[] = {name, file, 0};
    execve("/bin/cat", argv, environ);
    return 9;
}

static void children(void) {
    char *stack = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (!child)
        _exit(cat("by-fork"));
    said("fork", child);
    child = vfork();
    if (!child)
        _exit(cat("by-vfork"));
    said("vfork", child);
    said("clone", clone(cat, stack + 65536, SIGCHLD, "by-clone"));
    said("clone-vm", clone(cat, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, "by-clone-vm"));
    child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!child)
        _exit(cat("by-syscall"));
    said("syscall", child);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *argv[] = {"by-spawn", "-", 0};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, file, O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    errno = posix_spawnp(&child, "cat", &actions, &attributes, argv, environ);
    said("spawn", errno ? -1 : child);
}

static void *open_some(void *number) {
    char name[64];
    long opened = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "/no/such/thread-%d-%d", (int)(long)number, i);
        opened += open(name, O_RDONLY) >= 0;
    }
    return (void *)opened;
}

static void *execute(void *unused) { exit(cat("by-thread")); }

/* eight threads open files, one of them executes: it becomes the process */
static void threads(void) {
    pthread_t thread[8];
    for (long i = 0; i < 8; i++)
        pthread_create(&thread[i], 0, open_some, (void *)i);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], 0);
    pthread_create(thread, 0, execute, 0);
    pause();
}

/* -- environments ------------------------------------------------------------------------------------------------ */

static void environments(void) {
    char *none[] = {0}, *other[] = {"LD_PRELOAD=", "X=1", 0}, *argv[] = {"cat", file, 0};
    for (int i = 0; i < 8; i++) {
        pid_t child = fork();
        if (!child) {
            switch (i) {
            case 0: clearenv(); break;
            case 1: environ = 0; break;
            case 2: environ = none; break;
            case 3: putenv("LD_PRELOAD="); break;
            case 4: setenv("LD_PRELOAD", "", 1); break;
            case 5: unsetenv("LD_PRELOAD"); break;
            case 6: execve("/bin/cat", argv, other); break;
            case 7: execve("/bin/cat", argv, 0); break;
            }
            execv("/bin/cat", argv);
            _exit(9);
        }
        said("environment", child);
    }
}

/* -- failures ---------------------------------------------------------------------------------------------------- */

/* DIR: has `text`, a program without a format, and `denied`, which nobody may execute */
static void failures(void) {
    char *argv[] = {"x", "argument", 0};
    const char *names[] = {"none", "denied", "text", "text/none", "loop"};
    if (chdir(file))
        return;
    for (int i = 0; i < 5; i++) {
        execv(names[i], argv);
        printf("execv %s: %s\n", names[i], strerror(errno));
        char path[64];
        snprintf(path, sizeof path, "./%s", names[i]);
        pid_t child = fork();
        if (!child) {
            execvp(path, argv);
            printf("execvp %s: %s\n", names[i], strerror(errno));
            fflush(stdout);
            _exit(9);
        }
        said("child", child);
        errno = posix_spawn(&child, path, 0, 0, argv, environ);
        said("spawned", errno ? -1 : child);
    }
}

/* -- identity, namespaces, sandboxes ----------------------------------------------------------------------------- */

static void identity(void) {
    pid_t child = fork();
    if (!child) {
        printf("setgid %d, setuid %d\n", setgid(65534), setuid(65534));
        fflush(stdout);
        open("/no/such/file/of/nobody", O_RDONLY);
        _exit(cat("by-nobody"));
    }
    said("nobody", child);
}

static void unshared(void) {
    pid_t child = fork();
    if (!child) {
        printf("mounts: %s\n", unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) ? strerror(errno) : "ok");
        printf("private: %s\n", mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) ? strerror(errno) : "ok");
        printf("pids: %s\n", unshare(CLONE_NEWPID) ? strerror(errno) : "ok");
        fflush(stdout);
        child = fork();
        if (!child) {
            printf("pid %d\n", (int)getpid());
            fflush(stdout);
            pid_t inner = fork();
            if (!inner)
                _exit(cat("by-second"));
            said("second", inner);
            fflush(stdout);
            _exit(cat("by-first"));
        }
        said("first", child);
        fflush(stdout);
        _exit(0);
    }
    said("unshared", child);
}

static void strict(void) {
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (!child) {
            open("/no/such/file/before", O_RDONLY);
            if (i < 2 ? prctl(PR_SET_SECCOMP, 1, 0, 0, 0) : syscall(SYS_seccomp, 0, 0, 0))
                _exit(77);
            write(1, "strict\n", 7);
            if (i == 1)
                open("/no/such/file/after", O_RDONLY); /* kills */
            syscall(SYS_exit, 5);
        }
        said("child", child);
    }
}

/* -- small stacks ------------------------------------------------------------------------------------------------ */

static int hooked_calls(void) {
    char *argv[] = {"x", 0};
    int wrong = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 0};
    for (int i = 0; i < 3; i++) {
        wrong += open("/no/such/file/on/a/small/stack", O_RDONLY) >= 0 || errno != ENOENT;
        wrong += execve("/no/such/program", argv, environ) != -1 || errno != ENOENT;
        wrong += chdir("/no/such/directory") != -1 || errno != ENOENT;
        wrong += rename("/no/such/a", "/no/such/b") != -1 || errno != ENOENT;
        int s = socket(AF_INET, SOCK_STREAM, 0);
        wrong += s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) != -1;
        close(s);
    }
    return wrong;
}

static void *on_small_stack(void *unused) {
    long wrong = hooked_calls();
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < 10; i++) /* enough for a session of its own */
            wrong += hooked_calls();
        _exit(wrong);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return (void *)(wrong + status);
}

static void small_stack(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    void *wrong = (void *)1;
    pthread_attr_init(&attributes);
    printf("size: %d\n", pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN));
    if (!pthread_create(&thread, &attributes, on_small_stack, 0))
        pthread_join(thread, &wrong);
    printf("%ld wrong\n", (long)wrong);
}

static int wrong_in_handler;
static void opens(int signal) {
    int saved = errno;
    wrong_in_handler += open("/no/such/file/in/handler", O_RDONLY) >= 0 || errno != ENOENT;
    errno = saved;
}

/* BYTES: a handler on a stack of the kernel's frame and so much more, with a page below that nobody may touch */
static void small_signal_stack(const char *bytes) {
    size_t size = sysconf(_SC_MINSIGSTKSZ) + atoi(bytes), whole = (size + 4095) & ~4095UL;
    char *guard = mmap(0, whole + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(guard, 4096, PROT_NONE);
    /* ends where the mapping ends; what it overruns first is filled, and looked at */
    stack_t stack = {.ss_sp = guard + 4096 + whole - size, .ss_size = size};
    memset(guard + 4096, 0x5a, whole - size);
    struct sigaction action = {.sa_handler = opens, .sa_flags = SA_ONSTACK};
    printf("stack: %d\n", sigaltstack(&stack, 0));
    sigaction(SIGUSR1, &action, 0);
    for (int i = 0; i < 20; i++)
        raise(SIGUSR1);
    for (char *c = guard + 4096; c < (char *)stack.ss_sp; c++)
        if (*c != 0x5a) {
            printf("overrun by %ld\n", (long)((char *)stack.ss_sp - c));
            break;
        }
    printf("%d wrong\n", wrong_in_handler);
}

/* -- cancellation ------------------------------------------------------------------------------------------------ */

static int cleaned, listener, pair[2], stage;
static void cleanup(void *unused) { cleaned++; }

static void *wait_in(void *call) {
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct mmsghdr many = {message, 0};
    pthread_cleanup_push(cleanup, 0);
    __atomic_store_n(&stage, 1, __ATOMIC_SEQ_CST);
    switch ((long)call) {
    case 0: accept(listener, (struct sockaddr *)&from, &len); break;
    case 1: accept4(listener, 0, 0, SOCK_CLOEXEC); break;
    case 2: recvfrom(pair[0], &byte, 1, 0, (struct sockaddr *)&from, &len); break;
    case 3: recvmsg(pair[0], &message, 0); break;
    case 4: recvmmsg(pair[0], &many, 1, 0, 0); break;
    case 5: open(file, O_RDONLY); break;
    case 6: openat(AT_FDCWD, file, O_RDONLY); break;
    case 7: creat(file, 0600); break;
    }
    pthread_cleanup_pop(0);
    return 0;
}

/* FIFO */
static void cancelled(void) {
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(listener, 1) || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
        return;
    for (long i = 0; i < 8; i++) {
        pthread_t thread;
        void *result = 0;
        __atomic_store_n(&stage, 0, __ATOMIC_SEQ_CST);
        pthread_create(&thread, 0, wait_in, (void *)i);
        while (!__atomic_load_n(&stage, __ATOMIC_SEQ_CST))
            sched_yield();
        usleep(i % 2 ? 0 : 20000); /* whether it waits already or not: it is a cancellation point */
        pthread_cancel(thread);
        pthread_join(thread, &result);
        printf("%ld: %s, cleaned %d\n", i, result == PTHREAD_CANCELED ? "canceled" : "not canceled", cleaned);
    }
}

/* -- daemons ----------------------------------------------------------------------------------------------------- */

static void daemonised(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* to see its end */
    pid_t child = fork();
    if (!child) {
        setsid();
        if (fork())
            _exit(0);
        for (int fd = 3; fd < 65536; fd++)
            close(fd);
        dup2(open("/dev/null", O_RDONLY), 0);
        _exit(cat("by-daemon"));
    }
    said("parent of the daemon", child);
    int status = -1;
    wait(&status);
    printf("daemon: %x\n", status);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    file = argc > 2 ? argv[2] : "/etc/hostname";
    setvbuf(stdout, 0, _IOLBF, 0);
    if (!strcmp(what, "children")) children();
    else if (!strcmp(what, "threads")) threads();
    else if (!strcmp(what, "environments")) environments();
    else if (!strcmp(what, "failures")) failures();
    else if (!strcmp(what, "identity")) identity();
    else if (!strcmp(what, "unshared")) unshared();
    else if (!strcmp(what, "strict")) strict();
    else if (!strcmp(what, "small-stack")) small_stack();
    else if (!strcmp(what, "signal-stack")) small_signal_stack(file);
    else if (!strcmp(what, "cancelled")) cancelled();
    else if (!strcmp(what, "daemonised")) daemonised();
    else return 2;
    return 0;
}
