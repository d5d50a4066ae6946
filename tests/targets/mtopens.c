/* Threads open, connect and look up a user while others do the same. */
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void *work(void *unused) {
    struct sockaddr_un missing = {.sun_family = AF_UNIX, .sun_path = "/no/such/socket"};
    for (int i = 0; i < 5; i++) {
        char name[1000];
        struct passwd entry, *found;
        int file = open("/etc/hostname", O_RDONLY), made = creat("/tmp/mtopens", 0600);
        int sock = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(sock, (struct sockaddr *)&missing, sizeof missing);
        getpwnam_r("app", &entry, name, sizeof name, &found);
        FILE *stream = fopen("/etc/group", "r");
        openat(AT_FDCWD, "/no/such/file", O_RDONLY);
        if (stream)
            fclose(stream);
        close(file), close(made), close(sock);
    }
    return 0;
}

int main(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], 0, work, 0))
            return 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], 0);
    return 0;
}
