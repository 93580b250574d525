/* A campaign's life: sent once, expanded once whatever crashes, those left out with their reasons (F14, S71, U1, U8).
 */
#include "audience/audience.h"
#include "campaign/canceller.h"
#include "campaign/expander.h"
#include "net/world.h"
#include "store/testing.h"

#include "base/random.h"
#include <time.h>

#define NOW ((time_ms)1795321800000)
enum { PEOPLE = 600, LEFT_OUT = 20 };

struct fixture {
    struct test_store store;
    struct brand brand;
    struct content_version version;
    uint64_t list_id;
    struct campaign campaign;
    char (*text)[40];
    bool is_warming;
};

static bool set_up(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context;
    fixture->brand = (struct brand){.name = SLICE("shop"),
                                    .from_name = SLICE("Shop"),
                                    .from_address = SLICE("news@shop.example"),
                                    .return_path_domain = SLICE("bounce.shop.example"),
                                    .link_base = SLICE("https://mail.shop.example")};
    if (!brand_create(db, why, &fixture->brand, NOW))
        return false;
    fixture->version = (struct content_version){
        .brand_id = fixture->brand.id, .name = SLICE("one"), .subject = SLICE("新着"), .html = SLICE("<p>x</p>")};
    if (!content_version_create(db, why, &fixture->version, NOW) ||
        !list_create(db, why, fixture->brand.id, SLICE("people"), NOW, &fixture->list_id, NULL))
        return false;
    struct contact *contacts = NEW_ARRAY(struct contact, PEOPLE);
    uint64_t *ids = NEW_ARRAY(uint64_t, PEOPLE);
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(fixture->text[i], 40, "p%d@domain%d.example", i, i % 5);
        contacts[i] = (struct contact){.address = slice_str(fixture->text[i]), .written = slice_str(fixture->text[i])};
    }
    bool ok = contact_save(db, why, contacts, PEOPLE, NOW, NULL);
    for (int i = 0; i < PEOPLE; i++)
        ids[i] = contacts[i].id;
    ok = ok && list_add(db, why, fixture->list_id, ids, PEOPLE, NOW);
    for (int i = 0; ok && i < LEFT_OUT; i++) {
        bool is_new;
        struct suppression row = {.address = contacts[i * 7].address,
                                  .why = i % 2 ? SUPPRESS_UNSUBSCRIBED : SUPPRESS_ERROR,
                                  .reason = i % 2 ? REASON_UNDEFINED : REASON_USER_UNKNOWN,
                                  .since = NOW};
        ok = suppress_add(db, why, &row, &is_new);
    }
    free(contacts);
    free(ids);
    fixture->campaign = (struct campaign){.brand_id = fixture->brand.id,
                                          .name = SLICE("spring"),
                                          .content_version_id = fixture->version.id,
                                          .list_id = fixture->list_id,
                                          .priority = 1,
                                          .expires_after = 1000000};
    return ok && campaign_create(db, why, &fixture->campaign, NOW);
}
#define FIXTURE(fixture, state)                                                                                        \
    struct fixture fixture = {.text = memory_zero(PEOPLE, 40)};                                                        \
    if (!test_store_url(&fixture.store, state)) {                                                                      \
        free(fixture.text);                                                                                            \
        skip();                                                                                                        \
    }                                                                                                                  \
    test_store_reopen(&fixture.store);                                                                                 \
    test_write(fixture.store.store, set_up, &fixture)
static void end(struct fixture *fixture)
{
    free(fixture->text);
    test_store_end(&fixture->store);
}

