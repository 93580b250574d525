/* The whole engine, in this process, against scripted receivers over real sockets: R16, R21, R22, R23, R25, R28, R29,
 * R31, R34, F5, U1. The clock is the real one; retries, pauses and timeouts are scaled down. */
#include "deliver/engine.h"
#include "deliver/receiver_test.h"
#include "dns/zone.h"
#include "shape/allowance.h"
#include "shape/source.h"
#include "store/testing.h"

#include "mail/address.h"

enum { PEOPLE_MOST = 5000 };
static const double SCALE = 0.0002, TIMEOUTS = 0.003;

struct fixture {
    struct test_store store;
    struct world world;
    struct rules *rules;
    struct tls_roots *roots;
    struct leases leases;
    struct engine_options options;
    struct engine *engine;
    struct receiver *receivers;
    size_t receiver_count;
    char people[PEOPLE_MOST][64];
    size_t count;
    _Atomic int composed, compose_faults;
    const char *suppress; /* this one is excluded while it is composed */
};

/* ── what the engine asks of others ── */

static bool exclude_run(struct db *db, struct fault *why, void *context)
{
    bool is_new;
    const struct suppression row = {
        .address = slice_str(context), .why = SUPPRESS_UNSUBSCRIBED, .since = 1795321800000};
    return suppress_add(db, why, &row, &is_new);
}

static bool compose(void *self, unsigned worker, const struct recipient *recipient, struct outgoing **out,
                    struct fault *why)
{
    struct fixture *fixture = self;
    atomic_fetch_add(&fixture->composed, 1);
    if (atomic_load(&fixture->compose_faults) > 0 && atomic_fetch_sub(&fixture->compose_faults, 1) > 0)
        return fault_set(why, FAULT_WORLD, "the store cannot be read");
    if (slice_starts(recipient->address, SLICE("unrenderable")))
        return fault_set(why, FAULT_INPUT, "template line 3: no such field");
    if (fixture->suppress && slice_starts(recipient->address, slice_str(fixture->suppress))) {
        char *address = slice_dup(recipient->address);
        test_write(fixture->store.store, exclude_run, address);
        free(address);
    }
    char body[300];
    snprintf(body, sizeof(body),
             "Message-ID: <%llu@shop.example>\r\nFrom: news@shop.example\r\nSubject: x\r\n\r\n.dots and text\r\n",
             (unsigned long long)recipient->id);
    *out = outgoing_new(SLICE("b-token@bounce.shop.example"), recipient->written, slice_str(body));
    (*out)->version_id = 3;
    (*out)->date = 1795321800000;
    return true;
}

/* ── the house ── */

struct submission {
    struct fixture *fixture;
    struct submit_order order;
    struct arena arena;
    struct submit_news *news[ID_BUCKETS];
    size_t counts[ID_BUCKETS];
};
static bool submission_run(struct db *db, struct fault *why, void *context)
{
    struct submission *submission = context;
    struct fixture *fixture = submission->fixture;
    struct submit_row *rows = NEW_ARRAY(struct submit_row, PEOPLE_MOST);
    bool ok = true;
    for (unsigned bucket = 0; ok && bucket < ID_BUCKETS; bucket++) {
        size_t count = 0;
        for (size_t i = 0; i < fixture->count; i++) {
            struct slice address = slice_str(fixture->people[i]);
            if (address_bucket(address) == bucket)
                rows[count++] = (struct submit_row){.address = address, .written = address};
        }
        ok = submit_rows(db, why, &submission->order, rows, count, &submission->arena, &submission->news[bucket],
                         &submission->counts[bucket]);
    }
    free(rows);
    return ok;
}

static void start(struct fixture *fixture)
{
    struct fault why;
    if (!engine_start(&fixture->options, &fixture->engine, &why))
        fail_msg("%s", why.text);
}

/* Everybody in fixture->people is submitted to one campaign (0: transactional). */
static void submit_as(struct fixture *fixture, uint64_t brand_id, uint64_t campaign_id)
{
    time_ms now = world_wall(&fixture->world);
    struct submission submission = {.fixture = fixture,
                                    .order = {.brand_id = brand_id,
                                              .campaign_id = campaign_id,
                                              .priority = campaign_id != 0,
                                              .now = now,
                                              .due = now,
                                              .expires = now + DAYS_MS(1)}};
    test_write(fixture->store.store, submission_run, &submission);
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
        engine_submitted(fixture->engine, submission.news[bucket], submission.counts[bucket]);
    arena_release(&submission.arena);
}
static void submit(struct fixture *fixture)
{
    submit_as(fixture, 7, 5);
}

static void person(struct fixture *fixture, const char *local, const char *domain)
{
    snprintf(fixture->people[fixture->count++], 64, "%s@%s", local, domain);
}
static void crowd(struct fixture *fixture, int count, const char *domain)
{
    char local[32];
    for (int i = 0; i < count; i++) {
        snprintf(local, sizeof(local), "p%d", i);
        person(fixture, local, domain);
    }
}

