/* Events: places without gaps, readers that see each once, error lists by filter and page (S12, D of the report pages).
 */
#include "event/event_test.h"
#include "event/reader.h"
#include "event/retire.h"

#include <pthread.h>
#include <unistd.h>

enum { DAY = 86400000 };
static void an_event_comes_back_whole(void **state)
{
    TEST_STORE(test, state);
    struct event in = {
        .bucket = 9,
        .at = NOW,
        .kind = EVENT_BOUNCED,
        .origin = EVENT_ORIGIN_MAIL,
        .delivery_id = 11 << 8 | 9,
        .campaign_id = 12,
        .contact_id = 13,
        .brand_id = 14,
        .mail_id = 15,
        .address = SLICE("taro@example.jp"),
        .domain = SLICE("example.jp"),
        .site = SLICE("mx.example.jp"),
        .state_before = DELIVERY_WAITING,
        .state_after = DELIVERY_BOUNCED,
        .verdict = {.reason = REASON_USER_UNKNOWN,
                    .action = ACTION_SUPPRESS_NOW,
                    .scope = SCOPE_ADDRESS,
                    .whose = WHOSE_ADDRESS,
                    .is_permanent = true,
                    .rule = SLICE("general/user-unknown"),
                    .words = SLICE("general"),
                    .mark_from = 3,
                    .mark_to = 8},
        .authenticity = AUTHENTICITY_GENUINE,
        .stage = STAGE_RCPT,
        .code = 550,
        .status = {5, 1, 1},
        .diagnostic = SLICE("550 5.1.1 <taro@example.jp>: user unknown"),
        .remote_mta = SLICE("mx.example.jp[192.0.2.1]"),
        .attempt = 2,
        .next_attempt_at = NOW + 5,
        .note = SLICE("n"),
    };
    put(&test, &in, 1);
    assert_int_equal(in.seq, 1);
    assert_true(in.id && id_bucket(in.id) == 9);
    struct arena arena = {0};
    struct fault why = {0};
    struct event_page page;
    assert_true(event_since(test.reader, &why, 9, 0, 10, &arena, &page));
    assert_int_equal(page.count, 1);
    struct event out = page.events[0];
#define SAME(field)      assert_int_row(#field, out.field, in.field)
#define SAME_TEXT(field) assert_slice(#field, out.field, in.field)
    SAME(bucket);
    SAME(seq);
    SAME(id);
    SAME(at);
    SAME(kind);
    SAME(origin);
    SAME(delivery_id);
    SAME(campaign_id);
    SAME(contact_id);
    SAME(brand_id);
    SAME(mail_id);
    SAME(state_before);
    SAME(state_after);
    SAME(verdict.reason);
    SAME(verdict.action);
    SAME(verdict.scope);
    SAME(verdict.whose);
    SAME(verdict.is_permanent);
    SAME(verdict.mark_from);
    SAME(verdict.mark_to);
    SAME(authenticity);
    SAME(stage);
    SAME(code);
    SAME(status[0]);
    SAME(status[1]);
    SAME(status[2]);
    SAME(attempt);
    SAME(next_attempt_at);
    assert_int_equal(out.n, 1);
    SAME_TEXT(address);
    SAME_TEXT(domain);
    SAME_TEXT(site);
    SAME_TEXT(verdict.rule);
    SAME_TEXT(verdict.words);
    SAME_TEXT(diagnostic);
    SAME_TEXT(remote_mta);
    SAME_TEXT(note);
    struct event found;
    assert_true(event_find(test.reader, &why, in.id, &arena, &found));
    assert_int_equal(found.seq, 1);
    assert_false(event_find(test.reader, &why, in.id + 256, &arena, &found));
    assert_int_equal(why.kind, FAULT_NONE);
    arena_release(&arena);
    test_store_end(&test);
}

