/* Forbids itself the time stamp counter, then opens and forks: whoever reads the counter dies by SIGSEGV. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc == 1 && prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0)) {
        perror("prctl");
        return 2;
    }
    for (int i = 0; i < 10; i++)
        printf("%d", open("/no/such/file", O_RDONLY));
    printf("\n");
    fflush(stdout);
    if (argc > 1)
        return 6;
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (!child) {
            open("/etc/passwd", O_RDONLY);
            if (i)
                execl(argv[0], argv[0], "again", (char *)0);
            _exit(4);
        }
        int status = 0;
        waitpid(child, &status, 0);
        printf("status %x\n", status);
    }
    return 0;
}
