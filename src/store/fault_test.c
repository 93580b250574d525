/* F3, F7: the nth write fails, for every n; the disk is full for a while; the server goes away in the middle. Nothing
 * is lost, nothing is done twice, and what waited goes on by itself. */
#include "base/log.h"
#include "store/backend.h"
#include "store/schema.h"
#include "store/testing.h"

#include <pthread.h>
#include <sqlite3.h>

/* ── a disk that fails on purpose: a VFS around the real one ── */

static struct {
    sqlite3_vfs vfs, *real;
    pthread_mutex_t lock;
    int countdown; /* writes and syncs until the first failure; negative: never */
    int failures;  /* how many then fail */
    int code;
    bool syncs_fail; /* all of them */
    int syncs_failed;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .countdown = -1};

struct disk_file {
    sqlite3_file file;
    sqlite3_file *real;
};
static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct disk_file *)file)->real;
}

static bool fails_now(void)
{
    pthread_mutex_lock(&disk.lock);
    bool fails = disk.countdown == 0 && disk.failures-- > 0;
    if (disk.countdown == 0 && !fails)
        disk.countdown = -1;
    if (disk.countdown > 0)
        disk.countdown--;
    pthread_mutex_unlock(&disk.lock);
    return fails;
}

static void disk_will_fail(int countdown, int failures)
{
    pthread_mutex_lock(&disk.lock);
    disk.countdown = countdown;
    disk.failures = failures;
    pthread_mutex_unlock(&disk.lock);
}

static int disk_close(sqlite3_file *file)
{
    int code = real_of(file)->pMethods->xClose(real_of(file));
    sqlite3_free(real_of(file));
    return code;
}
static int disk_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), to, len, at);
}
static int disk_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
    return fails_now() ? disk.code : real_of(file)->pMethods->xWrite(real_of(file), from, len, at);
}
static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}
static bool sync_fails(void)
{
    pthread_mutex_lock(&disk.lock);
    bool fails = disk.syncs_fail;
    disk.syncs_failed += fails;
    pthread_mutex_unlock(&disk.lock);
    return fails;
}
static int disk_sync(sqlite3_file *file, int flags)
{
    return fails_now() || sync_fails() ? SQLITE_IOERR_FSYNC : real_of(file)->pMethods->xSync(real_of(file), flags);
}
static int disk_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}
static int disk_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}
static int disk_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}
static int disk_check(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}
static int disk_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}
static int disk_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int disk_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}
static int disk_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **to)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, to);
}
static int disk_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}
static void disk_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}
static int disk_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    static const sqlite3_io_methods methods = {
        2,           disk_close,   disk_read,     disk_write,       disk_truncate,  disk_sync,
        disk_size,   disk_lock,    disk_unlock,   disk_check,       disk_control,   disk_sector,
        disk_device, disk_shm_map, disk_shm_lock, disk_shm_barrier, disk_shm_unmap, NULL,
        NULL};
    struct disk_file *made = (struct disk_file *)file;
    made->real = sqlite3_malloc(disk.real->szOsFile);
    memset(made->real, 0, (size_t)disk.real->szOsFile);
    int code = disk.real->xOpen(disk.real, name, made->real, flags, out_flags);
    made->file.pMethods = code == SQLITE_OK ? &methods : NULL;
    if (code != SQLITE_OK)
        sqlite3_free(made->real);
    return code;
}

static void disk_install(void)
{
    disk.real = sqlite3_vfs_find(NULL);
    disk.vfs = *disk.real;
    disk.vfs.zName = "failing";
    disk.vfs.szOsFile = sizeof(struct disk_file);
    disk.vfs.xOpen = disk_open;
    disk.vfs.pNext = NULL;
    assert_int_equal(sqlite3_vfs_register(&disk.vfs, 1), SQLITE_OK);
}

/* ── jobs that add 1 to a counter, each once ── */

enum { JOBS = 6, BUCKETS_EACH = 40 };
struct adding {
    struct write_job job;
    struct value values[BUCKETS_EACH * 2];
};
static bool adding_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct adding *adding = (struct adding *)job;
    for (int i = 0; i < BUCKETS_EACH; i++) {
        adding->values[i * 2] = V_INT(i);
        adding->values[i * 2 + 1] = V_INT(1);
    }
    return db_do_many(
        db, why,
        "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, $2) ON CONFLICT (bucket) DO UPDATE SET seq = "
        "bucket_counter.seq + excluded.seq",
        adding->values, 2, BUCKETS_EACH, NULL);
}

