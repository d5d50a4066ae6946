/* A program with the mark of Go's linker: a note of the name "Go". Opens a file. */
#include <fcntl.h>
#include <stdio.h>

__asm__(".pushsection .note.go.buildid,\"a\",@note\n"
        ".long 4, 4, 4\n"
        ".asciz \"Go\"\n"
        ".byte 0, 'i', 'd', 0, 0\n"
        ".popsection\n");

int main(void) {
    printf("go: %s\n", open("/etc/hostname", O_RDONLY) < 0 ? "no" : "yes");
    return 0;
}
