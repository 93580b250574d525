/* house_test.h - the whole engine beside scripted receivers, for the tests of deliver/: a store, a zone, a crowd of
 * people, and what became of their mails. The clock is the real one; retries and pauses are scaled down. */
#ifndef TODOKE_DELIVER_HOUSE_TEST_H
#define TODOKE_DELIVER_HOUSE_TEST_H

#include "deliver/engine.h"
#include "deliver/receiver_test.h"
#include "dns/zone.h"
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
    double timeouts; /* multiplies the waits of M5; 0: as they are. Who is waited for is not silent because the machine
                        stands still for a moment: only stories about silence shorten them */
    const char *suppress; /* this one is excluded while it is composed */
    unsigned together;    /* the same mail for all, and so many may go together; 0: each his own */
};

/* ── what the engine asks of others ── */

static inline bool exclude_run(struct db *db, struct fault *why, void *context)
{
    bool is_new;
    const struct suppression row = {
        .address = slice_str(context), .why = SUPPRESS_UNSUBSCRIBED, .since = 1795321800000};
    return suppress_add(db, why, &row, &is_new);
}

static inline bool compose(void *self, unsigned worker, const struct recipient *recipient, struct outgoing **out,
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
    if (fixture->together && !slice_starts(recipient->address, SLICE("own"))) {
        struct slice same = SLICE("Message-ID: <same@shop.example>\r\n\r\n.dots and text\r\n");
        struct shared *bytes = shared_new(same.len);
        memcpy(bytes->bytes, same.ptr, same.len);
        *out = outgoing_share_from(SLICE("b-own@bounce.shop.example"), SLICE("b-shared@bounce.shop.example"),
                                   recipient->written, bytes);
        shared_drop(bytes);
        (*out)->alike = 77;
        (*out)->recipients_most = fixture->together;
    } else {
        *out = outgoing_new(SLICE("b-token@bounce.shop.example"), recipient->written, slice_str(body));
    }
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
static inline bool submission_run(struct db *db, struct fault *why, void *context)
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

static inline void start(struct fixture *fixture)
{
    struct fault why;
    if (!engine_start(&fixture->options, &fixture->engine, &why))
        fail_msg("%s", why.text);
}

/* Everybody in fixture->people is submitted to one campaign (0: transactional). Without an engine it is found at the
 * start. */
static inline void submit_as(struct fixture *fixture, uint64_t brand_id, uint64_t campaign_id)
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
    for (unsigned bucket = 0; fixture->engine && bucket < ID_BUCKETS; bucket++)
        engine_submitted(fixture->engine, submission.news[bucket], submission.counts[bucket]);
    arena_release(&submission.arena);
}
static inline void submit(struct fixture *fixture)
{
    submit_as(fixture, 7, 5);
}

static inline void person(struct fixture *fixture, const char *local, const char *domain)
{
    snprintf(fixture->people[fixture->count++], 64, "%s@%s", local, domain);
}
static inline void crowd(struct fixture *fixture, int count, const char *domain)
{
    char local[32];
    for (int i = 0; i < count; i++) {
        snprintf(local, sizeof(local), "p%d", i);
        person(fixture, local, domain);
    }
}

/* A receiver's domain is its place in the list: r0.example is receivers[0]. same0.example has the same hosts, and
 * google0.example one of Google's.
 */