static void strangers_text_is_made_clean(void **state)
{
    TEST_STORE(test, state);
    static char huge[5000];
    memset(huge, 'x', sizeof(huge));
    memcpy(huge + EVENT_DIAGNOSTIC_MAX - 1, "\xe3\x81\x82", 3); /* would be cut in the middle */
    static const struct {
        const char *row;
        struct slice in, want;
    } table[] = {
        {"NUL", SLICE_INIT("a\0b"), SLICE_INIT("a b")},
        {"not UTF-8", SLICE_INIT("a\xffz"), SLICE_INIT("a\xef\xbf\xbdz")},
        {"fine", SLICE_INIT("宛先不明"), SLICE_INIT("宛先不明")},
    };
    struct event events[4];
    for (int i = 0; i < 4; i++)
        events[i] = plain(1, EVENT_BOUNCED);
    for (size_t i = 0; i < COUNT_OF(table); i++)
        events[i].diagnostic = table[i].in;
    events[3].diagnostic = slice_of(huge, sizeof(huge));
    put(&test, events, 4);
    struct arena arena = {0};
    struct fault why = {0};
    struct event_page page;
    assert_true(event_since(test.reader, &why, 1, 0, 10, &arena, &page));
    for (size_t i = 0; i < COUNT_OF(table); i++)
        assert_slice(table[i].row, page.events[i].diagnostic, table[i].want);
    assert_true(page.events[3].diagnostic.len <= EVENT_DIAGNOSTIC_MAX &&
                page.events[3].diagnostic.len >= EVENT_DIAGNOSTIC_MAX - 8);
    arena_release(&arena);
    test_store_end(&test);
}

static void seqs_have_no_gap_and_keep_order(void **state)
{
    TEST_STORE(test, state);
    enum { N = 3000 };
    struct event *events = NEW_ARRAY(struct event, N);
    uint64_t next[ID_BUCKETS] = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            events[i] = plain((unsigned)(i * 7919 + round) % ID_BUCKETS, EVENT_BOUNCED);
            events[i].attempt = i + 1;
        }
        put(&test, events, N);
        for (int i = 0; i < N; i++) /* in the order given within each log */
            assert_int_equal(events[i].seq, ++next[events[i].bucket]);
    }
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM event"), 3 * N);
    assert_int_equal(test_number(test.reader, "SELECT CAST(SUM(seq) AS BIGINT) FROM bucket_counter"), 3 * N);
    free(events);
    test_store_end(&test);
}

/* ── one transaction held open while another wants to commit later rows ── */

struct held {
    struct write_job job;
    bool (*act)(struct db *db, struct fault *why, void *context); /* NULL: appends */
    void *context;
    struct event event;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool may_end, has_acted;
    int done;
};
static bool held_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct held *held = (struct held *)job;
    if (held->act ? !held->act(db, why, held->context) : !event_append(db, why, &held->event, 1))
        return false;
    pthread_mutex_lock(&held->lock);
    held->has_acted = true;
    pthread_cond_broadcast(&held->wake);
    while (!held->may_end)
        pthread_cond_wait(&held->wake, &held->lock);
    pthread_mutex_unlock(&held->lock);
    return true;
}
static void held_done(struct write_job *job, const struct fault *why)
{
    struct held *held = (struct held *)job;
    pthread_mutex_lock(&held->lock);
    held->done = why ? -1 : 1;
    pthread_cond_broadcast(&held->wake);
    pthread_mutex_unlock(&held->lock);
}
static void held_wait_acted(struct held *held)
{
    pthread_mutex_lock(&held->lock);
    while (!held->has_acted)
        pthread_cond_wait(&held->wake, &held->lock);
    pthread_mutex_unlock(&held->lock);
}
static void held_let_end(struct held *held)
{
    pthread_mutex_lock(&held->lock);
    held->may_end = true;
    pthread_cond_broadcast(&held->wake);
    pthread_mutex_unlock(&held->lock);
}
static int held_wait_done(struct held *held)
{
    pthread_mutex_lock(&held->lock);
    while (!held->done)
        pthread_cond_wait(&held->wake, &held->lock);
    pthread_mutex_unlock(&held->lock);
    return held->done;
}
static void a_later_commit_never_overtakes(void **state)
{
    TEST_STORE(test, state);
    struct fault why = {0};
    struct store *other = store_open(test.url, NULL, &why); /* another node */
    assert_non_null(other);
    struct held first = {.job = {.run = held_run, .done = held_done},
                         .event = plain(5, EVENT_OPENED),
                         .lock = PTHREAD_MUTEX_INITIALIZER,
                         .wake = PTHREAD_COND_INITIALIZER};
    struct held second = {.job = {.run = held_run, .done = held_done},
                          .event = plain(5, EVENT_CLICKED),
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .wake = PTHREAD_COND_INITIALIZER,
                          .may_end = true};
    store_write(test.store, &first.job);
    held_wait_acted(&first);
    store_write(other, &second.job); /* waits for the counter's row */
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM event"), 0);
    assert_int_equal(second.done, 0);
    held_let_end(&first);
    assert_int_equal(held_wait_done(&second), 1);
    assert_int_equal(first.event.seq, 1);
    assert_int_equal(second.event.seq, 2);
    store_close(other);
    test_store_end(&test);
}

