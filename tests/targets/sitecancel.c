/* Cancels threads again and again: sitecancel deferred|async|race|self FIFO
   deferred, async: many that wait in open() of a FIFO; race: one that opens and closes all the time, wherever it just
   is; self: the only thread, by a signal that arrives while it waits. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 100 };

static const char *fifo;
static int asynchronous, cleaned, returned;
static volatile int tids[THREADS];
static volatile long turns;

static void cleanup(void *unused) { __atomic_add_fetch(&cleaned, 1, __ATOMIC_SEQ_CST); }

/* whether a task waits in openat, as the kernel tells */
static int waits_in_open(int pid, int tid) {
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", pid, tid);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        exit(3);
    close(fd);
    return !strncmp(text, "257 ", 4) && strstr(text, "ffffff9c");
}

static void *wait_in_open(void *place) {
    if (asynchronous)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
    pthread_cleanup_push(cleanup, 0);
    *(volatile int *)place = syscall(SYS_gettid);
    open(fifo, O_RDONLY);
    returned++;
    pthread_cleanup_pop(0);
    return 0;
}

static void *open_all_the_time(void *unused) {
    pthread_cleanup_push(cleanup, 0);
    for (;;) {
        int fd = open("/etc/hostname", O_RDONLY);
        int old;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
        turns++;
        close(fd);
        pthread_setcancelstate(old, 0);
    }
    pthread_cleanup_pop(0);
    return 0;
}

static int cancel(pthread_t thread) {
    void *result = 0;
    if (pthread_cancel(thread) || pthread_join(thread, &result))
        exit(4);
    return result == PTHREAD_CANCELED;
}

static void cancel_self(int unused) { pthread_cancel(pthread_self()); }

static void last_words(void) {
    printf("cleaned %d\n", cleaned);
    fflush(stdout);
}

/* the process has no other thread, before or after */
static void only_thread(void) {
    int parent = getpid(), watcher = fork();
    if (watcher == 0) {
        while (!waits_in_open(parent, parent))
            usleep(1000);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    atexit(last_words);
    signal(SIGUSR1, cancel_self);
    asynchronous = 1;
    wait_in_open((void *)&tids[0]);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    fifo = argv[2];
    asynchronous = !strcmp(argv[1], "async");
    alarm(50);
    if (!strcmp(argv[1], "self")) {
        only_thread();
        return 5;
    }
    int race = !strcmp(argv[1], "race"), canceled = 0;
    int rounds = race ? ROUNDS * 2 : ROUNDS, threads = race ? 1 : THREADS;
    for (int round = 0; round < rounds; round++) {
        pthread_t thread[THREADS];
        turns = 0;
        for (int i = 0; i < threads; i++) {
            tids[i] = 0;
            if (pthread_create(&thread[i], 0, race ? open_all_the_time : wait_in_open, (void *)&tids[i]))
                return 2;
        }
        for (int i = 0; i < threads; i++) {
            while (race ? turns < 1 : !tids[i] || !waits_in_open(getpid(), tids[i]))
                ;
            for (volatile int spin = 0; race && spin < round * 31; spin++)
                ;
            canceled += cancel(thread[i]);
        }
    }
    printf("canceled %d, cleaned %d, returned %d\n", canceled, cleaned, returned);
    return 0;
}