static void every_write_fails_once_and_nothing_is_lost(void **state)
{
    static const int codes[] = {SQLITE_IOERR_WRITE, SQLITE_FULL};
    for (size_t k = 0; k < COUNT_OF(codes); k++) {
        disk.code = codes[k];
        bool is_past_the_end = false;
        for (int n = 0; !is_past_the_end; n += 1 + n / 8) {
            TEST_STORE(test, state);
            disk_will_fail(n, 1 + n % 2);
            for (int i = 0; i < JOBS; i++) {
                struct adding adding = {.job = {.run = adding_run}};
                struct fault why = {0};
                if (!store_write_wait(test.store, &adding.job, &why))
                    fail_msg("write %d: %s", n, why.text);
            }
            pthread_mutex_lock(&disk.lock);
            is_past_the_end = disk.countdown > 0;
            pthread_mutex_unlock(&disk.lock);
            disk_will_fail(-1, 0);
            assert_int_equal(test_number(test.reader, "SELECT MIN(seq) FROM bucket_counter"), JOBS);
            assert_int_equal(test_number(test.reader, "SELECT MAX(seq) FROM bucket_counter"), JOBS);
            test_store_close(&test);
            test_store_reopen(&test);
            assert_int_equal(test_number(test.reader, "SELECT MIN(seq) FROM bucket_counter"), JOBS);
            assert_int_equal(
                test_number(test.reader, "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
                0);
            test_store_end(&test);
        }
    }
}

static void a_full_disk_fails_those_in_a_hurry_and_keeps_the_rest(void **state)
{
    TEST_STORE(test, state);
    disk.code = SQLITE_FULL;
    struct adding hurried = {.job = {.run = adding_run, .fails_fast = true}};
    struct fault why = {0};
    disk_will_fail(0, 1000000);
    assert_false(store_write_wait(test.store, &hurried.job, &why));
    assert_int_equal(why.kind, FAULT_WORLD);
    assert_non_null(strstr(why.text, "full"));
    struct store_figures figures;
    store_figures(test.store, &figures);
    assert_true(figures.is_lost);
    disk_will_fail(-1, 0); /* somebody made room */
    struct adding patient = {.job = {.run = adding_run}};
    assert_true(store_write_wait(test.store, &patient.job, &why));
    assert_int_equal(test_number(test.reader, "SELECT MAX(seq) FROM bucket_counter"), 1);
    store_figures(test.store, &figures);
    assert_false(figures.is_lost);
    test_store_end(&test);
}

/* The record of the commit is in the log (it is found there after reconnecting, as nobody else had the file open), but
 * no sync has come back: nobody may be told yet. */
struct told {
    struct write_job job;
    bool is_told, was_synced; /* under the disk's lock */
};
static bool told_run(struct write_job *job, struct db *db, struct fault *why)
{
    return db_do(db, why,
                 "INSERT INTO bucket_counter (bucket, seq) VALUES (1, 1) ON CONFLICT (bucket) DO UPDATE SET seq = "
                 "bucket_counter.seq + 1",
                 NO_VALUES, NULL);
}
static void told_done(struct write_job *job, const struct fault *why)
{
    struct told *told = (struct told *)job;
    pthread_mutex_lock(&disk.lock);
    told->is_told = true;
    told->was_synced = !disk.syncs_fail && !why;
    pthread_mutex_unlock(&disk.lock);
}
static bool is_so(const bool *what)
{
    pthread_mutex_lock(&disk.lock);
    bool so = *what;
    pthread_mutex_unlock(&disk.lock);
    return so;
}

static void what_no_sync_has_confirmed_is_not_told(void **state)
{
    TEST_STORE(test, state);
    db_free(test.reader);
    test.reader = NULL;
    pthread_mutex_lock(&disk.lock);
    disk.syncs_fail = true;
    disk.syncs_failed = 0;
    pthread_mutex_unlock(&disk.lock);
    struct told told = {.job = {.run = told_run, .done = told_done}};
    store_write(test.store, &told.job);
    for (int tries = 0; tries < 10000; tries++) { /* the commit's, and those of several tries to make sure */
        pthread_mutex_lock(&disk.lock);
        bool is_enough = disk.syncs_failed >= 6;
        pthread_mutex_unlock(&disk.lock);
        if (is_enough || is_so(&told.is_told))
            break;
        usleep(1000);
    }
    assert_false(is_so(&told.is_told));
    pthread_mutex_lock(&disk.lock);
    disk.syncs_fail = false;
    pthread_mutex_unlock(&disk.lock);
    for (int tries = 0; tries < 120000 && !is_so(&told.is_told); tries++)
        usleep(1000);
    assert_true(is_so(&told.is_told));
    assert_true(told.was_synced);
    struct fault why = {0};
    test.reader = store_reader_open(test.store, &why);
    assert_int_equal(test_number(test.reader, "SELECT seq FROM bucket_counter WHERE bucket = 1"), 1);
    test_store_end(&test);
}

/* ── a server that goes away ── */

struct dropped {
    struct write_job job;
    int runs, drops; /* the first `drops` runs end the connection under themselves */
    bool at_commit;
};
static bool dropped_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct dropped *dropped = (struct dropped *)job;
    if (!db_do(db, why,
               "INSERT INTO bucket_counter (bucket, seq) VALUES (1, 1) ON CONFLICT (bucket) DO UPDATE SET seq = "
               "bucket_counter.seq + 1",
               NO_VALUES, NULL))
        return false;
    if (dropped->runs++ >= dropped->drops)
        return true;
    struct fault ignored;
    bool done = db_do(db, &ignored, "SELECT pg_terminate_backend(pg_backend_pid())", NO_VALUES, NULL);
    if (dropped->at_commit)
        return true; /* the connection is gone, but only COMMIT finds out */
    return done || db_do(db, why, "SELECT 1", NO_VALUES, NULL);
}
static void a_lost_connection_is_made_anew(void **state)
{
    TEST_STORE(test, state);
    for (int at_commit = 0; at_commit < 2; at_commit++) {
        struct dropped dropped = {.job = {.run = dropped_run}, .drops = 2, .at_commit = at_commit};
        struct fault why = {0};
        if (!store_write_wait(test.store, &dropped.job, &why))
            fail_msg("%s", why.text);
        assert_int_equal(dropped.runs, 3);
        assert_int_equal(test_number(test.reader, "SELECT seq FROM bucket_counter"), 1 + at_commit);
    }
    /* a reader too */
    struct fault why = {0};
    int64_t one = 0;
    assert_false(db_query_ints(test.reader, &why, "SELECT 1 WHERE pg_terminate_backend(pg_backend_pid())", NO_VALUES,
                               &one, 1, NULL));
    assert_int_equal(why.kind, FAULT_WORLD);
    assert_true(db_is_lost(test.reader));
    assert_int_equal(test_number(test.reader, "SELECT seq FROM bucket_counter"), 2);
    assert_false(db_is_lost(test.reader));
    test_store_end(&test);
}

