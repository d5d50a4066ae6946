/* Calls functions of the C library that make one system call, past every hook, and prints which registers and which
   of the 16 words below the stack pointer are not what they were. A system call changes rax, rcx, r11 and the
   arithmetic flags. From glibc 2.41 on cancellable calls are made by functions of their own, whose frames lie in these
   words, and which may change the first six registers. What a processor has beside the general registers is laid out as
   XSAVE does: x87, vectors of all widths, masks, and their control words. siteregs [sets]: only which sets of registers
   are looked at. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { X87 = 1, SSE = 2, AVX = 4, MASKS = 32, ZMM_HIGH = 64, ZMM_MORE = 128 };

struct state {
    unsigned long general[12]; /* rdi rsi rdx r8 r9 r10 rbx r12 r13 r14 r15 rbp */
    unsigned long below[16];
    unsigned long flags; /* at 224 */
    unsigned long result;
    unsigned sets, usual_mxcsr; /* at 240, 244 */
    unsigned char vectors[4096] __attribute__((aligned(64))); /* at 256 */
};

/* rdi: the state before, rsi: the function, rdx: the state after */
void call_with(const struct state *before, void *function, struct state *after);
__asm__(".globl call_with\n"
        "call_with:\n"
        "push rbx\npush rbp\npush r12\npush r13\npush r14\npush r15\npush rdx\n"
        "sub rsp, 8\n" /* not aligned at the call: the kernel does not ask for it */
        "mov eax, [rdi + 240]\nxor edx, edx\nxrstor64 [rdi + 256]\n"
        "mov rax, rsi\n"
        ".set i, 0\n.rept 16\nmov rcx, [rdi + 96 + 8 * i]\nmov [rsp - 136 + 8 * i], rcx\n.set i, i + 1\n.endr\n"
        "mov rsi, [rdi + 8]\nmov rdx, [rdi + 16]\nmov r8, [rdi + 24]\nmov r9, [rdi + 32]\nmov r10, [rdi + 40]\n"
        "mov rbx, [rdi + 48]\nmov r12, [rdi + 56]\nmov r13, [rdi + 64]\nmov r14, [rdi + 72]\nmov r15, [rdi + 80]\n"
        "mov rbp, [rdi + 88]\n"
        "test byte ptr [rdi + 225], 4\nje 1f\nstd\n1:\n"
        "mov rdi, [rdi]\n"
        "call rax\n"
        "mov r11, [rsp + 8]\n"
        "mov [r11], rdi\nmov [r11 + 8], rsi\nmov [r11 + 16], rdx\nmov [r11 + 24], r8\nmov [r11 + 32], r9\n"
        "mov [r11 + 40], r10\nmov [r11 + 48], rbx\nmov [r11 + 56], r12\nmov [r11 + 64], r13\nmov [r11 + 72], r14\n"
        "mov [r11 + 80], r15\nmov [r11 + 88], rbp\n"
        ".set i, 0\n.rept 16\nmov rcx, [rsp - 136 + 8 * i]\nmov [r11 + 96 + 8 * i], rcx\n.set i, i + 1\n.endr\n"
        "mov [r11 + 232], rax\n"
        "pushfq\npop [r11 + 224]\ncld\n"
        "mov eax, [r11 + 240]\nxor edx, edx\nxsave64 [r11 + 256]\n"
        "fninit\nldmxcsr [r11 + 244]\n"
        "add rsp, 16\npop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\nret\n");

static void *library;
static unsigned sets;
static struct state before, after;

/* `each` is the name of the first of `count` registers, of `size` bytes from `offset` in set `set` */
static void differ(unsigned set, const char *name, int first, int count, int size, int used, int offset) {
    if (!(sets & set))
        return;
    if (set > SSE) {
        unsigned bytes, at, unused1, unused2;
        __cpuid_count(13, __builtin_ctz(set), bytes, at, unused1, unused2);
        offset += at;
    }
    for (int n = 0; n < count; n++, offset += size)
        if (memcmp(before.vectors + offset, after.vectors + offset, used))
            count > 1 ? printf(" %s%d", name, first + n) : printf(" %s", name);
}