/* A receiver's domain is its place in the list: r0.example is receivers[0]. google0.example too, by a host of Google's.
 */
static void open_house(struct fixture *fixture)
{
    struct fault why;
    struct receiver *receivers = fixture->receivers;
    size_t count = fixture->receiver_count;
    test_store_reopen(&fixture->store);
    world_init(&fixture->world, NETWORK_LOOPBACK);
    unsigned house = (unsigned)getpid();
    char zone[16384];
    size_t len = (size_t)snprintf(zone, sizeof(zone), "{");
    for (size_t i = 0; i < count; i++) {
        receiver_start(&receivers[i], i, &house);
        len += (size_t)snprintf(
            zone + len, sizeof(zone) - len,
            "\"r%zu.example\":{\"MX\":[[10,\"mx.r%zu.example\"]]},\"mx.r%zu.example\":{\"A\":[\"%s\"]},"
            "\"google%zu.example\":{\"MX\":[[10,\"mx%zu.google.com\"]]},"
            "\"mx%zu.google.com\":{\"A\":[\"%s\"]},",
            i, i, i, receivers[i].ip, i, i, i, receivers[i].ip);
    }
    snprintf(
        zone + len, sizeof(zone) - len,
        "\"null.example\":{\"MX\":[[0,\".\"]]},\"broken.example\":{\"error\":\"servfail\"},"
        "\"1.0.88.127.bl.example\":{\"A\":[\"127.0.0.2\"]},\"2.0.88.127.bl.example\":{\"A\":[\"127.255.255.254\"]},"
        "\"nobody.example\":{\"MX\":[[10,\"mx.nobody.example\"]]},\"mx.nobody.example\":{\"A\":[\"127.77.255.9\"]},"
        "\"second.example\":{\"MX\":[[10,\"mx.nobody.example\"],[20,\"mx.r0.example\"]]}}");
    fixture->world.resolver = zone_resolver_of_json(slice_str(zone), &why);
    if (!fixture->world.resolver || !rules_open(&fixture->rules, &why))
        fail_msg("%s", why.text);
    fixture->roots = tls_roots_none();
    fixture->leases = (struct leases){.node = 1};
    fixture->options = (struct engine_options){
        .store = fixture->store.store,
        .world = &fixture->world,
        .rules = fixture->rules,
        .composer = {.self = fixture, .compose = compose},
        .ledger = {.leases = &fixture->leases, .node = 1},
        .roots = fixture->roots,
        .ehlo_name = SLICE("todoke.example"),
        .retry = {.scale = SCALE},
        .in_doubt_wait = MINUTES_MS(60),
        .idle_ms = 300,
        .workers = 2,
        .composers = 2,
        .timeouts = {TIMEOUTS},
    };
    start(fixture);
}
#define HOUSE(fixture, state, n)                                                                                       \
    struct fixture *fixture = NEW(struct fixture);                                                                     \
    if (!test_store_url(&fixture->store, state)) {                                                                     \
        free(fixture);                                                                                                 \
        skip();                                                                                                        \
    }                                                                                                                  \
    struct receiver *receivers = NEW_ARRAY(struct receiver, n);                                                        \
    fixture->receivers = receivers;                                                                                    \
    fixture->receiver_count = n

static int64_t number(struct fixture *fixture, const char *sql)
{
    return test_number(fixture->store.reader, sql);
}
static int64_t in_state(struct fixture *fixture, enum delivery_state state)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM delivery WHERE state = %d", state);
    return number(fixture, sql);
}
static int64_t events(struct fixture *fixture, enum event_kind kind)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d", kind);
    return number(fixture, sql);
}

static int64_t events_of(struct fixture *fixture, const char *address, enum event_kind kind)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d AND address = '%s'", kind, address);
    return number(fixture, sql);
}

static void wait_until_state(struct fixture *fixture, const char *row, enum delivery_state state, int64_t want)
{
    for (int i = 0; i < 4000 && in_state(fixture, state) < want; i++)
        receiver_pause(5);
    if (in_state(fixture, state) == want)
        return;
    for (int s = 0; s < DELIVERY_STATE_COUNT; s++)
        if (in_state(fixture, (enum delivery_state)s))
            print_message("  %s: %lld\n", delivery_word((enum delivery_state)s).ptr,
                          (long long)in_state(fixture, (enum delivery_state)s));
    fail_msg("%s: %s never was %lld", row, delivery_word(state).ptr, (long long)want);
}
static void wait_until_accepted(struct receiver *receiver, int least)
{
    for (int i = 0; i < 4000 && atomic_load(&receiver->accepted) < least; i++)
        receiver_pause(2);
    assert_true(atomic_load(&receiver->accepted) >= least);
}

