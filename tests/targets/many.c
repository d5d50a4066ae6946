/* many N: N processes at the same time, each of which opens, and runs this program again, which opens too. Says how
 * many ended well. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 0, well = 0, status;
    if (argc > 2) { /* the second generation */
        int fd = open("/etc/passwd", O_RDONLY);
        char c;
        read(atoi(argv[2]), &c, 1); /* until all are there */
        return fd < 0;
    }
    int gate[2];
    if (n < 1 || pipe(gate))
        return 2;
    char number[16];
    snprintf(number, sizeof number, "%d", gate[0]);
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        if (child < 0) {
            perror("fork");
            return 1;
        }
        if (!child) {
            close(gate[1]);
            open("/no/such/file", O_RDONLY);
            execl(argv[0], argv[0], "1", number, (char *)0);
            _exit(126);
        }
    }
    sleep(1);
    close(gate[1]);
    while (wait(&status) > 0)
        well += status == 0;
    printf("%d of %d\n", well, n);
    return well != n;
}
