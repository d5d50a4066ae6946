/* A library whose constructor opens a file, before other libraries are initialised. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((constructor)) static void open_early(void) {
    int fd = open("/etc/hostname", O_RDONLY);
    FILE *f = fopen("/etc/passwd", "r");
    if (fd < 0 || !f)
        write(2, "constructor: no file\n", 21);
    if (f)
        fclose(f);
    close(fd);
}

int ctorlib_answer(void) { return 42; }
