/* S85, U10: opens and clicks counted once for each person; machines apart, by their word and by their behaviour */
#include "report/engaged.h"
#include "store/testing.h"

static const time_ms NOW = 1795000000000;

struct step {
    enum event_kind kind;
    enum event_origin origin;
    int delivery, link;
    time_ms after;
};

struct batch {
    const struct step *steps;
    size_t count;
};

static bool take(struct db *db, struct fault *why, void *context)
{
    const struct batch *batch = context;
    struct event events[16] = {0};
    for (size_t i = 0; i < batch->count; i++)
        events[i] = (struct event){.bucket = 7,
                                   .delivery_id = (uint64_t)batch->steps[i].delivery,
                                   .campaign_id = 5,
                                   .kind = batch->steps[i].kind,
                                   .origin = batch->steps[i].origin,
                                   .code = batch->steps[i].kind == EVENT_CLICKED ? batch->steps[i].link : 0,
                                   .note = slice_of(&"abcdefghij"[batch->steps[i].link], 1),
                                   .at = NOW + batch->steps[i].after};
    return engaged_take(db, why, events, batch->count);
}

#define OPEN(who, delivery, after)                                                                                     \
    {                                                                                                                  \
        EVENT_OPENED, EVENT_ORIGIN_##who, delivery, 0, after                                                           \
    }
#define CLICK(who, delivery, link, after)                                                                              \
    {                                                                                                                  \
        EVENT_CLICKED, EVENT_ORIGIN_##who, delivery, link, after                                                       \
    }

#define DOWNLOAD(who, delivery, file, after)                                                                           \
    {                                                                                                                  \
        EVENT_DOWNLOADED, EVENT_ORIGIN_##who, delivery, file, after                                                    \
    }

static void counted(void **state)
{
    static const struct {
        const char *what;
        struct step steps[10];
        int64_t want[ENGAGED_COUNT]; /* opens, opened, proxy, robot, clicks, clicked, robot */
    } rows[] = {
        {"one person, twice", {OPEN(PERSON, 1, 0), OPEN(PERSON, 1, 5000)}, {2, 1}},
        {"machines open", {OPEN(PROXY, 1, 0), OPEN(ROBOT, 1, 0), OPEN(PERSON, 2, 0)}, {1, 1, 1, 1}},
        {"two links, one person", {CLICK(PERSON, 1, 0, 0), CLICK(PERSON, 1, 4, 900)}, {0, 0, 0, 0, 2, 1, 0}},
        {"every link in a second",
         {CLICK(PERSON, 1, 0, 0), CLICK(PERSON, 1, 1, 10), CLICK(PERSON, 1, 2, 20), CLICK(PERSON, 1, 3, 30)},
         {0, 0, 0, 0, 0, 0, 4}},
        {"a gateway, then the person",
         {CLICK(PERSON, 1, 0, 0), CLICK(PERSON, 1, 1, 10), CLICK(PERSON, 1, 2, 20), CLICK(PERSON, 1, 1, 60000)},
         {0, 0, 0, 0, 1, 1, 3}},
        {"the person, then a gateway",
         {CLICK(PERSON, 1, 1, 0), CLICK(PERSON, 1, 0, 60000), CLICK(PERSON, 1, 1, 60010), CLICK(PERSON, 1, 2, 60020)},
         {0, 0, 0, 0, 1, 1, 3}},
        {"three links at leisure",
         {CLICK(PERSON, 1, 0, 0), CLICK(PERSON, 1, 1, 2000), CLICK(PERSON, 1, 2, 4000)},
         {0, 0, 0, 0, 3, 1, 0}},
        {"the same link, impatiently",
         {CLICK(PERSON, 1, 0, 0), CLICK(PERSON, 1, 0, 100), CLICK(PERSON, 1, 0, 200), CLICK(PERSON, 1, 0, 300)},
         {0, 0, 0, 0, 4, 1, 0}},
        {"two people in one second",
         {CLICK(PERSON, 1, 0, 0), CLICK(PERSON, 2, 1, 1), CLICK(PERSON, 1, 1, 2), CLICK(PERSON, 2, 2, 3)},
         {0, 0, 0, 0, 4, 2, 0}},
        {"a file, twice, and another's",
         {DOWNLOAD(PERSON, 1, 0, 0), DOWNLOAD(PERSON, 1, 0, 100), DOWNLOAD(PERSON, 2, 0, 0), DOWNLOAD(ROBOT, 3, 0, 0)},
         {0, 0, 0, 0, 0, 0, 0, 3, 2, 1}},
        {"a gateway that follows links and files",
         {CLICK(PERSON, 1, 0, 0), DOWNLOAD(PERSON, 1, 1, 10), CLICK(PERSON, 1, 1, 20), DOWNLOAD(PERSON, 1, 1, 30000)},
         {0, 0, 0, 0, 0, 0, 2, 1, 1, 1}},
        {"three files in a second",
         {DOWNLOAD(PERSON, 1, 0, 0), DOWNLOAD(PERSON, 1, 1, 10), DOWNLOAD(PERSON, 1, 2, 20)},
         {0, 0, 0, 0, 0, 0, 0, 0, 0, 3}},
        {"a robot by its own word", {CLICK(ROBOT, 1, 0, 0), CLICK(PERSON, 1, 1, 1)}, {0, 0, 0, 0, 1, 1, 1}},
    };
    static const char *const whats[] = {"opens",   "opened",       "opens_proxy", "opens_robot", "clicks",
                                        "clicked", "clicks_robot", "downloads",   "downloaded",  "downloads_robot"};
    for (size_t i = 0; i < COUNT_OF(rows) * 2; i++) {
        size_t at = i / 2;
        TEST_STORE(test, state);
        size_t count = 0;
        while (count < COUNT_OF(rows[at].steps) && rows[at].steps[count].kind)
            count++;
        size_t each = i % 2 ? count : 1; /* one at a time, and all at once: batches must not matter */
        for (size_t step = 0; step < count; step += each) {
            struct batch batch = {&rows[at].steps[step], each};
            test_write(test.store, take, &batch);
        }
        struct fault why = {0};
        int64_t n[ENGAGED_COUNT];
        assert_true(engaged_read(test.reader, &why, 5, n));
        for (int what = 0; what < ENGAGED_COUNT; what++)
            if (n[what] != rows[at].want[what])
                fail_msg("%s: %s is %lld", rows[at].what, whats[what], (long long)n[what]);
        test_store_end(&test);
    }
}

