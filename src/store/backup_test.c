/* A backup holds what the store held, whatever it is, from either store to either (X15); any octet of the file that is
 * changed, and any end that is missing, is refused, and then nothing is restored; an older store's backup is migrated.
 */
#include "store/backend.h"
#include "store/backup.h"
#include "store/migration.h"
#include "store/schema.h"
#include "store/testing.h"

#include <fcntl.h>

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if (!(call))                                                                                                   \
            fail_msg("%s", why.text);                                                                                  \
    } while (0)

enum { OLDER_THAN_OURS = 25 };

static const struct seal_key key = {.id = 0x1a2b3c4d, .key = "0123456789abcdef0123456789abcde"};

static int scratch(void)
{
    char path[] = "/tmp/todoke-backup-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    return file;
}

enum { LARGE = 700000 };
static bool fill(struct db *db, struct fault *why, void *context)
{
    static char large[LARGE];
    (void)context;
    uint32_t seed = 1;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
    static const char insert[] =
        "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw) VALUES ($1, $2, $3, "
        "0, $4, '', '', $5)";
    const struct value rows[] = {
        V_INT(7), V_INT(1),         V_INT(-5),        V_STR("日本語"),   V_BYTES(SLICE("a\0b")),
        V_INT(0), V_INT(INT64_MAX), V_INT(INT64_MIN), V_TEXT(SLICE("")), V_BYTES(SLICE("")),
        V_INT(9), V_INT(3),         V_INT(0),         V_STR("\"'\\\n"),  V_BYTES(slice_of(large, LARGE)),
    };
    return db_do_many(db, why, insert, rows, 5, 3, NULL) &&
           db_do(db, why,
                 "INSERT INTO event (bucket, seq, id, at_ms, kind, address) VALUES (1, 1, 257, 5, 4, NULL), (1, 2, "
                 "513, 1763900000000, 4, "
                 "'x@y')",
                 NO_VALUES, NULL) &&
           db_do(db, why, "INSERT INTO node (node, life, until_ms) VALUES (1, 5, 0)", NO_VALUES, NULL);
}

static void assert_filled(struct db *db)
{
    struct fault why = {0};
    SCOPED(rows) rows = {0};
    if (!db_query(db, &why, &rows, "SELECT id, at_ms, mail_from, raw FROM inbound ORDER BY bucket", NO_VALUES))
        fail_msg("%s", why.text);
    assert_true(rows_next(&rows));
    assert_true(rows_int(&rows, 0) == INT64_MAX && rows_int(&rows, 1) == INT64_MIN);
    assert_true(!rows_is_null(&rows, 2) && !rows_text(&rows, 2).len && !rows_is_null(&rows, 3));
    assert_true(rows_next(&rows));
    assert_slice("text", rows_text(&rows, 2), SLICE("日本語"));
    assert_slice("bytes", rows_bytes(&rows, 3), SLICE("a\0b"));
    assert_true(rows_next(&rows));
    assert_slice("signs", rows_text(&rows, 2), SLICE("\"'\\\n"));
    assert_int_equal(rows_bytes(&rows, 3).len, LARGE);
    assert_false(rows_next(&rows));
    assert_true(rows_end(&rows));
    assert_int_equal(test_number(db, "SELECT COUNT(*) FROM event WHERE address IS NULL AND id = 257"), 1);
    assert_int_equal(test_number(db, "SELECT COUNT(*) FROM node"), 0); /* of processes that lived then */
}

static int written(struct test_store *test, const struct seal_key *by, struct backup_facts *facts)
{
    struct fault why = {0};
    int file = scratch();
    if (!backup_write(test->reader, file, by, NULL, NULL, NULL, facts, &why))
        fail_msg("%s", why.text);
    return file;
}

static bool restore_into(const char *url, int file, bool may_replace, struct restore *how, struct fault *why)
{
    struct backup_facts facts;
    *how = (struct restore){.store = url, .may_replace = may_replace};
    return backup_restore(file, &key, how, &facts, why);
}

