/* errno after every hooked call that fails, and after every one that succeeds (it must be left alone). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int __open_2(const char *, int);
int __openat_2(int, const char *, int);

#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 1234;                                                                                                  \
        long r = (long)(call);                                                                                         \
        int e = errno;                                                                                                 \
        printf("%s: %s, errno %d\n", #call, r == -1 || r == 0 ? (r ? "-1" : "0") : "other", e);                        \
        fflush(stdout);                                                                                                \
    } while (0)

int main(void) {
    char *argv[] = {"x", 0}, *empty[] = {0};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/no/such/socket"};
    struct sockaddr_storage bad = {.ss_family = 9999};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    pid_t child;
    const char *missing = "/no/such/file", *good = "/etc/passwd";

    SHOW(open(missing, O_RDONLY));
    SHOW(open64(missing, O_RDONLY));
    SHOW(open("/etc/passwd/x", O_RDONLY));
    SHOW(open("/etc", O_WRONLY));
    SHOW(openat(99, "x", O_RDONLY));
    SHOW(openat64(AT_FDCWD, missing, O_RDONLY));
    SHOW(creat("/no/such/dir/file", 0600));
    SHOW(creat64("/no/such/dir/file", 0600));
    SHOW(__open_2(missing, O_RDONLY));
    SHOW(__openat_2(AT_FDCWD, missing, O_RDONLY));
    SHOW(fopen(missing, "r"));
    SHOW(fopen64(missing, "r"));
    SHOW(fopen(good, "?"));
    SHOW(opendir(missing));
    SHOW(execve(missing, argv, empty));
    SHOW(execve("/etc/passwd", argv, empty));
    SHOW(execv(missing, argv));
    SHOW(execvp("no-such-program", argv));
    SHOW(execvpe("no-such-program", argv, empty));
    SHOW(execl(missing, "x", (char *)0));
    SHOW(execlp("no-such-program", "x", (char *)0));
    SHOW(execle(missing, "x", (char *)0, empty));
    SHOW(fexecve(99, argv, empty));
    SHOW(execveat(99, "x", argv, empty, 0));
    SHOW(connect(s, (struct sockaddr *)&un, sizeof un));
    SHOW(connect(99, (struct sockaddr *)&un, sizeof un));
    SHOW(connect(s, (struct sockaddr *)&bad, sizeof bad));
    SHOW(connect(s, (struct sockaddr *)&un, 1 << 30));
    SHOW(chdir(missing));
    SHOW(fchdir(99));
    SHOW(prctl(99999, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_SECCOMP, 99, 0, 0, 0));
    SHOW(posix_spawn(&child, missing, 0, 0, argv, empty) == ENOENT);
    SHOW(posix_spawnp(&child, "no-such-program", 0, 0, argv, empty) == ENOENT);

    SHOW(open(good, O_RDONLY));
    SHOW(open64(good, O_RDONLY));
    SHOW(openat(AT_FDCWD, good, O_RDONLY));
    SHOW(fopen(good, "r"));
    SHOW(opendir("/"));
    SHOW(chdir("/"));
    SHOW(fchdir(open("/", O_DIRECTORY)));
    SHOW(system("exit 3"));
    SHOW(pclose(popen("exit 4", "r")));
    SHOW(prctl(PR_SET_NAME, "renamed", 0, 0, 0));
    child = fork();
    if (!child)
        _exit(0);
    SHOW(waitpid(child, 0, 0) == child);
    return 0;
}
