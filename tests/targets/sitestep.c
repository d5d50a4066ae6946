/* Opens a file, connects and executes one instruction at a time: a handler asks for a backtrace after each of them,
   which must reach main and beyond. sitestep [by-name]: past every hook, or through the hooks, whose entry is two instructions. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

static void *beyond; /* who called main */
static volatile int steps, lost;
static struct {
    long at;
    const char *object;
} where[16];

static void handler(int unused, siginfo_t *info, void *context) {
    void *frames[64];
    char *at = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    int n = backtrace(frames, 64);
    steps++;
    for (int i = 0; i < n; i++)
        if (frames[i] == beyond)
            return;
    Dl_info object;
    if (lost < 16 && dladdr(at, &object)) {
        where[lost].at = at - (char *)object.dli_fbase;
        where[lost].object = object.dli_fname;
    }
    lost++;
}

/* below the red zone, which the compiler may use around an asm */
#define STEP(on) __asm__ volatile("sub $128, %%rsp\n pushf\n" on " (%%rsp)\n popf\n add $128, %%rsp" ::: "memory", "cc")
#define ALONE(call)                                                                                                    \
    do {                                                                                                               \
        steps = lost = 0;                                                                                              \
        STEP("orl $256,");                                                                                             \
        int result_ = call;                                                                                            \
        STEP("andl $~256,");                                                                                           \
        printf("%s: %d, %s, lost %d\n", #call, result_, steps > 4 ? "steps" : "no steps", lost <= entry ? 0 : lost);   \
        for (int i = 0; i < lost && i < 16 && lost > entry; i++)                                                       \
            printf("  at %lx of %s\n", where[i].at, where[i].object);                                                  \
    } while (0)

int main(int argc, char **argv) {
    void *frames[4];
    backtrace(frames, 4); /* loads what it needs */
    int by_name = argc > 1, entry = by_name ? 2 : 0;
    void *library = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_NOW);
    int (*opens)(const char *, int, ...) = by_name ? open : dlsym(library, "open");
    int (*connects)(int, const void *, unsigned) = by_name ? (void *)connect : dlsym(library, "connect");
    int (*execs)(const char *, char **, char **) = by_name ? (void *)execve : dlsym(library, "execve");
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *missing = "/no/such/file";
    char *none[] = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, 0);
    beyond = __builtin_return_address(0);
    for (int round = 0; round < 2; round++) {
        /* what is looked up at the first use is not stepped through */
        opens(missing, O_RDONLY), connects(s, &nobody, sizeof nobody), execs(missing, none, none);
        ALONE(opens(missing, O_RDONLY));
        ALONE(connects(s, &nobody, sizeof nobody));
        ALONE(execs(missing, none, none));
        fflush(stdout);
    }
    return 0;
}
