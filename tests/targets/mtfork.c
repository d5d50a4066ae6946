/* Threads open files while the main thread forks children that open files and end. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop;

static void *work(void *unused) {
    unsigned long wrong = 0;
    while (!stop) {
        int fd = open("/dev/null", O_RDONLY);
        wrong += fd < 0;
        close(fd);
        wrong += open("/no/such/file", O_RDONLY) >= 0 || errno != ENOENT;
    }
    return (void *)wrong;
}

int main(void) {
    pthread_t threads[4];
    unsigned long wrong = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], 0, work, 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (!child) {
            int ok = 0;
            for (int k = 0; k < 5; k++)
                ok += open("/etc/passwd", O_RDONLY) >= 0;
            _exit(ok);
        }
        int status = 0;
        waitpid(child, &status, 0);
        wrong += status != 5 << 8;
    }
    stop = 1;
    for (int i = 0; i < 4; i++) {
        void *theirs = 0;
        pthread_join(threads[i], &theirs);
        wrong += (unsigned long)theirs;
    }
    printf("%lu wrong\n", wrong);
    return 0;
}
