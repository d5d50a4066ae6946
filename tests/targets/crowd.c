/* Processes that come and go.
 *
 *   crowd member LIFE OPENS PREFIX    opens PREFIX/0, PREFIX/1, ... (which are missing) evenly over LIFE milliseconds, or
 *                                     without a pause if that is 0; SIGTERM ends it early. Status: opens made (up to 100)
 *   crowd keep N LIFE OPENS PREFIX    keeps N members alive until SIGTERM, which ends them too
 *   crowd burst N LIFE OPENS PREFIX   starts N members as fast as it can and waits for them
 *
 * A crowd runs without the agent and starts its members with that of AGENT. It says "MEMBERS OPENS" at its end, and fails
 * if a member did. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static sigset_t signals;

/* Sleeps, unless SIGTERM has come or comes. */
static int told_to_end(long ns) {
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    return sigtimedwait(&signals, 0, &t) == SIGTERM;
}

static int member(long life, long opens, const char *prefix) {
    char path[256];
    long n = 0;
    while (n < opens) {
        snprintf(path, sizeof path, "%s/%ld", prefix, n++);
        if (open(path, O_RDONLY) >= 0) return 101;
        if (life && told_to_end(life * 1000000 / opens)) break;
    }
    return n > 100 ? 100 : n;
}

static long members, opens_made;
static int failed;
static char preload[4200];

static pid_t start(char *life, char *opens, char *prefix) {
    char *argv[] = {"crowd", "member", life, opens, prefix, 0}, *envp[] = {preload, 0};
    pid_t child = vfork();
    if (!child) {
        execve("/proc/self/exe", argv, envp);
        _exit(127);
    }
    if (child < 0) {
        perror("crowd: vfork");
        failed = 1;
    } else
        members++;
    return child;
}

/* Whose end was seen; 0 if there is none to be seen. */
static pid_t ended(int flags) {
    int status;
    pid_t child = waitpid(-1, &status, flags);
    if (child <= 0) return 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 100) {
        fprintf(stderr, "crowd: a member ended with status %x\n", status);
        failed = 1;
    } else
        opens_made += WEXITSTATUS(status);
    return child;
}

static void keep(int count, char *life, char *opens, char *prefix) {
    pid_t alive[count];
    for (int n = 0; n < count; n++) {
        /* the first ones live for parts of it, so that not all end together */
        char first[24];
        snprintf(first, sizeof first, "%ld", atol(life) * (n + 1) / count);
        alive[n] = start(first, opens, prefix);
    }
    siginfo_t info;
    for (;;) {
        if (sigwaitinfo(&signals, &info) == SIGTERM) break;
        for (pid_t child; (child = ended(WNOHANG));)
            for (int n = 0; n < count; n++)
                if (alive[n] == child) alive[n] = start(life, opens, prefix);
    }
    for (int n = 0; n < count; n++)
        if (alive[n] > 0) kill(alive[n], SIGTERM);
}

int main(int argc, char **argv) {
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    if (argc == 5 && !strcmp(argv[1], "member")) {
        sigprocmask(SIG_BLOCK, &signals, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        return member(atol(argv[2]), atol(argv[3]), argv[4]);
    }
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argc != 6 || !getenv("AGENT")) return 102;
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", getenv("AGENT"));
    int count = atoi(argv[2]);
    if (!strcmp(argv[1], "keep"))
        keep(count, argv[3], argv[4], argv[5]);
    else
        for (int n = 0; n < count; n++) start(argv[3], argv[4], argv[5]);
    while (ended(0)) {
    }
    printf("%ld %ld\n", members, opens_made);
    return failed;
}