/* Nobody is lost, and who got it twice was in doubt before. */
static void nobody_twice(struct fixture *fixture, const char *row)
{
    for (size_t i = 0; i < fixture->count; i++) {
        int took = 0;
        for (size_t r = 0; r < fixture->receiver_count; r++)
            took += receiver_took(&fixture->receivers[r], fixture->people[i]);
        if (took > 1 && took - 1 > events_of(fixture, fixture->people[i], EVENT_IN_DOUBT))
            fail_msg("%s: %s got it %d times", row, fixture->people[i], took);
    }
    assert_int_row(row, number(fixture, "SELECT COUNT(*) FROM delivery"), fixture->count);
}

static void leave(struct fixture *fixture)
{
    if (fixture->engine)
        engine_stop(fixture->engine, 2000);
    assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 0);
    for (size_t i = 0; i < fixture->receiver_count; i++)
        receiver_stop(&fixture->receivers[i]);
    rules_free(fixture->rules);
    tls_roots_free(fixture->roots);
    resolver_free(fixture->world.resolver);
    test_store_end(&fixture->store);
    free(fixture->receivers);
    free(fixture);
}

/* ── stories ── */

static void a_crowd_is_delivered_over_few_connections(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1};
    open_house(fixture);
    crowd(fixture, 500, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "crowd", DELIVERY_DELIVERED, 500);
    nobody_twice(fixture, "crowd");
    assert_int_equal(events(fixture, EVENT_DELIVERED), 500);
    assert_true(atomic_load(&receivers[0].open_most) <= 10); /* R28: the default for a site */
    assert_true(atomic_load(&receivers[0].messages_most) <= 100);
    assert_true(atomic_load(&receivers[0].seen) <= 30); /* reused */
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM delivery WHERE attempts = 1 AND version_id = 3"), 500);
    leave(fixture);
}

/* One person meets one answer: what becomes of the delivery, and what the other person notices of it (nothing). */
static void answers_at_every_stage(void **state)
{
    static const struct {
        const char *name;
        struct line line;
        enum delivery_state after;
        int deferred; /* events on the way */
        bool may_be_doubtful;
    } rows[] = {
        {"5xx at MAIL", {STAGE_MAIL, "550 5.7.1 no", 1}, DELIVERY_BOUNCED, 0},
        {"5xx at RCPT", {STAGE_RCPT, "550 5.1.1 user unknown", 0, "odd"}, DELIVERY_BOUNCED, 0},
        {"5xx at DATA", {STAGE_DATA, "554 5.7.1 spam", 0, "odd"}, DELIVERY_BOUNCED, 0},
        {"5xx at the dot", {STAGE_DOT, "554 5.7.1 spam", 0, "odd"}, DELIVERY_BOUNCED, 0},
        {"4xx at MAIL", {STAGE_MAIL, "451 4.3.0 later", 1}, DELIVERY_DELIVERED, 1},
        {"4xx at RCPT", {STAGE_RCPT, "450 4.2.0 greylisted", 1, "odd"}, DELIVERY_DELIVERED, 1},
        {"4xx at DATA", {STAGE_DATA, "451 4.3.0 later", 1, "odd"}, DELIVERY_DELIVERED, 1},
        {"4xx at the dot", {STAGE_DOT, "451 4.3.0 later", 1, "odd"}, DELIVERY_DELIVERED, 1},
        {"421 at the greeting", {STAGE_CONNECT, "421 4.3.2 busy", 1}, DELIVERY_DELIVERED, -1},
        {"421 at RCPT", {STAGE_RCPT, "421 4.7.0 slow down", 1, "odd"}, DELIVERY_DELIVERED, -1},
        {"421 at the dot", {STAGE_DOT, "421 4.7.0 slow down", 1, "odd"}, DELIVERY_DELIVERED, 1},
        {"reset at the greeting", {STAGE_CONNECT, "RESET", 1}, DELIVERY_DELIVERED, -1},
        {"reset at EHLO", {STAGE_EHLO, "RESET", 1}, DELIVERY_DELIVERED, -1},
        {"reset at MAIL", {STAGE_MAIL, "RESET", 1}, DELIVERY_DELIVERED, -1},
        {"reset at RCPT", {STAGE_RCPT, "RESET", 1, "odd"}, DELIVERY_DELIVERED, -1},
        {"closed at RCPT", {STAGE_RCPT, "CLOSE", 1, "odd"}, DELIVERY_DELIVERED, -1},
        {"reset at DATA", {STAGE_DATA, "RESET", 1, "odd"}, DELIVERY_DELIVERED, -1},
        {"reset after the dot", {STAGE_DOT, "RESET", 1, "odd"}, DELIVERY_DELIVERED, -1, true},
        {"garbage after the dot", {STAGE_DOT, "GARBAGE", 1, "odd"}, DELIVERY_DELIVERED, -1, true},
        {"silent at the greeting", {STAGE_CONNECT, "SILENT", 1}, DELIVERY_DELIVERED, -1},
        {"silent at RCPT", {STAGE_RCPT, "SILENT", 1, "odd"}, DELIVERY_DELIVERED, -1},
        {"silent after the dot", {STAGE_DOT, "SILENT", 1, "odd"}, DELIVERY_DELIVERED, -1, true},
    };
    /* one receiver for each row, with and without PIPELINING */
    HOUSE(fixture, state, 2 * COUNT_OF(rows));
    char domain[32], name[80];
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        receivers[i] = (struct receiver){.script = {rows[i / 2].line}, .no_pipelining = i % 2};
        snprintf(domain, sizeof(domain), "r%zu.example", i);
        person(fixture, "odd", domain);
    }
    open_house(fixture);
    submit(fixture);
    int64_t bounced = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        bounced += 2 * (rows[i].after == DELIVERY_BOUNCED);
    wait_until_state(fixture, "bounced", DELIVERY_BOUNCED, bounced);
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, 2 * (int64_t)COUNT_OF(rows) - bounced);
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        snprintf(name, sizeof(name), "%s%s", rows[i / 2].name, i % 2 ? ", without PIPELINING" : "");
        const char *address = fixture->people[i];
        if (rows[i / 2].deferred >= 0)
            assert_int_row(name, events_of(fixture, address, EVENT_DEFERRED), rows[i / 2].deferred);
        assert_int_row(name, events_of(fixture, address, EVENT_IN_DOUBT), rows[i / 2].may_be_doubtful);
        assert_int_row(name, events_of(fixture, address, EVENT_BOUNCED), rows[i / 2].after == DELIVERY_BOUNCED);
        assert_int_row(name, events_of(fixture, address, EVENT_DELIVERED), rows[i / 2].after == DELIVERY_DELIVERED);
        assert_int_row(name, receiver_took(&receivers[i], address), rows[i / 2].after == DELIVERY_DELIVERED);
    }
    nobody_twice(fixture, "answers");
    leave(fixture);
}

