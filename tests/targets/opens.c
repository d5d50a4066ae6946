/* Opens a missing file: opens COUNT [PAUSE_FILE]. With PAUSE_FILE it opens half, says so on stdout, waits until the file
 * exists, and opens the rest. opens fork N: a forked child makes N opens. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void missing(int n) {
    while (n-- > 0)
        open("/missing/file", O_RDONLY);
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "fork")) {
        pid_t child = fork();
        if (!child) {
            missing(atoi(argv[2]));
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("%d\n", (int)child);
        return 0;
    }
    int count = atoi(argv[1]);
    if (argc == 3) {
        missing(count / 2);
        puts("half");
        fflush(stdout);
        while (access(argv[2], F_OK))
            usleep(1000);
        missing(count - count / 2);
    } else
        missing(count);
    return 0;
}
