/* Makes one call of libc, by name, and says what came of it: calls NAME ARG...
 * What it prints is the same with and without porthole; the record of the call is what tests look at. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#ifdef __GLIBC__
int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);
int creat64(const char *, mode_t);
#else /* musl has one form of each, and no execveat */
#define open64 open
#define openat64 openat
#define creat64 creat
#define fopen64 fopen
#define freopen64 freopen
#endif

static int result(const char *call, long value) {
    if (value >= 0)
        printf("%s: ok\n", call);
    else
        printf("%s: %s\n", call, strerror(errno));
    fflush(stdout);
    return value < 0;
}

static int file(const char *call, FILE *f) { return result(call, f ? 0 : -1); }

static int wait_for(const char *call, pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child)
        return result(call, -1);
    printf("%s: status %d\n", call, WEXITSTATUS(status));
    return 0;
}

static int connect_to(const struct sockaddr *to, socklen_t len) {
    int s = socket(to->sa_family, SOCK_STREAM, 0);
    if (s < 0)
        return result("socket", -1);
    return result("connect", connect(s, to, len));
}

/* connects to a listener of its own on this address */
static int connect_own(struct sockaddr *at, socklen_t len) {
    int l = socket(at->sa_family, SOCK_STREAM, 0);
    if (l < 0 || bind(l, at, len) || listen(l, 4) || getsockname(l, at, &len))
        return result("listen", -1);
    if (at->sa_family == AF_INET)
        printf("port %d\n", ntohs(((struct sockaddr_in *)at)->sin_port));
    else if (at->sa_family == AF_INET6)
        printf("port %d\n", ntohs(((struct sockaddr_in6 *)at)->sin6_port));
    return connect_to(at, len);
}

static int opens(const char *call, const char *path) {
    int r = O_RDONLY, w = O_WRONLY | O_CREAT | O_TRUNC;
#define IS(name) (!strcmp(call, name))
    if (IS("open")) return result(call, open(path, r | O_CLOEXEC));
    if (IS("open-create")) return result(call, open(path, w, 0640));
    if (IS("open64")) return result(call, open64(path, r));
    if (IS("openat")) return result(call, openat(AT_FDCWD, path, r | O_NONBLOCK));
    if (IS("openat64")) return result(call, openat64(AT_FDCWD, path, r));
    if (IS("openat-dir")) { /* path is DIR:NAME */
        char *copy = strdup(path), *name = strchr(copy, ':');
        *name++ = 0;
        return result(call, openat(open(copy, O_DIRECTORY), name, r));
    }
    if (IS("creat")) return result(call, creat(path, 0600));
    if (IS("creat64")) return result(call, creat64(path, 0604));
#ifdef __GLIBC__
    if (IS("__open_2")) return result(call, __open_2(path, r));
    if (IS("__open64_2")) return result(call, __open64_2(path, r));
    if (IS("__openat_2")) return result(call, __openat_2(AT_FDCWD, path, r));
    if (IS("__openat64_2")) return result(call, __openat64_2(AT_FDCWD, path, r));
#endif
    if (IS("fopen")) return file(call, fopen(path, "r"));
    if (IS("fopen-w")) return file(call, fopen(path, "w"));
    if (IS("fopen64")) return file(call, fopen64(path, "r"));
    if (IS("freopen")) return file(call, freopen(path, "r", stdin));
    if (IS("freopen64")) return file(call, freopen64(path, "r", stdin));
    if (IS("opendir")) return result(call, opendir(path) ? 0 : -1);
    return -1;
}

static int execs(const char *call, const char *path) {
    char *argv[] = {"zero", "one", "two words", 0};
    char *envp[] = {"PATH=/bin:/usr/bin", "CHILD=yes", 0};
    if (IS("execve")) execve(path, argv, envp);
    else if (IS("execv")) execv(path, argv);
    else if (IS("execvp")) execvp(path, argv);
    else if (IS("execvpe")) execvpe(path, argv, envp);
    else if (IS("execl")) execl(path, "zero", "one", "two words", (char *)0);
    else if (IS("execlp")) execlp(path, "zero", "one", "two words", (char *)0);
    else if (IS("execle")) execle(path, "zero", "one", "two words", (char *)0, envp);
    else if (IS("fexecve")) fexecve(open(path, O_RDONLY | O_CLOEXEC), argv, envp);
#ifdef __GLIBC__
    else if (IS("execveat")) execveat(AT_FDCWD, path, argv, envp, 0);
#endif
    else return -1;
    return result(call, -1);
}

static int children(const char *call, const char *path) {
    char *argv[] = {"zero", "one", "two words", 0};
    char *envp[] = {"PATH=/bin:/usr/bin", "CHILD=yes", 0};
    pid_t child;
    if (IS("posix_spawn") || IS("posix_spawnp")) {
        int r = IS("posix_spawn") ? posix_spawn(&child, path, 0, 0, argv, envp)
                                  : posix_spawnp(&child, path, 0, 0, argv, envp);
        errno = r;
        return r ? result(call, -1) : wait_for(call, child);
    }
    if (IS("system")) return printf("%s: %d\n", call, system(path)), 0;
    if (IS("popen")) {
        FILE *f = popen(path, "r");
        char line[256] = "";
        if (!f) return result(call, -1);
        while (fgets(line, sizeof line, f)) fputs(line, stdout);
        return printf("%s: %d\n", call, pclose(f)), 0;
    }
    if (IS("fork")) { /* the child opens PATH and ends by _exit */
        fflush(stdout);
        child = fork();
        if (!child) {
            open(path, O_RDONLY);
            open(path, O_RDONLY);
            _exit(7);
        }
        return wait_for(call, child);
    }
    return -1;
}

static int sockets(const char *call, const char *arg) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (IS("connect4")) return connect_own((void *)&v4, sizeof v4);
    if (IS("connect6")) return connect_own((void *)&v6, sizeof v6);
    if (IS("connect-refused")) {
        v4.sin_port = htons(atoi(arg));
        return connect_to((void *)&v4, sizeof v4);
    }
    if (IS("connect-unix")) {
        strncpy(un.sun_path, arg, sizeof un.sun_path - 1);
        return connect_own((void *)&un, sizeof un);
    }
    if (IS("connect-abstract")) {
        strncpy(un.sun_path + 1, arg, sizeof un.sun_path - 2);
        return connect_own((void *)&un, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(arg));
    }
    return -1;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *call = argv[1], *arg = argc > 2 ? argv[2] : "";
    if (IS("chdir") || IS("fchdir")) { /* then opens a relative path */
        int failed = result(call, IS("chdir") ? chdir(arg) : fchdir(open(arg, O_DIRECTORY)));
        result("open", open("./x/../relative", O_RDONLY));
        return failed;
    }
    if (IS("exit")) exit(atoi(arg));
    if (IS("_exit")) _exit(atoi(arg));
    if (IS("print")) { /* what an exec'd program sees */
        for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
        return 0;
    }
    int r = opens(call, arg);
    if (r < 0) r = sockets(call, arg);
    if (r < 0) r = children(call, arg);
    if (r < 0) r = execs(call, arg);
    if (r < 0) fprintf(stderr, "calls: no such call: %s\n", call);
    return r < 0 ? 2 : r;
}
