/* vfork children that change directory, fail to execute, and execute: the parent's own state must stay. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(const char *what, pid_t child) {
    int status = 0;
    char cwd[256];
    waitpid(child, &status, 0);
    printf("%s: %x in %s\n", what, status, getcwd(cwd, sizeof cwd));
    fflush(stdout);
}

int main(void) {
    if (chdir("/usr"))
        return 2;
    for (int i = 0; i < 3; i++) {
        pid_t child = vfork();
        if (!child) {
            chdir("/etc");
            execl("/no/such/program", "x", (char *)0);
            _exit(errno);
        }
        end("missing", child);
        child = vfork();
        if (!child) {
            chdir("/etc");
            execl("/bin/cat", "cat", "hostname", (char *)0);
            _exit(127);
        }
        end("cat", child);
        child = vfork();
        if (!child)
            _exit(11);
        end("exit", child);
        printf("share: %s\n", open("share", O_RDONLY | O_DIRECTORY) < 0 ? strerror(errno) : "ok");
    }
    return 0;
}
