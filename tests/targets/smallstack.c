/* A thread with the smallest stack executes this program again with 3,000 environment entries. The new image says how
 * many it got, and a sum over them (without LD_PRELOAD, which porthole adds). */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;
#define ENTRIES 3000
static char text[ENTRIES][32], *entries[ENTRIES + 1], *self;

static void *go(void *unused) {
    char *argv[] = {self, "count", 0};
    execve(self, argv, entries);
    perror("execve");
    exit(126);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        unsigned long n = 0, sum = 0;
        for (char **e = environ; *e; e++) {
            if (!strncmp(*e, "LD_PRELOAD=", 11))
                continue;
            n++;
            for (char *c = *e; *c; c++)
                sum = sum * 31 + (unsigned char)*c;
        }
        printf("%lu entries, sum %lx\n", n, sum);
        return 0;
    }
    self = argv[0];
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(text[i], sizeof text[i], "VARIABLE_%d=value %d", i, i);
        entries[i] = text[i];
    }
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, 16384) || pthread_create(&thread, &attributes, go, 0)) {
        perror("thread");
        return 2;
    }
    pthread_join(thread, 0);
    return 1;
}
