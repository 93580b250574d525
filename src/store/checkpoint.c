/* checkpoint.c - who copies the log, and when
 *
 *   RESTS --writer: the log is long--> COPIES --thread: nearly all is copied and synced--> ENDS --writer: the rest-->
 *   RESTS
 *
 * The log begins anew at the first commit that finds all of it copied and no reader in it; as long as commits go on
 * while the thread copies, only the writer itself can bring that about. `state` is written by whoever's turn it is.
 * What fails is tried again when the log has grown by AGAIN_FRAMES: nothing is lost, the log is as durable. */
#include "store/checkpoint.h"

#include "base/log.h"
#include "base/memory.h"
#include "store/wal_vfs.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LONG_FRAMES = 8000, AGAIN_FRAMES = 1000, PASSES = 2 };

enum state { RESTS, COPIES, ENDS };
struct checkpointer {
    sqlite3 *handle;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    _Atomic enum state state;
    int last_frames, again_at; /* the writer's */
};

/* Copied pages go to the disk here, and not when the writer comes to the end. */
static void sync_database(sqlite3 *handle)
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file && file->pMethods)
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL); /* a failure is met again by the writer's own */
}

static void copy(struct checkpointer *checkpointer)
{
    for (int pass = 0; pass < PASSES; pass++) {
        int code = sqlite3_wal_checkpoint_v2(checkpointer->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (code != SQLITE_OK && code != SQLITE_BUSY)
            log_warn("store", "the log could not be copied into the database: %s", sqlite3_errstr(code));
        sync_database(checkpointer->handle);
    }
}

static void *checkpointer_main(void *context)
{
    struct checkpointer *checkpointer = context;
    pthread_setname_np(pthread_self(), "checkpoint");
    pthread_mutex_lock(&checkpointer->lock);
    while (!checkpointer->is_stopping) {
        if (atomic_load(&checkpointer->state) != COPIES) {
            pthread_cond_wait(&checkpointer->wake, &checkpointer->lock);
            continue;
        }
        pthread_mutex_unlock(&checkpointer->lock);
        copy(checkpointer);
        atomic_store(&checkpointer->state, ENDS);
        pthread_mutex_lock(&checkpointer->lock);
    }
    pthread_mutex_unlock(&checkpointer->lock);
    return NULL;
}

void checkpointer_committed(struct checkpointer *checkpointer, void *sqlite3_handle, int frames)
{
    if (frames < checkpointer->last_frames) /* it has begun anew */
        checkpointer->again_at = 0;
    checkpointer->last_frames = frames;
    switch (atomic_load(&checkpointer->state)) {
    case COPIES: return;
    case RESTS:
        if (frames < LONG_FRAMES || frames < checkpointer->again_at)
            return;
        atomic_store(&checkpointer->state, COPIES);
        pthread_mutex_lock(&checkpointer->lock);
        pthread_cond_signal(&checkpointer->wake);
        pthread_mutex_unlock(&checkpointer->lock);
        return;
    case ENDS:
        sqlite3_wal_checkpoint_v2(sqlite3_handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        checkpointer->again_at = frames + AGAIN_FRAMES;
        atomic_store(&checkpointer->state, RESTS);
        return;
    }
}

struct checkpointer *checkpointer_start(const char *path, struct fault *why)
{
    sqlite3 *handle;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(path, &handle, flags, wal_vfs());
    /* FULL: the log is synced before its pages are copied */
    if (code == SQLITE_OK)
        code = sqlite3_exec(handle, "PRAGMA synchronous=FULL; PRAGMA cache_size=-64", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        fault_set(why, FAULT_WORLD, "store %s: %s", path, handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
        sqlite3_close(handle);
        return NULL;
    }
    struct checkpointer *checkpointer = NEW(struct checkpointer);
    checkpointer->handle = handle;
    pthread_mutex_init(&checkpointer->lock, NULL);
    pthread_cond_init(&checkpointer->wake, NULL);
    int made = pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer);
    assert(made == 0);
    return checkpointer;
}

void checkpointer_stop(struct checkpointer *checkpointer)
{
    if (!checkpointer)
        return;
    pthread_mutex_lock(&checkpointer->lock);
    checkpointer->is_stopping = true;
    pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->lock);
    pthread_join(checkpointer->thread, NULL);
    sqlite3_close(checkpointer->handle);
    pthread_cond_destroy(&checkpointer->wake);
    pthread_mutex_destroy(&checkpointer->lock);
    free(checkpointer);
}
