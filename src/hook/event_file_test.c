/* R35-like for the file of events: each line once, whatever stopped us and wherever; rotation, others that move the
 * file, a full disk */
#include "base/log.h"
#include "event/event.h"
#include "hook/event_file.h"
#include "hook/rotating.h"
#include "store/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ── a power cut: what is made or renamed is there when its folder was synced ── */

/* In place of the C library's: which syncs are of a folder? */
static _Atomic unsigned folders_synced;
int fsync(int fd)
{
    struct stat stat;
    folders_synced += fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode);
    return (int)syscall(SYS_fsync, fd);
}

/* ── a disk that is full after so many octets ── */

static _Atomic int64_t disk_left;
static _Atomic unsigned refused;
static ssize_t write_small(int fd, const void *bytes, size_t len)
{
    int64_t left = disk_left;
    if (left <= 0) {
        refused++;
        errno = ENOSPC;
        return -1;
    }
    ssize_t wrote = write(fd, bytes, (int64_t)len < left ? len : (size_t)left);
    disk_left -= wrote > 0 ? wrote : 0;
    return wrote;
}

/* ── a store with events, and a file ── */

struct place_of_test {
    struct test_store store;
    char dir[64], path[128];
    struct event_file_options options;
    unsigned made;
};

static bool put_run(struct db *db, struct fault *why, void *context)
{
    struct place_of_test *place = context;
    struct event events[7];
    for (unsigned i = 0; i < COUNT_OF(events); i++)
        events[i] = (struct event){.bucket = (place->made + i) * 37 % 256,
                                   .at = 1795321800000 + place->made + i,
                                   .kind = EVENT_CLICKED,
                                   .address = SLICE("山田@example.jp"),
                                   .note = SLICE("a line\nbreak, \"quoted\""),
                                   .state_before = DELIVERY_STATE_COUNT,
                                   .state_after = DELIVERY_STATE_COUNT};
    place->made += COUNT_OF(events);
    return event_append(db, why, events, COUNT_OF(events));
}

static bool place_begin(struct place_of_test *place, void **state)
{
    *place = (struct place_of_test){0};
    if (!test_store_url(&place->store, state))
        return false;
    test_store_reopen(&place->store);
    snprintf(place->dir, sizeof(place->dir), "/tmp/todoke-file-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->path, sizeof(place->path), "%s/events.jsonl", place->dir);
    place->options = (struct event_file_options){
        .store = place->store.store, .path = place->path, .keep = 50, .batch = 4, .wait_ms = 2};
    return true;
}

static void place_end(struct place_of_test *place)
{
    char name[200];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), i ? "%s.%d" : "%s", place->path, i);
        unlink(name);
    }
    snprintf(name, sizeof(name), "%s.moved", place->path);
    unlink(name);
    rmdir(place->dir);
    test_store_end(&place->store);
}

static struct event_file *start(const struct place_of_test *place)
{
    struct fault why = {0};
    struct event_file *file = event_file_start(&place->options, &why);
    if (!file)
        fail_msg("%s", why.text);
    return file;
}

/* Lines of one file that are whole; each id counted. */
static unsigned lines_of(const char *path, json_t *ids)
{
    char line[4096];
    unsigned count = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (!strchr(line, '\n'))
            break;
        json_t *event = json_loads(line, 0, NULL);
        assert_non_null(event);
        const char *id = json_string_value(json_object_get(event, "id"));
        json_object_set_new(ids, id, json_integer(json_integer_value(json_object_get(ids, id)) + 1));
        json_decref(event);
        count++;
    }
    if (file)
        fclose(file);
    return count;
}

static unsigned lines_of_all(const struct place_of_test *place, json_t *ids, unsigned *files)
{
    char name[200];
    unsigned count = 0;
    *files = 0;
    for (int i = 60; i >= 0; i--) {
        snprintf(name, sizeof(name), i ? "%s.%d" : "%s", place->path, i);
        *files += access(name, F_OK) == 0;
        count += lines_of(name, ids);
    }
    snprintf(name, sizeof(name), "%s.moved", place->path);
    return count + lines_of(name, ids);
}

static void wait_until_there(struct place_of_test *place, unsigned want)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    unsigned files, count = 0;
    for (int i = 0; i < 60000 && count != want; i++) {
        json_t *ids = json_object();
        count = lines_of_all(place, ids, &files);
        assert_int_equal(json_object_size(ids), count); /* nobody twice, at any moment */
        json_decref(ids);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(count, want);
}

static void put(struct place_of_test *place)
{
    test_write(place->store.store, put_run, place);
}

/* ── tests ── */

