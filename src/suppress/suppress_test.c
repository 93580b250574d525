/* S56, S71, U13, U14, S12, S24: who may be written to, and what counts against whom. */
#include "mail/address.h"
#include "store/testing.h"
#include "suppress/suppress.h"

static const time_ms NOW = 1795000000000;
#define TARO SLICE("taro@example.jp")

struct change {
    struct suppression row;
    bool removes, flag;
};
static bool change(struct db *db, struct fault *why, void *context)
{
    struct change *change = context;
    if (change->removes)
        return suppress_remove(db, why, change->row.address, change->row.brand_id, change->row.topic, &change->flag);
    return suppress_add(db, why, &change->row, &change->flag);
}
static bool add(struct test_store *test, struct suppression row)
{
    struct change work = {.row = row};
    test_write(test->store, change, &work);
    return work.flag;
}
static bool is_out(struct test_store *test, struct slice identity, uint64_t brand, struct slice topic, time_ms now)
{
    bool out = false;
    struct fault why = {0};
    if (!suppress_check(test->reader, &why, identity, brand, topic, now, &out, NULL, NULL))
        fail_msg("%s", why.text);
    return out;
}

static void brands_topics_and_expiry(void **state)
{
    TEST_STORE(test, state);
    assert_true(add(&test, (struct suppression){.address = SLICE("all@a.jp"), .why = SUPPRESS_ERROR, .since = NOW}));
    assert_true(
        add(&test, (struct suppression){
                       .address = SLICE("brand@a.jp"), .brand_id = 7, .why = SUPPRESS_UNSUBSCRIBED, .since = NOW}));
    assert_true(add(&test, (struct suppression){.address = SLICE("topic@a.jp"),
                                                .brand_id = 7,
                                                .topic = SLICE("news"),
                                                .why = SUPPRESS_UNSUBSCRIBED,
                                                .since = NOW}));
    assert_true(
        add(&test, (struct suppression){
                       .address = SLICE("soon@a.jp"), .why = SUPPRESS_BY_HAND, .since = NOW, .expires = NOW + 10}));
    static const struct {
        const char *row, *address, *topic;
        unsigned brand;
        int after;
        bool want;
    } table[] = {
        {"all brands", "all@a.jp", "", 1, 0, true},
        {"all topics", "all@a.jp", "news", 2, 0, true},
        {"its brand", "brand@a.jp", "", 7, 0, true},
        {"its brand, any topic", "brand@a.jp", "news", 7, 0, true},
        {"another brand", "brand@a.jp", "", 8, 0, false},
        {"its topic", "topic@a.jp", "news", 7, 0, true},
        {"another topic", "topic@a.jp", "sales", 7, 0, false},
        {"no topic", "topic@a.jp", "", 7, 0, false},
        {"before expiry", "soon@a.jp", "", 1, 9, true},
        {"at expiry", "soon@a.jp", "", 1, 10, false},
        {"nobody", "none@a.jp", "", 7, 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_int_row(
            table[i].row,
            is_out(&test, slice_str(table[i].address), table[i].brand, slice_str(table[i].topic), NOW + table[i].after),
            table[i].want);
    struct slice many[] = {SLICE("brand@a.jp"), SLICE("none@a.jp"), SLICE("all@a.jp")};
    unsigned char out[3];
    struct fault why = {0};
    assert_true(suppress_check_many(test.reader, &why, many, 3, 7, SLICE(""), NOW, out));
    assert_int_equal(out[0], SUPPRESS_UNSUBSCRIBED + 1);
    assert_int_equal(out[1], 0);
    assert_int_equal(out[2], SUPPRESS_ERROR + 1);
    test_store_end(&test);
}

static void a_wish_is_not_weakened(void **state)
{
    TEST_STORE(test, state);
    struct arena arena = {0};
    struct fault why = {0};
    struct suppression found;
    bool out;
    static const struct {
        const char *row;
        enum suppress_why comes, stays;
        bool is_new;
    } table[] = {
        {"first an error", SUPPRESS_ERROR, SUPPRESS_ERROR, true},
        {"the person unsubscribes", SUPPRESS_UNSUBSCRIBED, SUPPRESS_UNSUBSCRIBED, false},
        {"an error later", SUPPRESS_ERROR, SUPPRESS_UNSUBSCRIBED, false},
        {"by hand", SUPPRESS_BY_HAND, SUPPRESS_UNSUBSCRIBED, false},
        {"a complaint", SUPPRESS_COMPLAINT, SUPPRESS_COMPLAINT, false},
        {"cleaning", SUPPRESS_CLEANING, SUPPRESS_COMPLAINT, false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        bool is_new =
            add(&test, (struct suppression){.address = TARO, .why = table[i].comes, .since = NOW + (time_ms)i});
        assert_int_row(table[i].row, is_new, table[i].is_new);
        assert_true(suppress_check(test.reader, &why, TARO, 1, SLICE(""), NOW, &out, &arena, &found));
        assert_row(table[i].row, out);
        assert_int_row(table[i].row, found.why, table[i].stays);
    }
    struct change work = {.row = {.address = TARO}, .removes = true};
    test_write(test.store, change, &work);
    assert_true(work.flag);
    assert_false(is_out(&test, TARO, 1, SLICE(""), NOW));
    test_write(test.store, change, &work);
    assert_false(work.flag);
    arena_release(&arena);
    test_store_end(&test);
}

/* ── what an event does ── */

struct applied {
    struct event event;
    struct event extra[4];
    size_t count;
};
static bool apply(struct db *db, struct fault *why, void *context)
{
    struct applied *applied = context;
    return suppress_apply(db, why, &applied->event, 1, NULL, applied->extra, &applied->count);
}
static struct event event_of_kind(enum event_kind kind, enum action action)
{
    return (struct event){.bucket = address_bucket(TARO),
                          .id = 99 << 8,
                          .at = NOW,
                          .kind = kind,
                          .origin = EVENT_ORIGIN_REPLY,
                          .address = TARO,
                          .brand_id = 7,
                          .campaign_id = 3,
                          .state_before = DELIVERY_ON_WIRE,
                          .verdict = {.reason = REASON_MAILBOX_FULL, .action = action}};
}
static enum event_kind step(struct test_store *test, struct event event)
{
    struct applied work = {.event = event};
    test_write(test->store, apply, &work);
    assert_true(work.count <= 1);
    return work.count ? work.extra[0].kind : 0;
}
static int strikes(struct test_store *test)
{
    int count = -1;
    struct fault why = {0};
    assert_true(strike_get(test->reader, &why, TARO, &count));
    return count;
}

static void only_the_address_s_own_faults_count(void **state)
{
    static const struct {
        const char *row;
        enum event_kind kind;
        enum action action;
        enum event_origin origin;
        enum authenticity authenticity;
        bool excluded;
        int strikes;
    } table[] = {
        {"unknown user in the conversation", EVENT_BOUNCED, ACTION_SUPPRESS_NOW, EVENT_ORIGIN_REPLY, 0, true, 0},
        {"unknown user by a genuine error mail", EVENT_BOUNCED, ACTION_SUPPRESS_NOW, EVENT_ORIGIN_MAIL,
         AUTHENTICITY_GENUINE, true, 0},
        {"by a forged one (S12)", EVENT_BOUNCED, ACTION_SUPPRESS_NOW, EVENT_ORIGIN_MAIL, AUTHENTICITY_FORGED, false, 0},
        {"by an unverified one (S12)", EVENT_BOUNCED, ACTION_SUPPRESS_NOW, EVENT_ORIGIN_MAIL, AUTHENTICITY_UNVERIFIED,
         false, 0},
        {"an unverified event", EVENT_UNVERIFIED, ACTION_SUPPRESS_NOW, EVENT_ORIGIN_MAIL, AUTHENTICITY_UNVERIFIED,
         false, 0},
        {"full mailbox, given up", EVENT_EXPIRED, ACTION_SUPPRESS_AFTER_N, EVENT_ORIGIN_REPLY, 0, false, 1},
        {"full mailbox, refused", EVENT_BOUNCED, ACTION_SUPPRESS_AFTER_N, EVENT_ORIGIN_REPLY, 0, false, 1},
        {"full mailbox, one try of many", EVENT_DEFERRED, ACTION_SUPPRESS_AFTER_N, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"message too big (S24)", EVENT_BOUNCED, ACTION_FIX_CONTENT, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"our IP is listed", EVENT_BOUNCED, ACTION_DELIST, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"DKIM failed", EVENT_BOUNCED, ACTION_FIX_AUTH, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"our configuration", EVENT_BOUNCED, ACTION_FIX_CONFIG, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"unreachable to the end", EVENT_EXPIRED, ACTION_RETRY_LATER, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"too fast", EVENT_DEFERRED, ACTION_SLOW_DOWN, EVENT_ORIGIN_REPLY, 0, false, 0},
        {"complaint (U14)", EVENT_COMPLAINT, ACTION_NONE, EVENT_ORIGIN_MAIL, AUTHENTICITY_GENUINE, true, 0},
        {"forged complaint", EVENT_COMPLAINT, ACTION_NONE, EVENT_ORIGIN_MAIL, AUTHENTICITY_FORGED, false, 0},
        {"unsubscribed", EVENT_UNSUBSCRIBED, ACTION_NONE, EVENT_ORIGIN_NONE, 0, true, 0},
        {"vacation", EVENT_AUTOREPLY, ACTION_NONE, EVENT_ORIGIN_MAIL, AUTHENTICITY_GENUINE, false, 0},
        {"delivered", EVENT_DELIVERED, ACTION_NONE, EVENT_ORIGIN_REPLY, 0, false, 0},
    };
    TEST_STORE(test, state);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct event event = event_of_kind(table[i].kind, table[i].action);
        event.origin = table[i].origin;
        event.authenticity = table[i].authenticity;
        enum event_kind extra = step(&test, event);
        assert_int_row(table[i].row, extra == EVENT_EXCLUDED, table[i].excluded);
        assert_int_row(table[i].row, is_out(&test, TARO, 7, SLICE(""), NOW), table[i].excluded);
        assert_int_row(table[i].row, strikes(&test), table[i].strikes);
        if (table[i].excluded)
            assert_row(table[i].row, step(&test, event) == 0); /* a second time tells nobody anything new */
        for (int brand = 0; brand <= 7; brand += 7) {          /* clean again */
            struct change work = {.row = {.address = TARO, .brand_id = (uint64_t)brand}, .removes = true};
            test_write(test.store, change, &work);
        }
    }
    test_store_end(&test);
}

static void five_in_a_row_exclude_and_a_success_resets(void **state)
{
    TEST_STORE(test, state);
    struct event full = event_of_kind(EVENT_BOUNCED, ACTION_SUPPRESS_AFTER_N),
                 fine = event_of_kind(EVENT_DELIVERED, ACTION_NONE);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(step(&test, full), 0);
        assert_int_equal(strikes(&test), i);
    }
    assert_int_equal(step(&test, fine), EVENT_CONTACT_RECOVERED);
    assert_int_equal(strikes(&test), 0);
    assert_int_equal(step(&test, fine), 0);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM strike"), 0);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(step(&test, full), 0);
    assert_int_equal(step(&test, full), EVENT_EXCLUDED);
    assert_int_equal(
        test_number(test.reader, "SELECT count FROM suppression WHERE event_id = 25344 AND campaign_id = 3"), 5);
    assert_int_equal(step(&test, full), 0);
    test_store_end(&test);
}

static void a_250_before_the_error_mail_is_no_success(void **state)
{
    TEST_STORE(test, state);
    struct event fine = event_of_kind(EVENT_DELIVERED, ACTION_NONE),
                 late = event_of_kind(EVENT_BOUNCED, ACTION_SUPPRESS_AFTER_N);
    late.state_before = DELIVERY_DELIVERED;
    late.origin = EVENT_ORIGIN_MAIL;
    late.authenticity = AUTHENTICITY_GENUINE;
    for (int i = 1; i <= 5; i++) {
        step(&test, fine);
        assert_int_equal(step(&test, late), i == 5 ? EVENT_EXCLUDED : 0);
        assert_int_equal(strikes(&test), i);
    }
    test_store_end(&test);
}

static void the_list_is_searched_and_paged(void **state)
{
    TEST_STORE(test, state);
    char address[50][32];
    for (int i = 0; i < 50; i++) {
        snprintf(address[i], sizeof(address[i]), "p%02d@%s.example", i, i % 2 ? "a_b" : "axb");
        add(&test, (struct suppression){.address = slice_str(address[i]),
                                        .why = i % 5 ? SUPPRESS_ERROR : SUPPRESS_COMPLAINT,
                                        .reason = i % 3 ? REASON_USER_UNKNOWN : REASON_MAILBOX_FULL,
                                        .since = NOW + i / 4,
                                        .brand_id = i % 10 == 0});
    }
    static const struct {
        const char *row;
        struct suppress_filter filter;
        size_t count;
    } table[] = {
        {"all", {0}, 50},
        {"why", {.by_why = true, .why = SUPPRESS_COMPLAINT}, 10},
        {"reason", {.by_reason = true, .reason = REASON_MAILBOX_FULL}, 17},
        {"brand", {.brand_id = 1}, 5},
        {"part", {.text = SLICE_INIT("p1")}, 10},
        {"any case", {.text = SLICE_INIT("P1")}, 10},
        {"_ means itself", {.text = SLICE_INIT("a_b")}, 25},
        {"exact", {.text = SLICE_INIT("P02@axb.example")}, 1},
        {"a quote", {.text = SLICE_INIT("'; DROP TABLE suppression; --")}, 0},
    };
    struct fault why = {0};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct arena arena = {0};
        struct suppress_page page;
        if (!suppress_list(test.reader, &why, &table[i].filter, 100, &arena, &page))
            fail_msg("%s", why.text);
        assert_int_row(table[i].row, page.count, table[i].count);
        arena_release(&arena);
    }
    struct suppress_filter filter = {0};
    struct arena arena = {0};
    struct suppress_page page = {.has_more = true};
    size_t total = 0;
    while (page.has_more) {
        assert_true(suppress_list(test.reader, &why, &filter, 7, &arena, &page));
        total += page.count;
        const struct suppression *last = &page.rows[page.count - 1];
        assert_true(!filter.before || last->since <= filter.before);
        filter.before = last->since;
        filter.before_address = last->address;
        filter.before_brand = last->brand_id;
    }
    assert_int_equal(total, 50);
    arena_release(&arena);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(brands_topics_and_expiry),
        ON_BOTH(a_wish_is_not_weakened),
        ON_BOTH(only_the_address_s_own_faults_count),
        ON_BOTH(five_in_a_row_exclude_and_a_success_resets),
        ON_BOTH(a_250_before_the_error_mail_is_no_success),
        ON_BOTH(the_list_is_searched_and_paged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