struct act {
    enum { SEND, PAUSE, RESUME, FINISH, STEP } what;
    uint64_t id;
    size_t most;
    bool is_done, must_fail;
    struct arena arena;
    int64_t news;
};
static bool act_run(struct db *db, struct fault *why, void *context)
{
    struct act *act = context;
    struct submit_news *news;
    size_t count;
    switch (act->what) {
    case SEND: return campaign_send(db, why, act->id, NOW);
    case PAUSE: return campaign_pause(db, why, act->id, SLICE("a typo"), NOW);
    case RESUME: return campaign_resume(db, why, act->id, NOW);
    case FINISH: return campaign_finish(db, why, act->id, NOW);
    case STEP:
        arena_reset(&act->arena);
        act->news = 0;
        if (!campaign_expand_step(db, why, act->id, act->most, NOW, &act->arena, &news, &count, &act->is_done))
            return false;
        for (size_t i = 0; i < count; i++)
            act->news += (int64_t)news[i].count;
        return !act->must_fail || fault_set(why, FAULT_INPUT, "as the test wants it");
    }
    return false;
}
static bool act_try(struct fixture *fixture, int what, struct fault *why)
{
    struct act act = {.what = what, .id = fixture->campaign.id};
    return test_write_try(fixture->store.store, act_run, &act, why);
}
static void act(struct fixture *fixture, int what)
{
    struct fault why;
    if (!act_try(fixture, what, &why))
        fail_msg("%s", why.text);
}
static void is_in_state(struct fixture *fixture, enum campaign_state state)
{
    SCOPED(arena) arena = {0};
    struct campaign found;
    struct fault why;
    if (!campaign_find(fixture->store.reader, &why, fixture->campaign.name, &arena, &found))
        fail_msg("%s", why.text);
    assert_slice("state", campaign_state_word(found.state), campaign_state_word(state));
}
static int64_t number(struct fixture *fixture, const char *sql)
{
    return test_number(fixture->store.reader, sql);
}
/* Everybody exactly once: a delivery, or one event that says why not. */
static void everybody_once(struct fixture *fixture)
{
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM delivery"), PEOPLE - LEFT_OUT);
    assert_int_equal(number(fixture, "SELECT COUNT(DISTINCT address) FROM delivery"), PEOPLE - LEFT_OUT);
    assert_int_equal(number(fixture, "SELECT CAST(SUM(n) AS BIGINT) FROM event WHERE kind = 1"), PEOPLE - LEFT_OUT);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 2"), LEFT_OUT);
    assert_int_equal(number(fixture, "SELECT COUNT(DISTINCT contact_id) FROM event WHERE kind = 2"), LEFT_OUT);
    assert_int_equal(number(fixture, "SELECT COUNT(*) FROM event WHERE kind = 2 AND note = 'unsubscribed'"),
                     LEFT_OUT / 2);
    char sql[120];
    snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM event WHERE kind = 2 AND note = 'error' AND reason = %d",
             REASON_USER_UNKNOWN);
    assert_int_equal(number(fixture, sql), LEFT_OUT / 2);
}

static void states_change_only_as_drawn(void **state)
{
    FIXTURE(fixture, state);
    static const struct {
        const char *name;
        int what;
        bool is_possible;
        enum campaign_state after;
    } rows[] = {
        {"pause a draft", PAUSE, false, CAMPAIGN_DRAFT},
        {"resume a draft", RESUME, false, CAMPAIGN_DRAFT},
        {"send", SEND, true, CAMPAIGN_EXPANDING},
        {"send twice", SEND, false, CAMPAIGN_EXPANDING},
        {"finish too early", FINISH, true, CAMPAIGN_EXPANDING},
        {"pause", PAUSE, true, CAMPAIGN_PAUSED},
        {"pause twice", PAUSE, false, CAMPAIGN_PAUSED},
        {"resume", RESUME, true, CAMPAIGN_EXPANDING},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fault why = {0};
        assert_int_row(rows[i].name, act_try(&fixture, rows[i].what, &why), rows[i].is_possible);
        assert_row(rows[i].name, rows[i].is_possible || why.kind == FAULT_INPUT);
        is_in_state(&fixture, rows[i].after);
        assert_int_row(rows[i].name, number(&fixture, "SELECT COUNT(*) FROM hold"), rows[i].after == CAMPAIGN_PAUSED);
    }
    struct act step = {.what = STEP, .id = fixture.campaign.id, .most = 100000};
    test_write(fixture.store.store, act_run, &step);
    assert_true(step.is_done);
    assert_int_equal(step.news, PEOPLE - LEFT_OUT);
    is_in_state(&fixture, CAMPAIGN_SENDING);
    act(&fixture, PAUSE);
    act(&fixture, FINISH); /* not while it is paused */
    is_in_state(&fixture, CAMPAIGN_PAUSED);
    act(&fixture, RESUME);
    is_in_state(&fixture, CAMPAIGN_SENDING);
    act(&fixture, FINISH);
    is_in_state(&fixture, CAMPAIGN_FINISHED);
    everybody_once(&fixture);
    arena_release(&step.arena);
    end(&fixture);
}

