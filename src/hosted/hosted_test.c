/* S27 on both stores: bytes are kept once and whole or not at all, files end, what ended is swept but still told of */
#include "hosted/take.h"
#include "store/testing.h"

#include <fcntl.h>

#define NOW ((time_ms)1795321800000)

struct adding {
    struct hosted_file file;
    struct slice bytes;
    bool must_fail;
};

static bool add_run(struct db *db, struct fault *why, void *context)
{
    struct adding *adding = context;
    adding->file.id = id_make_anywhere(db_ids(db), NOW);
    return hosted_body_put(db, why, adding->bytes, NOW, &adding->file.body) && hosted_add(db, why, &adding->file) &&
           (!adding->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it"));
}

static struct adding adding_of(const char *name, struct slice bytes)
{
    return (struct adding){.file = {.brand_id = 7,
                                    .name = slice_str(name),
                                    .type = SLICE("application/pdf"),
                                    .created = NOW,
                                    .expires = NOW + DAYS_MS(30)},
                           .bytes = bytes};
}

static struct slice bytes_of(size_t len, struct arena *arena)
{
    unsigned char *bytes = arena_zero(arena, len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    return slice_of(bytes, len);
}

static void assert_body(struct test_store *test, const struct hosted_body *body, struct slice want)
{
    struct fault why = {0};
    SCOPED(buf) out = BUF(want.len + HOSTED_PIECE);
    for (unsigned place = 0; out.len < body->size_bytes; place++)
        if (!hosted_piece_read(test->reader, &why, body->id, place, &out))
            fail_msg("%s", why.text);
    assert_true(slice_equal(buf_slice(&out), want));
    assert_false(hosted_piece_read(test->reader, &why, body->id, (unsigned)(want.len / HOSTED_PIECE + 1), &out));
    assert_int_equal(why.kind, FAULT_INPUT);
}

static void the_same_bytes_are_kept_once(void **state)
{
    TEST_STORE(test, state);
    SCOPED(arena) arena = {0};
    static const size_t lens[] = {0, 1, HOSTED_PIECE - 1, HOSTED_PIECE, HOSTED_PIECE + 1, 3 * HOSTED_PIECE + 77};
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        struct adding one = adding_of("one.pdf", bytes_of(lens[i], &arena)), other = adding_of("b.pdf", one.bytes);
        test_write(test.store, add_run, &one);
        test_write(test.store, add_run, &other);
        assert_int_equal(one.file.body.id, other.file.body.id);
        assert_body(&test, &one.file.body, one.bytes);
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hosted_body WHERE uses = 2 AND state = 1"),
                     COUNT_OF(lens));
    struct adding never = adding_of("never.pdf", SLICE("never"));
    struct fault why = {0};
    never.must_fail = true;
    assert_false(test_write_try(test.store, add_run, &never, &why));
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hosted_body"), COUNT_OF(lens));
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hosted_file"), 2 * COUNT_OF(lens));
    test_store_end(&test);
}

static bool change_run(struct db *db, struct fault *why, void *context)
{
    struct hosted_file *file = context;
    bool was_there;
    if (!hosted_extend(db, why, file->id, file->expires, NOW, &was_there) || !hosted_downloaded(db, why, file->id))
        return false;
    file->state = was_there ? HOSTED_THERE : HOSTED_EXPIRED;
    return true;
}

static void a_file_is_extended_and_counted(void **state)
{
    TEST_STORE(test, state);
    SCOPED(arena) arena = {0};
    struct fault why = {0};
    struct adding one = adding_of("one.pdf", SLICE("x"));
    struct hosted_file file;
    bool found;
    test_write(test.store, add_run, &one);
    one.file.expires = NOW + DAYS_MS(90);
    test_write(test.store, change_run, &one.file);
    test_write(test.store, change_run, &one.file);
    assert_int_equal(one.file.state, HOSTED_THERE);
    assert_true(hosted_find(test.reader, &why, one.file.id, NOW + DAYS_MS(89), &arena, &file, &found) && found);
    assert_true(file.state == HOSTED_THERE && file.downloads == 2 && file.expires == NOW + DAYS_MS(90));
    one.file.expires = NOW; /* sooner; and then it is too late */
    test_write(test.store, change_run, &one.file);
    one.file.expires = NOW + DAYS_MS(1);
    test_write(test.store, change_run, &one.file);
    assert_int_equal(one.file.state, HOSTED_EXPIRED);
    test_store_end(&test);
}

static int file_with(struct slice bytes)
{
    char path[] = "/tmp/todoke-hosted-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    assert_int_equal(write(file, bytes.ptr, bytes.len), bytes.len);
    return file;
}

static void a_file_of_the_disk_is_taken(void **state)
{
    TEST_STORE(test, state);
    SCOPED(arena) arena = {0};
    struct world world;
    struct fault why = {0};
    world_init(&world, NETWORK_LOOPBACK);
    static const size_t lens[] = {1, 8 * HOSTED_PIECE, 19 * HOSTED_PIECE + 5};
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        struct slice bytes = bytes_of(lens[i], &arena);
        int file = file_with(bytes);
        struct hosted_body body, again;
        struct adding adding = adding_of("a.pdf", bytes);
        if (!hosted_take(test.store, &world, file, bytes.len, NULL, &body, &why))
            fail_msg("%s", why.text);
        assert_body(&test, &body, bytes);
        test_write(test.store, add_run, &adding); /* arriving bytes are nobody's to share */
        assert_int_not_equal(adding.file.body.id, body.id);
        assert_memory_equal(adding.file.body.sha256, body.sha256, HOSTED_SHA256);
        assert_true(hosted_take(test.store, &world, file, bytes.len, NULL, &again, &why));
        assert_int_equal(again.id, adding.file.body.id);
        assert_false(hosted_take(test.store, &world, file, bytes.len + 1, NULL, &again, &why));
        assert_int_equal(why.kind, FAULT_INPUT);
        close(file);
    }
    _Atomic bool is_stopping = true;
    const struct hosted_watch watch = {.is_stopping = &is_stopping};
    struct hosted_body body;
    int file = file_with(SLICE("x"));
    assert_false(hosted_take(test.store, &world, file, 1, &watch, &body, &why));
    assert_int_equal(why.kind, FAULT_WORLD);
    close(file);
    test_store_end(&test);
}

