#include "store/store.h"
#include "base/log.h"
#include "base/random.h"
#include "store/backend.h"
#include "store/bell.h"
#include "store/schema.h"
#include "store/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

struct store {
    char *where; /* path or URL */
    bool is_postgres;
    unsigned node;
    int serve_lock; /* file descriptor, or -1 */
    struct id_maker ids;
    struct writer *writer;
    struct bell *bell;             /* NULL: no other nodes */
    struct store_watch bell_watch; /* tells them of our commits */
};

/* ── opening ── */

bool store_place_read(const char *url, struct store_place *place, struct fault *why)
{
    struct slice text = slice_str(url);
    place->is_postgres = slice_starts(text, SLICE("postgres://")) || slice_starts(text, SLICE("postgresql://"));
    if (!place->is_postgres) {
        if (slice_starts(text, SLICE("sqlite:")))
            text = slice_from(text, strlen("sqlite:"));
        else if (slice_find(text, SLICE("://")) != SLICE_NPOS)
            return fault_set(why, FAULT_INPUT, "store \"%s\": want sqlite:/path, a path, or postgres://...", url);
        if (slice_is_empty(text) || text.ptr[0] == ':')
            return fault_set(why, FAULT_INPUT, "store \"%s\": the path of the database is missing", url);
    }
    place->where = slice_dup(text);
    return true;
}

enum { LOCK_TRIES = 5, LOCK_AGAIN_US = 10000 };

/* Two servers on one SQLite file would both send: the lock file lives beside it, and holds the process id for people.
 */
bool store_serve_lock(const char *where, int *lock, struct fault *why)
{
    char path[4096], holder[32] = "";
    if (snprintf(path, sizeof(path), "%s.serve", where) >= (int)sizeof(path))
        return fault_set(why, FAULT_INPUT, "store: path too long");
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return fault_errno(why, "store %s", path);
    int holder_len = snprintf(holder, sizeof(holder), "%ld\n", (long)getpid());
    bool is_ours = flock(file, LOCK_EX | LOCK_NB) == 0;
    for (int tries = 1; !is_ours && errno == EWOULDBLOCK && tries < LOCK_TRIES; tries++) {
        usleep(LOCK_AGAIN_US); /* a command that only looked (store_is_beside_server) */
        is_ours = flock(file, LOCK_EX | LOCK_NB) == 0;
    }
    if (is_ours && ftruncate(file, 0) == 0 && pwrite(file, holder, (size_t)holder_len, 0) == holder_len) {
        *lock = file;
        return true;
    }
    if (is_ours || errno != EWOULDBLOCK) { /* or the file system has no locks: nobody may serve without one */
        fault_errno(why, "store %s", path);
        close(file);
        return false;
    }
    ssize_t len = pread(file, holder, sizeof(holder) - 1, 0);
    struct slice pid = slice_trim(slice_of(holder, len > 0 ? (size_t)len : 0));
    fault_set(why, FAULT_INPUT,
              "store %s: process %.*s serves it already; stop that one, or give this one its own store", where,
              SLICE_ARG(pid));
    close(file);
    return false;
}

static bool floor_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    if (rows_int(row, 0))
        id_maker_floor(context, (uint64_t)rows_int(row, 0));
    return true;
}

bool store_floor_ids(struct db *db, struct fault *why, struct id_maker *maker)
{
    /* the newest rows of each bucket: ids borrow at most some milliseconds from the future (base/id.h) */
    static const char *const by_bucket[] = {
        "SELECT MAX(id) FROM delivery WHERE bucket = $1",
        "SELECT MAX(id) FROM contact WHERE bucket = $1",
        "SELECT MAX(id) FROM message WHERE bucket = $1",
        "SELECT MAX(id) FROM inbound WHERE bucket = $1",
        "SELECT MAX(id) FROM (SELECT id FROM event WHERE bucket = $1 ORDER BY seq DESC LIMIT 64) AS newest",
    };
    /* the events of all buckets that stand together on SQLite (event/event.h, EVENT_COMMON_LOG), whose ids borrow for
     * themselves */
    static const char together[] =
        "SELECT MAX(id) FROM (SELECT id FROM event WHERE bucket = 0 ORDER BY seq DESC LIMIT 4096) AS newest";
    static const char anywhere[] =
        "SELECT MAX(id) FROM (SELECT MAX(id) AS id FROM brand UNION ALL SELECT MAX(id) FROM list UNION ALL SELECT "
        "MAX(id) FROM content_version UNION ALL SELECT MAX(id) FROM campaign UNION ALL SELECT MAX(id) FROM lane UNION "
        "ALL SELECT MAX(id) FROM access_key UNION ALL SELECT MAX(id) FROM dkim_key UNION ALL SELECT MAX(id) FROM "
        "import_run UNION ALL SELECT MAX(id) FROM hosted_body UNION ALL SELECT MAX(id) FROM hosted_file) AS all_ids";
    int64_t top = 0, newest = 0;
    struct value buckets[ID_BUCKETS];
    if (!db_query_ints(db, why, anywhere, NO_VALUES, &top, 1, NULL) ||
        !db_query_ints(db, why, together, NO_VALUES, &newest, 1, NULL))
        return false;
    top = newest > top ? newest : top;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        buckets[bucket] = V_INT(bucket);
        if (top)
            id_maker_floor(maker, ((uint64_t)top & ~(uint64_t)(ID_BUCKETS - 1)) | bucket);
    }
    for (size_t i = 0; i < COUNT_OF(by_bucket); i++)
        if (!db_query_many(db, why, by_bucket[i], buckets, 1, ID_BUCKETS, floor_take, maker))
            return false;
    return true;
}

