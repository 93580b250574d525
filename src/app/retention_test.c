/* Growth: the days of more than a year go by, each with the same mail, and the store stops growing (issue 4.1). */
#include "app/retention.h"

#include "event/event.h"
#include "mail/address.h"
#include "queue/testing.h"
#include "report/report.h"
#include "store/testing.h"
#include <sys/stat.h>

/* A year and a half in steps of ten days; mail to eight people, 60 each a step, so that every bucket of theirs has
 * slices to be deleted. */
enum {
    STEP_DAYS = 10,
    STEPS = 52,
    PEOPLE = 8,
    EACH = 60,
    KEPT_DAYS = 400,
    INBOUND_DAYS = 30,
    COUNTERS_DAYS = 30,
    RAW = 4096
};
#define BEGIN ((time_ms)1767225600000) /* 2026-01-01 */

struct fixture {
    struct test_store store;
    struct world world;
    struct report *report;
    struct retention_options options;
    struct retention_done done; /* of the last round */
    uint64_t campaigns;         /* so many are over: one for each step, to all the people */
};

static void address_of(int person, char address[32])
{
    snprintf(address, 32, "person%d@growth.example", person);
}

static struct event event_like(struct fixture *f, const char *address, enum event_kind kind, enum delivery_state before,
                               enum delivery_state after)
{
    return (struct event){.bucket = address_bucket(slice_str(address)),
                          .at = world_wall(&f->world),
                          .kind = kind,
                          .n = 1,
                          .brand_id = 1,
                          .address = slice_str(address),
                          .domain = SLICE("growth.example"),
                          .state_before = before,
                          .state_after = after};
}

static bool deliver(struct fixture *f, struct db *db, struct fault *why, const char *address)
{
    struct event events[EACH * 2];
    unsigned bucket = address_bucket(slice_str(address));
    for (int i = 0; i < EACH; i++) {
        uint64_t id = id_make(db_ids(db), world_wall(&f->world), bucket);
        events[i * 2] = event_like(f, address, EVENT_ACCEPTED, DELIVERY_STATE_COUNT, DELIVERY_WAITING);
        events[i * 2 + 1] = event_like(f, address, EVENT_DELIVERED, DELIVERY_WAITING, DELIVERY_DELIVERED);
        events[i * 2 + 1].delivery_id = id;
        events[i * 2 + 1].attempt = 1;
        int64_t campaign = i ? 0 : (int64_t)f->campaigns;
        events[i * 2].campaign_id = events[i * 2 + 1].campaign_id = (uint64_t)campaign;
        if (!db_do(db, why,
                   "INSERT INTO delivery (bucket, id, lane_id, brand_id, address, written, state, due_ms, accepted_ms, "
                   "expires_ms, changed_ms, campaign_id) VALUES ($1, $2, 1, 1, $3, $3, 5, $4, $4, $4, $4, $5)",
                   VALUES(V_INT(bucket), V_INT((int64_t)id), V_STR(address), V_INT(world_wall(&f->world)),
                          V_INT_OR_NULL(campaign)),
                   NULL))
            return false;
    }
    return event_append(db, why, events, EACH * 2);
}

/* One error mail for each person, and a letter that is never read. */
static bool receive(struct fixture *f, struct db *db, struct fault *why, const char *address)
{
    static char raw[RAW];
    unsigned bucket = address_bucket(slice_str(address));
    memset(raw, 'x', RAW);
    return db_do(db, why,
                 "INSERT INTO inbound (bucket, id, at_ms, state, mail_from, rcpt_to, peer, raw) VALUES ($1, $2, $3, 1, "
                 "'', 'b', 'p', $4)",
                 VALUES(V_INT(bucket), V_INT((int64_t)id_make(db_ids(db), world_wall(&f->world), bucket)),
                        V_INT(world_wall(&f->world)), V_BYTES(slice_of(raw, RAW))),
                 NULL);
}

static bool day_run(struct db *db, struct fault *why, void *context)
{
    struct fixture *f = context;
    if (!db_do(db, why,
               "INSERT INTO campaign (id, brand_id, name, content_version_id, list_id, state, expires_after_ms, "
               "created_ms, finished_ms) VALUES ($1, 1, 'c', 1, 1, 'finished', 1, 1, $2)",
               VALUES(V_INT((int64_t)++f->campaigns), V_INT(world_wall(&f->world))), NULL))
        return false;
    for (int person = 0; person < PEOPLE; person++) {
        char address[32];
        address_of(person, address);
        if (!deliver(context, db, why, address) || !receive(context, db, why, address))
            return false;
    }
    return true;
}

