/* A program of known behaviour, to be recognised in a container's records: opens PATH, opens a missing file, connects
 * to a listener of its own on loopback, and runs /bin/true. Says what worked: probe PATH [SECONDS TO STAY] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *said(long r) { return r < 0 ? strerror(errno) : "ok"; }

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "/etc/secret";
    printf("open: %s\n", said(open(path, O_RDONLY)));
    printf("missing: %s\n", said(open("/no/such/file", O_RDONLY)));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
    if (l < 0 || bind(l, (void *)&at, len) || listen(l, 1) || getsockname(l, (void *)&at, &len))
        printf("listen: %s\n", said(-1));
    else
        printf("connect: %s\n", said(connect(s, (void *)&at, len)));
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        execl("/bin/true", "true", "from-probe", (char *)0);
        _exit(127);
    }
    int status = -1;
    if (child > 0)
        waitpid(child, &status, 0);
    printf("child: %d\n", child < 0 ? -errno : WEXITSTATUS(status));
    fflush(stdout);
    sleep(argc > 2 ? atoi(argv[2]) : 0);
    return 3;
}
