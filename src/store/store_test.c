/* The SQL door, jobs in groups, a lost store (F7), a server alone (SQLite), migrations: on both stores. */
#include "base/log.h"
#include "store/backend.h"
#include "store/schema.h"
#include "store/testing.h"

#include <errno.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if (!(call))                                                                                                   \
            fail_msg("%s", why.text);                                                                                  \
    } while (0)

static bool fill(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why,
                 "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw) VALUES ($1, 1, $4, 0, "
                 "$2, '', '', $3)",
                 VALUES(V_INT(7), V_STR("日本語"), V_BYTES(SLICE("a\0b")), V_INT(-5)), context);
}

static void values_come_back_as_they_went_in(void **state)
{
    TEST_STORE(test, state);
    int64_t changed = 0;
    test_write(test.store, fill, &changed);
    assert_int_equal(changed, 1);
    struct fault why = {0};
    SCOPED(rows) rows = {0};
    /* $2 is used before $1, and twice */
    OK(db_query(test.reader, &why, &rows,
                "SELECT mail_from, raw, at_ms, NULLIF(id, 1), CAST(SUM(id) AS BIGINT) FROM inbound WHERE "
                "mail_from = $2 AND "
                "bucket = $1 AND mail_from = $2 GROUP BY mail_from, raw, at_ms, id",
                VALUES(V_INT(7), V_STR("日本語"))));
    assert_true(rows_next(&rows));
    assert_slice("text", rows_text(&rows, 0), SLICE("日本語"));
    assert_slice("bytes", rows_bytes(&rows, 1), SLICE("a\0b"));
    assert_int_equal(rows_int(&rows, 2), -5);
    assert_true(rows_is_null(&rows, 3));
    assert_int_equal(rows_int(&rows, 3), 0);
    assert_int_equal(rows_int(&rows, 4), 1);
    assert_false(rows_next(&rows));
    assert_true(rows_end(&rows));
    test_store_end(&test);
}

static void bad_statements_and_values_are_input_faults(void **state)
{
    TEST_STORE(test, state);
    struct fault why = {0};
    struct {
        const char *row, *sql;
        struct value value;
    } table[] = {
        {"no such table", "SELECT $1 FROM nothing_here", V_STR("a")},
        {"no SQL", "SELEKT $1", V_STR("a")},
        {"NUL in text", "SELECT name FROM brand WHERE name = $1", V_TEXT(SLICE("a\0b"))},
        {"not UTF-8", "SELECT name FROM brand WHERE name = $1", V_TEXT(SLICE("\x82\xa0"))},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(rows) rows = {0};
        bool ok = db_query(test.reader, &why, &rows, table[i].sql, &table[i].value, 1);
        assert_row(table[i].row, !ok);
        assert_int_row(table[i].row, why.kind, FAULT_INPUT);
        assert_row(table[i].row, !db_is_lost(test.reader));
    }
    int64_t one = 0;
    OK(db_query_ints(test.reader, &why, "SELECT 1", NO_VALUES, &one, 1, NULL)); /* and the connection still works */
    test_store_end(&test);
}

enum { MANY = 1000 };
static bool many(struct db *db, struct fault *why, void *context)
{
    int64_t *changed = context;
    struct value values[MANY * 2];
    for (int i = 0; i < MANY; i++) {
        values[i * 2] = V_INT(i % 900); /* the last hundred are there already */
        values[i * 2 + 1] = V_INT(i);
    }
    return db_do_many(db, why,
                      "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, $2) ON CONFLICT (bucket) DO NOTHING",
                      values, 2, MANY, changed);
}
static bool sum_up(void *context, size_t index, const struct rows *row, struct fault *why)
{
    int64_t *sum = context;
    assert_int_equal(rows_int(row, 0), index);
    *sum += rows_int(row, 0);
    return true;
}

