/* R28, D13, D14, F8: what a receiver's words brought upon a way goes on behind a restart for the rest of its time, on
 * both stores: whatever the clock does meanwhile, and as the rule is by then */
#include "shape/pause.h"

#include "store/testing.h"

enum { NODE = 3, SOURCE = 77 };
static const time_ms WALL = 1795321800000, MONOTONIC = 5000000, AFTER_BOOT = 40000 /* the machine's restart, too */;

/* ── a run, and the next one ── */

#define RULE(reactions)                                                                                                \
    "name: default\nlabel: all\nconnections: 10\nmessages_per_connection: 100\nrate: none\nnew_connections: none\n"    \
    "daily: none\ntls: may\n" reactions
#define GUARD "unknown_users: {share: 50%, of: 2, suspend: 3h}\n"
#define BUSY(effect)                                                                                                   \
    "  - id: default.busy\n    text: [\"busy\"]\n    " effect                                                          \
    "\n    examples: [\"421 4.3.2 busy\"]\n    not: [\"550 no\"]\n"
#define SLOW                                                                                                           \
    "  - id: default.slow\n    text: [\"slow\"]\n    rate: 1/min\n    for: 1h\n    examples: [\"421 slow\"]\n    "     \
    "not: [\"550 no\"]\n"
#define FEW                                                                                                            \
    "  - id: default.few\n    text: [\"few\"]\n    connections: 1\n    for: 1h\n    examples: [\"421 few\"]\n    "     \
    "not: [\"550 no\"]\n"
static const char rules[] = RULE(GUARD "reactions:\n" BUSY("suspend: 2h") SLOW FEW);

static struct sites *sites_of(const char *text)
{
    struct sites *sites = sites_new();
    struct fault why;
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    return sites;
}

struct keeping {
    struct pause_way way;
    time_ms now;
};
static bool keep_run(struct db *db, struct fault *why, void *context)
{
    const struct keeping *keeping = context;
    return pauses_keep(db, why, NODE, &keeping->way, 1, keeping->now);
}
static bool settle_run(struct db *db, struct fault *why, void *context)
{
    return pauses_settle(db, why, NODE, *(const time_ms *)context);
}
static bool lift_run(struct db *db, struct fault *why, void *context)
{
    return pauses_lift(db, why, slice_str(context), 0);
}

static void keep(struct test_store *store, const struct pace *pace, time_ms now, time_ms wall)
{
    struct pace_pause list[PACE_PAUSES_MOST];
    struct pause rows[PACE_PAUSES_MOST];
    struct keeping keeping = {.way = {.site = SLICE("mx.example"), .source_id = SOURCE, .list = rows}, .now = wall};
    keeping.way.count = pace_pauses(pace, now, list);
    for (size_t i = 0; i < keeping.way.count; i++) {
        rows[i] = (struct pause){.site = SLICE("mx.example"),
                                 .source_id = SOURCE,
                                 .source = SLICE("192.0.2.1"),
                                 .words = SLICE("rcpt: 421 4.3.2 busy"),
                                 .file = slice_str(list[i].at.file ? list[i].at.file : ""),
                                 .it = list[i]};
        rows[i].it.since += wall - now;
        rows[i].it.until += wall - now;
    }
    test_write(store->store, keep_run, &keeping);
}

/* What the next run knows, by its clocks. */
static size_t begin(struct test_store *store, struct pace *pace, time_ms now, time_ms wall)
{
    struct arena arena = {0};
    struct fault why = {0};
    struct pause *rows;
    struct pace_pause list[PACE_PAUSES_MOST];
    size_t count;
    test_write(store->store, settle_run, &wall);
    if (!pauses_of_node(store->reader, &why, NODE, wall, &arena, &rows, &count))
        fail_msg("%s", why.text);
    assert_true(count <= PACE_PAUSES_MOST);
    for (size_t i = 0; i < count; i++) {
        list[i] = rows[i].it;
        list[i].since -= wall - now;
        list[i].until -= wall - now;
    }
    count = pace_pauses_again(pace, list, count, now);
    arena_release(&arena);
    return count;
}

