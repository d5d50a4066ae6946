/* Executes a program whose memory is never writable and executable at the same time: sitemdwe PROGRAM ARG...
   Status 77: the kernel cannot do that. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (prctl(65 /* PR_SET_MDWE */, 1 /* PR_MDWE_REFUSE_EXEC_GAIN */, 0, 0, 0))
        return 77;
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