/* ── readers ── */

struct seen {
    uint64_t next[ID_BUCKETS];
    size_t total, fail_after;
    const struct bucket_set *buckets;
    uint64_t kinds;
    size_t max, batches;
    size_t count;
    bool has_more;
};
static bool seen_sink(void *context, struct db *db, struct fault *why, const struct event *events, size_t count)
{
    struct seen *seen = context;
    for (size_t i = 0; i < count; i++) {
        struct value bucket = V_INT(events[i].bucket);
        /* the reader's own table, which moves with its cursor */
        if (!db_do(db, why,
                   "INSERT INTO count_state (bucket, campaign_id, domain, state, n) VALUES ($1, 0, '', 0, 1) ON "
                   "CONFLICT (bucket, campaign_id, domain, state) DO UPDATE SET n = count_state.n + 1",
                   &bucket, 1, NULL))
            return false;
    }
    seen->total += count;
    if (seen->fail_after && seen->total >= seen->fail_after)
        return fault_set(why, FAULT_INPUT, "on purpose");
    return true;
}
static bool read_batch(struct db *db, struct fault *why, void *context)
{
    struct seen *seen = context;
    return event_reader_next_batch(db, why, "test", seen->buckets, seen->kinds, seen->max, seen_sink, seen,
                                   &seen->count, &seen->has_more);
}
static bool make_parts(struct db *db, struct fault *why, void *context)
{
    return event_parts_make(db, why, NOW, 1);
}
/* PostgreSQL: its events move from one table to another, while a reader of another node wants them (R34). */
static void a_month_that_gets_its_part_hides_nothing_from_a_reader(void **state)
{
    TEST_STORE(test, state);
    enum { N = 200 };
    struct fault why = {0};
    struct event events[N];
    for (unsigned i = 0; i < N; i++)
        events[i] = plain(i % 100, EVENT_OPENED);
    put(&test, events, N);
    struct store *other = store_open(test.url, NULL, &why); /* another node */
    assert_non_null(other);
    struct seen seen = {.max = 1000};
    struct held first = {.job = {.run = held_run, .done = held_done},
                         .act = make_parts,
                         .lock = PTHREAD_MUTEX_INITIALIZER,
                         .wake = PTHREAD_COND_INITIALIZER};
    struct held second = {.job = {.run = held_run, .done = held_done},
                          .act = read_batch,
                          .context = &seen,
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .wake = PTHREAD_COND_INITIALIZER,
                          .may_end = true};
    store_write(test.store, &first.job);
    held_wait_acted(&first);
    store_write(other, &second.job);
    while (!test_number(test.reader, "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"))
        usleep(1000);
    held_let_end(&first);
    assert_int_equal(held_wait_done(&second), 1);
    assert_int_equal(seen.count, N);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM event_other"), 0);
    store_close(other);
    test_store_end(&test);
}
static void a_reader_sees_each_event_once_whatever_fails(void **state)
{
    TEST_STORE(test, state);
    enum { N = 1000 };
    struct event *events = NEW_ARRAY(struct event, N);
    for (int i = 0; i < N; i++)
        events[i] = plain((unsigned)i % 10 == 0 ? 200 : (unsigned)i % 100, EVENT_BOUNCED);
    put(&test, events, N);
    struct fault why = {0};
    uint64_t lag;
    assert_true(event_reader_lag(test.reader, &why, "test", &lag));
    assert_int_equal(lag, N);
    struct seen bad = {.max = 100, .fail_after = 1};
    assert_false(test_write_try(test.store, read_batch, &bad, &why));
    struct bucket_set half = {{~(uint64_t)0, 0, 0, 0}};
    struct seen some = {.max = 10000, .buckets = &half};
    test_write(test.store, read_batch, &some);
    assert_int_equal(some.count, 57 * 10 + 0); /* buckets 0..63 without those ending in 0 */
    struct seen rest = {.max = 50, .has_more = true};
    while (rest.has_more)
        test_write(test.store, read_batch, &rest), rest.batches++;
    assert_true(rest.batches > 3);
    assert_int_equal(test_number(test.reader, "SELECT CAST(SUM(n) AS BIGINT) FROM count_state"), N);
    assert_int_equal(test_number(test.reader, "SELECT n FROM count_state WHERE bucket = 200"), N / 10);
    test_write(test.store, read_batch, &rest);
    assert_int_equal(rest.count, 0);
    assert_true(event_reader_lag(test.reader, &why, "test", &lag));
    assert_int_equal(lag, 0);
    free(events);
    test_store_end(&test);
}

