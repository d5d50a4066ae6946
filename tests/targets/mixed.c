/* Threads that open and allocate, a stream, a fork and an exec: what sanitizers and allocators look at. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *opener(void *nothing) {
    int fd = open("/etc/hostname", O_RDONLY);
    close(fd);
    return malloc(10);
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(threads + i, 0, opener, 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        free(result);
    }
    char line[100] = "";
    FILE *f = fopen("/etc/passwd", "r");
    if (f && fgets(line, sizeof line, f))
        fclose(f);
    fputs(line, stdout);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        execl("/bin/cat", "cat", "/etc/hostname", (char *)0);
        _exit(9);
    }
    int status = -1;
    waitpid(child, &status, 0);
    printf("child %d\n", status);
    return 4;
}
