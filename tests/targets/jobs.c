/* What a small shell does: files, directories, children of every kind, pipes, names and connects. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <netdb.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void child(void (*run)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        run();
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static void by_execl(void) { execl("/bin/cat", "cat", "one", (char *)0); }
static void by_execlp(void) { execlp("wc", "wc", "-c", "one", (char *)0); }
static void by_execvp(void) { execvp("nosuchprogram", (char *[]){"nosuchprogram", NULL}); }
static void without_environment(void) { execle("/bin/sh", "sh", "-c", "cat one", (char *)0, (char *[]){NULL}); }

static void to(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(s, (struct sockaddr *)&a, sizeof a) != 0) printf("%d: %s\n", port, strerror(errno));
    close(s);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    FILE *f = fopen("one", "w");
    fputs("first\n", f);
    fclose(f);
    f = freopen("one", "a+", fopen("one", "r"));
    fputs("second\n", f);
    fclose(f);
    close(open("two", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640));
    close(open("two", O_CREAT | O_EXCL | O_RDWR, 0640));
    close(creat("three", 0600));
    close(openat(open(".", O_DIRECTORY | O_RDONLY), "two", O_WRONLY | O_TRUNC | O_APPEND));
    char name[] = "four-XXXXXX";
    close(mkstemp(name));
    unlink(name);
    DIR *d = opendir(".");
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    glob_t g;
    printf("%d files, %d\n", n, glob("t*", 0, NULL, &g));

    child(by_execl);
    child(by_execlp);
    child(by_execvp);
    child(without_environment);
    printf("system %d\n", system("ls | wc -l"));
    char line[64] = "";
    FILE *p = popen("echo popen", "r");
    fgets(line, sizeof line, p);
    printf("%s%d\n", line, pclose(p));
    pid_t pid;
    char *args[] = {"echo", "spawned", NULL};
    int e = posix_spawnp(&pid, "echo", NULL, NULL, args, environ);
    if (e == 0) waitpid(pid, NULL, 0);
    printf("%d %d\n", e, posix_spawn(&pid, "./nothere", NULL, NULL, args, environ));

    to(9);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7001), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bind(server, (struct sockaddr *)&a, sizeof a);
    listen(server, 1);
    to(7001);
    struct addrinfo *found = NULL;
    printf("lookup %d\n", getaddrinfo("localhost", "9", NULL, &found));
    if (found) freeaddrinfo(found);
    return 0;
}
