/* limits NAME VALUE [close0] -- CMD...: sets one resource limit and executes CMD.
 * limits here NAME VALUE: sets it and goes on in this process: opens, forks, opens in the child. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int which(const char *name) {
    return !strcmp(name, "fsize") ? RLIMIT_FSIZE : !strcmp(name, "nofile") ? RLIMIT_NOFILE : RLIMIT_AS;
}

static void set(const char *name, const char *value) {
    struct rlimit r = {.rlim_cur = strtoul(value, 0, 0), .rlim_max = strtoul(value, 0, 0)};
    if (setrlimit(which(name), &r)) {
        perror("setrlimit");
        exit(2);
    }
}

static void show(const char *who) {
    struct rlimit r;
    int fd = open("/etc/passwd", O_RDONLY);
    printf("%s: open %s\n", who, fd < 0 ? strerror(errno) : "ok");
    fd = open("/no/such/file", O_RDONLY);
    printf("%s: missing %s\n", who, fd < 0 ? strerror(errno) : "ok");
    for (int i = 0; i < 3; i++) {
        getrlimit(i == 0 ? RLIMIT_FSIZE : i == 1 ? RLIMIT_NOFILE : RLIMIT_AS, &r);
        printf("%s: limit %lu %lu\n", who, (long)r.rlim_cur, (long)r.rlim_max);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "here")) {
        set(argv[2], argv[3]);
        show("parent");
        pid_t child = fork();
        if (!child) {
            show("child");
            _exit(5);
        }
        int status = 0;
        waitpid(child, &status, 0);
        printf("child's status %x\n", status);
        return 0;
    }
    int at = 3;
    if (argc > at && !strcmp(argv[at], "close0")) {
        close(0);
        at++;
    }
    if (argc <= at + 1 || strcmp(argv[at], "--"))
        return 2;
    set(argv[1], argv[2]);
    execvp(argv[at + 1], argv + at + 1);
    printf("exec: %s\n", strerror(errno));
    return 126;
}