/* R22: the bound on duplicates is what was on the wire, and each is named */
static void dropped_after_the_dot_is_in_doubt_and_goes_again_as_the_same_mail(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.script = {{STAGE_DOT, "TAKE_AND_CLOSE", 1}}};
    open_house(fixture);
    crowd(fixture, 30, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "dropped", DELIVERY_DELIVERED, 30);
    int64_t doubtful = events(fixture, EVENT_IN_DOUBT);
    assert_int_equal(doubtful, 1); /* F1: one connection, one mail: the dot behind it was not out yet */
    int twice = 0;
    for (int i = 0; i < 30; i++)
        twice += receiver_took(&receivers[0], fixture->people[i]) == 2;
    assert_int_equal(twice, 1);
    assert_int_equal(events(fixture, EVENT_RELEASED), doubtful);
    leave(fixture);
}

/* others are not disturbed by what one meets */
static void one_refusal_fails_nobody_else(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1,
                                     .script = {{STAGE_RCPT, "550 5.1.1 user unknown", 0, "p1"},
                                                {STAGE_DOT, "554 5.7.1 spam", 0, "p2"},
                                                {STAGE_RCPT, "421 4.3.2 service busy", 5, "p3"},
                                                {STAGE_MAIL, "RESET", 3, NULL, 4}}};
    open_house(fixture);
    crowd(fixture, 100, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "bounced", DELIVERY_BOUNCED, 22); /* p1, p1x, p2, p2x */
    wait_until_state(fixture, "delivered", DELIVERY_DELIVERED, 78);
    assert_int_equal(events(fixture, EVENT_BOUNCED), 22);
    nobody_twice(fixture, "one refusal");
    leave(fixture);
}

/* R31: opportunistic TLS that fails goes to the same host in clear */
static void a_failed_handshake_goes_on_in_clear(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.offers_tls = true, .script = {{STAGE_STARTTLS, "GARBAGE", 0}}};
    open_house(fixture);
    crowd(fixture, 20, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "tls", DELIVERY_DELIVERED, 20);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "tls");
    leave(fixture);
}

/* R14, R16 */
static void routes_that_lead_nowhere(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house(fixture);
    person(fixture, "a", "null.example");
    person(fixture, "b", "absent.example");
    person(fixture, "c", "broken.example");
    person(fixture, "d", "nobody.example");
    person(fixture, "e", "second.example"); /* its first MX refuses the connection, the second takes it */
    submit(fixture);
    wait_until_state(fixture, "nowhere", DELIVERY_BOUNCED, 2);
    wait_until_state(fixture, "second MX", DELIVERY_DELIVERED, 1);
    for (int i = 0; i < 1000 && number(fixture, "SELECT COUNT(DISTINCT address) FROM event WHERE kind = 4") < 2; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(DISTINCT address) FROM event WHERE kind = 4"), 2);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM suppression WHERE address LIKE 'c@%' OR address LIKE 'd@%'"),
                     0);
    nobody_twice(fixture, "nowhere");
    leave(fixture);
}