static void what_happens_from_now_on_is_in_the_file(void **state)
{
    struct place_of_test place;
    if (!place_begin(&place, state))
        skip();
    put(&place); /* before anybody wanted a file */
    struct event_file *file = start(&place);
    put(&place);
    wait_until_there(&place, 7);
    event_file_stop(file);
    put(&place); /* while nobody wrote it */
    file = start(&place);
    wait_until_there(&place, 14);
    put(&place);
    wait_until_there(&place, 21);
    event_file_stop(file);
    struct stat stat_of;
    assert_int_equal(stat(place.path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 07777 & ~0640, 0);
    place_end(&place);
}

/* The disk takes so many octets and then nothing; we end; another one goes on where that was. For every n. */
static void a_stop_at_any_octet_repeats_and_loses_nothing(void **state)
{
    for (int64_t octets = 0; octets < 2000; octets += 101) {
        struct place_of_test place;
        if (!place_begin(&place, state))
            skip();
        event_file_stop(start(&place)); /* from here on */
        put(&place);
        disk_left = octets;
        refused = 0;
        place.options.write = write_small;
        struct event_file *file = start(&place);
        const struct timespec pause = {.tv_nsec = 500000};
        for (int i = 0; i < 200000 && !refused; i++)
            nanosleep(&pause, NULL);
        assert_true(refused);
        event_file_stop(file);
        place.options.write = NULL;
        place.options.size_most = octets % 2 ? 0 : 900;
        file = start(&place);
        put(&place);
        wait_until_there(&place, 14);
        event_file_stop(file);
        place_end(&place);
        if (strcmp(*state, "postgres") == 0)
            octets += 600; /* a database each */
    }
}

static void a_full_disk_waits_and_goes_on(void **state)
{
    struct place_of_test place;
    if (!place_begin(&place, state))
        skip();
    disk_left = 100;
    refused = 0;
    place.options.write = write_small;
    struct event_file *file = start(&place);
    put(&place);
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 200000 && refused < 2; i++)
        nanosleep(&pause, NULL);
    assert_true(refused >= 2);
    put(&place);
    disk_left = 1 << 30;
    wait_until_there(&place, 14);
    event_file_stop(file);
    place_end(&place);
}

static void it_makes_room_and_the_oldest_go(void **state)
{
    struct place_of_test place;
    if (!place_begin(&place, state))
        skip();
    place.options.size_most = 1500;
    struct event_file *file = start(&place);
    for (int i = 0; i < 10; i++)
        put(&place);
    wait_until_there(&place, 70);
    json_t *ids = json_object();
    unsigned files;
    lines_of_all(&place, ids, &files);
    assert_true(files > 5 && files < 50);
    json_decref(ids);
    event_file_stop(file);
    char first[200], third[200];
    struct stat before, after, oldest, still;
    snprintf(first, sizeof(first), "%s.1", place.path);
    snprintf(third, sizeof(third), "%s.3", place.path);
    int held = open(first, O_RDONLY | O_CLOEXEC); /* held, so that no later file gets its inode number */
    assert_true(held >= 0);
    assert_int_equal(fstat(held, &before), 0);
    assert_int_equal(stat(third, &oldest), 0);
    place.options.keep = 2;
    file = start(&place);
    for (int i = 0; i < 10; i++)
        put(&place);
    const struct timespec pause = {.tv_nsec = 20000000};
    for (int i = 0; i < 60000 && (stat(first, &after) != 0 || after.st_ino == before.st_ino); i++)
        nanosleep(&pause, NULL);
    event_file_stop(file);
    close(held);
    assert_int_not_equal(after.st_ino, before.st_ino);
    assert_int_equal(stat(third, &still), 0); /* nobody asked to have it deleted */
    assert_int_equal(still.st_ino, oldest.st_ino);
    place_end(&place);
}

/* logrotate: moved, then told. What comes between the two is in the moved one. */
static void others_may_move_it(void **state)
{
    struct place_of_test place;
    char moved[200];
    if (!place_begin(&place, state))
        skip();
    snprintf(moved, sizeof(moved), "%s.moved", place.path);
    struct event_file *file = start(&place);
    put(&place);
    wait_until_there(&place, 7);
    assert_int_equal(rename(place.path, moved), 0);
    put(&place);
    wait_until_there(&place, 14);
    assert_int_not_equal(access(place.path, F_OK), 0);
    event_file_reopen(file);
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 60000 && access(place.path, F_OK) != 0; i++)
        nanosleep(&pause, NULL);
    put(&place);
    wait_until_there(&place, 21);
    json_t *ids = json_object();
    assert_int_equal(lines_of(place.path, ids), 7);
    json_decref(ids);
    event_file_stop(file);
    place_end(&place);
}

