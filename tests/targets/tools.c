/* A small program for debuggers and tracers: opens files, executes a program in a child, and says what came of it.
   Between two calls of write(-1) it does what must cost no system call more than it makes itself. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) int opened(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

__attribute__((noinline)) int outer(const char *path) {
    int fd = opened(path);
    return fd;
}

static void quiet(void) {
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    for (int round = 0; round < 10; round++) {
        if (round == 1) /* the first finds the functions */
            write(-1, "begin", 5);
        close(outer("/etc/hostname"));
        outer("/no/such/file");
        fclose(fopen("/etc/hostname", "r"));
        closedir(opendir("/"));
        connect(s, (void *)&nobody, sizeof nobody);
    }
    write(-1, "end", 3);
    close(s);
}

int main(int argc, char **argv) {
    printf("one %d\n", outer("/etc/hostname") > 0);
    printf("two %d\n", outer("/no/such/file"));
    char *copy = malloc(100);
    strcpy(copy, "three");
    quiet();
    fflush(stdout);
    if (argc > 1) {
        pid_t child = fork();
        if (!child) {
            execlp(argv[1], argv[1], "child", (char *)0);
            _exit(9);
        }
        int status;
        waitpid(child, &status, 0);
        printf("child %x\n", status);
        system("echo shell; exit 3");
    }
    puts(copy);
    free(copy);
    return 7;
}