/* R29: excluded between the claim and the mark: never sent, and the others on that connection are not in doubt */
static void who_unsubscribes_while_the_mail_is_made_gets_none(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 2};
    fixture->suppress = "p1";
    open_house(fixture);
    crowd(fixture, 60, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "suppressed", DELIVERY_SUPPRESSED, 11); /* p1, p10..p19 */
    wait_until_state(fixture, "the others", DELIVERY_DELIVERED, 49);
    for (size_t i = 0; i < fixture->count; i++)
        assert_int_equal(receiver_took(&receivers[0], fixture->people[i]), strncmp(fixture->people[i], "p1", 2) != 0);
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    assert_int_equal(events(fixture, EVENT_SUPPRESSED), 11);
    leave(fixture);
}

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

/* R29: a campaign that is held in the middle stops, and goes on where it was */
static void a_hold_in_the_middle(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 5};
    open_house(fixture);
    crowd(fixture, 400, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 20);
    test_write(fixture->store.store, do_run,
               (char[]){"INSERT INTO hold (kind, name, why, since_ms) VALUES ('campaign', '5', 'a typo', 1)"});
    engine_holds_changed(fixture->engine);
    receiver_pause(300);
    int then = atomic_load(&receivers[0].accepted), composed = atomic_load(&fixture->composed);
    receiver_pause(300);
    assert_int_equal(atomic_load(&receivers[0].accepted), then);
    assert_int_equal(atomic_load(&fixture->composed), composed); /* and nothing goes round in circles */
    assert_true(then < 400);
    test_write(fixture->store.store, do_run, (char[]){"DELETE FROM hold"});
    engine_holds_changed(fixture->engine);
    wait_until_state(fixture, "hold", DELIVERY_DELIVERED, 400);
    nobody_twice(fixture, "hold");
    leave(fixture);
}

/* F12, U1: stopped while busy, again and again: nobody is lost, nobody gets it twice */
static void stopped_while_busy(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 3};
    receivers[1] = (struct receiver){.slow_ms = 1, .script = {{STAGE_RCPT, "450 4.2.0 later", 40}}};
    open_house(fixture);
    crowd(fixture, 250, "r0.example");
    crowd(fixture, 150, "r1.example");
    submit(fixture);
    for (int i = 0; i < 6; i++) {
        receiver_pause(25 * i);
        engine_stop(fixture->engine, i % 2 ? 2000 : 0);
        fixture->engine = NULL;
        assert_int_equal(in_state(fixture, DELIVERY_ON_WIRE), 0); /* all settled, nothing left to guess */
        assert_int_equal(number(fixture, "SELECT COUNT(*) FROM delivery"), 400);
        start(fixture);
    }
    wait_until_state(fixture, "stopped", DELIVERY_DELIVERED, 400);
    nobody_twice(fixture, "stopped");
    for (size_t i = 0; i < fixture->count; i++)
        assert_true(
            receiver_took(&receivers[0], fixture->people[i]) + receiver_took(&receivers[1], fixture->people[i]) >= 1);
    leave(fixture);
}

/* Many receivers, few connections in all: whoever had to wait is not forgotten. */
static void few_connections_for_many_receivers(void **state)
{
    HOUSE(fixture, state, 6);
    for (int i = 0; i < 6; i++)
        receivers[i].slow_ms = 2;
    fixture->options.connections_most = 2;
    open_house(fixture);
    for (int i = 0; i < 6; i++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "r%d.example", i);
        crowd(fixture, 20, domain);
    }
    submit(fixture);
    wait_until_state(fixture, "few connections", DELIVERY_DELIVERED, 120);
    nobody_twice(fixture, "few connections");
    leave(fixture);
}

/* A provider with many MX sets is one site: a great customer of it does not starve a small one. */
static void a_small_domain_of_a_great_site_has_its_turn(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 10};
    receivers[1] = (struct receiver){0};
    open_house(fixture);
    crowd(fixture, 590, "google0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 30);
    fixture->count = 0;
    crowd(fixture, 3, "google1.example");
    submit(fixture);
    wait_until_accepted(&receivers[1], 3);
    assert_true(atomic_load(&receivers[0].accepted) < 250);
    leave(fixture);
}

/* R28, F5: a receiver that takes three at a time, and says so */
static void a_receiver_that_takes_three_connections(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 1, .connections = 3};
    open_house(fixture);
    crowd(fixture, 200, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "three connections", DELIVERY_DELIVERED, 200);
    nobody_twice(fixture, "three connections");
    assert_int_equal(events(fixture, EVENT_IN_DOUBT), 0);
    assert_true(events(fixture, EVENT_DEFERRED) < 200);
    leave(fixture);
}

static void what_cannot_be_rendered(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    fixture->compose_faults = 15; /* the store cannot be read for a while: nobody pays for it */
    open_house(fixture);
    person(fixture, "unrenderable", "r0.example");
    crowd(fixture, 20, "r0.example");
    submit(fixture);
    wait_until_state(fixture, "rendered", DELIVERY_DELIVERED, 20);
    wait_until_state(fixture, "unrenderable", DELIVERY_BOUNCED, 1);
    char sql[100];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = 5 AND reason = %d", REASON_CONTENT_ERROR);
    assert_int_equal(number(fixture, sql), 1);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM suppression"), 0);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "rendering");
    leave(fixture);
}

