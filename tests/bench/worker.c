/* Does what it is told on stdin and answers with nanoseconds per call, so that a bare and a hooked worker can take
 * turns: a machine that gets slower then slows both.
 *
 *   KIND COUNT            COUNT calls one after the other
 *   KIND RATE SECONDS     RATE calls a second, for some seconds
 * KIND is open (a missing file), true (fork, execute argv[1], wait), musl (the same with argv[2]), tcp, udp, none. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **programs;
static struct sockaddr_in tcp, udp;
static int listener, datagrams;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void execute(char *program) {
    char *argv[] = {program, 0};
    pid_t child = fork();
    if (!child) {
        execv(program, argv);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status) {
        fprintf(stderr, "worker: %s: status %x\n", program, status);
        exit(1);
    }
}

static void call(const char *kind) {
    switch (kind[0]) {
    case 'o':
        if (open("/nonexistent/dir/file.conf", O_RDONLY) >= 0) exit(1);
        break;
    case 'm':
        execute(programs[2]);
        break;
    case 'u':
        if (connect(datagrams, (struct sockaddr *)&udp, sizeof udp)) exit(1);
        break;
    case 't':
        if (kind[1] == 'r') {
            execute(programs[1]);
            break;
        }
        int s = socket(AF_INET, SOCK_STREAM, 0);
        if (s < 0 || connect(s, (struct sockaddr *)&tcp, sizeof tcp)) exit(1);
        close(accept(listener, 0, 0));
        close(s);
        break;
    }
}

int main(int argc, char **argv) {
    char line[128], kind[16];
    socklen_t len = sizeof tcp;
    programs = argv;
    tcp.sin_family = udp.sin_family = AF_INET;
    tcp.sin_addr.s_addr = udp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    udp.sin_port = htons(9);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    if (argc < 3 || bind(listener, (void *)&tcp, len) || listen(listener, 64) || getsockname(listener, (void *)&tcp, &len))
        return 1;
    while (fgets(line, sizeof line, stdin)) {
        double a, b, taken = 0, rest = 0;
        int fields = sscanf(line, "%15s %lf %lf", kind, &a, &b);
        if (fields == 2) {
            double start = now();
            for (long i = 0; i < (long)a; i++)
                call(kind);
            taken = (now() - start) / a;
        } else if (fields == 3) {
            long calls = a * b;
            double start = now();
            for (long i = 0; i < calls; i++) {
                double due = start + i * 1e9 / a, t = now();
                if (due > t) {
                    struct timespec pause = {(long)((due - t) / 1e9), (long)(due - t) % 1000000000};
                    nanosleep(&pause, 0);
                }
                t = now();
                call(kind);
                double after = now();
                taken += after - t;
                rest += now() - after; /* what looking at the clock costs */
            }
            taken = (taken - rest) / calls;
        }
        printf("%.1f\n", taken);
        fflush(stdout);
    }
    return 0;
}
