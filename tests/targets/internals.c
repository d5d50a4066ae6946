/* Calls functions of the C library that open, connect and execute inside. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <glob.h>
#include <grp.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <shadow.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void files(void) {
    struct dirent **list;
    glob_t found;
    char name[] = "/tmp/aXXXXXX";
    opendir("/etc");
    scandir("/", &list, 0, 0);
    glob("/etc/*", 0, 0, &found);
    fopen("/etc/hostname", "r");
    fopen("/no/such/file", "r");
    tmpfile();
    mkstemp(name);
    dlopen("/no/such/library.so", RTLD_NOW);
}

static void tables(void) {
    struct addrinfo *addresses;
    time_t now = time(0);
    getpwnam("app");
    getgrgid(0);
    getspnam("root");
    setenv("TZ", "Europe/Nowhere", 1);
    localtime(&now);
    setlocale(LC_ALL, "de_DE.UTF-8");
    getaddrinfo("localhost", "80", 0, &addresses);
    gethostbyname("localhost");
    getservbyname("http", "tcp");
    syslog(LOG_INFO, "nobody hears");
}

static void programs(void) {
    char *arguments[] = {"true", 0};
    pid_t child;
    system("true");
    pclose(popen("true", "r"));
    if (!posix_spawnp(&child, "true", 0, 0, arguments, environ))
        waitpid(child, 0, 0);
    if (!fork()) {
        execlp("nosuch", "nosuch", (char *)0);
        execvp("true", arguments);
        _exit(1);
    }
    wait(0);
}

int main(void) {
    files();
    tables();
    programs();
    puts("done");
    return 0;
}