/* One bucket with nearly everything, as clicks make it: nobody waits for the others' small shares, and nobody starves.
 */
static void a_reader_takes_what_it_wants_and_all_it_may(void **state)
{
    TEST_STORE(test, state);
    enum { N = 1000 };
    struct event *events = NEW_ARRAY(struct event, N);
    for (int i = 0; i < N; i++)
        events[i] = plain(i % 20 == 0 ? (unsigned)i / 20 : 77, i % 2 ? EVENT_CLICKED : EVENT_DELIVERED);
    put(&test, events, N);
    struct seen most = {.max = 500};
    test_write(test.store, read_batch, &most);
    assert_int_equal(most.count, 500);
    assert_true(most.has_more);
    assert_int_equal(test_number(test.reader, "SELECT COUNT(*) FROM count_state"), 51); /* each bucket had its turn */
    struct seen clicks = {.max = N, .kinds = EVENT_BIT(EVENT_CLICKED)};
    test_write(test.store, read_batch, &clicks);
    assert_false(clicks.has_more);
    assert_true(clicks.count > 200 && clicks.count < 300); /* the others were passed over */
    struct fault why = {0};
    uint64_t lag;
    assert_true(event_reader_lag(test.reader, &why, "test", &lag));
    assert_int_equal(lag, 0);
    free(events);
    test_store_end(&test);
}

static _Atomic size_t followed;
static void count_followed(void *context, size_t events)
{
    followed += events;
}
static void a_follower_is_woken_by_commits(void **state)
{
    TEST_STORE(test, state);
    followed = 0;
    struct seen seen = {0};
    struct event_follower_options options = {
        .name = "follow", .sink = seen_sink, .context = &seen, .batch = 64, .after = count_followed};
    struct event_follower *follower = event_follow(test.store, &options);
    struct event events[500];
    for (int i = 0; i < 500; i++)
        events[i] = plain((unsigned)i % 256, EVENT_OPENED);
    put(&test, events, 500);
    struct fault why = {0};
    assert_true(event_follower_catch_up(follower, &why));
    assert_int_equal(test_number(test.reader, "SELECT CAST(SUM(n) AS BIGINT) FROM count_state"), 500);
    event_follower_stop(follower);
    assert_int_equal(seen.total, 500);
    test_store_end(&test);
}

/* ── error lists ── */