static time_ms slowed_until(struct pace *pace, time_ms now)
{
    time_ms until = pace_reopens(pace, now);
    until = pace->slowed_until > until ? pace->slowed_until : until;
    return pace->narrowed_until > until ? pace->narrowed_until : until;
}

enum said { SAID_BUSY, SAID_SLOW, SAID_FEW, SAID_NOBODY, FAILED_ONCE, FAILED_TWICE };

static time_ms say(struct pace *pace, enum said said, time_ms now)
{
    static const struct verdict unknown = {.reason = REASON_USER_UNKNOWN, .scope = SCOPE_ADDRESS};
    static const struct reply nobody = {.code = 550, .status = {5, 1, 1}, .text = SLICE_INIT("no such user")};
    static const char *const words[] = {"busy", "slow", "few"};
    switch (said) {
    case SAID_BUSY:
    case SAID_SLOW:
    case SAID_FEW:
        pace_hears_reply(pace, &(struct reply){.code = 421, .text = slice_str(words[said])}, STAGE_RCPT, now);
        break;
    case SAID_NOBODY: /* D13 */
        for (int i = 0; i < 2; i++)
            (void)pace_refused(pace, &unknown, &nobody, STAGE_RCPT, 0, now);
        break;
    case FAILED_TWICE: /* D14: as resets in a row do */
        pace_failed(pace, 0, NULL, now);
        now = pace->breaker_until;
        (void)pace_connections(pace, now); /* it probes */
        pace_failed(pace, 0, NULL, now);
        break;
    case FAILED_ONCE: pace_failed(pace, 0, NULL, now); break;
    }
    return now;
}

