/* A library to be preloaded: an allocator for which every allocation and release is an error while `hostile_armed` is
   set, and any time when the agent itself makes it. Otherwise it counts them, in `hostile_calls`. Memory is never
   given back. */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

__thread int armed;
__thread unsigned long calls;
static char *room, *end;
static volatile int lock;
static uintptr_t agent, agent_end;

int *hostile_armed(void) { return &armed; }
unsigned long *hostile_calls(void) { return &calls; }

static int find(struct dl_phdr_info *object, size_t size, void *unused) {
    if (!object->dlpi_name || !strstr(object->dlpi_name, "libporthole.so"))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_LOAD) {
            uintptr_t from = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
            if (!agent)
                agent = from;
            agent_end = from + object->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

__attribute__((constructor)) static void start(void) { dl_iterate_phdr(find, 0); }

static void called(const char *name, void *from) {
    const char *why = armed ? " inside a hooked call\n" : " by the agent\n";
    if (armed || ((uintptr_t)from >= agent && (uintptr_t)from < agent_end)) {
        armed = 0;
        write(2, name, strlen(name));
        write(2, why, strlen(why));
        abort();
    }
    calls++;
}

static void *take(size_t size, size_t align) {
    if (align < 16)
        align = 16;
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        ;
    uintptr_t at = ((uintptr_t)room + 16 + align - 1) & -align;
    if (!room || at + size > (uintptr_t)end) {
        size_t more = (size + align + (1 << 20)) & -4096L;
        room = mmap(0, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED)
            _exit(99);
        end = room + more;
        at = ((uintptr_t)room + 16 + align - 1) & -align;
    }
    ((size_t *)at)[-1] = size;
    room = (char *)at + size;
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    return (void *)at;
}

#define FROM __builtin_return_address(0)

void *malloc(size_t size) { return called("malloc", FROM), take(size, 16); }
void *calloc(size_t n, size_t size) { return called("calloc", FROM), take(n * size, 16); }
void *memalign(size_t align, size_t size) { return called("memalign", FROM), take(size, align); }
void *aligned_alloc(size_t align, size_t size) { return called("aligned_alloc", FROM), take(size, align); }
void *valloc(size_t size) { return called("valloc", FROM), take(size, 4096); }

int posix_memalign(void **at, size_t align, size_t size) {
    called("posix_memalign", FROM);
    *at = take(size, align);
    return 0;
}

void *realloc(void *old, size_t size) {
    called("realloc", FROM);
    void *at = take(size, 16);
    if (old)
        memcpy(at, old, ((size_t *)old)[-1] < size ? ((size_t *)old)[-1] : size);
    return at;
}

void free(void *old) {
    if (old)
        called("free", FROM);
}
