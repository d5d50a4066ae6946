/* deepbind LIBRARY PATH: calls a plugin that is bound to its own libraries first (RTLD_DEEPBIND), and one in a name
 * space of its own, with a C library of its own (dlmopen). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

static void call(const char *how, void *library, const char *path) {
    int (*plugin)(const char *) = library ? dlsym(library, "plugin") : 0;
    printf("%s: %d\n", how, plugin ? plugin(path) : -1);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    call("deep", dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND), argv[2]);
    call("apart", dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW), argv[2]);
    return 0;
}