/* Where the newest stand, for the delivery's timeline (event/query.c): whatever bucket that was, and never more than so
 * many, however often a machine comes. */
static bool take_places(struct db *db, struct fault *why, void *context)
{
    unsigned *next = context;
    struct event events[10] = {0};
    for (size_t i = 0; i < COUNT_OF(events); i++, ++*next)
        events[i] = (struct event){.bucket = 200 + *next / 20,
                                   .seq = 1000 + *next,
                                   .delivery_id = 77 << 8 | 3,
                                   .kind = *next % 2 ? EVENT_CLICKED : EVENT_OPENED,
                                   .origin = EVENT_ORIGIN_ROBOT,
                                   .at = NOW + *next};
    return engaged_take(db, why, events, COUNT_OF(events));
}

static void it_knows_where_the_newest_stand(void **state)
{
    TEST_STORE(test, state);
    unsigned next = 0;
    for (int i = 0; i < 5; i++)
        test_write(test.store, take_places, &next);
    SCOPED(buf) want = BUF(1000);
    for (unsigned n = 50 - ENGAGED_EVENTS_KEPT; n < 50; n++)
        buf_printf(&want, "%s%u.%u", want.len ? " " : "", 200 + n / 20, 1000 + n);
    struct fault why = {0};
    SCOPED(rows) rows = {0};
    assert_true(db_query(test.reader, &why, &rows, "SELECT events FROM engaged WHERE bucket = 3 AND delivery_id = $1",
                         VALUES(V_INT(77 << 8 | 3)))); /* in the delivery's own bucket */
    assert_true(rows_next(&rows));
    assert_slice("places", rows_text(&rows, 0), buf_slice(&want));
    rows_release(&rows);
    test_store_end(&test);
}

/* S50: who reads what comes is known by the contact: people, not proxies, and no gateway that follows every link. */
static bool contacts_make(struct db *db, struct fault *why, void *context)
{
    for (int id = 1; id <= 4; id++)
        if (!db_do(db, why,
                   "INSERT INTO contact (bucket, id, address, written, fields, created_ms, updated_ms) VALUES (3, $1, "
                   "$2, $2, '{}', 1, 1)",
                   VALUES(V_INT(id), V_STR(&"pqrs"[id - 1])), NULL))
            return false;
    return true;
}

static bool contacts_read(struct db *db, struct fault *why, void *context)
{
    static const struct {
        enum event_kind kind;
        enum event_origin origin;
        uint64_t contact;
        int link;
    } steps[] = {
        {EVENT_OPENED, EVENT_ORIGIN_PERSON, 1, 0},  {EVENT_OPENED, EVENT_ORIGIN_PROXY, 2, 0},
        {EVENT_CLICKED, EVENT_ORIGIN_ROBOT, 2, 0},  {EVENT_CLICKED, EVENT_ORIGIN_PERSON, 3, 0},
        {EVENT_CLICKED, EVENT_ORIGIN_PERSON, 3, 1}, {EVENT_CLICKED, EVENT_ORIGIN_PERSON, 3, 2},
        {EVENT_CLICKED, EVENT_ORIGIN_PERSON, 4, 0},
    };
    struct event events[COUNT_OF(steps)];
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        events[i] = (struct event){.bucket = 3,
                                   .seq = i + 1,
                                   .delivery_id = steps[i].contact << 8 | 3,
                                   .contact_id = steps[i].contact,
                                   .kind = steps[i].kind,
                                   .origin = steps[i].origin,
                                   .code = steps[i].link,
                                   .at = *(const time_ms *)context + (time_ms)i};
    return engaged_take(db, why, events, COUNT_OF(events));
}

static void who_reads_is_known(void **state)
{
    TEST_STORE(test, state);
    time_ms at = NOW;
    test_write(test.store, contacts_make, NULL);
    test_write(test.store, contacts_read, &at);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM contact WHERE engaged_ms > 0"), 2);
    assert_int_equal(test_number(test.reader, "SELECT engaged_ms FROM contact WHERE id = 1"), NOW);
    assert_int_equal(test_number(test.reader, "SELECT engaged_ms FROM contact WHERE id = 4"), NOW + 6);
    at = NOW + HOURS_MS(1);
    test_write(test.store, contacts_read, &at); /* not written again on the same day */
    assert_int_equal(test_number(test.reader, "SELECT engaged_ms FROM contact WHERE id = 1"), NOW);
    at = NOW + DAYS_MS(2);
    test_write(test.store, contacts_read, &at);
    assert_int_equal(test_number(test.reader, "SELECT engaged_ms FROM contact WHERE id = 1"), at);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_BOTH(counted), ON_BOTH(it_knows_where_the_newest_stand),
                                       ON_BOTH(who_reads_is_known)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