struct sweeping {
    time_ms now;
    struct hosted_swept swept;
    uint64_t id;
    bool was_there;
};
static bool sweep_run(struct db *db, struct fault *why, void *context)
{
    struct sweeping *sweeping = context;
    return hosted_sweep(db, why, sweeping->now, &sweeping->swept);
}
static bool remove_run(struct db *db, struct fault *why, void *context)
{
    struct sweeping *sweeping = context;
    return hosted_remove(db, why, sweeping->id, sweeping->now, &sweeping->was_there);
}
static struct hosted_swept sweep(struct test_store *test, time_ms now)
{
    struct hosted_swept all = {0};
    struct sweeping sweeping = {.now = now, .swept = {.has_more = true}};
    for (int rounds = 0; sweeping.swept.has_more; rounds++) {
        assert_true(rounds < 100);
        test_write(test->store, sweep_run, &sweeping);
        all.expired += sweeping.swept.expired;
        all.bodies += sweeping.swept.bodies;
        all.bytes += sweeping.swept.bytes;
    }
    return all;
}

static enum hosted_state state_at(struct test_store *test, uint64_t id, time_ms now, bool *found)
{
    SCOPED(arena) arena = {0};
    struct hosted_file file = {0};
    struct fault why = {0};
    if (!hosted_find(test->reader, &why, id, now, &arena, &file, found))
        fail_msg("%s", why.text);
    return file.state;
}

static void files_end_and_bytes_go(void **state)
{
    TEST_STORE(test, state);
    SCOPED(arena) arena = {0};
    struct slice bytes = bytes_of(70 * HOSTED_PIECE, &arena); /* more than one round of a sweep */
    struct adding one = adding_of("one.pdf", bytes), other = adding_of("other.pdf", bytes);
    other.file.expires = NOW + DAYS_MS(2);
    test_write(test.store, add_run, &one);
    test_write(test.store, add_run, &other);
    struct sweeping removing = {.now = NOW + 1000, .id = one.file.id};
    bool found;

    assert_int_equal(sweep(&test, NOW + DAYS_MS(1)).expired, 0);
    test_write(test.store, remove_run, &removing);
    assert_true(removing.was_there);
    test_write(test.store, remove_run, &removing);
    assert_false(removing.was_there);
    assert_int_equal(state_at(&test, one.file.id, NOW + 2000, &found), HOSTED_REMOVED);
    assert_int_equal(sweep(&test, NOW + DAYS_MS(1)).bodies, 0); /* the other one has these bytes too */

    time_ms end = other.file.expires;
    assert_int_equal(state_at(&test, other.file.id, end - 1, &found), HOSTED_THERE);
    assert_int_equal(state_at(&test, other.file.id, end, &found), HOSTED_EXPIRED); /* the sweep has not come by */
    struct hosted_swept swept = sweep(&test, end);
    assert_true(swept.expired == 1 && swept.bodies == 0); /* who reads it has some minutes */
    swept = sweep(&test, end + HOSTED_SPARE_MS + 1);
    assert_true(swept.bodies == 1 && swept.bytes == bytes.len);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hosted_piece"), 0);
    assert_int_equal(state_at(&test, one.file.id, end + DAYS_MS(399), &found), HOSTED_REMOVED);
    assert_true(found);
    sweep(&test, end + HOSTED_TOLD_MS + 1);
    (void)state_at(&test, other.file.id, end + HOSTED_TOLD_MS + 1, &found);
    assert_false(found);
    test_store_end(&test);
}

