#include "store/wal_vfs.h"

#include "base/memory.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_BYTES = 128 * 1024 };

static struct { /* SQLite's list of file systems is the process's: so is ours */
    sqlite3_vfs vfs, *real;
} gathering;

struct log_file {
    sqlite3_file file;
    char *kept; /* of KEPT_BYTES, from the first write on */
    sqlite3_int64 at;
    int used;
};

/* It lies behind ours. */
static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct log_file *)(void *)file + 1);
}

static int flush(struct log_file *log)
{
    int used = log->used;
    log->used = 0; /* a write that failed is not repeated: the transaction ends by it */
    return used ? real_of(&log->file)->pMethods->xWrite(real_of(&log->file), log->kept, used, log->at) : SQLITE_OK;
}

static int log_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
    struct log_file *log = (struct log_file *)(void *)file;
    if (log->used && (at != log->at + log->used || len > KEPT_BYTES - log->used)) {
        int code = flush(log);
        if (code != SQLITE_OK)
            return code;
    }
    if (len > KEPT_BYTES)
        return real_of(file)->pMethods->xWrite(real_of(file), from, len, at);
    if (!log->kept)
        log->kept = memory_alloc(KEPT_BYTES);
    if (!log->used)
        log->at = at;
    memcpy(log->kept + log->used, from, (size_t)len);
    log->used += len;
    return SQLITE_OK;
}

/* Whatever else is done to the log is done to all of it. */
#define FLUSH_FIRST(file)                                                                                              \
    int code = flush((struct log_file *)(void *)(file));                                                               \
    if (code != SQLITE_OK)                                                                                             \
    return code

static int log_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    FLUSH_FIRST(file);
    return real_of(file)->pMethods->xRead(real_of(file), to, len, at);
}
static int log_sync(sqlite3_file *file, int flags)
{
    FLUSH_FIRST(file);
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}
static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    FLUSH_FIRST(file);
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}
static int log_size(sqlite3_file *file, sqlite3_int64 *size)
{
    FLUSH_FIRST(file);
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}
static int log_close(sqlite3_file *file)
{
    struct log_file *log = (struct log_file *)(void *)file;
    int flushed = flush(log), code = real_of(file)->pMethods->xClose(real_of(file));
    free(log->kept);
    return flushed != SQLITE_OK ? flushed : code;
}

static int log_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}
static int log_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int log_is_locked(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}
static int log_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}
static int log_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int log_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int gathering_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 1, /* no shared memory, no mapping: those belong to the database's file */
        .xClose = log_close,
        .xRead = log_read,
        .xWrite = log_write,
        .xTruncate = log_truncate,
        .xSync = log_sync,
        .xFileSize = log_size,
        .xLock = log_lock,
        .xUnlock = log_unlock,
        .xCheckReservedLock = log_is_locked,
        .xFileControl = log_control,
        .xSectorSize = log_sector,
        .xDeviceCharacteristics = log_device,
    };
    if (!(flags & SQLITE_OPEN_WAL))
        return gathering.real->xOpen(gathering.real, name, file, flags, out_flags);
    struct log_file *log = (struct log_file *)(void *)file;
    *log = (struct log_file){0};
    memset(real_of(file), 0, (size_t)gathering.real->szOsFile);
    int code = gathering.real->xOpen(gathering.real, name, real_of(file), flags, out_flags);
    if (code == SQLITE_OK)
        file->pMethods = &methods;
    return code;
}

const char *wal_vfs(void)
{
    if (gathering.real)
        return gathering.vfs.zName;
    gathering.real = sqlite3_vfs_find(NULL);
    assert(gathering.real);
    gathering.vfs = *gathering.real; /* the other functions are the real one's, and get along with a copy of it */
    gathering.vfs.zName = "todoke";
    gathering.vfs.pNext = NULL;
    gathering.vfs.szOsFile = (int)sizeof(struct log_file) + gathering.real->szOsFile;
    gathering.vfs.xOpen = gathering_open;
    int code = sqlite3_vfs_register(&gathering.vfs, 0);
    assert(code == SQLITE_OK);
    return gathering.vfs.zName;
}
