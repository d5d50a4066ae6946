/* Moves its environment away and overwrites the area of arguments and environment, as setproctitle does. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    char *end = argv[0], self[256];
    snprintf(self, sizeof self, "%s", argv[0]);
    if (argc > 1) {
        printf("child: %s\n", getenv("KEPT") ? getenv("KEPT") : "lost");
        return 0;
    }
    int n = 0;
    for (char **e = environ; *e; e++, n++)
        end = *e + strlen(*e) + 1;
    char **moved = calloc(n + 2, sizeof *moved);
    int m = 0;
    for (int i = 0; i < n; i++)
        moved[m++] = strdup(environ[i]);
    moved[m++] = "KEPT=yes";
    environ = moved;
    memset(argv[0], 'A', end - argv[0] - 1);
    end[-1] = 0;
    printf("open: %d\n", open("/etc/passwd", O_RDONLY) >= 0);
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (!child) {
            open("/etc/hostname", O_RDONLY);
            if (i)
                execl(self, self, "child", (char *)0);
            _exit(3);
        }
        int status = 0;
        waitpid(child, &status, 0);
        printf("status %x\n", status);
    }
    return 0;
}
