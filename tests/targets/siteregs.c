/* Calls functions of the C library that make one system call, past every hook, and prints which registers and which
   of the 16 words below the stack pointer are not what they were. A system call changes rax, rcx and r11. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

struct state {
    unsigned long general[12]; /* rdi rsi rdx r8 r9 r10 rbx r12 r13 r14 r15 rbp */
    unsigned long vector[32];
    unsigned long below[16];
    unsigned long result;
};

/* rdi: the state before, rsi: the function, rdx: the state after */
void call_with(const struct state *before, void *function, struct state *after);
__asm__(".globl call_with\n"
        "call_with:\n"
        "push rbx\npush rbp\npush r12\npush r13\npush r14\npush r15\npush rdx\n"
        "sub rsp, 8\n" /* aligned at the call */
        "mov rax, rsi\n"
        ".set i, 0\n.rept 16\nmov rcx, [rdi + 352 + 8 * i]\nmov [rsp - 136 + 8 * i], rcx\n.set i, i + 1\n.endr\n"
#define XMM(n, at) "movdqu xmm" #n ", [rdi + 96 + " #at "]\n"
        XMM(0, 0) XMM(1, 16) XMM(2, 32) XMM(3, 48) XMM(4, 64) XMM(5, 80) XMM(6, 96) XMM(7, 112) XMM(8, 128)
        XMM(9, 144) XMM(10, 160) XMM(11, 176) XMM(12, 192) XMM(13, 208) XMM(14, 224) XMM(15, 240)
        "mov rsi, [rdi + 8]\nmov rdx, [rdi + 16]\nmov r8, [rdi + 24]\nmov r9, [rdi + 32]\nmov r10, [rdi + 40]\n"
        "mov rbx, [rdi + 48]\nmov r12, [rdi + 56]\nmov r13, [rdi + 64]\nmov r14, [rdi + 72]\nmov r15, [rdi + 80]\n"
        "mov rbp, [rdi + 88]\nmov rdi, [rdi]\n"
        "call rax\n"
        "mov r11, [rsp + 8]\n"
        "mov [r11], rdi\nmov [r11 + 8], rsi\nmov [r11 + 16], rdx\nmov [r11 + 24], r8\nmov [r11 + 32], r9\n"
        "mov [r11 + 40], r10\nmov [r11 + 48], rbx\nmov [r11 + 56], r12\nmov [r11 + 64], r13\nmov [r11 + 72], r14\n"
        "mov [r11 + 80], r15\nmov [r11 + 88], rbp\n"
#define BACK(n, at) "movdqu [r11 + 96 + " #at "], xmm" #n "\n"
        BACK(0, 0) BACK(1, 16) BACK(2, 32) BACK(3, 48) BACK(4, 64) BACK(5, 80) BACK(6, 96) BACK(7, 112) BACK(8, 128)
        BACK(9, 144) BACK(10, 160) BACK(11, 176) BACK(12, 192) BACK(13, 208) BACK(14, 224) BACK(15, 240)
        ".set i, 0\n.rept 16\nmov rcx, [rsp - 136 + 8 * i]\nmov [r11 + 352 + 8 * i], rcx\n.set i, i + 1\n.endr\n"
        "mov [r11 + 480], rax\n"
        "add rsp, 16\npop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\nret\n");

static void *library;

static void look(const char *name, const char *version, unsigned long a, unsigned long b, unsigned long c) {
    static const char *const names[] = {"rdi", "rsi", "rdx", "r8", "r9", "r10", "rbx", "r12", "r13", "r14", "r15", "rbp"};
    struct state before, after;
    void *function = version ? dlvsym(library, name, version) : dlsym(library, name);
    if (!function) {
        printf("%s: none\n", name);
        return;
    }
    for (size_t i = 0; i < sizeof before / 8; i++)
        ((unsigned long *)&before)[i] = 0xf00d000000000000 + i * 0x10001;
    before.general[0] = a, before.general[1] = b, before.general[2] = c;
    before.general[3] = 0, before.general[4] = 0; /* no address, for sendto */
    memset(&after, 0, sizeof after);
    call_with(&before, function, &after);
    printf("%s: %ld, changed:", name, after.result > -4096UL ? (long)after.result : (long)(int)after.result);
    for (int i = 0; i < 12; i++)
        if (before.general[i] != after.general[i])
            printf(" %s", names[i]);
    for (int i = 0; i < 32; i++)
        if (before.vector[i] != after.vector[i])
            printf(" xmm%d", i / 2);
    printf(", below the stack pointer:");
    for (int i = 0; i < 16; i++)
        if (before.below[i] != after.below[i])
            printf(" %d", i);
    printf("\n");
    if ((int)after.result > 2)
        close((int)after.result);
}

int main(void) {
    library = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_NOW);
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(0x7f000001)};
    const char *none[] = {0};
    unsigned long file = (unsigned long)"/etc/hostname", missing = (unsigned long)"/no/such/file";
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    /* resolved before the first measurement: a second call of each is what counts */
    for (int round = 0; round < 3; round++) {
        look("__open64_nocancel", "GLIBC_PRIVATE", file, O_RDONLY, 0);
        look("__open64_nocancel", "GLIBC_PRIVATE", missing, O_RDONLY, 0);
        look("open", 0, file, O_RDONLY, 0);
        look("openat", 0, AT_FDCWD, missing, O_RDONLY);
        look("creat", 0, missing, 0600, 0);
        look("connect", 0, tcp, (unsigned long)&nobody, sizeof nobody);
        look("sendto", 0, -1, file, 1);
        look("execve", 0, missing, (unsigned long)none, (unsigned long)none);
    }
    return 0;
}