static void pass(struct fixture *f, int steps, bool has_rounds)
{
    struct fault why = {0};
    for (int i = 0; i < steps; i++) {
        test_write(f->store.store, day_run, f);
        if (!report_catch_up(f->report, &why))
            fail_msg("%s", why.text);
        world_advance(&f->world, DAYS_MS(STEP_DAYS));
        if (has_rounds && !retention_round(&f->options, f->store.reader, NULL, &f->done, &why))
            fail_msg("%s", why.text);
    }
}

static int64_t number(struct fixture *f, const char *sql)
{
    return test_number(f->store.reader, sql);
}

static int64_t octets(struct fixture *f)
{
    return number(
        f, db_pick(f->store.reader,
                   "SELECT (page_count - freelist_count) * 4096 FROM pragma_page_count(), pragma_freelist_count()",
                   "SELECT CAST(SUM(pg_total_relation_size(inhrelid)) AS BIGINT) FROM pg_inherits WHERE "
                   "inhparent = to_regclass('event')"));
}

static void the_books_balance(struct fixture *f, int steps)
{
    struct report_audit audit;
    struct fault why = {0};
    assert_true(report_audit(f->store.reader, &why, 0, &audit));
    assert_true(audit.agrees);
    assert_int_equal(audit.accepted, (int64_t)steps * PEOPLE * EACH);
    assert_int_equal(audit.rows[DELIVERY_DELIVERED], audit.accepted);
    assert_int_equal(audit.lag, 0);
    for (uint64_t campaign = 1; campaign <= f->campaigns; campaign++) {
        struct report_totals totals;
        assert_true(report_totals(f->store.reader, &why, campaign, &totals));
        assert_int_equal(totals.accepted, PEOPLE);
        assert_int_equal(totals.states[DELIVERY_DELIVERED], PEOPLE);
    }
}

/* A campaign that is over for long is one row for each outcome (and receiver); the newest ones are as they were. */
static void counters_are_few(struct fixture *f)
{
    int64_t buckets = number(f, "SELECT COUNT(DISTINCT bucket) FROM count_state WHERE campaign_id = 0");
    assert_true(buckets > 4);
    assert_true(number(f, "SELECT COUNT(*) FROM count_state WHERE campaign_id > 0") <=
                (int64_t)f->campaigns + (COUNTERS_DAYS / STEP_DAYS + 1) * buckets * 2);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM campaign WHERE counts_folded = 0"), COUNTERS_DAYS / STEP_DAYS);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM campaign WHERE counts_folded = 2"),
                     (int64_t)f->campaigns - KEPT_DAYS / STEP_DAYS);
}

/* ARCHITECTURE, Retention: a year at a million mails a day is a test of growth */
static void a_store_stops_growing(void **state)
{
    enum { FULL = KEPT_DAYS / STEP_DAYS, FIRST = 10, MORE = 3, LATE = 4 };
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    bool is_postgres = store_is_postgres(test.store);
    world_init_manual(&f.world, BEGIN, 1);
    f.report = report_start(f.store.store, NULL, NULL, NULL);
    f.options = (struct retention_options){.store = f.store.store,
                                           .world = &f.world,
                                           .events = DAYS_MS(KEPT_DAYS),
                                           .inbound = DAYS_MS(INBOUND_DAYS),
                                           .counters = DAYS_MS(COUNTERS_DAYS),
                                           .logs = DAYS_MS(30)};
    pass(&f, FIRST, true);
    assert_int_equal(number(&f, "SELECT COUNT(*) FROM delivery"), FIRST * PEOPLE * EACH); /* nothing is too old yet */
    assert_true(number(&f, "SELECT COUNT(*) FROM inbound") <= (INBOUND_DAYS / STEP_DAYS + 1) * PEOPLE);
    pass(&f, FULL + MORE - FIRST, true);
    int64_t full = octets(&f), events = number(&f, "SELECT COUNT(*) FROM event");
    assert_true(f.done.deliveries > 0 && (f.done.events > 0 || is_postgres));
    pass(&f, STEPS - FULL - MORE - LATE, true);
    pass(&f, LATE, false); /* nobody removes anything for a while: the next round has more than a slice of each */
    pass(&f, 1, true);
    assert_true(f.done.deliveries >= (LATE + 1) * PEOPLE * EACH);
    int64_t later = octets(&f);
    print_message("# %s: %lld octets with %d days full, %lld with %d days more\n", (char *)*state, (long long)full,
                  KEPT_DAYS, (long long)later, (STEPS + 1 - FULL - MORE) * STEP_DAYS);
    assert_true(later <= full * 11 / 10);
    assert_true(number(&f, "SELECT COUNT(*) FROM event") <= events * 11 / 10); /* a month goes whole, or day by day */
    assert_true(number(&f, "SELECT COUNT(*) FROM delivery") <= (FULL + 1) * PEOPLE * EACH);
    assert_true(number(&f, "SELECT COUNT(*) FROM inbound") <= (INBOUND_DAYS / STEP_DAYS + 1) * PEOPLE);
    if (is_postgres) {
        assert_int_equal(number(&f, "SELECT COUNT(*) FROM event_other"), 0); /* each in its month's part */
        assert_in_range(number(&f, "SELECT COUNT(*) FROM pg_inherits WHERE inhparent = to_regclass('event')"), 15, 18);
    }
    the_books_balance(&f, STEPS + 1);
    counters_are_few(&f);
    report_stop(f.report);
    test = f.store;
    test_store_end(&test);
}