static bool warmth_run(struct db *db, struct fault *why, void *context)
{
    const struct fixture *fixture = context;
    return db_do(db, why, "UPDATE contact SET engaged_ms = $1 WHERE address LIKE 'p1%'",
                 VALUES(V_INT(NOW - DAYS_MS(3))), NULL) &&
           db_do(db, why, "UPDATE contact SET engaged_ms = $1 WHERE address LIKE 'p2%'",
                 VALUES(V_INT(NOW - DAYS_MS(90))), NULL) &&
           db_do(db, why,
                 "INSERT INTO strike (bucket, address, count, reason, last_ms) SELECT bucket, address, 1, 1, 1 FROM "
                 "contact WHERE address LIKE 'p1%' OR address LIKE 'p3%'",
                 NO_VALUES, NULL) &&
           db_do(db, why,
                 "INSERT INTO source (id, ip, ehlo_name, pool, weight, node, state, since_ms, created_ms) VALUES (1, "
                 "'127.88.0.1', 'out.example', 'default', 1, 0, 'active', 1, 1)",
                 NO_VALUES, NULL) &&
           (!fixture->is_warming ||
            db_do(db, why, "INSERT INTO warm_up (source_id, grp, caps, created_ms) VALUES (1, '*', '50,100', 1)",
                  NO_VALUES, NULL));
}

/* S50: over a source that warms up, deliveries are due in ranks: those who read, who have read, the others, and last
 * whose mail came back. Over any other all are due at once. */
static void who_reads_goes_first_while_a_source_warms_up(void **state)
{
    for (int warms = 0; warms < 2; warms++) {
        FIXTURE(fixture, state);
        fixture.is_warming = warms;
        test_write(fixture.store.store, warmth_run, &fixture);
        act(&fixture, SEND);
        struct act step = {.what = STEP, .id = fixture.campaign.id, .most = 37};
        while (!step.is_done)
            test_write(fixture.store.store, act_run, &step);
        everybody_once(&fixture);
        assert_int_equal(number(&fixture, "SELECT COUNT(DISTINCT due_ms) FROM delivery"), warms ? 4 : 1);
        assert_int_equal(number(&fixture, "SELECT ranked_ms FROM campaign"), warms ? NOW + 2003 : 0);
        static const char others[] = "NOT (d.address LIKE 'p1%' OR d.address LIKE 'p2%' OR d.address LIKE 'p3%')";
        static const char *const of_rank[] = {"d.address LIKE 'p1%'", "d.address LIKE 'p2%'", others,
                                              "d.address LIKE 'p3%'"};
        for (int rank = 0; warms && rank < 4; rank++) {
            char sql[300];
            snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM delivery d WHERE (due_ms = %lld) <> (%s)",
                     (long long)NOW + 2000 + rank, of_rank[rank]);
            assert_int_equal(number(&fixture, sql), 0);
        }
        arena_release(&step.arena);
        end(&fixture);
    }
}

/* Whatever step fails, and however often: everybody once. */
static void expansion_survives_a_fault_anywhere(void **state)
{
    FIXTURE(fixture, state);
    act(&fixture, SEND);
    struct random random;
    random_seed(&random, 3);
    struct act step = {.what = STEP, .id = fixture.campaign.id};
    int faults = 0;
    while (!step.is_done) {
        struct fault why;
        step.most = 1 + random_below(&random, 40);
        step.must_fail = random_below(&random, 3) == 0;
        bool ok = test_write_try(fixture.store.store, act_run, &step, &why);
        assert_true(ok == !step.must_fail);
        faults += !ok;
        step.is_done = step.is_done && ok;
        if (random_below(&random, 8) == 0) { /* the process dies here */
            test_store_close(&fixture.store);
            test_store_reopen(&fixture.store);
        }
    }
    assert_true(faults > 3);
    everybody_once(&fixture);
    test_write(fixture.store.store, act_run, &step); /* a scheduler that comes late */
    assert_true(step.is_done);
    assert_int_equal(step.news, 0);
    everybody_once(&fixture);
    arena_release(&step.arena);
    end(&fixture);
}

