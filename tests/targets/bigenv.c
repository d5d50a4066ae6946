/* Finds the largest environment that an exec of /bin/true takes (the kernel's limit is a quarter of the stack limit)
 * and says how many bytes it was, to the byte: the same with and without porthole. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE 60000
static char *entries[64];

static int takes(size_t bytes) {
    size_t n = 0;
    for (; bytes; n++) {
        size_t piece = bytes < PIECE ? bytes : PIECE;
        entries[n] = realloc(entries[n], piece + 1);
        memset(entries[n], 'x', piece);
        entries[n][piece] = 0;
        if (piece > 2)
            entries[n][1] = '=';
        bytes -= piece;
    }
    free(entries[n]);
    entries[n] = 0;
    char *argv[] = {"true", 0};
    pid_t child = fork();
    if (!child) {
        execve("/bin/true", argv, entries);
        _exit(errno == E2BIG ? 77 : 78);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != 77))
        printf("unexpected status %x\n", status);
    return status == 0;
}

int main(void) {
    struct rlimit r = {1 << 20, RLIM_INFINITY};
    getrlimit(RLIMIT_STACK, &r);
    r.rlim_cur = 1 << 20; /* a limit of 256 KiB for arguments and environment */
    if (setrlimit(RLIMIT_STACK, &r)) {
        perror("setrlimit");
        return 2;
    }
    size_t good = 1000, bad = 1 << 20;
    while (bad - good > 1) {
        size_t middle = (good + bad) / 2;
        if (takes(middle))
            good = middle;
        else
            bad = middle;
    }
    printf("%zu bytes\n", good);
    return 0;
}