static inline void open_house(struct fixture *fixture)
{
    struct fault why;
    struct receiver *receivers = fixture->receivers;
    size_t count = fixture->receiver_count;
    test_store_reopen(&fixture->store);
    world_init(&fixture->world, NETWORK_LOOPBACK);
    unsigned house = (unsigned)getpid();
    char zone[40000];
    size_t len = (size_t)snprintf(zone, sizeof(zone), "{");
    for (size_t i = 0; i < count; i++) {
        receiver_start(&receivers[i], i, &house);
        len += (size_t)snprintf(
            zone + len, sizeof(zone) - len,
            "\"r%zu.example\":{\"MX\":[[10,\"mx.r%zu.example\"]]},\"mx.r%zu.example\":{\"A\":[\"%s\"]},"
            "\"same%zu.example\":{\"MX\":[[10,\"mx.r%zu.example\"]]},"
            "\"google%zu.example\":{\"MX\":[[10,\"mx%zu.google.com\"]]},"
            "\"mx%zu.google.com\":{\"A\":[\"%s\"]},"
            "\"office%zu.example\":{\"MX\":[[10,\"mx%zu.mail.protection.outlook.com\"]]},"
            "\"mx%zu.mail.protection.outlook.com\":{\"A\":[\"%s\"]},",
            i, i, i, receivers[i].ip, i, i, i, i, i, receivers[i].ip, i, i, i, receivers[i].ip);
    }
    if (count >= 4) /* M8: two equal hosts with two addresses each */
        len +=
            (size_t)snprintf(zone + len, sizeof(zone) - len,
                             "\"equals.example\":{\"MX\":[[10,\"mx.one.example\"],[10,\"mx.two.example\"]]},"
                             "\"mx.one.example\":{\"A\":[\"%s\",\"%s\"]},\"mx.two.example\":{\"A\":[\"%s\",\"%s\"]},",
                             receivers[0].ip, receivers[1].ip, receivers[2].ip, receivers[3].ip);
    snprintf(
        zone + len, sizeof(zone) - len,
        "\"null.example\":{\"MX\":[[0,\".\"]]},\"broken.example\":{\"error\":\"servfail\"},"
        "\"1.0.88.127.bl.example\":{\"A\":[\"127.0.0.2\"]},\"2.0.88.127.bl.example\":{\"A\":[\"127.255.255.254\"]},"
        "\"six.example\":{\"MX\":[[10,\"mx.six.example\"]]},\"mx.six.example\":{\"AAAA\":[\"::1\"]},"
        /* 2001:db8::11 has a name that leads both ways, ::12 none, ::13 one that leads elsewhere */
        "\"out11.six.example\":{\"AAAA\":\"2001:db8::11\"},"
        "\"1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa\":{\"PTR\":\"out11.six.example\"},"
        "\"3.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa\":{\"PTR\":\"out11.six.example\"},"
        "\"nobody.example\":{\"MX\":[[10,\"mx.nobody.example\"]]},\"mx.nobody.example\":{\"A\":[\"127.77.255.9\"]},"
        "\"second.example\":{\"MX\":[[10,\"mx.nobody.example\"],[20,\"mx.r0.example\"]]},"
        /* R16: nobody listens at any of these addresses */
        "\"many.example\":{\"MX\":[[10,\"mx.dead1.example\"],[20,\"mx.r0.example\"]]},"
        "\"dead.example\":{\"MX\":[[10,\"mx.dead1.example\"],[20,\"mx.dead2.example\"],[30,\"mx.dead3.example\"],[40,"
        "\"mx.r0."
        "example\"]]},"
        "\"mx.dead1.example\":{\"A\":[\"127.77.255.20\",\"127.77.255.21\",\"127.77.255.22\",\"127.77.255.23\",\"127.77."
        "255.24\",\"127.77.255.25\","
        "\"127.77.255.26\",\"127.77.255.27\",\"127.77.255.28\",\"127.77.255.29\",\"127.77.255.30\",\"127.77.255.31\"]},"
        "\"mx.dead2.example\":{\"A\":[\"127.77.255.40\",\"127.77.255.41\",\"127.77.255.42\",\"127.77.255.43\",\"127.77."
        "255.44\",\"127.77.255.45\","
        "\"127.77.255.46\",\"127.77.255.47\",\"127.77.255.48\",\"127.77.255.49\",\"127.77.255.50\",\"127.77.255.51\"]},"
        "\"mx.dead3.example\":{\"A\":[\"127.77.255.60\",\"127.77.255.61\",\"127.77.255.62\",\"127.77.255.63\",\"127.77."
        "255.64\",\"127.77.255.65\","
        "\"127.77.255.66\",\"127.77.255.67\",\"127.77.255.68\",\"127.77.255.69\",\"127.77.255.70\",\"127.77.255.71\"]},"
        "\"pair.example\":{\"MX\":[[10,\"mx.r0.example\"],[20,\"mx.r1.example\"]]},"
        "\"other-pair.example\":{\"MX\":[[10,\"mx.r2.example\"],[20,\"mx.r3.example\"]]},"
        /* what receivers see of 127.88.0.N is 203.0.113.N: 11 fits, each of the others has one thing wrong */
        "\"out11.example\":{\"A\":\"203.0.113.11\"},\"11.113.0.203.in-addr.arpa\":{\"PTR\":\"out11.example\"},"
        "\"out12.example\":{\"A\":\"203.0.113.12\"},"
        "\"out13.example\":{\"A\":\"203.0.113.13\"},\"13.113.0.203.in-addr.arpa\":{\"PTR\":\"out11.example\"},"
        "\"out14.example\":{\"A\":\"203.0.113.99\"},\"14.113.0.203.in-addr.arpa\":{\"PTR\":\"host14.example\"},"
        "\"host14.example\":{\"A\":\"203.0.113.14\"},"
        "\"out15.example\":{\"A\":\"203.0.113.15\"},\"15.113.0.203.in-addr.arpa\":{\"error\":\"servfail\"}}");
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
        .timeouts = {fixture->timeouts},
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

/* By the clock: a pause on a busy machine is longer than what was asked for. */
static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline int64_t number(struct fixture *fixture, const char *sql)
{
    return test_number(fixture->store.reader, sql);
}
static inline int64_t in_state(struct fixture *fixture, enum delivery_state state)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM delivery WHERE state = %d", state);
    return number(fixture, sql);
}
static inline int64_t events(struct fixture *fixture, enum event_kind kind)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d", kind);
    return number(fixture, sql);
}