static bool do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}

/* The nth delivery cannot be written, for n in steps through the whole list. */
static void expansion_survives_a_fault_at_the_nth_row(void **state)
{
    FIXTURE(fixture, state);
    act(&fixture, SEND);
    struct act step = {.what = STEP, .id = fixture.campaign.id, .most = 150};
    for (int n = 0; !step.is_done; n += 61) {
        char sql[200];
        struct fault why;
        snprintf(
            sql, sizeof(sql),
            "CREATE TRIGGER full BEFORE INSERT ON delivery WHEN (SELECT COUNT(*) FROM delivery) >= %d BEGIN SELECT "
            "RAISE(ABORT, 'the test is full'); END",
            n);
        test_write(fixture.store.store, do_run, sql);
        while (test_write_try(fixture.store.store, act_run, &step, &why) && !step.is_done) {
        }
        test_write(fixture.store.store, do_run, (char[]){"DROP TRIGGER full"});
    }
    everybody_once(&fixture);
    arena_release(&step.arena);
    end(&fixture);
}

/* A campaign that is called like another one's number is not mistaken for it. */
static bool named_like_a_number(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context;
    char name[24];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)fixture->campaign.id);
    struct campaign other = fixture->campaign;
    other.name = slice_str(name);
    return campaign_create(db, why, &other, NOW + 5000);
}
static void names_are_not_numbers(void **state)
{
    FIXTURE(fixture, state);
    test_write(fixture.store.store, named_like_a_number, &fixture);
    act(&fixture, SEND);
    struct act step = {.what = STEP, .id = fixture.campaign.id, .most = 100000};
    test_write(fixture.store.store, act_run, &step);
    assert_int_equal(step.news, PEOPLE - LEFT_OUT);
    arena_release(&step.arena);
    end(&fixture);
}

static bool of_nothing(struct db *db, struct fault *why, void *context)
{
    struct campaign *campaign = context;
    return campaign_create(db, why, campaign, NOW);
}
static void a_campaign_of_nothing_is_refused(void **state)
{
    FIXTURE(fixture, state);
    struct campaign wrong[3] = {fixture.campaign, fixture.campaign, fixture.campaign};
    wrong[0].brand_id = wrong[1].content_version_id = wrong[2].list_id = 12345;
    for (int i = 0; i < 3; i++) {
        struct fault why = {0};
        assert_false(test_write_try(fixture.store.store, of_nothing, &wrong[i], &why));
        assert_int_equal(why.kind, FAULT_INPUT);
    }
    end(&fixture);
}

/* ── the expander ── */

struct heard {
    _Atomic int64_t count;
};
static void submitted(void *owner, const struct submit_news *news, size_t count)
{
    struct heard *heard = owner;
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&heard->count, (int64_t)news[i].count);
}
static void wait_for(struct fixture *fixture, const char *sql, int64_t want)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 60000; i++) {
        if (number(fixture, sql) == want)
            return;
        nanosleep(&pause, NULL);
    }
    fail_msg("never came to be: %s = %lld", sql, (long long)want);
}

static bool broken_campaign(struct db *db, struct fault *why, void *context)
{
    struct fixture *fixture = context; /* older than the good one, and its list holds what is no address */
    return db_do(db, why,
                 "INSERT INTO contact (bucket, id, address, written, created_ms, updated_ms) VALUES (0, 256, 'nobody', "
                 "'nobody', 1, 1)",
                 NO_VALUES, NULL) &&
           db_do(db, why, "INSERT INTO list_member (bucket, list_id, contact_id, joined_ms) VALUES (0, 99, 256, 1)",
                 NO_VALUES, NULL) &&
           db_do(db, why,
                 "INSERT INTO campaign (id, brand_id, name, content_version_id, list_id, state, expires_after_ms, "
                 "created_ms) VALUES (3, $1, 'broken', $2, 99, 'expanding', 1, 1)",
                 VALUES(V_INT((int64_t)fixture->brand.id), V_INT((int64_t)fixture->version.id)), NULL);
}