static void many_rows_of_one_statement(void **state)
{
    TEST_STORE(test, state);
    int64_t changed[MANY];
    test_write(test.store, many, changed);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(changed[i], i < 900);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM bucket_counter"), 900);
    struct value ask[MANY];
    for (int i = 0; i < MANY; i++)
        ask[i] = V_INT(i);
    struct fault why = {0};
    int64_t sum = 0;
    OK(db_query_many(test.reader, &why, "SELECT seq FROM bucket_counter WHERE bucket = $1", ask, 1, MANY, sum_up,
                     &sum));
    assert_int_equal(sum, 899 * 900 / 2);
    test_store_end(&test);
}

/* ── jobs ── */

struct counted_job {
    struct write_job job;
    int id;
    int runs;
    bool is_bad;
    struct fault fault;
    struct tally *tally;
};
struct tally {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int done, bad, last_id;
    bool in_order;
};
static bool counted_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct counted_job *counted = (struct counted_job *)job;
    counted->runs++;
    if (!db_do(db, why, "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, 0)", VALUES(V_INT(counted->id)), NULL))
        return false;
    return !counted->is_bad ||
           db_do(db, why, "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, 0)", VALUES(V_INT(counted->id)), NULL);
}
static void counted_done(struct write_job *job, const struct fault *why)
{
    struct counted_job *counted = (struct counted_job *)job;
    struct tally *tally = counted->tally;
    pthread_mutex_lock(&tally->lock);
    if (why)
        counted->fault = *why;
    tally->bad += why != NULL;
    tally->in_order &= counted->id > tally->last_id;
    tally->last_id = counted->id;
    tally->done++;
    pthread_cond_signal(&tally->wake);
    pthread_mutex_unlock(&tally->lock);
}
static void tally_wait(struct tally *tally, int count)
{
    pthread_mutex_lock(&tally->lock);
    while (tally->done < count)
        pthread_cond_wait(&tally->wake, &tally->lock);
    pthread_mutex_unlock(&tally->lock);
}
#define TALLY                                                                                                          \
    {                                                                                                                  \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, -1, true                                            \
    }

enum { JOBS = 2000 };
static void jobs_are_grouped_and_a_bad_one_fails_alone(void **state)
{
    TEST_STORE(test, state);
    struct tally tally = TALLY;
    struct counted_job *jobs = NEW_ARRAY(struct counted_job, JOBS);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted_job){
            .job = {.run = counted_run, .done = counted_done}, .id = i, .is_bad = i % 500 == 250, .tally = &tally};
        store_write(test.store, &jobs[i].job);
    }
    tally_wait(&tally, JOBS);
    assert_true(tally.in_order); /* first in, first written */
    assert_int_equal(tally.bad, JOBS / 500);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].fault.kind, jobs[i].is_bad ? FAULT_INPUT : FAULT_NONE);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM bucket_counter"), JOBS - JOBS / 500);
    struct store_figures figures;
    store_figures(test.store, &figures);
    assert_int_equal(figures.jobs, JOBS - JOBS / 500);
    assert_int_equal(figures.failed, JOBS / 500);
    assert_true(figures.groups < JOBS);
    free(jobs);
    test_store_end(&test);
}

static void closing_writes_what_is_queued(void **state)
{
    TEST_STORE(test, state);
    struct tally tally = TALLY;
    struct counted_job jobs[50];
    for (int i = 0; i < 50; i++) {
        jobs[i] = (struct counted_job){.job = {.run = counted_run, .done = counted_done}, .id = i, .tally = &tally};
        store_write(test.store, &jobs[i].job);
    }
    test_store_close(&test);
    assert_int_equal(tally.done, 50);
    assert_int_equal(tally.bad, 0);
    test_store_reopen(&test);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM bucket_counter"), 50);
    test_store_end(&test);
}

/* ── opening ── */