/* An event that a reader has not read stays, however old it is; so does what is still owed. */
static void what_is_unread_or_owed_stays(void **state)
{
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    struct fault why = {0};
    world_init_manual(&f.world, BEGIN, 1);
    f.options = (struct retention_options){
        .store = f.store.store, .world = &f.world, .events = DAYS_MS(40), .inbound = DAYS_MS(30), .logs = DAYS_MS(30)};
    test_write(f.store.store, day_run, &f);
    char owed[] = "UPDATE delivery SET state = 2", unread[] = "UPDATE inbound SET state = 0",
         behind[] = "INSERT INTO reader_cursor (reader, bucket, seq) SELECT 'slow', bucket, 3 FROM bucket_counter";
    test_do(&f.store, owed);
    test_do(&f.store, unread);
    test_do(&f.store, behind);
    world_advance(&f.world, DAYS_MS(500));
    assert_true(retention_round(&f.options, f.store.reader, NULL, &f.done, &why));
    assert_int_equal(number(&f, "SELECT COUNT(*) FROM delivery"), PEOPLE * EACH);
    assert_int_equal(number(&f, "SELECT COUNT(*) FROM inbound"), PEOPLE);
    if (!store_is_postgres(test.store)) /* months go whole */
        assert_int_equal(number(&f, "SELECT MIN(seq) FROM event"), 4);
    test = f.store;
    test_store_end(&test);
}

static bool lanes_make(struct db *db, struct fault *why, void *context)
{
    const struct {
        int campaign;
        const char *pool;
    } rows[] = {{1, "reserve"}, {1, ""}, {2, "reserve"}, {0, "reserve"}};
    if (!db_do(db, why,
               "INSERT INTO campaign (id, brand_id, name, content_version_id, list_id, state, expires_after_ms, "
               "created_ms, finished_ms) VALUES (1, 1, 'over', 1, 1, 'finished', 1, 1, $1), (2, 1, 'goes on', 1, 1, "
               "'sending', 1, 1, 0)",
               VALUES(V_INT(BEGIN)), NULL))
        return false;
    for (int64_t i = 0; i < (int64_t)COUNT_OF(rows); i++)
        if (!db_do(db, why,
                   "INSERT INTO lane (id, priority, brand_id, campaign_id, domain, pool) VALUES ($1, 1, $1, $2, "
                   "'d.example', $3)",
                   VALUES(V_INT(i + 1), V_INT(rows[i].campaign), V_STR(rows[i].pool)), NULL))
            return false;
    return true;
}

/* Moved lanes are kept in memory by every node: those of campaigns that are over are lanes like others again. */
static void lanes_of_what_is_over_are_moved_no_more(void **state)
{
    TEST_STORE(test, state);
    struct fixture f = {.store = test};
    struct fault why = {0};
    world_init_manual(&f.world, BEGIN + DAYS_MS(1), 1);
    f.options = (struct retention_options){.store = f.store.store,
                                           .world = &f.world,
                                           .events = DAYS_MS(KEPT_DAYS),
                                           .inbound = DAYS_MS(INBOUND_DAYS),
                                           .counters = DAYS_MS(COUNTERS_DAYS),
                                           .logs = DAYS_MS(30)};
    test_write(f.store.store, lanes_make, NULL);
    if (!retention_round(&f.options, f.store.reader, NULL, &f.done, &why))
        fail_msg("%s", why.text);
    assert_int_equal(number(&f, "SELECT COUNT(*) FROM lane"), 4);
    assert_int_equal(number(&f, "SELECT COUNT(*) FROM lane WHERE pool <> ''"), 2);
    assert_int_equal(number(&f, "SELECT COUNT(*) FROM lane WHERE pool <> '' AND campaign_id = 1"), 0);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_store_stops_growing),
        ON_BOTH(lanes_of_what_is_over_are_moved_no_more),
        ON_BOTH(what_is_unread_or_owed_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
