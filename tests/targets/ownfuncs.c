/* ownfuncs PATH: a program with its own open, read, write, close, getpid and malloc, which it puts before the C
 * library's. Says how often they were called: nobody else may. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opens, reads, writes, closes, pids, allocations;
static char heap[1 << 20] __attribute__((aligned(16)));
static size_t used;

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    opens++;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
ssize_t read(int fd, void *to, size_t n) { return reads++, syscall(SYS_read, fd, to, n); }
ssize_t write(int fd, const void *from, size_t n) { return writes++, syscall(SYS_write, fd, from, n); }
int close(int fd) { return closes++, syscall(SYS_close, fd); }
pid_t getpid(void) { return pids++, syscall(SYS_getpid); }

void *malloc(size_t n) {
    allocations++;
    size_t at = used + 16, next = (at + n + 15) & ~15ul;
    if (next > sizeof heap)
        return 0;
    used = next;
    memcpy(heap + at - 8, &n, sizeof n);
    return heap + at;
}
void free(void *at) {}
void *calloc(size_t count, size_t size) { return malloc(count * size); } /* the heap is zero, and never used twice */
void *realloc(void *old, size_t n) {
    void *new = malloc(n);
    size_t had = 0;
    if (old)
        memcpy(&had, (char *)old - 8, sizeof had);
    return new ? memcpy(new, old ? old : new, had < n ? had : n) : 0;
}

int main(int argc, char **argv) {
    char line[200] = "";
    int fd = open(argv[1], O_RDONLY, 0);
    ssize_t n = read(fd, line, sizeof line);
    write(1, line, n);
    close(fd);
    FILE *f = fopen(argv[1], "r");
    if (f && fgets(line, sizeof line, f))
        fclose(f);
    struct passwd *root = getpwnam("root");
    n = snprintf(line, sizeof line, "%s: opens %d reads %d writes %d closes %d pids %d allocations %d\n",
                 root ? root->pw_name : "?", opens, reads, writes, closes, pids, allocations);
    write(1, line, n);
    return system("echo from a child") ? 1 : 5;
}