static void all_comes_back_in_either_store(void **state)
{
    TEST_STORE(test, state);
    test_write(test.store, fill, NULL);
    static const char *const others[] = {"sqlite", "postgres"};
    for (int sealed = 0; sealed < 2; sealed++) {
        struct backup_facts facts, again;
        struct fault why = {0};
        int file = written(&test, sealed ? &key : NULL, &facts);
        if (!backup_read(file, sealed ? &key : NULL, NULL, &again, &why))
            fail_msg("%s", why.text);
        assert_true(again.rows == facts.rows && again.head.is_sealed == sealed && again.octets == facts.octets);
        for (size_t i = 0; i < COUNT_OF(others); i++) {
            void *which = (void *)(uintptr_t)others[i];
            struct test_store other;
            struct restore how;
            if (!test_store_url(&other, &which))
                continue;
            if (!restore_into(other.url, file, false, &how, &why))
                fail_msg("%s", why.text);
            test_store_reopen(&other);
            assert_filled(other.reader);
            test_store_close(&other);
            assert_false(restore_into(other.url, file, false, &how, &why)); /* it holds something now */
            assert_non_null(strstr(why.text, "--force"));
            if (!restore_into(other.url, file, true, &how, &why))
                fail_msg("%s", why.text);
            assert_true((how.kept[0] != 0) == (i == 0));
            unlink(how.kept);
            test_store_reopen(&other);
            assert_filled(other.reader);
            test_store_end(&other);
        }
        close(file);
    }
    test_store_end(&test);
}

/* Each octet would take long: every 997th, and all of the head and the end. */
static void what_was_changed_or_cut_is_refused(void **state)
{
    TEST_STORE(test, state);
    test_write(test.store, fill, NULL);
    for (int sealed = 0; sealed < 2; sealed++) {
        struct backup_facts facts, ignored;
        int file = written(&test, sealed ? &key : NULL, &facts);
        off_t size = (off_t)facts.octets;
        for (off_t at = 0; at < size; at += at < 84 || at > size - 40 ? 1 : 9973) {
            struct fault why = {0};
            char octet, other;
            assert_int_equal(pread(file, &octet, 1, at), 1);
            other = (char)(octet ^ 0x55);
            assert_int_equal(pwrite(file, &other, 1, at), 1);
            if (backup_read(file, &key, NULL, &ignored, &why))
                fail_msg("octet %lld of %lld was changed, and nobody saw it", (long long)at, (long long)size);
            assert_int_equal(why.kind, FAULT_INPUT);
            assert_int_equal(pwrite(file, &octet, 1, at), 1);
        }
        for (off_t cut = size - 1; cut >= 0; cut -= cut > size - 40 || cut < 84 ? 1 : 9973) {
            struct fault why = {0};
            assert_int_equal(ftruncate(file, cut), 0);
            assert_false(backup_read(file, &key, NULL, &ignored, &why));
            assert_int_equal(why.kind, FAULT_INPUT);
        }
        close(file);
    }
    test_store_end(&test);
}

static bool refuse(void *context, struct db *db, struct fault *why)
{
    (void)db;
    return fault_set(why, FAULT_INPUT, "%s", (const char *)context);
}

static void a_restore_that_fails_at_the_end_changes_nothing(void **state)
{
    TEST_STORE(test, state);
    test_write(test.store, fill, NULL);
    struct backup_facts facts;
    struct fault why = {0};
    int file = written(&test, &key, &facts);
    char no[] = "no";
    struct restore how = {.store = test.url, .may_replace = true, .check = refuse, .context = no};
    test_store_close(&test);
    assert_false(backup_restore(file, &key, &how, &facts, &why));
    assert_string_equal(why.text, "no");
    test_store_reopen(&test);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM inbound"), 3);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM node"), 1);
    close(file);
    test_store_end(&test);
}

