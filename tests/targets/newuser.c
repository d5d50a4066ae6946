/* unshare(CLONE_NEWUSER) is refused to a process with more than one thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    open("/no/such/file", O_RDONLY);
    int r = unshare(CLONE_NEWUSER);
    printf("unshare: %s, uid %d\n", r ? strerror(errno) : "ok", getuid());
    printf("open: %s\n", open("/etc/passwd", O_RDONLY) < 0 ? strerror(errno) : "ok");
    return r != 0;
}