static void it_goes_on_for_the_rest_of_its_time(void **state)
{
    enum { GONE = 0 };
    static const struct {
        const char *name;
        enum said said;
        time_ms later, clock; /* the restart; and how far the clock was set meanwhile */
        const char *rules;    /* by then; NULL: the same */
        time_ms lasts;        /* from then; GONE */
        enum pace_limit binds;
        unsigned connections;
    } rows[] = {
        {"suspended for two hours", SAID_BUSY, MINUTES_MS(30), 0, NULL, MINUTES_MS(90), PACE_REACTION_SUSPEND, 0},
        {"and found at its end", SAID_BUSY, HOURS_MS(2) - 1000, 0, NULL, 1000, PACE_REACTION_SUSPEND, 0},
        {"and behind it", SAID_BUSY, HOURS_MS(2) + 2, 0, NULL, GONE, PACE_NOTHING, 10},
        {"slowed", SAID_SLOW, MINUTES_MS(20), 0, NULL, MINUTES_MS(40), PACE_REACTION_RATE, 10},
        {"narrowed", SAID_FEW, MINUTES_MS(20), 0, NULL, MINUTES_MS(40), PACE_REACTION_CONNECTIONS, 1},
        {"the guard", SAID_NOBODY, HOURS_MS(1), 0, NULL, HOURS_MS(2), PACE_GUARD, 0},
        {"a breaker's second opening, a minute", FAILED_TWICE, 10000, 0, NULL, 50000, PACE_BREAKER, 0},
        {"not its first one", FAILED_ONCE, 1000, 0, NULL, GONE, PACE_NOTHING, 10},
        {"the clock was set back by a day", SAID_BUSY, MINUTES_MS(30), -DAYS_MS(1), NULL, HOURS_MS(2),
         PACE_REACTION_SUSPEND, 0},
        {"by ten minutes: at most that is added", SAID_BUSY, MINUTES_MS(30), -MINUTES_MS(10), NULL, MINUTES_MS(100),
         PACE_REACTION_SUSPEND, 0},
        {"it was set forward", SAID_BUSY, MINUTES_MS(30), MINUTES_MS(60), NULL, MINUTES_MS(30), PACE_REACTION_SUSPEND,
         0},
        {"the rule has no such reaction any more", SAID_BUSY, 1000, 0, RULE("reactions:\n" SLOW), GONE, PACE_NOTHING,
         10},
        {"it lasts an hour now", SAID_BUSY, MINUTES_MS(30), 0, RULE("reactions:\n" SLOW BUSY("suspend: 1h")),
         MINUTES_MS(30), PACE_REACTION_SUSPEND, 0},
        {"it lasts ten minutes now", SAID_BUSY, MINUTES_MS(30), 0, RULE("reactions:\n" BUSY("suspend: 10m")), GONE,
         PACE_NOTHING, 10},
        {"it lasts a day now", SAID_BUSY, MINUTES_MS(30), 0, RULE("reactions:\n" BUSY("suspend: 1d")), MINUTES_MS(90),
         PACE_REACTION_SUSPEND, 0},
        {"it makes fewer connections now", SAID_BUSY, MINUTES_MS(30), 0,
         RULE("reactions:\n" BUSY("connections: 2\n    for: 4h")), MINUTES_MS(90), PACE_REACTION_CONNECTIONS, 2},
        {"the rule has no guard any more", SAID_NOBODY, 1000, 0, RULE(""), GONE, PACE_NOTHING, 10},
    };
    TEST_STORE(store, state);
    struct sites *before = sites_of(rules);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sites *then = sites_of(rows[i].rules ? rows[i].rules : rules);
        const char *name = rows[i].name;
        struct pace pace;
        pace_init(&pace, sites_rule_for(before, NULL, 0), 1.0);
        uint64_t mark = pace_pauses_mark(&pace);
        time_ms said = say(&pace, rows[i].said, MONOTONIC);
        assert_row(name, (pace_pauses_mark(&pace) != mark) == (rows[i].said != FAILED_ONCE));
        keep(&store, &pace, said, WALL);
        pace_release(&pace);

        time_ms now = AFTER_BOOT, wall = WALL + rows[i].later + rows[i].clock;
        pace_init(&pace, sites_rule_for(then, NULL, 0), 1.0);
        assert_int_row(name, begin(&store, &pace, now, wall), rows[i].lasts != GONE);
        time_ms lasts = slowed_until(&pace, now);
        if (rows[i].lasts == GONE)
            assert_int_row(name, lasts, 0);
        else if (lasts - now < rows[i].lasts - 10 || lasts - now > rows[i].lasts + 10)
            fail_msg("%s: for %lld ms", name, (long long)(lasts - now));
        assert_int_row(name, pace_connections(&pace, now), rows[i].connections);
        const struct pace_binding *binding = pace_binding(&pace, rows[i].connections ? rows[i].connections : 1, now);
        bool is_over = rows[i].lasts == GONE; /* then the rule's own ten connections bind */
        assert_int_row(name, binding->limit, is_over ? PACE_RULE_CONNECTIONS : rows[i].binds);
        if (pace_reopens(&pace, now) && !rows[i].clock) /* since when it binds is of the run before */
            assert_row(name, binding->since <= now - rows[i].later + 10 && binding->since >= now - rows[i].later - 10);
        if (binding->reaction)
            assert_string_equal(binding->at.file, "default.yaml");
        assert_row(name, is_over || !slowed_until(&pace, lasts + 1) || pace_connections(&pace, lasts + 1) > 0);
        if (rows[i].binds == PACE_BREAKER) { /* it goes on doubling: two minutes */
            (void)pace_connections(&pace, lasts);
            pace_failed(&pace, 0, NULL, lasts);
            assert_int_row(name, pace.breaker_until - lasts, 120001);
        }
        pace_release(&pace);
        sites_free(then);
        test_write(store.store, lift_run, (void *)(uintptr_t) "MX.example");
        assert_int_row(name, test_number(store.reader, "SELECT COUNT(*) FROM pause"), 0);
    }
    sites_free(before);
    test_store_end(&store);
}

/* A clock that is a year ahead, and set right: each restart begins with what is left of the two hours, not with two
 * hours again. */