static struct db *connection_open(struct store *store, enum db_use use, struct fault *why)
{
    struct db *db =
        store->is_postgres ? postgres_db_open(store->where, use, why) : sqlite_db_open(store->where, use, why);
    if (db)
        db->ids = &store->ids;
    return db;
}

unsigned store_command_node(void)
{
    uint64_t any;
    random_bytes(&any, sizeof(any));
    return STORE_NODE_MAX + 1 + (unsigned)(any % (ID_NODES - STORE_NODE_MAX - 1));
}

/* ── other nodes ── */

static void others_heard(void *context, unsigned marks)
{
    writer_nudge(((struct store *)context)->writer, marks | STORE_MARK_ELSEWHERE);
}

static void others_told(struct store_watch *watch, unsigned marks)
{
    struct store *store = (struct store *)((char *)watch - offsetof(struct store, bell_watch));
    marks &= (STORE_MARK_DELIVERIES | STORE_MARK_HOLDS | STORE_MARK_INBOUND | STORE_MARK_NOTICES |
              STORE_MARK_CAMPAIGNS | STORE_MARK_ELSEWHERE);
    if (marks && !(marks & STORE_MARK_ELSEWHERE))
        bell_marks(store->bell, marks);
}

static bool bell_begin(struct store *store, struct fault *why)
{
    store->bell = bell_start(store->where, store->node, others_heard, store, why);
    store->bell_watch.wake = others_told;
    if (store->bell)
        store_watch_add(store, &store->bell_watch);
    return store->bell != NULL;
}

void store_listen(struct store *store, struct store_listener *listener)
{
    if (store->bell)
        bell_listen(store->bell, listener, true);
}

void store_unlisten(struct store *store, struct store_listener *listener)
{
    if (store->bell)
        bell_listen(store->bell, listener, false);
}

void store_tell(struct store *store, struct slice words)
{
    assert(words.len <= STORE_WORDS_MAX);
    if (store->bell)
        bell_ring(store->bell, words);
}

bool store_has_others(const struct store *store)
{
    return store->bell != NULL;
}

/* A command does not bring the schema on beneath a server, which would be older and know nothing of it. */
static bool may_migrate(const struct store *store, struct db *db, struct fault *why)
{
    int64_t version;
    int lock = -1;
    struct fault in_use;
    if (!schema_version(db, why, &version))
        return false;
    if (version == 0 || version >= (int64_t)schema_file_count)
        return true;
    bool is_idle = store->is_postgres ? store_is_idle(db, &in_use) : store_serve_lock(store->where, &lock, &in_use);
    if (lock >= 0)
        close(lock);
    if (is_idle)
        return true;
    if (in_use.kind != FAULT_INPUT) {
        *why = in_use;
        return false;
    }
    return fault_set(why, FAULT_INPUT,
                     "the store has schema %lld and this program would bring it to %u, but a server of an older todoke "
                     "works on it: restart that one with this program first, or use its own (nothing was changed)",
                     (long long)version, schema_file_count);
}

/* The schema as this program knows it, and ids above those that are there. Begun again, once, when the connection broke
 * in the middle (store/writer.c says why it may). */
static bool made_ready(struct store *store, struct db *db, bool serves, struct fault *why)
{
    for (bool was_broken = false;; was_broken = true) {
        if ((serves || may_migrate(store, db, why)) && schema_migrate(db, why) && store_floor_ids(db, why, &store->ids))
            return true;
        if (!db->is_broken || was_broken || !db->backend->reconnect(db, why))
            return false;
    }
}

struct store *store_open(const char *url, const struct store_options *options, struct fault *why)
{
    bool serves = options && options->role == STORE_SERVE;
    struct store *store = NEW(struct store);
    store->serve_lock = -1;
    assert(!serves || options->node <= STORE_NODE_MAX);
    store->node = serves ? options->node : store_command_node();
    store->ids.node = store->node;
    struct db *db = NULL;
    struct store_place place = {0};
    if (!store_place_read(url, &place, why))
        goto fail_store;
    store->where = place.where;
    store->is_postgres = place.is_postgres;
    if (serves && !store->is_postgres && !store_serve_lock(store->where, &store->serve_lock, why))
        goto fail_store;
    db = connection_open(store, serves && !options->is_stepped ? DB_SERVER : DB_WRITER, why);
    if (db && options && options->patience_ms) {
        db->patience_ms = options->patience_ms;
        db->said_ms =
            options->patience_ms / 2 < STORE_PATIENCE_SAID_MS ? options->patience_ms / 2 : STORE_PATIENCE_SAID_MS;
    }
    if (!db || !made_ready(store, db, serves, why))
        goto fail_store;
    store->writer = writer_start(db, store->node, options && options->is_stepped);
    if (serves && store->is_postgres && !bell_begin(store, why)) {
        store_close(store);
        return NULL;
    }
    return store;
fail_store:
    db_free(db);
    if (store->serve_lock >= 0)
        close(store->serve_lock);
    free(store->where);
    free(store);
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    bell_stop(store->bell);
    writer_stop(store->writer);
    bell_free(store->bell);
    if (store->serve_lock >= 0)
        close(store->serve_lock);
    free(store->where);
    free(store);
}