/* What was taken in a while, a second. */
static double taken_in(struct receiver *receiver, int ms)
{
    int before = atomic_load(&receiver->accepted);
    receiver_pause(ms);
    return (atomic_load(&receiver->accepted) - before) * 1000.0 / ms;
}

/* S51, S76, S78: it says 421 above R a second, and nobody tells us R. Twenty seconds of the pace are one here. */
static void the_pace_finds_a_hidden_limit_and_follows(void **state)
{
    enum { R = 60 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.rate = R};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->options.retry.scale = 0.05;
    start(fixture);
    crowd(fixture, PEOPLE_MOST, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], R + 2); /* its burst */
    double taken = 0;
    int throttled = 0;
    bool is_right = false;
    for (int i = 0; i < 5 && !is_right; i++) { /* a machine with other things to do may need another window */
        receiver_pause(3000);
        throttled = atomic_load(&receivers[0].throttled);
        taken = taken_in(&receivers[0], 4000);
        throttled = atomic_load(&receivers[0].throttled) - throttled;
        is_right = taken >= 0.7 * R && taken <= 1.05 * R && throttled <= 4 * R / 10;
    }
    if (!is_right)
        fail_msg("%.1f a second were taken of %d, %d heard 421", taken, R, throttled);
    atomic_store(&receivers[0].rate, 2 * R);
    for (int i = 0; i < 8 && taken < 1.4 * R; i++)
        taken = taken_in(&receivers[0], 3000);
    if (taken < 1.4 * R)
        fail_msg("%.1f a second were taken of %d", taken, 2 * R);
    assert_int_equal(events(fixture, EVENT_BOUNCED), 0);
    nobody_twice(fixture, "hidden limit");
    leave(fixture);
}

/* The house again, with rules of the test's own and the hours as they are. */
static struct sites *open_house_with(struct fixture *fixture, const char *rules)
{
    struct sites *sites = sites_new();
    struct fault why;
    char text[400];
    snprintf(
        text, sizeof(text),
        "name: default\nlabel: all\nmessages_per_connection: 100\nnew_connections: none\ndaily: none\ntls: may\n%s",
        rules);
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) ||
        !sites_read(sites, "google.yaml", SLICE("name: google\nlabel: Gmail\nhosts: [google.com]\n"), false, &why) ||
        !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->options.sites = sites;
    fixture->options.retry.scale = 1.0;
    start(fixture);
    return sites;
}

/* Transactional mail never waits behind a campaign, however many are due; nor does mail to another site. Counted in
 * mails of the campaign that went meanwhile: those under way, and a turn or two of the clock. */
static void nobody_stands_in_anothers_way(void **state)
{
    HOUSE(fixture, state, 2);
    receivers[0] = (struct receiver){.slow_ms = 5};
    struct sites *sites = open_house_with(fixture, "connections: 2\nrate: 20/s\n");
    crowd(fixture, 2000, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 5);
    for (int i = 0; i < 10; i++) {
        char local[16], address[32];
        snprintf(local, sizeof(local), "urgent%d", i);
        snprintf(address, sizeof(address), "%s@r0.example", local);
        fixture->count = 0;
        person(fixture, local, "r0.example");
        int before = atomic_load(&receivers[0].accepted);
        submit_as(fixture, 7, 0);
        for (int wait = 0; wait < 4000 && !receiver_took(&receivers[0], address); wait++)
            receiver_pause(1);
        assert_true(receiver_took(&receivers[0], address));
        int meanwhile = atomic_load(&receivers[0].accepted) - before - 1;
        if (meanwhile > 5)
            fail_msg("%d mails of the campaign went before a transactional one", meanwhile);
    }
    fixture->count = 0;
    crowd(fixture, 5, "r1.example");
    int before = atomic_load(&receivers[0].accepted);
    submit(fixture);
    wait_until_accepted(&receivers[1], 1);
    assert_true(atomic_load(&receivers[0].accepted) - before <= 3);
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
}

/* Two brands on one full site, one of them first and with many more mails: half each once both are there. Then three
 * to one. */
