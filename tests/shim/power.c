/* power.c - notes what a power cut would take, beneath a program of ours (LD_PRELOAD; tests only)
 *
 * What is written to $TODOKE_POWER_STORE, its -wal and its -journal goes to the file $TODOKE_POWER_LOG as well, in
 * order, and so does each sync that came back: struct note below, then the bytes (tests/power.py reads them). A write
 * is on the disk for sure when a sync of its file began after it and has come back; the others may be there, in parts,
 * or not. */
#undef _FILE_OFFSET_BITS /* the plain names are interposed beside the 64-bit ones */
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS_MOST = 65536 };
enum kind { NOTE_WRITE = 1, NOTE_CUT = 2, NOTE_SYNC = 3 };

struct note {
    uint32_t kind, file; /* 1: the store, 2: -wal, 3: -journal */
    uint64_t at;         /* WRITE: offset; CUT: new length; SYNC: all before this octet of the notes is on the disk */
    uint64_t len;        /* WRITE: octets that follow */
};

static struct {
    const char *store;
    int notes; /* -1: nothing is noted */
    uint64_t noted;
    pthread_mutex_t lock;
    unsigned char files[DESCRIPTORS_MOST]; /* by descriptor; 0: none of ours */
} shim = {.notes = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}
#define REAL(name)                                                                                                     \
    static __typeof__(&name) next;                                                                                     \
    if (!next)                                                                                                         \
    next = (__typeof__(&name))real(#name)

__attribute__((constructor)) static void shim_start(void)
{
    const char *path = getenv("TODOKE_POWER_LOG");
    shim.store = getenv("TODOKE_POWER_STORE");
    if (path && shim.store)
        shim.notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static unsigned file_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MOST ? __atomic_load_n(&shim.files[fd], __ATOMIC_RELAXED) : 0;
}

static void note(enum kind kind, unsigned file, uint64_t at, const void *bytes, uint64_t len)
{
    struct note head = {kind, file, at, len};
    struct iovec parts[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)bytes, len}};
    ssize_t written = writev(shim.notes, parts, len ? 2 : 1);
    if (written != (ssize_t)(sizeof(head) + len))
        abort(); /* the notes would lie */
    shim.noted += sizeof(head) + len;
}

/* ── what writes ── */

#define WRITES(call)                                                                                                   \
    unsigned file = file_of(fd);                                                                                       \
    if (!file)                                                                                                         \
        return call;                                                                                                   \
    pthread_mutex_lock(&shim.lock);                                                                                    \
    ssize_t done = call;                                                                                               \
    if (done > 0)                                                                                                      \
        note(NOTE_WRITE, file, (uint64_t)at, from, (uint64_t)done);                                                    \
    pthread_mutex_unlock(&shim.lock);                                                                                  \
    return done

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
    REAL(pwrite);
    WRITES(next(fd, from, len, at));
}
ssize_t pwrite64(int fd, const void *from, size_t len, off64_t at)
{
    REAL(pwrite64);
    WRITES(next(fd, from, len, at));
}

#define CUTS(call)                                                                                                     \
    unsigned file = file_of(fd);                                                                                       \
    if (!file)                                                                                                         \
        return call;                                                                                                   \
    pthread_mutex_lock(&shim.lock);                                                                                    \
    int done = call;                                                                                                   \
    if (done == 0)                                                                                                     \
        note(NOTE_CUT, file, (uint64_t)len, NULL, 0);                                                                  \
    pthread_mutex_unlock(&shim.lock);                                                                                  \
    return done

int ftruncate(int fd, off_t len)
{
    REAL(ftruncate);
    CUTS(next(fd, len));
}
int ftruncate64(int fd, off64_t len)
{
    REAL(ftruncate64);
    CUTS(next(fd, len));
}

#define SYNCS(call)                                                                                                    \
    unsigned file = file_of(fd);                                                                                       \
    if (!file)                                                                                                         \
        return call;                                                                                                   \
    pthread_mutex_lock(&shim.lock);                                                                                    \
    uint64_t before = shim.noted;                                                                                      \
    pthread_mutex_unlock(&shim.lock);                                                                                  \
    int done = call;                                                                                                   \
    pthread_mutex_lock(&shim.lock);                                                                                    \
    if (done == 0)                                                                                                     \
        note(NOTE_SYNC, file, before, NULL, 0);                                                                        \
    pthread_mutex_unlock(&shim.lock);                                                                                  \
    return done

int fsync(int fd)
{
    REAL(fsync);
    SYNCS(next(fd));
}
int fdatasync(int fd)
{
    REAL(fdatasync);
    SYNCS(next(fd));
}

/* ── which descriptors are ours ── */

static int opened(int fd, const char *path)
{
    static const char *const ends[] = {"", "-wal", "-journal"};
    size_t len = shim.store ? strlen(shim.store) : 0;
    unsigned char file = 0;
    if (shim.notes >= 0 && strncmp(path, shim.store, len) == 0)
        for (unsigned char i = 0; i < 3; i++)
            if (strcmp(path + len, ends[i]) == 0)
                file = i + 1;
    if (fd >= 0 && fd < DESCRIPTORS_MOST)
        __atomic_store_n(&shim.files[fd], file, __ATOMIC_RELAXED);
    return fd;
}

static mode_t mode_of(int flags, va_list more)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(more, int) : 0;
}

#define OPENS()                                                                                                        \
    va_list more;                                                                                                      \
    va_start(more, flags);                                                                                             \
    mode_t mode = mode_of(flags, more);                                                                                \
    va_end(more);                                                                                                      \
    return opened(next(path, flags, mode), path)

int open(const char *path, int flags, ...)
{
    REAL(open);
    OPENS();
}
int open64(const char *path, int flags, ...)
{
    REAL(open64);
    OPENS();
}
int close(int fd)
{
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS_MOST)
        __atomic_store_n(&shim.files[fd], 0, __ATOMIC_RELAXED);
    return next(fd);
}
