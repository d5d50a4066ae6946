/* What a program loads at run time: opens a file twice, by two functions. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int plugin(const char *path) {
    int fd = open(path, O_RDONLY);
    FILE *f = fopen(path, "r");
    int both = fd >= 0 && f;
    if (f)
        fclose(f);
    close(fd);
    return both;
}