static void two_brands_share_a_full_site(void **state)
{
    HOUSE(fixture, state, 2);
    struct sites *sites = open_house_with(fixture, "connections: 3\nrate: 100/s\n");
    crowd(fixture, 2000, "google0.example");
    submit_as(fixture, 71, 5);
    wait_until_accepted(&receivers[0], 50);
    fixture->count = 0;
    crowd(fixture, 900, "google1.example");
    submit_as(fixture, 72, 6);
    wait_until_accepted(&receivers[1], 10);
    for (int weight = 1; weight <= 3; weight += 2) {
        int a = atomic_load(&receivers[0].accepted), b = atomic_load(&receivers[1].accepted);
        for (int i = 0;
             i < 4000 && atomic_load(&receivers[0].accepted) + atomic_load(&receivers[1].accepted) < a + b + 300; i++)
            receiver_pause(2);
        a = atomic_load(&receivers[0].accepted) - a;
        b = atomic_load(&receivers[1].accepted) - b;
        double share = (double)b / (a + b), want = weight / (weight + 1.0);
        if (share < want - 0.06 || share > want + 0.06)
            fail_msg("weight %d: %d and %d", weight, a, b);
        test_write(fixture->store.store, do_run,
                   (char[]){"INSERT INTO brand (id, name, from_name, from_address, return_path_domain, link_base, "
                            "created_ms, weight) VALUES (72, 'b', '', '', '', '', 1, 3) ON CONFLICT DO NOTHING"});
        receiver_pause(3500); /* the weight is read, and what was claimed before has gone */
    }
    engine_stop(fixture->engine, 2000);
    fixture->engine = NULL;
    sites_free(sites);
    fixture->options.sites = NULL;
    leave(fixture);
}

/* R28: the rule's own rate and its new connections, whatever the engine could do */
static void a_rate_of_the_rule_is_kept(void **state)
{
    static const char rules[] = "name: default\nlabel: all\nconnections: 5\nmessages_per_connection: 4\nrate: 100/s\n"
                                "new_connections: 30/s\ndaily: none\ntls: may\n";
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    struct sites *sites = sites_new();
    struct fault why;
    if (!sites_read(sites, "default.yaml", slice_str(rules), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    fixture->options.sites = sites;
    fixture->options.retry.scale = 1.0;
    start(fixture);
    crowd(fixture, 300, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 1);
    for (int i = 1; i <= 5; i++) { /* from the start: any window of n half seconds holds at most so many */
        receiver_pause(500);
        assert_true(atomic_load(&receivers[0].accepted) <= 50 * i + 55);
        assert_true(atomic_load(&receivers[0].seen) <= 15 * i + 20);
    }
    wait_until_state(fixture, "rate", DELIVERY_DELIVERED, 300);
    nobody_twice(fixture, "rate");
    leave(fixture);
    sites_free(sites);
}

/* ── sources (S51, S77) ── */

struct new_source {
    uint8_t last;
    unsigned weight;
    const char *caps; /* of a warm-up; NULL: none */
};
static bool source_run(struct db *db, struct fault *why, void *context)
{
    const struct new_source *new = context;
    char name[32];
    snprintf(name, sizeof(name), "out%d.example", new->last);
    struct source source = {.ip = ip_v4(127, 88, 0, new->last),
                            .ehlo_name = slice_str(name),
                            .pool = SLICE("default"),
                            .weight = new->weight};
    if (new->last == 99) /* not an address of this machine */
        source.ip = ip_v4(192, 0, 2, 1);
    return source_add(db, why, &source, 1795321800000) &&
           (!new->caps || warm_up_begin(db, why, source.id, SLICE("*"), slice_str(new->caps), 1795321800000));
}
static void add_source(struct fixture *fixture, struct new_source source)
{
    test_write(fixture->store.store, source_run, &source);
}
static int from(struct fixture *fixture, int last)
{
    return atomic_load(&fixture->receivers[0].taken_from[last]);
}
static void open_house_of_sources(struct fixture *fixture)
{
    open_house(fixture);
    engine_stop(fixture->engine, 0);
    fixture->engine = NULL;
}

static void sources_share_by_weight_and_drain(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 10};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 3, NULL});
    add_source(fixture, (struct new_source){2, 1, NULL});
    add_source(fixture, (struct new_source){99, 1, NULL}); /* an address that is not ours: nobody suffers from it */
    start(fixture);
    crowd(fixture, 2000, "r0.example");
    submit(fixture);
    wait_until_accepted(&receivers[0], 300);
    assert_int_equal(from(fixture, 1) + from(fixture, 2), atomic_load(&receivers[0].accepted));
    assert_true(from(fixture, 2) > 20 && from(fixture, 1) > 20);
    assert_int_equal(atomic_load(&receivers[0].strange_ehlo), 0);
    assert_true(atomic_load(&receivers[0].open_most) <= 20); /* ten for each source */
    test_write(fixture->store.store, do_run, (char[]){"UPDATE source SET state = 'draining' WHERE ip = '127.88.0.1'"});
    receiver_pause(1500); /* read within a second, and what was under way ends */
    int before = from(fixture, 1), others = from(fixture, 2);
    wait_until_state(fixture, "drained", DELIVERY_DELIVERED, 2000);
    assert_int_equal(from(fixture, 1), before);
    assert_true(from(fixture, 2) > others);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "sources");
    leave(fixture);
}

