/* Pointers to nowhere: the kernel answers EFAULT, and nothing crashes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long r = (call);                                                                                               \
        printf("%s: %ld, errno %d\n", #call, r, errno);                                                                \
        fflush(stdout);                                                                                                \
    } while (0)

int main(void) {
    char *volatile nowhere = (char *)8, *volatile null = 0;
    char **volatile list = (char **)8, *argv[] = {"true", 0}, *bad[] = {"true", (char *)8, 0};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(open(nowhere, O_RDONLY));
    SHOW(open(null, O_RDONLY));
    SHOW(openat(AT_FDCWD, nowhere, O_RDONLY));
    SHOW(creat(nowhere, 0600));
    SHOW(chdir(nowhere));
    SHOW(connect(s, (struct sockaddr *)nowhere, 16));
    SHOW(execve(nowhere, argv, argv));
    SHOW(execve(null, argv, argv));
    SHOW(execve("/bin/true", list, argv));
    SHOW(execve("/bin/true", argv, list));
    SHOW(execve("/bin/true", bad, argv));
    SHOW(execve("/bin/true", argv, bad));
    return 0;
}