static void restarts_prolong_nothing(void **state)
{
    TEST_STORE(store, state);
    struct sites *sites = sites_of(rules);
    struct pace pace;
    pace_init(&pace, sites_rule_for(sites, NULL, 0), 1.0);
    say(&pace, SAID_BUSY, MONOTONIC);
    keep(&store, &pace, MONOTONIC, WALL + DAYS_MS(365));
    pace_release(&pace);
    for (int i = 0; i < 5; i++) {
        pace_init(&pace, sites_rule_for(sites, NULL, 0), 1.0);
        begin(&store, &pace, AFTER_BOOT, WALL + i * MINUTES_MS(30));
        time_ms left = pace_reopens(&pace, AFTER_BOOT), want = HOURS_MS(2) - i * MINUTES_MS(30);
        assert_in_range(left ? left - AFTER_BOOT : 0, want, want + 10);
        pace_release(&pace);
    }
    sites_free(sites);
    test_store_end(&store);
}

/* The words slow it to one a minute: the first one of the next run is not beside the last one of this. */
static void a_slowed_way_begins_an_interval_later(void **state)
{
    TEST_STORE(store, state);
    struct sites *sites = sites_of(rules);
    struct pace pace;
    pace_init(&pace, sites_rule_for(sites, NULL, 0), 1.0);
    say(&pace, SAID_SLOW, MONOTONIC);
    keep(&store, &pace, MONOTONIC, WALL);
    pace_release(&pace);
    pace_init(&pace, sites_rule_for(sites, NULL, 0), 1.0);
    begin(&store, &pace, AFTER_BOOT, WALL + 1000);
    time_ms wait = pace_may_send(&pace, AFTER_BOOT);
    assert_in_range(wait, 59000, 61000);
    pace_release(&pace);
    sites_free(sites);
    test_store_end(&store);
}

struct write {
    const char *sql;
};
static bool write_run(struct db *db, struct fault *why, void *context)
{
    return db_do(db, why, ((const struct write *)context)->sql, NO_VALUES, NULL);
}
#define ROW(node, source, site, what, until)                                                                           \
    "INSERT INTO pause VALUES (" #node ", " #source ", '" site "', '" what                                             \
    "', 'default.busy', '', 'default.yaml', 9, 'words', 1000, " #until ", 0)"

/* Whose they are: any source with an id goes on wherever it is now, the address that the system chose only on its node;
 * and what is over goes, our own when anything is written or a run begins. */
static void whose_they_are(void **state)
{
    TEST_STORE(store, state);
    static const char *const rows[] = {
        ROW(3, 0, "a.example", "reaction_suspend", 9000),  ROW(4, 0, "b.example", "reaction_suspend", 9000),
        ROW(4, 77, "c.example", "reaction_suspend", 9000), ROW(3, 77, "d.example", "reaction_suspend", 4000),
        ROW(4, 77, "e.example", "reaction_suspend", 4000), ROW(3, 77, "f.example", "words of a newer program", 9000),
    };
    struct arena arena = {0};
    struct fault why = {0};
    struct pause *list;
    size_t count;
    time_ms now = 5000;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        test_write(store.store, write_run, &(struct write){rows[i]});
    if (!pauses_of_node(store.reader, &why, NODE, now, &arena, &list, &count))
        fail_msg("%s", why.text);
    assert_int_equal(count, 2);
    assert_slice("ours", list[0].site, SLICE("a.example"));
    assert_slice("another node's, of a source", list[1].site, SLICE("c.example"));
    test_write(store.store, settle_run, &now);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM pause"), 5);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM pause WHERE site = 'd.example'"), 0);
    struct keeping keeping = {.way = {.site = SLICE("f.example"), .source_id = SOURCE}, .now = 9001};
    test_write(store.store, keep_run, &keeping);
    assert_int_equal(test_number(store.reader, "SELECT COUNT(*) FROM pause WHERE node = 3"), 0);
    if (!pauses_of_site(store.reader, &why, SLICE("c.example"), now, &arena, &list, &count))
        fail_msg("%s", why.text);
    assert_int_equal(count, 1);
    assert_slice("where it was written", list[0].file, SLICE("default.yaml"));
    assert_int_equal(list[0].it.at.line, 9);
    arena_release(&arena);
    test_store_end(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(it_goes_on_for_the_rest_of_its_time),
        ON_BOTH(restarts_prolong_nothing),
        ON_BOTH(a_slowed_way_begins_an_interval_later),
        ON_BOTH(whose_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
