/* testing.h - a store of its own for each test, on both back ends (for *_test.c only)
 *
 * A test takes `void **state`; ON_BOTH(test) gives its two rows of the table. It begins with TEST_STORE(test, state),
 * which opens a fresh store, or skips when TODOKE_TEST_POSTGRES does not name a PostgreSQL cluster that may be thrown
 * away, and ends with test_store_end. */
#ifndef TODOKE_STORE_TESTING_H
#define TODOKE_STORE_TESTING_H

#include "base/test.h"
#include "store/store.h"
#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>

struct test_store {
    struct store *store;
    struct db *reader; /* opened for the test */
    char url[512];
    char dir[64];  /* SQLite: of the database */
    char name[64]; /* PostgreSQL: the database */
};

#define ON_BOTH(test)                                                                                                  \
    {#test " (sqlite)", test, NULL, NULL, (void *)(uintptr_t) "sqlite"},                                               \
    {                                                                                                                  \
#test " (postgres)", test, NULL, NULL, (void *)(uintptr_t) "postgres"                                          \
    }

static inline void test_postgres_do(const char *sql)
{
    PGconn *admin = PQconnectdb(getenv("TODOKE_TEST_POSTGRES"));
    PGresult *result = PQexec(admin, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(admin));
    PQclear(result);
    PQfinish(admin);
}

/* The URL of a fresh, empty database. False: skip. */
static inline bool test_store_url(struct test_store *test, void **state)
{
    static int number;
    memset(test, 0, sizeof(*test));
    if (strcmp(*state, "sqlite") == 0) {
        snprintf(test->dir, sizeof(test->dir), "/tmp/todoke-store-XXXXXX");
        assert_non_null(mkdtemp(test->dir));
        snprintf(test->url, sizeof(test->url), "sqlite:%s/store.db", test->dir);
        return true;
    }
    const char *cluster = getenv("TODOKE_TEST_POSTGRES");
    if (!cluster)
        return false;
    char sql[128];
    snprintf(test->name, sizeof(test->name), "todoke_%ld_%d", (long)getpid(), ++number);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", test->name);
    test_postgres_do(sql);
    /* postgres://user@host/DATABASE?options: put ours in the place of the cluster's */
    const char *authority = strstr(cluster, "://") + 3;
    size_t head = strcspn(authority, "/?");
    const char *query = strchr(authority, '?');
    snprintf(test->url, sizeof(test->url), "%.*s/%s%s", (int)(authority - cluster + (ptrdiff_t)head), cluster,
             test->name, query ? query : "");
    return true;
}

static inline void test_store_close(struct test_store *test)
{
    db_free(test->reader);
    store_close(test->store);
    test->reader = NULL;
    test->store = NULL;
}

static inline void test_store_reopen(struct test_store *test)
{
    struct fault why = {0};
    test->store = store_open(test->url, NULL, &why);
    if (!test->store)
        fail_msg("%s", why.text);
    test->reader = store_reader_open(test->store, &why);
    if (!test->reader)
        fail_msg("%s", why.text);
}

static inline void test_store_end(struct test_store *test)
{
    test_store_close(test);
    char text[256];
    if (test->name[0]) {
        snprintf(text, sizeof(text), "DROP DATABASE %s WITH (FORCE)", test->name);
        test_postgres_do(text);
        return;
    }
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm", "store.db.serve"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(text, sizeof(text), "%s/%s", test->dir, files[i]);
        unlink(text);
    }
    rmdir(test->dir);
}

#define TEST_STORE(test, state)                                                                                        \
    struct test_store test;                                                                                            \
    if (!test_store_url(&test, state))                                                                                 \
        skip();                                                                                                        \
    test_store_reopen(&test)

/* Run one write as a job; fails the test with the fault's text. */
typedef bool (*test_write_fn)(struct db *db, struct fault *why, void *context);
struct test_write_job {
    struct write_job job;
    test_write_fn run;
    void *context;
};
static inline bool test_write_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct test_write_job *write = (struct test_write_job *)job;
    return write->run(db, why, write->context);
}
static inline bool test_write_try(struct store *store, test_write_fn run, void *context, struct fault *why)
{
    struct test_write_job write = {{.run = test_write_run}, run, context};
    return store_write_wait(store, &write.job, why);
}
static inline void test_write(struct store *store, test_write_fn run, void *context)
{
    struct fault why = {0};
    if (!test_write_try(store, run, context, &why))
        fail_msg("%s", why.text);
}
/* One number from a query without values. */
static inline int64_t test_number(struct db *db, const char *sql)
{
    struct fault why = {0};
    int64_t number = 0;
    if (!db_query_ints(db, &why, sql, NO_VALUES, &number, 1, NULL))
        fail_msg("%s", why.text);
    return number;
}

#endif