/* SQLite: somebody who only looks would read the new file's pages by the old one's log. */
static void a_file_that_somebody_has_open_is_not_replaced(void **state)
{
    TEST_STORE(test, state);
    test_write(test.store, fill, NULL);
    struct backup_facts facts;
    struct restore how;
    struct fault why = {0};
    int file = written(&test, &key, &facts);
    assert_false(restore_into(test.url, file, true, &how, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    assert_non_null(strstr(why.text, "has it open"));
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM inbound"), 3);
    close(file);
    test_store_end(&test);
}

enum { OLDER = 20 };
static void an_older_backup_is_migrated(void **state)
{
    (void)state;
    char path[] = "/tmp/todoke-older-XXXXXX";
    struct fault why = {0};
    struct backup_facts facts;
    struct restore how;
    int made = mkstemp(path), file = scratch();
    close(made);
    struct db *db = sqlite_db_open(path, DB_WRITER, &why);
    assert_true(db_begin(db, &why) && schema_reach(db, &why, OLDER) && db_commit(db, &why));
    assert_true(db_do(db, &why,
                      "INSERT INTO lane (id, priority, brand_id, campaign_id, domain) VALUES (7, 0, 1, 0, 'a.example')",
                      NO_VALUES, NULL));
    assert_true(backup_write(db, file, &key, NULL, NULL, NULL, &facts, &why));
    db_free(db);
    assert_int_equal(facts.head.schema, OLDER);
    if (!restore_into(path, file, true, &how, &why))
        fail_msg("%s", why.text);
    db = sqlite_db_open(path, DB_WRITER, &why);
    assert_int_equal(test_number(db, "SELECT MAX(version) FROM schema_version"), schema_file_count);
    assert_int_equal(test_number(db, "SELECT COUNT(*) FROM lane WHERE id = 7 AND waives_tls = 0"), 1);
    db_free(db);
    unlink(path);
    unlink(how.kept);
    char beside[64];
    snprintf(beside, sizeof(beside), "%s.serve", path);
    unlink(beside);
    close(file);
}

/* migration.h: says what it would do, refuses beside a server, does it, and has nothing to do then. */
static void a_store_is_migrated_when_nobody_serves_it(void **state)
{
    struct test_store test;
    struct fault why = {0};
    struct migration migration;
    if (!test_store_url(&test, state))
        skip();
    bool is_postgres = test.name[0];
    struct db *db =
        (is_postgres ? postgres_db_open : sqlite_db_open)(is_postgres ? test.url : test.url + 7, DB_WRITER, &why);
    OK(db_begin(db, &why) && schema_reach(db, &why, OLDER_THAN_OURS) && db_commit(db, &why));
    OK(db_do(db, &why, "INSERT INTO node (node, life, until_ms) VALUES (1, 1, 9000000000000)", NO_VALUES, NULL));
    OK(migration_look(test.url, &migration, &why));
    assert_true(migration.from == OLDER_THAN_OURS && migration.to == schema_file_count);
    int lock = -1;
    if (!is_postgres)
        OK(store_serve_lock(test.url + 7, &lock, &why));
    assert_false(migration_run(test.url, &migration, &why));
    assert_int_equal(why.kind, FAULT_INPUT);
    OK(migration_look(test.url, &migration, &why));
    assert_int_equal(migration.from, OLDER_THAN_OURS);
    if (lock >= 0)
        close(lock);
    OK(db_do(db, &why, "UPDATE node SET until_ms = 0", NO_VALUES, NULL));
    db_free(db);
    OK(migration_run(test.url, &migration, &why));
    assert_int_equal(migration.from, OLDER_THAN_OURS);
    OK(migration_run(test.url, &migration, &why));
    assert_int_equal(migration.from, schema_file_count);
    test_store_reopen(&test);
    test_store_end(&test);
    assert_false(is_postgres ? false : migration_look(test.url, &migration, &why)); /* it is gone, and not made */
}

int main(void)
{
    static struct CMUnitTest tests[] = {
        ON_BOTH(all_comes_back_in_either_store),
        {"what was changed or cut is refused", what_was_changed_or_cut_is_refused, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        ON_BOTH(a_restore_that_fails_at_the_end_changes_nothing),
        {"a file that somebody has open is not replaced", a_file_that_somebody_has_open_is_not_replaced, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        cmocka_unit_test(an_older_backup_is_migrated),
        ON_BOTH(a_store_is_migrated_when_nobody_serves_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