static inline int64_t events_of(struct fixture *fixture, const char *address, enum event_kind kind)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = %d AND address = '%s'", kind, address);
    return number(fixture, sql);
}

static inline void wait_until_state(struct fixture *fixture, const char *row, enum delivery_state state, int64_t want)
{
    for (int i = 0; i < 12000 && in_state(fixture, state) < want; i++)
        receiver_pause(5);
    if (in_state(fixture, state) == want)
        return;
    for (int s = 0; s < DELIVERY_STATE_COUNT; s++)
        if (in_state(fixture, (enum delivery_state)s))
            print_message("  %s: %lld\n", delivery_word((enum delivery_state)s).ptr,
                          (long long)in_state(fixture, (enum delivery_state)s));
    fail_msg("%s: %s never was %lld", row, delivery_word(state).ptr, (long long)want);
}
static inline void wait_until_accepted(struct receiver *receiver, int least)
{
    for (int i = 0; i < 15000 && atomic_load(&receiver->accepted) < least; i++)
        receiver_pause(2);
    assert_true(atomic_load(&receiver->accepted) >= least);
}
/* What it is once it has not grown for so long: what was decided is known, and what was under way has ended. Time in
 * which the whole process stood still does not count: nobody could do anything in it. */
static inline int count_at_rest(_Atomic int *count, int ms)
{
    enum { STEP_MS = 20, STOOD_STILL_MS = 300 };
    int before = atomic_load(count), rested = 0;
    for (int i = 0; i < 60000 / STEP_MS; i++) {
        double begun = seconds_now();
        receiver_pause(STEP_MS);
        int now = atomic_load(count);
        bool stood_still = (seconds_now() - begun) * 1000 > STOOD_STILL_MS;
        rested = now == before && !stood_still ? rested + STEP_MS : 0;
        before = now;
        if (rested >= ms)
            return now;
    }
    fail_msg("it does not stop growing: %d", atomic_load(count));
    return 0;
}

/* Nobody is lost, and who got it twice was in doubt before. */
static inline void nobody_twice(struct fixture *fixture, const char *row)
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

static inline void leave(struct fixture *fixture)
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

static inline bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

/* The house again, with rules of the test's own and the hours as they are. */
static inline struct sites *open_house_with(struct fixture *fixture, const char *rules)
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

/* A store that the other nodes hear of, as a server has it. */
static inline struct store *store_of_node(struct fixture *fixture, unsigned node)
{
    const struct store_options options = {.role = STORE_SERVE, .node = node};
    struct fault why;
    struct store *store = store_open(fixture->store.url, &options, &why);
    if (!store)
        fail_msg("%s", why.text);
    return store;
}

/* Another node on the same store. */
struct neighbour {
    struct leases leases;
    struct engine_options options;
    struct engine *engine;
};
static inline void neighbour_start(struct fixture *fixture, struct neighbour *neighbour)
{
    struct fault why;
    neighbour->leases = (struct leases){.node = 2};
    neighbour->options = fixture->options;
    neighbour->options.ledger = (struct ledger){.leases = &neighbour->leases, .node = 2};
    neighbour->options.store = store_of_node(fixture, 2);
    if (!engine_start(&neighbour->options, &neighbour->engine, &why))
        fail_msg("%s", why.text);
}

static inline void neighbour_stop(struct neighbour *neighbour)
{
    engine_stop(neighbour->engine, 2000);
    store_close(neighbour->options.store);
}

/* What the store has no part in, once. */
#define ON_SQLITE(test)                                                                                                \
    {                                                                                                                  \
#test, test, NULL, NULL, (void *)(uintptr_t) "sqlite"                                                          \
    }

#endif
