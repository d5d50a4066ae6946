// A thread that waits in open() of a FIFO is cancelled: the destructors of its frames run. siteunwind FIFO
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static int destroyed, caught;
static volatile int tid;

struct Guard {
    ~Guard() { destroyed++; }
};

__attribute__((noinline)) static void inner(const char *fifo) {
    Guard guard;
    try {
        tid = syscall(SYS_gettid);
        open(fifo, O_RDONLY);
    } catch (...) {
        caught++;
        throw; // a cancellation must go on
    }
}

static void *outer(void *fifo) {
    Guard guard;
    inner(static_cast<const char *>(fifo));
    return nullptr;
}

static bool waits() {
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    int fd = open(path, O_RDONLY);
    bool there = fd >= 0 && read(fd, text, sizeof text - 1) > 0;
    close(fd);
    return there && !strncmp(text, "257 ", 4);
}

int main(int argc, char **argv) {
    int canceled = 0;
    for (int round = 0; round < 50; round++) {
        pthread_t thread;
        void *result = nullptr;
        tid = 0;
        if (argc < 2 || pthread_create(&thread, nullptr, outer, argv[1]))
            return 2;
        while (!tid || !waits())
            usleep(100);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        canceled += result == PTHREAD_CANCELED;
    }
    printf("canceled %d, destroyed %d, caught %d\n", canceled, destroyed, caught);
}