static void one_by_one_the_weights_hold(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){0};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 3, NULL});
    add_source(fixture, (struct new_source){2, 1, NULL});
    fixture->options.idle_ms = 1; /* a connection for each mail */
    start(fixture);
    for (int i = 0; i < 40; i++) {
        char local[16];
        snprintf(local, sizeof(local), "p%d", i);
        fixture->count = 0;
        person(fixture, local, "r0.example");
        submit(fixture);
        wait_until_accepted(&receivers[0], i + 1);
        receiver_pause(80); /* its answer comes in two pieces, the second one after a delayed ACK */
    }
    int one = from(fixture, 1);
    if (one < 26 || one > 34)
        fail_msg("%d of 40 by a source of weight 3 beside one of weight 1; %d connections", one,
                 atomic_load(&receivers[0].seen));
    fixture->count = 40;
    leave(fixture);
}

/* R28, S50: never more than the cap, however often it is restarted; what it may not send goes by a warm source, and
 * without one it waits. */
static void a_warm_up_holds_across_restarts(void **state)
{
    enum { CAP = 50, OWED = 400 };
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 2};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, "50,100"});
    start(fixture);
    crowd(fixture, OWED, "r0.example");
    submit(fixture);
    for (int i = 0; i < 5; i++) {
        receiver_pause(60 * i);
        engine_stop(fixture->engine, i % 2 ? 2000 : 0);
        start(fixture);
    }
    receiver_pause(2500);
    int sent = from(fixture, 1);
    if (sent > CAP || sent < CAP - 10) /* a stop that does not wait may lose a block or two */
        fail_msg("%d left by a source with a cap of %d", sent, CAP);
    assert_true(in_state(fixture, DELIVERY_DELIVERED) <= sent); /* some may be in doubt */
    assert_true(number(fixture, "SELECT MAX(reserved) FROM daily_use") <= CAP);
    add_source(fixture, (struct new_source){2, 1, NULL});
    wait_until_state(fixture, "overflow", DELIVERY_DELIVERED, OWED);
    assert_true(from(fixture, 1) <= CAP);
    assert_true(from(fixture, 2) >= OWED - CAP);
    assert_int_equal(events(fixture, EVENT_DEFERRED), 0);
    nobody_twice(fixture, "warm-up");
    leave(fixture);
}

/* A source that a blocklist names drains, and nothing new leaves it; 127.255.255.254 is no listing. */
static void a_listed_source_drains(void **state)
{
    HOUSE(fixture, state, 1);
    receivers[0] = (struct receiver){.slow_ms = 20};
    open_house_of_sources(fixture);
    add_source(fixture, (struct new_source){1, 1, NULL});
    add_source(fixture, (struct new_source){2, 1, NULL});
    fixture->options.blocklists = SLICE("bl.example, other.example");
    start(fixture);
    crowd(fixture, 1500, "r0.example");
    submit(fixture);
    for (int i = 0;
         i < 2000 && number(fixture, "SELECT COUNT(*) FROM source WHERE trouble = 'listed by bl.example'") == 0; i++)
        receiver_pause(5);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE trouble <> ''"), 1);
    receiver_pause(1500);
    int before = from(fixture, 1), others = from(fixture, 2);
    wait_until_accepted(&receivers[0], atomic_load(&receivers[0].accepted) + 100);
    assert_int_equal(from(fixture, 1), before);
    assert_true(from(fixture, 2) >= others + 100);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM source WHERE ip = '127.88.0.1' AND trouble <> ''"), 1);
    leave(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* one story alone: engine_test "*hold*" */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        ON_BOTH(a_crowd_is_delivered_over_few_connections),
        {"answers_at_every_stage (sqlite)", answers_at_every_stage, NULL, NULL, (void *)(uintptr_t) "sqlite"},
        ON_BOTH(dropped_after_the_dot_is_in_doubt_and_goes_again_as_the_same_mail),
        ON_BOTH(one_refusal_fails_nobody_else),
        ON_BOTH(a_failed_handshake_goes_on_in_clear),
        ON_BOTH(routes_that_lead_nowhere),
        ON_BOTH(who_unsubscribes_while_the_mail_is_made_gets_none),
        ON_BOTH(a_hold_in_the_middle),
        ON_BOTH(stopped_while_busy),
        ON_BOTH(few_connections_for_many_receivers),
        ON_BOTH(a_small_domain_of_a_great_site_has_its_turn),
        ON_BOTH(a_receiver_that_takes_three_connections),
        ON_BOTH(what_cannot_be_rendered),
        {"the_pace_finds_a_hidden_limit_and_follows (sqlite)", the_pace_finds_a_hidden_limit_and_follows, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        ON_BOTH(a_rate_of_the_rule_is_kept),
        ON_BOTH(nobody_stands_in_anothers_way),
        ON_BOTH(two_brands_share_a_full_site),
        ON_BOTH(sources_share_by_weight_and_drain),
        ON_BOTH(one_by_one_the_weights_hold),
        ON_BOTH(a_warm_up_holds_across_restarts),
        ON_BOTH(a_listed_source_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
