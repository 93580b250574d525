/* F3: a log of the store that grows without end is said to people, before the disk is full */
#include "app/log_watch.h"

#include "alarm/alarm.h"
#include "store/testing.h"
#include <fcntl.h>
#include <time.h>

static const char *const OPEN = "SELECT COUNT(*) FROM alarm WHERE kind = 'store_log' AND ended_ms = 0";

static void wait_for(struct test_store *test, const char *row, const char *sql, int64_t want)
{
    const struct timespec pause = {0, 5000000};
    for (int i = 0; i < 24000 && test_number(test->reader, sql) != want; i++)
        nanosleep(&pause, NULL);
    assert_int_row(row, test_number(test->reader, sql), want);
}

static void size_set(const char *path, off_t size)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, size), 0); /* a hole: no disk is needed */
    close(file);
}

static void a_log_that_grows_is_told(void **state)
{
    static const struct {
        const char *row;
        off_t size;
        int64_t open, n;
    } rows[] = {
        {"it is as usual", 60 << 20, 0, 0},
        {"above the limit", (off_t)1100 << 20, 1, 1100},
        {"a little more is no news", (off_t)1500 << 20, 1, 1100},
        {"twice as large is", (off_t)3000 << 20, 1, 3000},
        {"below the limit, and still long", (off_t)900 << 20, 1, 3000},
        {"it has begun anew", 60 << 20, 0, 0},
    };
    TEST_STORE(test, state);
    char path[128];
    snprintf(path, sizeof(path), "/tmp/todoke-log-%ld", (long)getpid());
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    const struct log_watch_options options = {
        .store = test.store, .world = &world, .path = slice_str(path), .every = 1};
    struct log_watch *watch = NULL;
    SCOPED(arena) arena = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_set(path, rows[i].size);
        if (!watch)
            watch = log_watch_start(&options);
        wait_for(&test, rows[i].row, OPEN, rows[i].open);
        if (!rows[i].open)
            continue;
        char sql[200];
        snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM alarm WHERE kind = 'store_log' AND ended_ms = 0 AND n = %lld",
                 (long long)rows[i].n);
        wait_for(&test, rows[i].row, sql, 1);
    }
    log_watch_stop(watch);
    size_set(path, (off_t)2 << 30); /* an alarm of a life before is ended by the next that finds it short */
    watch = log_watch_start(&options);
    wait_for(&test, "a new life", OPEN, 1);
    log_watch_stop(watch);
    size_set(path, 1);
    watch = log_watch_start(&options);
    wait_for(&test, "the life after", OPEN, 0);
    log_watch_stop(watch);
    struct alarm_row *list;
    size_t count;
    struct fault why;
    assert_true(alarm_list(test.reader, &why, false, world_wall(&world), 10, &arena, &list, &count));
    assert_int_equal(count, 2);
    assert_true(slice_find(alarm_words_en(&list[1], &arena).title, SLICE("3000 MB")) >= 0);
    assert_true(slice_find(alarm_words_ja(&list[1], &arena).title, SLICE("3000 MB")) >= 0);
    unlink(path);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"a_log_that_grows_is_told (sqlite)", a_log_that_grows_is_told, NULL, NULL, (void *)(uintptr_t) "sqlite"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
