/* Closes every descriptor, as daemons do, one by one or with close_range, and then expects the lowest numbers. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int keep = dup(1); /* moved out of the way at the end, to be able to speak */
    int high = fcntl(keep, F_DUPFD_CLOEXEC, 900);
    if (argc > 1 && !strcmp(argv[1], "range")) {
        syscall(SYS_close_range, 0, high - 1, 0);
        syscall(SYS_close_range, high + 1, ~0U, 0);
    } else {
        for (int fd = 0; fd < 1024; fd++)
            if (fd != high)
                close(fd);
    }
    int a = open("/dev/null", O_RDONLY), b = open("/no/such/file", O_RDONLY), c = open("/dev/null", O_WRONLY);
    pid_t child = fork();
    if (!child) {
        int d = open("/dev/null", O_RDONLY);
        _exit(100 + d);
    }
    int status = 0;
    waitpid(child, &status, 0);
    int e = dup(a);
    dprintf(high, "%d %d %d, child %d, then %d\n", a, b, c, WEXITSTATUS(status), e);
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0 && fd != high)
            dprintf(high, "open: %d\n", fd);
    return 0;
}
