/* Cancels a thread that waits in open() of a FIFO; its clean-up handler must run. cancel FIFO */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void cleanup(void *unused) { printf("cleaned up\n"); }

static void *wait_in_open(void *path) {
    pthread_cleanup_push(cleanup, 0);
    open(path, O_RDONLY);
    pthread_cleanup_pop(0);
    return 0;
}

int main(int argc, char **argv) {
    pthread_t thread;
    void *result = 0;
    if (argc < 2 || pthread_create(&thread, 0, wait_in_open, argv[1]))
        return 2;
    usleep(200000);
    int canceled = pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancel: %d\n", canceled);
    printf("%s\n", result == PTHREAD_CANCELED ? "canceled" : "not canceled");
    return 0;
}
