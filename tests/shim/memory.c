/* memory.c - memory that is refused on purpose, beneath a program of ours (LD_PRELOAD; tests only)
 *
 * Counts what is asked for: malloc, calloc, realloc, reallocarray, and the aligned ones. Which of them fail is said, at
 * any time, by the test itself, in the same small file as shim/disk.c ($TODOKE_FAULT_PANEL; struct panel, written by
 * tests/disk.py). The C library's own names for the real ones need no memory to be found. */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

struct panel {
    _Atomic uint64_t count;  /* allocations so far, of all processes beneath it */
    _Atomic uint64_t at;     /* this one fails, counted from 1; 0: none */
    _Atomic uint64_t most;   /* and so many in a row; 0: all from there on */
    _Atomic uint64_t failed; /* how many did */
    uint64_t unused[2];
};

static struct panel *panel;

/* Where it was when it ended against its will, in its log: addresses for addr2line. */
static void on_end(int number)
{
    void *frames[40];
    backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
    signal(number, SIG_DFL);
    raise(number);
}

__attribute__((constructor)) static void shim_start(void)
{
    const char *path = getenv("TODOKE_FAULT_PANEL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *map = mmap(NULL, sizeof(struct panel), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    panel = map == MAP_FAILED ? NULL : map;
    void *once[1];
    backtrace(once, 1); /* what it loads at its first use is loaded now */
    signal(SIGSEGV, on_end);
    signal(SIGABRT, on_end);
}

static bool fails(void)
{
    if (!panel)
        return false;
    uint64_t count = atomic_fetch_add(&panel->count, 1) + 1, at = atomic_load(&panel->at),
             most = atomic_load(&panel->most);
    if (!at || count < at || (most && count >= at + most))
        return false;
    atomic_fetch_add(&panel->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    return size && fails() ? NULL : __libc_realloc(old, size);
}
void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}
void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}
int posix_memalign(void **to, size_t alignment, size_t size)
{
    void *given = memalign(alignment, size);
    if (!given)
        return ENOMEM;
    *to = given;
    return 0;
}
