/* rule NAME ...: what a program may do before it executes another one, so that the agent cannot, or must not, follow. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void need(int ok, const char *what) {
    if (!ok) {
        printf("%s: %s\n", what, strerror(errno));
        exit(77);
    }
}

int main(int argc, char **argv) {
    const char *what = argv[1], *path = argc > 2 ? argv[2] : "";
    setvbuf(stdout, 0, _IONBF, 0);
    if (!strcmp(what, "chroot")) { /* DIR COMMAND: a shell below DIR */
        need(!chroot(path) && !chdir("/"), "chroot");
        printf("status %x\n", system(argv[3]));
    } else if (!strcmp(what, "pivot")) { /* DIR PROGRAM: DIR becomes the root of a mount namespace of its own */
        need(!unshare(CLONE_NEWNS), "unshare");
        need(!mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) && !mount(path, path, 0, MS_BIND, 0), "mount");
        need(!chdir(path) && !syscall(SYS_pivot_root, ".", "."), "pivot_root");
        need(!umount2(".", MNT_DETACH) && !chdir("/"), "umount");
        execv(argv[3], argv + 3);
        need(0, argv[3]);
    } else if (!strcmp(what, "lost")) { /* COMMAND: without any environment */
        clearenv();
        printf("status %x\n", system(path));
    } else if (!strcmp(what, "io_uring")) { /* two rings */
        char params[120] = {0};
        for (int i = 0; i < 2; i++)
            need(syscall(425, 4, memset(params, 0, sizeof params)) >= 0, "io_uring_setup");
        printf("two rings\n");
    } else { /* exec, no-new-privs PROGRAM ... */
        need(!strcmp(what, "exec") || !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl");
        execv(path, argv + 2);
        need(0, path);
    }
    return 0;
}