struct db *store_reader_open(struct store *store, struct fault *why)
{
    return connection_open(store, DB_READER, why);
}

/* ── small things ── */

bool store_is_postgres(const struct store *store)
{
    return store->is_postgres;
}

unsigned store_node(const struct store *store)
{
    return store->node;
}

bool store_is_beside_server(const struct store *store)
{
    char path[4096];
    if (store->is_postgres || store->serve_lock >= 0 ||
        snprintf(path, sizeof(path), "%s.serve", store->where) >= (int)sizeof(path))
        return false;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool is_served = file >= 0 && flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (file >= 0)
        close(file);
    return is_served;
}

struct id_maker *store_ids(struct store *store)
{
    return &store->ids;
}

void store_watch_add(struct store *store, struct store_watch *watch)
{
    writer_watch(store->writer, watch);
}

void store_watch_remove(struct store *store, struct store_watch *watch)
{
    writer_unwatch(store->writer, watch);
}

void store_figures(struct store *store, struct store_figures *figures)
{
    writer_figures(store->writer, figures);
}

void store_print_url(const char *url, struct buf *out)
{
    struct slice text = slice_str(url);
    ptrdiff_t start = slice_find(text, SLICE("://"));
    if (start == SLICE_NPOS) {
        buf_append(out, text);
        return;
    }
    size_t from = (size_t)start + 3;
    struct slice rest = slice_from(text, from);
    ptrdiff_t slash = slice_find_byte(rest, '/');
    struct slice authority = slash == SLICE_NPOS ? rest : slice_head(rest, (size_t)slash);
    ptrdiff_t at = slice_find_last_byte(authority, '@');
    struct slice user = slice_head(authority, at == SLICE_NPOS ? 0 : (size_t)at);
    ptrdiff_t colon = slice_find_byte(user, ':');
    buf_append(out, slice_head(text, from));
    buf_append(out, colon == SLICE_NPOS ? user : slice_head(user, (size_t)colon));
    buf_append(out, slice_from(rest, user.len));
}

/* ── writing ── */

void store_write(struct store *store, struct write_job *job)
{
    writer_post(store->writer, job);
}

bool store_step(struct store *store)
{
    return writer_step(store->writer);
}

/* A job around a job, for whoever waits. */
struct store_waited {
    struct write_job job;
    struct write_job *inner;
    struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done, is_ok;
    struct fault fault;
};

static bool waited_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct store_waited *waited = (struct store_waited *)job;
    return waited->inner->run(waited->inner, db, why);
}

static void waited_done(struct write_job *job, const struct fault *why)
{
    struct store_waited *waited = (struct store_waited *)job;
    pthread_mutex_lock(&waited->lock);
    waited->is_done = true;
    waited->is_ok = !why;
    if (why)
        waited->fault = *why;
    pthread_cond_signal(&waited->wake);
    pthread_mutex_unlock(&waited->lock);
}

struct store_waited *store_write_start(struct store *store, struct write_job *job)
{
    struct store_waited *waited = NEW(struct store_waited);
    waited->job =
        (struct write_job){.run = waited_run, .done = waited_done, .rows = job->rows, .fails_fast = job->fails_fast};
    waited->inner = job;
    waited->store = store;
    pthread_mutex_init(&waited->lock, NULL);
    pthread_cond_init(&waited->wake, NULL);
    store_write(store, &waited->job);
    return waited;
}

bool store_write_finish(struct store_waited *waited, struct fault *why)
{
    while (writer_step(waited->store->writer)) {
    }
    pthread_mutex_lock(&waited->lock);
    while (!waited->is_done)
        pthread_cond_wait(&waited->wake, &waited->lock);
    pthread_mutex_unlock(&waited->lock);
    bool ok = waited->is_ok;
    if (!ok)
        *why = waited->fault;
    pthread_cond_destroy(&waited->wake);
    pthread_mutex_destroy(&waited->lock);
    free(waited);
    return ok;
}

bool store_write_wait(struct store *store, struct write_job *job, struct fault *why)
{
    return store_write_finish(store_write_start(store, job), why);
}

static bool write_nothing(struct write_job *job, struct db *db, struct fault *why)
{
    return true;
}

void store_write_settle(struct store *store)
{
    struct write_job behind = {.run = write_nothing, .fails_fast = true};
    struct fault ignored;
    if (!store_write_wait(store, &behind, &ignored))
        log_debug("store", "the store is away while somebody ends: %s", ignored.text);
}