struct half {
    struct hosted_body body;
    struct hosted_file file;
    time_ms now;
};
static bool half_begin(struct db *db, struct fault *why, void *context)
{
    struct half *half = context;
    return hosted_body_begin(db, why, &half->body, half->now) &&
           hosted_piece_put(db, why, half->body.id, 0, SLICE("half of it"), half->now);
}
static bool half_more(struct db *db, struct fault *why, void *context)
{
    struct half *half = context;
    return hosted_piece_put(db, why, half->body.id, 1, SLICE("the rest"), half->now);
}
static bool half_end(struct db *db, struct fault *why, void *context)
{
    struct half *half = context;
    half->file = adding_of("half.pdf", SLICE("")).file;
    half->file.body = half->body;
    return hosted_add(db, why, &half->file);
}

/* What a crash leaves. */
static void half_an_upload_is_nobodys(void **state)
{
    TEST_STORE(test, state);
    struct half half = {.body = {.size_bytes = 18}, .now = NOW}, found = {.body = half.body};
    struct fault why = {0};
    test_write(test.store, half_begin, &half);
    assert_true(hosted_body_find(test.reader, &why, &found.body));
    assert_int_equal(found.body.id, 0);
    assert_int_equal(sweep(&test, NOW + HOSTED_SPARE_MS).bodies, 0); /* it may still be coming */
    assert_int_equal(sweep(&test, NOW + HOSTED_SPARE_MS + 1).bodies, 1);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hosted_piece"), 0);
    assert_false(test_write_try(test.store, half_more, &half, &why)); /* he wakes up: he is told */
    assert_int_equal(why.kind, FAULT_WORLD);
    assert_false(test_write_try(test.store, half_end, &half, &why));
    assert_int_equal(why.kind, FAULT_WORLD);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM hosted_file"), 0);
    test_store_end(&test);
}

static void the_newest_of_a_name(void **state)
{
    TEST_STORE(test, state);
    SCOPED(arena) arena = {0};
    struct fault why = {0};
    struct hosted_file file, *files;
    bool found;
    size_t count;
    struct adding rows[] = {adding_of("カタログ.pdf", SLICE("1")), adding_of("カタログ.pdf", SLICE("2")),
                            adding_of("カタログ.pdf", SLICE("of a mail")),
                            adding_of("カタログ.pdf", SLICE("another brand's")),
                            adding_of("カタログ.pdf", SLICE("old"))};
    rows[2].file.message_id = 99;
    rows[3].file.brand_id = 8;
    rows[4].file.expires = NOW + 5;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        test_write(test.store, add_run, &rows[i]);
    assert_true(hosted_find_name(test.reader, &why, 7, SLICE("カタログ.pdf"), NOW + 10, &arena, &file, &found) &&
                found);
    assert_int_equal(file.id, rows[1].file.id);
    assert_true(hosted_find_name(test.reader, &why, 7, SLICE("x.pdf"), NOW, &arena, &file, &found) && !found);

    const uint64_t eight = 8;
    const struct brands of_eight = {&eight, 1}, all = {0};
    assert_true(hosted_list(test.reader, &why, &of_eight, 0, 10, false, NOW, &arena, &files, &count));
    assert_true(count == 1 && files[0].id == rows[3].file.id);
    assert_true(hosted_list(test.reader, &why, &all, 0, 10, false, NOW + 10, &arena, &files, &count));
    assert_int_equal(count, 4);
    assert_true(hosted_list(test.reader, &why, &all, 0, 10, true, NOW + 10, &arena, &files, &count));
    assert_int_equal(count, 5);
    for (size_t i = 1; i < count; i++)
        assert_true(files[i].id < files[i - 1].id);
    assert_true(hosted_list(test.reader, &why, &all, files[2].id, 1, true, NOW, &arena, &files, &count));
    assert_int_equal(count, 1);
    test_store_end(&test);
}

/* A file's id is in the links of mails: never given again, even by a clock that was set back. */
static void ids_are_not_given_again(void **state)
{
    TEST_STORE(test, state);
    struct adding adding = adding_of("a.pdf", SLICE("a"));
    test_write(test.store, add_run, &adding);
    test_store_close(&test);
    test_store_reopen(&test);
    for (int i = 0; i < ID_BUCKETS; i++)
        assert_true(id_make(store_ids(test.store), NOW - DAYS_MS(1), (unsigned)i) >> 8 > adding.file.id >> 8);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(the_same_bytes_are_kept_once), ON_BOTH(a_file_is_extended_and_counted),
        ON_BOTH(a_file_of_the_disk_is_taken),  ON_BOTH(files_end_and_bytes_go),
        ON_BOTH(half_an_upload_is_nobodys),    ON_BOTH(the_newest_of_a_name),
        ON_BOTH(ids_are_not_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