static void error_lists_by_filter_and_page(void **state)
{
    TEST_STORE(test, state);
    enum { N = 100 };
    struct event events[N + 2];
    for (int i = 0; i < N; i++) {
        events[i] = plain((unsigned)i, i % 2 ? EVENT_BOUNCED : EVENT_DEFERRED);
        events[i].at = NOW + i * 1000;
        events[i].campaign_id = i < 50 ? 1 : 2;
        events[i].domain = i % 4 == 0 ? SLICE("a.example") : SLICE("b.example");
        events[i].address = i == 42 ? SLICE("han_ako@a.example") : SLICE("taro@b.example");
        events[i].diagnostic = i == 7 ? SLICE("550 No Such 100% User") : SLICE("450 busy");
        events[i].status[0] = 5, events[i].status[1] = 1, events[i].status[2] = (uint16_t)(i % 3);
        events[i].verdict.reason = i % 5 ? REASON_MAILBOX_FULL : REASON_USER_UNKNOWN;
        events[i].verdict.whose = i % 5 ? WHOSE_RECEIVER : WHOSE_ADDRESS;
    }
    events[N] = plain(1, EVENT_DELIVERED); /* no problem: never listed */
    events[N + 1] = plain(1, EVENT_ACCEPTED);
    put(&test, events, N + 2);
    static const struct {
        const char *row;
        struct event_filter filter;
        size_t count;
    } table[] = {
        {"all", {0}, 100},
        {"campaign", {.campaign_id = 2}, 50},
        {"no such campaign", {.campaign_id = 3}, 0},
        {"kind", {.kinds = EVENT_BIT(EVENT_BOUNCED)}, 50},
        {"kinds that are no problem", {.kinds = EVENT_BIT(EVENT_DELIVERED)}, 0},
        {"reason", {.by_reason = true, .reason = REASON_USER_UNKNOWN}, 20},
        {"whose", {.by_whose = true, .whose = WHOSE_RECEIVER}, 80},
        {"domain", {.domain = SLICE_INIT("a.example")}, 25},
        {"status", {.status = SLICE_INIT("5.1.1")}, 33},
        {"since", {.since = 1795000090000}, 10},
        {"until", {.until = 1795000010000}, 10},
        {"text in the diagnostic, any case", {.text = SLICE_INIT("no such")}, 1},
        {"text in the address", {.text = SLICE_INIT("HAN_AKO")}, 1},
        {"% means itself", {.text = SLICE_INIT("100% u")}, 1},
        {"_ means itself", {.text = SLICE_INIT("t_ro")}, 0},
        {"a quote breaks nothing", {.text = SLICE_INIT("' OR 1=1 --")}, 0},
        {"several",
         {.campaign_id = 1, .by_reason = true, .reason = REASON_USER_UNKNOWN, .kinds = EVENT_BIT(EVENT_BOUNCED)},
         5},
    };
    struct fault why = {0};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct arena arena = {0};
        struct event_page page;
        if (!event_problems(test.reader, &why, &table[i].filter, 1000, &arena, &page))
            fail_msg("%s: %s", table[i].row, why.text);
        assert_int_row(table[i].row, page.count, table[i].count);
        assert_row(table[i].row, !page.has_more);
        for (size_t k = 1; k < page.count; k++)
            assert_row(table[i].row, page.events[k - 1].id > page.events[k].id);
        arena_release(&arena);
    }
    struct event_filter filter = {0};
    uint64_t faults[WHOSE_COUNT];
    assert_true(event_problem_faults(test.reader, &why, &filter, faults));
    assert_int_equal(faults[WHOSE_RECEIVER], 80);
    assert_int_equal(faults[WHOSE_ADDRESS], 20);
    assert_int_equal(faults[WHOSE_NONE] + faults[WHOSE_MESSAGE] + faults[WHOSE_SENDER], 0);
    size_t total = 0;
    bool has_more = true;
    while (has_more) {
        struct arena arena = {0};
        struct event_page page;
        assert_true(event_problems(test.reader, &why, &filter, 30, &arena, &page));
        total += page.count;
        has_more = page.has_more;
        filter.before_id = page.events[page.count - 1].id;
        arena_release(&arena);
    }
    assert_int_equal(total, N);
    test_store_end(&test);
}