static void the_expander_goes_on_by_itself(void **state)
{
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    test_write(fixture.store.store, broken_campaign, &fixture); /* stops nobody else */
    struct heard heard = {0};
    const struct expander_options options = {
        .store = fixture.store.store, .world = &world, .submitted = submitted, .owner = &heard, .step = 100};
    struct expander *expander = expander_start(&options);
    act(&fixture, SEND);
    expander_stop(expander); /* in the middle, most likely */
    expander = expander_start(&options);
    wait_for(&fixture, "SELECT COUNT(*) FROM campaign WHERE state = 'sending'", 1);
    expander_stop(expander);
    assert_int_equal(atomic_load(&heard.count), PEOPLE - LEFT_OUT);
    everybody_once(&fixture);
    end(&fixture);
}

/* A younger campaign, and it is cancelled: when its hold has gone, those before it have been looked at. */
static bool cancelled_run(struct db *db, struct fault *why, void *context)
{
    struct campaign campaign = ((struct fixture *)context)->campaign;
    campaign.name = SLICE("another");
    return campaign_create(db, why, &campaign, NOW + 1) && campaign_cancel(db, why, campaign.id, NOW + 1);
}
static bool pause_run(struct db *db, struct fault *why, void *context)
{
    return campaign_pause(db, why, ((struct fixture *)context)->campaign.id, SLICE("cancelled"), NOW);
}

/* U1: only a cancelled campaign is cancelled, whatever word somebody has for why he paused one. */
static void a_pause_is_none_whatever_it_is_called(void **state)
{
    FIXTURE(fixture, state);
    struct world world;
    struct ledger ledger = {.node = 1};
    struct act step = {.what = STEP, .id = fixture.campaign.id, .most = 100000};
    world_init(&world, NETWORK_LOOPBACK);
    act(&fixture, SEND);
    test_write(fixture.store.store, act_run, &step);
    arena_release(&step.arena);
    test_write(fixture.store.store, pause_run, &fixture);
    test_write(fixture.store.store, cancelled_run, &fixture);
    struct canceller *canceller = canceller_start(fixture.store.store, &world, &ledger);
    wait_for(&fixture, "SELECT COUNT(*) FROM hold", 1);
    canceller_stop(canceller);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM delivery WHERE state = 0"), PEOPLE - LEFT_OUT);
    is_in_state(&fixture, CAMPAIGN_PAUSED);
    act(&fixture, RESUME);
    assert_int_equal(number(&fixture, "SELECT COUNT(*) FROM hold"), 0);
    end(&fixture);
}

/* Two nodes, each with its own store and expander, on one database. */
static void two_schedulers_expand_once(void **state)
{
    FIXTURE(fixture, state);
    struct world world;
    world_init(&world, NETWORK_LOOPBACK);
    struct heard heard = {0};
    struct fault why;
    struct store *other = store_open(fixture.store.url, NULL, &why);
    if (!other)
        fail_msg("%s", why.text);
    struct expander_options options = {
        .store = fixture.store.store, .world = &world, .submitted = submitted, .owner = &heard, .step = 50};
    struct expander *one = expander_start(&options);
    options.store = other;
    struct expander *two = expander_start(&options);
    act(&fixture, SEND);
    wait_for(&fixture, "SELECT COUNT(*) FROM campaign WHERE state = 'sending'", 1);
    expander_stop(one);
    expander_stop(two);
    store_close(other);
    assert_int_equal(atomic_load(&heard.count), PEOPLE - LEFT_OUT);
    everybody_once(&fixture);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(states_change_only_as_drawn),
        ON_BOTH(expansion_survives_a_fault_anywhere),
        ON_BOTH(who_reads_goes_first_while_a_source_warms_up),
        {"expansion_survives_a_fault_at_the_nth_row (sqlite)", expansion_survives_a_fault_at_the_nth_row, NULL, NULL,
         (void *)(uintptr_t) "sqlite"},
        ON_BOTH(names_are_not_numbers),
        ON_BOTH(a_campaign_of_nothing_is_refused),
        ON_BOTH(the_expander_goes_on_by_itself),
        ON_BOTH(a_pause_is_none_whatever_it_is_called),
        ON_BOTH(two_schedulers_expand_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
