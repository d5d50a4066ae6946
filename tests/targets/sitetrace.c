/* A signal arrives while open() of a FIFO waits; its handler asks for a backtrace, which must reach main. sitetrace FIFO */
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>

static void *after_open, *after_waits;
static int opener, caller, beyond;

static void handler(int unused) {
    void *frames[64];
    int n = backtrace(frames, 64);
    for (int i = 0; i < n; i++) {
        char *at = frames[i];
        if (at >= (char *)after_open - 64 && at <= (char *)after_open)
            opener = i;
        if (at >= (char *)after_waits - 64 && at <= (char *)after_waits + 64)
            caller = i;
    }
    beyond = n - 1 > caller; /* who called main */
}

__attribute__((noinline)) static int waits(const char *fifo) {
    int fd = open(fifo, O_RDONLY);
here:
    after_open = &&here;
    after_waits = __builtin_return_address(0);
    return fd;
}

static void watch(int pid) {
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/%d/syscall", pid);
    do {
        usleep(1000);
        int fd = open(path, O_RDONLY);
        memset(text, 0, sizeof text);
        if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
            _exit(3);
        close(fd);
    } while (strncmp(text, "257 ", 4));
    kill(pid, SIGUSR1);
    _exit(0);
}

int main(int argc, char **argv) {
    void *frames[4];
    backtrace(frames, 4); /* loads what it needs */
    int first = open("/etc/hostname", O_RDONLY);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, 0);
    close(first);
    waits("/etc/hostname"); /* notes the addresses */
    int parent = getpid();
    if (argc < 2)
        return 2;
    if (fork() == 0)
        watch(parent);
    errno = 0;
    int fd = waits(argv[1]);
    printf("open: %d, %s\n", fd, strerror(errno));
    printf("opener %s, caller %s, further %s\n", opener ? "seen" : "missing", caller > opener ? "seen" : "missing",
           beyond ? "yes" : "no");
    return 0;
}