/* A process that stands still for seconds in a transaction (its machine slept, not the store) has lost its connection,
 * so that its locks are free. It connects anew and begins again, and nobody hears of it: not who waits in a command,
 * nor who fails fast. */
struct still {
    struct write_job job;
    struct db *reader; /* sees when the connection has ended */
    int runs;
    enum { THEN_A_STATEMENT, THEN_A_PIPELINE, THEN_COMMIT } then;
};
static bool still_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct still *still = (struct still *)job;
    const struct value values[] = {V_INT(2), V_INT(3)};
    int64_t pid;
    if (!db_do(db, why,
               "INSERT INTO bucket_counter (bucket, seq) VALUES (1, 1) ON CONFLICT (bucket) DO UPDATE SET seq = "
               "bucket_counter.seq + 1",
               NO_VALUES, NULL))
        return false;
    if (still->runs++ == 0) {
        if (!db_query_ints(db, why, "SELECT pg_backend_pid()", NO_VALUES, &pid, 1, NULL) ||
            !db->backend->script(db, why, "SET LOCAL idle_in_transaction_session_timeout = 1"))
            return false;
        for (int64_t lives = 1; lives;) {
            if (!db_query_ints(still->reader, why, "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = $1",
                               VALUES(V_INT(pid)), &lives, 1, NULL))
                return false;
            usleep(1000);
        }
    }
    switch (still->then) {
    case THEN_A_STATEMENT:
        return db_do(db, why, "UPDATE bucket_counter SET seq = seq WHERE bucket = 1", NO_VALUES, NULL);
    case THEN_A_PIPELINE:
        return db_do_many(db, why, "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, 0) ON CONFLICT DO NOTHING",
                          values, 1, 2, NULL);
    case THEN_COMMIT: break;
    }
    return true;
}
static void who_stood_still_in_a_transaction_begins_again(void **state)
{
    TEST_STORE(test, state);
    for (int i = 0; i < 6; i++) {
        const struct store_options options = {.role = STORE_COMMAND, .patience_ms = i < 3 ? 0 : STORE_PATIENCE_MS};
        struct still still = {
            .job = {.run = still_run, .fails_fast = true}, .reader = test.reader, .then = THEN_A_STATEMENT + i % 3};
        struct fault why = {0};
        struct store *store = store_open(test.url, &options, &why);
        assert_non_null(store);
        if (!store_write_wait(store, &still.job, &why))
            fail_msg("%d: %s", i, why.text);
        assert_int_equal(still.runs, 2);
        assert_int_equal(test_number(test.reader, "SELECT seq FROM bucket_counter WHERE bucket = 1"), i + 1);
        struct store_figures figures;
        store_figures(store, &figures);
        assert_false(figures.is_lost);
        assert_int_equal(figures.retried, 0);
        store_close(store);
    }
    test_store_end(&test);
}

