/* disk.c - a disk that fails on purpose, beneath a program of ours (LD_PRELOAD; tests only)
 *
 * Counts what is written to files whose path begins with $TODOKE_FAULT_FILES (the store and what SQLite keeps beside
 * it): write, pwrite, fsync, fdatasync, ftruncate, fallocate, rename, unlink, and open to create. Which of them fail is
 * said, at any time, by the test itself, in a small file that both map ($TODOKE_FAULT_PANEL; struct panel below,
 * written by tests/disk.py). A write that meets ENOSPC or EDQUOT may first take half of its bytes, as a full disk does.
 */
#undef _FILE_OFFSET_BITS /* the plain names are interposed beside the 64-bit ones */
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DESCRIPTORS_MOST = 65536 };

struct panel {
    _Atomic uint64_t count;  /* operations so far */
    _Atomic uint64_t at;     /* this one fails, counted from 1; 0: none */
    _Atomic uint64_t most;   /* and so many in a row; 0: all from there on */
    _Atomic uint64_t failed; /* how many did */
    _Atomic uint64_t error;  /* errno */
    _Atomic uint64_t torn;   /* 1: a write that fails first takes half */
};

static struct {
    struct panel *panel;
    const char *files;
    atomic_bool is_ours[DESCRIPTORS_MOST];
} shim;

__attribute__((constructor)) static void shim_start(void)
{
    const char *path = getenv("TODOKE_FAULT_PANEL");
    shim.files = getenv("TODOKE_FAULT_FILES");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0 || !shim.files)
        return;
    void *map = mmap(NULL, sizeof(struct panel), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    shim.panel = map == MAP_FAILED ? NULL : map;
}

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}
#define REAL(name)                                                                                                     \
    static __typeof__(&name) next;                                                                                     \
    if (!next)                                                                                                         \
    next = (__typeof__(&name))real(#name)

static bool path_is_ours(const char *path)
{
    return shim.panel && path && strncmp(path, shim.files, strlen(shim.files)) == 0;
}

static bool is_ours(int fd)
{
    return shim.panel && fd >= 0 && fd < DESCRIPTORS_MOST && atomic_load(&shim.is_ours[fd]);
}

/* Counts one operation; true: it fails now, errno is set. *is_first: it is the first to fail. */
static bool fails(bool *is_first)
{
    struct panel *panel = shim.panel;
    uint64_t count = atomic_fetch_add(&panel->count, 1) + 1, at = atomic_load(&panel->at),
             most = atomic_load(&panel->most);
    if (!at || count < at || (most && count >= at + most))
        return false;
    *is_first = count == at;
    atomic_fetch_add(&panel->failed, 1);
    errno = (int)atomic_load(&panel->error);
    return true;
}

static bool fails_whole(void)
{
    bool is_first;
    return fails(&is_first);
}

/* How much of a write takes place: all of it, some of it, or nothing (then errno is set). */
static bool cut(size_t *len)
{
    bool is_first;
    if (!fails(&is_first))
        return false;
    if (!is_first || !atomic_load(&shim.panel->torn) || *len < 2)
        return true;
    *len /= 2;
    atomic_fetch_add(&shim.panel->at, 1); /* what is left of it fails next */
    return false;
}

/* ── what writes ── */

ssize_t write(int fd, const void *from, size_t len)
{
    REAL(write);
    return is_ours(fd) && cut(&len) ? -1 : next(fd, from, len);
}
ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
    REAL(pwrite);
    return is_ours(fd) && cut(&len) ? -1 : next(fd, from, len, at);
}
ssize_t pwrite64(int fd, const void *from, size_t len, off64_t at)
{
    REAL(pwrite64);
    return is_ours(fd) && cut(&len) ? -1 : next(fd, from, len, at);
}
int fsync(int fd)
{
    REAL(fsync);
    return is_ours(fd) && fails_whole() ? -1 : next(fd);
}
int fdatasync(int fd)
{
    REAL(fdatasync);
    return is_ours(fd) && fails_whole() ? -1 : next(fd);
}
int ftruncate(int fd, off_t len)
{
    REAL(ftruncate);
    return is_ours(fd) && fails_whole() ? -1 : next(fd, len);
}
int ftruncate64(int fd, off64_t len)
{
    REAL(ftruncate64);
    return is_ours(fd) && fails_whole() ? -1 : next(fd, len);
}
int fallocate(int fd, int mode, off_t at, off_t len)
{
    REAL(fallocate);
    return is_ours(fd) && fails_whole() ? -1 : next(fd, mode, at, len);
}
int rename(const char *from, const char *to)
{
    REAL(rename);
    return path_is_ours(to) && fails_whole() ? -1 : next(from, to);
}
int unlink(const char *path)
{
    REAL(unlink);
    return path_is_ours(path) && fails_whole() ? -1 : next(path);
}

/* ── which descriptors are ours ── */

static int opened(int fd, const char *path)
{
    if (fd >= 0 && fd < DESCRIPTORS_MOST)
        atomic_store(&shim.is_ours[fd], path_is_ours(path));
    return fd;
}

static bool may_not_open(const char *path, int flags)
{
    return (flags & (O_CREAT | O_TRUNC)) && path_is_ours(path) && fails_whole();
}

static mode_t mode_of(int flags, va_list more)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(more, int) : 0;
}

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return may_not_open(path, flags) ? -1 : opened(next(path, flags, mode), path);
}
int open64(const char *path, int flags, ...)
{
    REAL(open64);
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return may_not_open(path, flags) ? -1 : opened(next(path, flags, mode), path);
}
int close(int fd)
{
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS_MOST)
        atomic_store(&shim.is_ours[fd], false);
    return next(fd);
}