static void fill(void) {
    unsigned long *word = (unsigned long *)&before;
    for (size_t i = 0; i < sizeof before / 8; i++)
        word[i] = 0xf00d000000000000 + i * 0x10001;
    before.sets = after.sets = sets;
    before.usual_mxcsr = after.usual_mxcsr = 0x1f80;
    unsigned char *legacy = before.vectors;
    memset(legacy, 0, 32);
    *(unsigned short *)legacy = 0x0f7f;        /* x87: rounds towards 0 */
    legacy[4] = 0xff;                          /* every register is in use */
    *(unsigned *)(legacy + 24) = 0xffe0;       /* sse: rounds towards 0, no denormals, one exception flagged */
    for (int n = 0; n < 8; n++) {
        unsigned char *st = legacy + 32 + 16 * n;
        memset(st + 10, 0, 6);
        *(unsigned short *)(st + 8) = 0x4000 + n;
        st[7] |= 0x80; /* a normal number */
    }
    unsigned long *header = (unsigned long *)(legacy + 512);
    memset(header, 0, 64);
    header[0] = sets;
}

static void look(const char *name, const char *version, unsigned long a, unsigned long b, unsigned long c, int down) {
    static const char *const names[] = {"rdi", "rsi", "rdx", "r8", "r9", "r10", "rbx", "r12", "r13", "r14", "r15", "rbp"};
    void *function = version ? dlvsym(library, name, version) : dlsym(library, name);
    if (!function) {
        printf("%s: none\n", name);
        return;
    }
    memset(&after, 0, sizeof after);
    fill();
    before.flags = down ? 1 << 10 : 0;
    before.general[0] = a, before.general[1] = b, before.general[2] = c;
    before.general[3] = 0, before.general[4] = 0; /* no address, for sendto */
    call_with(&before, function, &after);
    int inner = strverscmp(gnu_get_libc_version(), "2.41") >= 0 && name[0] != '_' && strcmp(name, "execve");
    printf("%s: %ld, changed:", name, after.result > -4096UL ? (long)after.result : (long)(int)after.result);
    for (int i = inner ? 6 : 0; i < 12; i++)
        if (before.general[i] != after.general[i])
            printf(" %s", names[i]);
    if ((before.flags ^ after.flags) & 1 << 10)
        printf(" direction");
    differ(X87, "x87-control", 0, 1, 2, 2, 0);
    differ(X87, "x87-status", 0, 1, 2, 2, 2);
    differ(X87, "x87-tags", 0, 1, 1, 1, 4);
    differ(X87, "st", 0, 8, 16, 10, 32);
    differ(SSE, "mxcsr", 0, 1, 4, 4, 24);
    differ(SSE, "xmm", 0, 16, 16, 16, 160);
    differ(AVX, "ymm", 0, 16, 16, 16, 0);
    differ(MASKS, "k", 0, 8, 8, 8, 0);
    differ(ZMM_HIGH, "zmm", 0, 16, 32, 32, 0);
    differ(ZMM_MORE, "zmm", 16, 16, 64, 64, 0);
    printf(", below the stack pointer:");
    for (int i = 0; i < 16 && !inner; i++)
        if (before.below[i] != after.below[i])
            printf(" %d", i);
    printf("\n");
    if ((int)after.result > 2)
        close((int)after.result);
}

/* what this processor has and the kernel has switched on */
static unsigned available(void) {
    unsigned a, b, c, d;
    __cpuid(1, a, b, c, d);
    if (!(c & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a & (X87 | SSE | AVX | MASKS | ZMM_HIGH | ZMM_MORE);
}

int main(int argc, char **argv) {
    sets = available();
    if (argc > 1) {
        printf("%s%s%s\n", sets & SSE ? "sse" : "none", sets & AVX ? " avx" : "", sets & ZMM_MORE ? " avx512" : "");
        return 0;
    }
    if (!(sets & SSE))
        return 2;
    library = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_NOW);
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(0x7f000001)};
    const char *none[] = {0};
    static char path[1024]; /* longer than what is copied in registers */
    memset(path, '/', sizeof path - 1);
    memcpy(path + sizeof path - 13, "no/such/file", 13);
    unsigned long file = (unsigned long)"/etc/hostname", missing = (unsigned long)"/no/such/file";
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    /* resolved before the first measurement: a second call of each is what counts; then with string instructions that
       go down, which the kernel does not mind either */
    for (int round = 0; round < 4; round++) {
        int down = round == 3;
        look("__open64_nocancel", "GLIBC_PRIVATE", file, O_RDONLY, 0, down);
        look("__open64_nocancel", "GLIBC_PRIVATE", missing, O_RDONLY, 0, down);
        look("open", 0, file, O_RDONLY, 0, down);
        look("open", 0, (unsigned long)path, O_RDONLY, 0, down);
        look("openat", 0, AT_FDCWD, missing, O_RDONLY, down);
        look("creat", 0, missing, 0600, 0, down);
        look("connect", 0, tcp, (unsigned long)&nobody, sizeof nobody, down);
        look("sendto", 0, -1, file, 1, down);
        look("execve", 0, missing, (unsigned long)none, (unsigned long)none, down);
    }
    return 0;
}