/* The same while the schema is made: the first start of a server on a machine that sleeps. */
static void *opened(void *context)
{
    struct fault why = {0};
    struct store *store = store_open(context, NULL, &why);
    if (!store)
        fprintf(stderr, "%s\n", why.text);
    return store;
}
static void a_connection_lost_while_the_schema_is_made(void **state)
{
    struct test_store test;
    struct fault why = {0};
    int64_t ended = 0;
    pthread_t opener;
    void *store;
    if (!test_store_url(&test, state))
        skip();
    struct db *other = postgres_db_open(test.url, DB_READER, &why);
    assert_non_null(other);
    assert_true(
        other->backend->script(other, &why, "SELECT pg_advisory_lock(8412110)")); /* where it waits (schema.c) */
    assert_int_equal(pthread_create(&opener, NULL, opened, test.url), 0);
    for (int tries = 0; tries < 60000 && !ended; tries++) {
        assert_true(db_query_ints(other, &why,
                                  "SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE "
                                  "d.datname = current_database() AND NOT l.granted AND l.locktype = 'advisory' AND "
                                  "pg_terminate_backend(l.pid)",
                                  NO_VALUES, &ended, 1, NULL));
        usleep(1000);
    }
    assert_int_equal(ended, 1);
    assert_true(other->backend->script(other, &why, "SELECT pg_advisory_unlock(8412110)"));
    pthread_join(opener, &store);
    assert_non_null(store);
    test.store = store;
    test.reader = store_reader_open(store, &why);
    assert_int_equal(test_number(test.reader, "SELECT MAX(version) FROM schema_version"), schema_file_count);
    db_free(other);
    test_store_end(&test);
}

#define ON_ONE(test, which)                                                                                            \
    {                                                                                                                  \
#test " (" which ")", test, NULL, NULL, (void *)(uintptr_t)which                                               \
    }

int main(void)
{
    disk_install();
    log_setup(LOG_ERROR + 1, false);
    const struct CMUnitTest tests[] = {
        ON_ONE(every_write_fails_once_and_nothing_is_lost, "sqlite"),
        ON_ONE(a_full_disk_fails_those_in_a_hurry_and_keeps_the_rest, "sqlite"),
        ON_ONE(what_no_sync_has_confirmed_is_not_told, "sqlite"),
        ON_ONE(a_lost_connection_is_made_anew, "postgres"),
        ON_ONE(who_stood_still_in_a_transaction_begins_again, "postgres"),
        ON_ONE(a_connection_lost_while_the_schema_is_made, "postgres"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
