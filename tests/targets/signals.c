/* signals open|jump: a timer interrupts a loop of opens every 50 microseconds; the handler opens a file itself, or
 * leaves by siglongjmp. The loop ends after a fixed number of interruptions that came. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static volatile unsigned long wrong;
static sigjmp_buf back;
static int jumps;

static void handler(int signal) {
    int saved = errno;
    came++;
    if (open("/no/such/file/in/handler", O_RDONLY) >= 0 || errno != ENOENT)
        wrong++;
    errno = saved;
    if (jumps)
        siglongjmp(back, 1);
}

int main(int argc, char **argv) {
    jumps = argc > 1 && !strcmp(argv[1], "jump");
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, 0);
    struct itimerval timer = {{0, 50}, {0, 50}};
    /* only once there is somewhere to jump to */
    if (!sigsetjmp(back, 1))
        setitimer(ITIMER_REAL, &timer, 0);
    while (came < 3000) {
        errno = 0;
        if (open("/no/such/file/in/loop", O_RDONLY) >= 0 || errno != ENOENT)
            wrong++;
        int fd = open("/dev/null", O_RDONLY);
        if (fd >= 0)
            close(fd); /* a jump in between leaks it: the limit of descriptors is far */
        else if (errno != EMFILE)
            wrong++;
    }
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, 0);
    printf("done, %lu wrong\n", wrong);
    return 0;
}