/* On SQLite; so that a commit of many mails writes few pages. Their ids keep the bucket of the address. */
static void what_comes_in_masses_stands_together(void **state)
{
    TEST_STORE(test, state);
    static const struct {
        enum event_kind kind;
        enum delivery_state before;
        int attempt;
        bool is_common;
    } table[] = {
        {EVENT_ACCEPTED, DELIVERY_STATE_COUNT, 0, true},   {EVENT_DELIVERED, DELIVERY_WAITING, 1, true},
        {EVENT_DELIVERED, DELIVERY_DEFERRED, 2, false},    {EVENT_DELIVERED, DELIVERY_WAITING, 2, false},
        {EVENT_OPENED, DELIVERY_STATE_COUNT, 0, true},     {EVENT_CLICKED, DELIVERY_STATE_COUNT, 0, true},
        {EVENT_DOWNLOADED, DELIVERY_STATE_COUNT, 0, true}, {EVENT_DEFERRED, DELIVERY_WAITING, 1, false},
        {EVENT_BOUNCED, DELIVERY_WAITING, 1, false},       {EVENT_HELD, DELIVERY_WAITING, 0, false},
        {EVENT_COMPLAINT, DELIVERY_STATE_COUNT, 0, false},
    };
    bool is_sqlite = strcmp(*state, "sqlite") == 0;
    struct event events[COUNT_OF(table)];
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        events[i] = plain(40 + (unsigned)i, table[i].kind);
        events[i].state_before = table[i].before;
        events[i].attempt = table[i].attempt;
    }
    put(&test, events, COUNT_OF(table));
    uint64_t together = 0;
    struct fault why = {0};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        bool is_common = is_sqlite && table[i].is_common;
        SCOPED(arena) arena = {0};
        struct event_page page;
        assert_int_equal(events[i].seq, is_common ? ++together : 1);
        assert_true(event_since(test.reader, &why, is_common ? EVENT_COMMON_LOG : 40 + (unsigned)i, events[i].seq - 1,
                                1, &arena, &page));
        assert_int_row(event_word(table[i].kind).ptr, page.events[0].kind, table[i].kind);
        assert_int_equal(id_bucket(page.events[0].id), 40 + i);
        assert_int_equal(page.events[0].bucket, is_common ? EVENT_COMMON_LOG : 40 + (unsigned)i);
    }
    test_store_end(&test);
}

/* An id is never made twice, also behind a restart with a clock that stands still: whatever log has the last one. */
static void ids_of_the_common_log_are_not_made_again(void **state)
{
    TEST_STORE(test, state);
    struct event events[200];
    for (int i = 0; i < 200; i++)
        events[i] = plain(i < 100 ? 9 : 10, EVENT_OPENED);
    put(&test, events, 200);
    uint64_t last = events[99].id;
    test_store_close(&test);
    test_store_reopen(&test);
    events[0] = plain(9, EVENT_OPENED);
    put(&test, events, 1);
    assert_true(events[0].id > last);
    test_store_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(an_event_comes_back_whole),
        ON_BOTH(strangers_text_is_made_clean),
        ON_BOTH(seqs_have_no_gap_and_keep_order),
        ON_BOTH(a_later_commit_never_overtakes),
        cmocka_unit_test_prestate(a_month_that_gets_its_part_hides_nothing_from_a_reader,
                                  (void *)(uintptr_t) "postgres"),
        ON_BOTH(a_reader_sees_each_event_once_whatever_fails),
        ON_BOTH(a_reader_takes_what_it_wants_and_all_it_may),
        ON_BOTH(a_follower_is_woken_by_commits),
        ON_BOTH(error_lists_by_filter_and_page),
        ON_BOTH(what_comes_in_masses_stands_together),
        ON_BOTH(ids_of_the_common_log_are_not_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