static bool raise_version(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, "INSERT INTO schema_version (version, name, applied_ms) VALUES (9999, 'future', 0)",
                 NO_VALUES, NULL);
}
static void a_newer_schema_is_refused(void **state)
{
    TEST_STORE(test, state);
    assert_int_equal(test_number(test.reader, "SELECT MAX(version) FROM schema_version"), schema_file_count);
    test_write(test.store, raise_version, NULL);
    test_store_close(&test);
    struct fault why = {0};
    assert_null(store_open(test.url, NULL, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_non_null(strstr(why.text, "use a newer todoke"));
    test_store_end(&test);
}

static void schema_lines_for_one_store_only(void **state)
{
    static const struct {
        const char *row, *text, *sqlite, *postgres;
    } table[] = {
        {"plain", "CREATE a;", "CREATE a;\n", "CREATE a;\n"},
        {"sqlite", "a\n--sqlite WITHOUT ROWID\n;", "a\nWITHOUT ROWID\n;\n", "a\n;\n"},
        {"postgres", "a\n--postgres b", "a\n", "a\nb\n"},
        {"a comment", "--sqlitex\n-- sqlite y", "--sqlitex\n-- sqlite y\n", "--sqlitex\n-- sqlite y\n"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(buf) sqlite = BUF(1000);
        SCOPED(buf) postgres = BUF(1000);
        schema_text(slice_str(table[i].text), false, &sqlite);
        schema_text(slice_str(table[i].text), true, &postgres);
        assert_slice(table[i].row, buf_slice(&sqlite), slice_str(table[i].sqlite));
        assert_slice(table[i].row, buf_slice(&postgres), slice_str(table[i].postgres));
    }
}

static void one_server_for_one_sqlite_store(void **state)
{
    TEST_STORE(test, state);
    struct fault why = {0};
    struct store_options serve = {.role = STORE_SERVE, .node = 1};
    struct store *first = store_open(test.url, &serve, &why);
    assert_non_null(first);
    assert_null(store_open(test.url, &serve, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_non_null(strstr(why.text, "serves it already"));
    struct store *command = store_open(test.url, NULL, &why); /* commands may look */
    assert_non_null(command);
    assert_true(store_node(command) > STORE_NODE_MAX);
    store_close(command);
    store_close(first);
    first = store_open(test.url, &serve, &why);
    assert_non_null(first);
    store_close(first);
    struct stat file;
    assert_int_equal(stat(test.url + strlen("sqlite:"), &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    test_store_end(&test);
}

static void bad_urls_are_refused(void **state)
{
    static const char *const table[] = {"", "sqlite:", "mysql://a/b", ":memory:", "/nowhere/at/all/store.db"};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct fault why = {0};
        assert_row(table[i], !store_open(table[i], NULL, &why));
        assert_row(table[i], why.kind != FAULT_NONE && why.text[0]);
    }
}

static void a_url_is_printed_without_its_password(void **state)
{
    static const struct {
        const char *url, *printed;
    } table[] = {
        {"sqlite:/a/b", "sqlite:/a/b"},
        {"postgres://u:secret@h:1/d?x=1", "postgres://u@h:1/d?x=1"},
        {"postgres://u@h/d", "postgres://u@h/d"},
        {"postgres://h/d@e", "postgres://h/d@e"},
        {"postgres://u:a@b:c@h", "postgres://u@h"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        SCOPED(buf) out = BUF(1000);
        store_print_url(table[i].url, &out);
        assert_slice(table[i].url, buf_slice(&out), slice_str(table[i].printed));
    }
}

/* ── ids, watchers ── */

static bool far_ahead(struct db *db, struct fault *why, void *context)
{
    return db_do(
        db, why,
        "INSERT INTO contact (bucket, id, address, written, created_ms, updated_ms) VALUES ($1, $2, 'a', 'a', 0, 0)",
        VALUES(V_INT(9), V_INT(*(int64_t *)context)), NULL);
}
static void ids_start_above_those_in_the_store(void **state)
{
    TEST_STORE(test, state);
    time_ms now = 1800000000000;
    struct id_maker other = {.node = 3};
    int64_t high = (int64_t)id_make(&other, now + 5000, 9);
    test_write(test.store, far_ahead, &high);
    test_store_close(&test);
    test_store_reopen(&test);
    assert_true((int64_t)id_make(store_ids(test.store), now, 9) > high);
    assert_true(id_time(id_make(store_ids(test.store), now, 8)) == now);
    test_store_end(&test);
}

struct watched {
    struct store_watch watch;
    _Atomic unsigned marks, polls;
};
static void watched_wake(struct store_watch *watch, unsigned marks)
{
    ((struct watched *)watch)->polls += (marks & STORE_MARK_POLL) != 0;
    ((struct watched *)watch)->marks |= marks;
}
static bool mark(struct db *db, struct fault *why, void *context)
{
    db_mark(db, STORE_MARK_HOLDS);
    return !context || fault_set(why, FAULT_INPUT, "on purpose");
}
static bool nothing(struct db *db, struct fault *why, void *context)
{
    return true;
}
/* Whoever has taken his watch back may free it: nobody is inside it, and nobody comes to it any more. */
struct slow_watch {
    struct store_watch watch;
    _Atomic int called;
    _Atomic bool is_inside;
};
static void slow_wake(struct store_watch *watch, unsigned marks)
{
    struct slow_watch *slow = (struct slow_watch *)watch;
    atomic_store(&slow->is_inside, true);
    atomic_fetch_add(&slow->called, 1);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    atomic_store(&slow->is_inside, false);
}
static void a_watch_taken_back_is_called_no_more(void **state)
{
    TEST_STORE(test, state);
    for (int round = 0; round < 5; round++) {
        struct slow_watch *slow = NEW(struct slow_watch), *other = NEW(struct slow_watch);
        slow->watch = other->watch = (struct store_watch){.wake = slow_wake, .again_ms = 1};
        store_watch_add(test.store, &slow->watch);
        store_watch_add(test.store, &other->watch);
        while (!atomic_load(&other->is_inside))
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        store_watch_remove(test.store, &slow->watch); /* the next one */
        store_watch_remove(test.store, &other->watch);
        assert_false(atomic_load(&slow->is_inside) || atomic_load(&other->is_inside));
        int called = atomic_load(&slow->called) + atomic_load(&other->called);
        test_write(test.store, mark, NULL);
        test_write(test.store, nothing, NULL);
        assert_int_equal(atomic_load(&slow->called) + atomic_load(&other->called), called);
        free(slow);
        free(other);
    }
    test_store_end(&test);
}

static void watchers_hear_of_commits_only(void **state)
{
    TEST_STORE(test, state);
    struct watched watched = {.watch = {.wake = watched_wake, .again_ms = 1000}};
    store_watch_add(test.store, &watched.watch);
    struct fault why = {0};
    assert_false(test_write_try(test.store, mark, &why, &why));
    test_write(test.store, nothing, NULL);
    assert_int_equal(watched.marks & ~STORE_MARK_POLL, 0);
    test_write(test.store, mark, NULL);
    test_write(test.store, nothing, NULL); /* the watchers were called before this one ran */
    assert_int_equal(watched.marks & ~STORE_MARK_POLL, STORE_MARK_HOLDS);
    unsigned polls = watched.polls;
    for (int i = 0; i < 100; i++) /* a poll is for when nothing happens: those whose jobs answer it would never rest */
        test_write(test.store, nothing, NULL);
    assert_true(watched.polls - polls < 50);
    polls = watched.polls;
    for (int ms = 0; watched.polls == polls; ms++) { /* commits that tell nobody anything put no poll off */
        assert_true(ms < 120000);
        test_write(test.store, nothing, NULL);
        usleep(1000);
    }
    store_watch_remove(test.store, &watched.watch);
    test_write(test.store, nothing, NULL);
    test_store_end(&test);
}

/* Not in the next second's poll: five commits beside the server are all heard of sooner than those would come. On a
 * machine that is busy with other things not the first five, perhaps; without it none ever. */
static void a_command_beside_the_server_is_heard_soon(void **state)
{
    TEST_STORE(test, state);
    enum { COMMITS = 5, ROUNDS = 30 };
    struct fault why = {0};
    struct watched watched = {.watch = {.wake = watched_wake}};
    struct store *beside = store_open(test.url, NULL, &why);
    assert_non_null(beside);
    store_watch_add(test.store, &watched.watch);
    unsigned first = watched.polls;
    while (watched.polls == first)
        usleep(1000);
    bool is_soon = false;
    for (int round = 0; round < ROUNDS && !is_soon; round++) {
        struct timespec begun, ended;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        for (int i = 0; i < COMMITS; i++) {
            unsigned polls = watched.polls;
            test_write(beside, mark, NULL);
            while (watched.polls == polls)
                usleep(1000);
        }
        clock_gettime(CLOCK_MONOTONIC, &ended);
        is_soon = ended.tv_sec - begun.tv_sec < COMMITS - 1;
    }
    assert_true(is_soon);
    store_watch_remove(test.store, &watched.watch);
    test_write(test.store, nothing, NULL);
    store_close(beside);
    test_store_end(&test);
}

/* ── the log ── */

static bool a_megabyte(struct db *db, struct fault *why, void *context)
{
    int64_t *number = context;
    char *bytes = memory_zero(1 << 20, 1);
    bool ok = db_do(db, why,
                    "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw) VALUES (1, $1, 0, "
                    "0, '', '', '', $2)",
                    VALUES(V_INT(++*number), V_BYTES(slice_of(bytes, 1 << 20))), NULL);
    free(bytes);
    return ok;
}
/* SQLite counts in its header how often the log has begun anew. */
static unsigned log_begun(const struct test_store *test)
{
    char path[128];
    unsigned char header[16] = {0};
    snprintf(path, sizeof(path), "%s/store.db-wal", test->dir);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(header, 1, sizeof(header), file), sizeof(header));
    fclose(file);
    return (unsigned)header[14] << 8 | header[15];
}
static void the_log_of_a_server_is_copied_while_commits_go_on(void **state)
{
    enum { LONG_MB = 34, MOST_MS = 240000 };
    struct store_options serve = {.role = STORE_SERVE, .node = 1};
    struct fault why = {0};
    TEST_STORE(test, state);
    test_store_close(&test);
    test.store = store_open(test.url, &serve, &why);
    test.reader = store_reader_open(test.store, &why);
    assert_non_null(test.reader);
    int64_t megabytes = 0;
    test_write(test.store, nothing, NULL);
    unsigned before = log_begun(&test);
    while (megabytes < LONG_MB)
        test_write(test.store, a_megabyte, &megabytes);
    for (int waited = 0; log_begun(&test) == before; waited += 5) {
        if (waited > MOST_MS)
            fail_msg("the log has not begun anew");
        usleep(5000);
        test_write(test.store, nothing, NULL);
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM inbound"), LONG_MB);
    test_store_close(&test);
    test_store_reopen(&test);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM inbound WHERE length(raw) = 1048576"), LONG_MB);
    assert_int_equal(
        test_number(test.reader, "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    test_store_end(&test);
}

/* In place of the C library's: a file system that has no locks. */
static bool has_no_locks;
int flock(int fd, int operation)
{
    if (!has_no_locks)
        return (int)syscall(SYS_flock, fd, operation);
    errno = ENOLCK;
    return -1;
}

static void without_locks_nobody_serves(void **state)
{
    char path[] = "/tmp/todoke-lock-XXXXXX", beside[64];
    struct fault why = {0};
    int lock = -1, file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    snprintf(beside, sizeof(beside), "%s.serve", path);
    has_no_locks = true;
    assert_false(store_serve_lock(path, &lock, &why));
    has_no_locks = false;
    assert_non_null(strstr(why.text, "No locks available"));
    assert_true(store_serve_lock(path, &lock, &why));
    close(lock);
    unlink(beside);
    unlink(path);
}

static void a_command_does_not_migrate_beneath_a_server(void **state)
{
    char path[] = "/tmp/todoke-older-XXXXXX", beside[64];
    struct fault why = {0};
    int lock = -1, file = mkstemp(path);
    int64_t version;
    assert_true(file >= 0);
    close(file);
    snprintf(beside, sizeof(beside), "%s.serve", path);
    struct db *db = sqlite_db_open(path, DB_WRITER, &why);
    assert_true(db_begin(db, &why) && schema_reach(db, &why, schema_file_count - 1) && db_commit(db, &why));
    assert_true(store_serve_lock(path, &lock, &why)); /* the older one's server */
    assert_null(store_open(path, NULL, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_non_null(strstr(why.text, "a server of an older todoke works on it"));
    assert_true(schema_version(db, &why, &version));
    assert_int_equal(version, schema_file_count - 1);
    close(lock);
    struct store *store = store_open(path, NULL, &why);
    assert_non_null(store);
    assert_true(schema_version(db, &why, &version));
    assert_int_equal(version, schema_file_count);
    store_close(store);
    db_free(db);
    unlink(beside);
    unlink(path);
}

/* A command on a store that another program writes to: it waits as long as it was told, and fails with one line; behind
 * the other one it goes on. */
static bool cursor_run(struct db *db, struct fault *why, void *context)
{
    return db_do(
        db, why,
        "INSERT INTO reader_cursor (reader, bucket, seq) VALUES ('held', 1, 1) ON CONFLICT (reader, bucket) DO "
        "UPDATE SET seq = reader_cursor.seq + 1",
        NO_VALUES, NULL);
}

static void a_command_waits_for_others_and_not_for_ever(void **state)
{
    TEST_STORE(test, state);
    struct fault why = {0};
    const struct store_options options = {.role = STORE_COMMAND, .patience_ms = 400};
    test_write(test.store, cursor_run, NULL);
    struct store *command = store_open(test.url, &options, &why);
    if (!command)
        fail_msg("%s", why.text);
    bool is_postgres = store_is_postgres(test.store);
    struct db *other =
        (is_postgres ? postgres_db_open : sqlite_db_open)(is_postgres ? test.url : test.url + 7, DB_WRITER, &why);
    assert_non_null(other);
    assert_true(db_begin(other, &why));
    assert_true(cursor_run(other, &why, NULL));
    assert_false(test_write_try(command, cursor_run, NULL, &why));
    assert_int_equal(why.kind, FAULT_WORLD);
    assert_non_null(strstr(why.text, "another program"));
    assert_non_null(strstr(why.text, "nothing was changed, try again"));
    assert_true(db_commit(other, &why));
    test_write(command, cursor_run, NULL);
    assert_int_equal(test_number(test.reader, "SELECT seq FROM reader_cursor WHERE reader = 'held'"), 3);
    db_free(other);
    store_close(command);
    test_store_end(&test);
}

/* SQLite would build a table in memory for it, for each row that is written, whether the row belongs there or not. */
static void no_partial_index_asks_with_a_long_IN(void **state)
{
    TEST_STORE(test, state);
    assert_int_equal(
        test_number(test.reader,
                    "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'index' AND sql LIKE '% WHERE %IN (%,%,%)%'"),
        0);
    test_store_end(&test);
}

#define ON_SQLITE(test)                                                                                                \
    {                                                                                                                  \
#test " (sqlite)", test, NULL, NULL, (void *)(uintptr_t) "sqlite"                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(values_come_back_as_they_went_in),
        ON_BOTH(bad_statements_and_values_are_input_faults),
        ON_BOTH(many_rows_of_one_statement),
        ON_BOTH(jobs_are_grouped_and_a_bad_one_fails_alone),
        ON_BOTH(closing_writes_what_is_queued),
        ON_BOTH(a_newer_schema_is_refused),
        ON_BOTH(ids_start_above_those_in_the_store),
        ON_BOTH(watchers_hear_of_commits_only),
        ON_BOTH(a_watch_taken_back_is_called_no_more),
        ON_SQLITE(a_command_beside_the_server_is_heard_soon),
        ON_SQLITE(one_server_for_one_sqlite_store),
        cmocka_unit_test(without_locks_nobody_serves),
        cmocka_unit_test(a_command_does_not_migrate_beneath_a_server),
        ON_BOTH(a_command_waits_for_others_and_not_for_ever),
        ON_SQLITE(no_partial_index_asks_with_a_long_IN),
        ON_SQLITE(the_log_of_a_server_is_copied_while_commits_go_on),
        cmocka_unit_test(schema_lines_for_one_store_only),
        cmocka_unit_test(bad_urls_are_refused),
        cmocka_unit_test(a_url_is_printed_without_its_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