/* Stopped in the middle of a batch, and moved before the next start: it is completed where it is. */
static void a_batch_is_completed_where_it_was_moved(void **state)
{
    struct place_of_test place;
    char moved[200];
    if (!place_begin(&place, state))
        skip();
    snprintf(moved, sizeof(moved), "%s.moved", place.path);
    event_file_stop(start(&place));
    put(&place);
    disk_left = 700;
    refused = 0;
    place.options.write = write_small;
    struct event_file *file = start(&place);
    const struct timespec pause = {.tv_nsec = 500000};
    for (int i = 0; i < 200000 && !refused; i++)
        nanosleep(&pause, NULL);
    event_file_stop(file);
    assert_int_equal(rename(place.path, moved), 0);
    place.options.write = NULL;
    file = start(&place);
    wait_until_there(&place, 7);
    json_t *ids = json_object();
    assert_true(lines_of(moved, ids) > 0);
    json_decref(ids);
    event_file_stop(file);
    place_end(&place);
}

static void a_new_name_survives_a_power_cut(void **state)
{
    char dir[] = "/tmp/todoke-test-XXXXXX", path[64], old[80];
    struct fault why;
    size_t done = 0;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/events", dir);
    snprintf(old, sizeof(old), "%s.1", path);
    struct rotating file = {.path = path, .size_most = 10, .keep = 3, .fd = -1};
    folders_synced = 0;
    assert_true(rotating_open(&file, &why));
    assert_int_equal(folders_synced, 1);
    assert_true(rotating_append(&file, SLICE("twelve octets\n"), &done, &why));
    assert_true(rotating_turn(&file, &why));
    assert_int_equal(folders_synced, 2);
    assert_int_equal(access(old, F_OK), 0);
    rotating_close(&file);
    unlink(old);
    unlink(path);
    rmdir(dir);
}

static void a_path_that_cannot_be_is_told(void **state)
{
    struct place_of_test place;
    struct fault why = {0};
    if (!place_begin(&place, state))
        skip();
    place.options.path = "/nowhere/at/all/events.jsonl";
    assert_null(event_file_start(&place.options, &why));
    assert_non_null(strstr(why.text, "/nowhere/at/all/events.jsonl"));
    place_end(&place);
}

/* What stands there already, by every kind of tail. */
static void a_tail_is_passed_over_completed_or_cut(void **state)
{
    static const struct {
        const char *row, *there, *want;
        size_t done;
    } table[] = {
        {"nothing", "", "", 0},
        {"a line", "one\n", "one\n", 4},
        {"both", "one\ntwo\n", "one\ntwo\n", 8},
        {"torn", "on", "on", 2},
        {"torn before its end", "one", "one", 3},
        {"the second torn", "one\nt", "one\nt", 5},
        {"torn, of an older program", "oNE", "", 0},
        {"a line of an older program, and torn", "ONE\ntX", "ONE\n", 4},
        {"more than ours", "one\ntwo\nthree\n", "one\ntwo\nthree\n", 8},
    };
    char path[] = "/tmp/todoke-tail-XXXXXX";
    close(mkstemp(path));
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct rotating file = {.path = path, .fd = -1};
        struct fault why = {0};
        char text[100] = "";
        size_t done;
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        fprintf(out, "before\n%s", table[i].there);
        fclose(out);
        assert_true(rotating_open(&file, &why));
        assert_true(rotating_find(&file, file.inode));
        assert_row(table[i].row, rotating_resume(&file, 7, SLICE("one\ntwo\n"), &done, &why));
        assert_int_row(table[i].row, done, table[i].done);
        ssize_t got = pread(file.fd, text, sizeof(text) - 1, 7);
        assert_slice(table[i].row, slice_of(text, got > 0 ? (size_t)got : 0), slice_str(table[i].want));
        rotating_close(&file);
    }
    unlink(path);
}

int main(void)
{
    log_setup(LOG_ERROR + 1, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_is_passed_over_completed_or_cut),
        cmocka_unit_test(a_new_name_survives_a_power_cut),
        ON_BOTH(what_happens_from_now_on_is_in_the_file),
        ON_BOTH(a_stop_at_any_octet_repeats_and_loses_nothing),
        ON_BOTH(a_full_disk_waits_and_goes_on),
        ON_BOTH(it_makes_room_and_the_oldest_go),
        ON_BOTH(others_may_move_it),
        ON_BOTH(a_batch_is_completed_where_it_was_moved),
        ON_BOTH(a_path_that_cannot_be_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
