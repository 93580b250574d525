/* S51, S76, R21, R25, R28, D13, D14: the pace on simulated time against receivers whose limits it is not told */
#include "base/test.h"
#include "shape/pace.h"

#include <stdio.h>

static const struct site_rule unlimited = {.connections = 10, .messages_per_connection = 100};
static const struct verdict limited = {.reason = REASON_RATE_LIMITED, .action = ACTION_SLOW_DOWN, .scope = SCOPE_SITE};
static const struct reply said_421 = {.code = 421, .status = {4, 7, 0}, .text = SLICE_INIT("slow down")};

/* ── a receiver that takes R a second, and says 421 to the rest ── */

enum way { BUCKET, SLIDING };
struct throttle {
    enum way way;
    double r;
    double tokens;
    time_ms at;
    time_ms taken[4096]; /* a ring */
    unsigned next;
};

static bool throttle_takes(struct throttle *throttle, time_ms now)
{
    switch (throttle->way) {
    case BUCKET: /* a second's worth at once */
        throttle->tokens += throttle->r * (double)(now - throttle->at) / 1000.0;
        throttle->at = now;
        double most = throttle->r > 1 ? throttle->r : 1;
        if (throttle->tokens > most)
            throttle->tokens = most;
        if (throttle->tokens < 1)
            return false;
        throttle->tokens -= 1;
        return true;
    case SLIDING: { /* in the last ten seconds */
        unsigned ring = (unsigned)(throttle->r * 10);
        if (throttle->taken[throttle->next % ring] && now - throttle->taken[throttle->next % ring] < 10000)
            return false;
        throttle->taken[throttle->next++ % ring] = now;
        return true;
    }
    }
    return true;
}

/* ── the world: answers come after 30 ms, at most 20 mails are under way ── */

enum { UNDER_WAY = 20, LATENCY = 30 };
struct run {
    struct pace pace;
    struct throttle throttle;
    time_ms now, answers[UNDER_WAY];
    bool takes[UNDER_WAY];
    int count;
    unsigned sent, refused;
};

static void run_ms(struct run *run)
{
    run->now++;
    while (run->count && run->answers[0] <= run->now) {
        if (run->takes[0])
            pace_delivered(&run->pace, run->now);
        else
            pace_refused(&run->pace, &limited, &said_421, STAGE_MAIL, 9, run->now);
        run->refused += !run->takes[0];
        run->count--;
        memmove(run->answers, run->answers + 1, (size_t)run->count * sizeof(*run->answers));
        memmove(run->takes, run->takes + 1, (size_t)run->count * sizeof(*run->takes));
    }
    while (run->count < UNDER_WAY && pace_may_send(&run->pace, run->now) == 0) {
        pace_sent(&run->pace, run->now);
        run->takes[run->count] = throttle_takes(&run->throttle, run->now);
        run->answers[run->count++] = run->now + LATENCY;
        run->sent++;
    }
}

static void run_for(struct run *run, time_ms wait)
{
    for (time_ms end = run->now + wait; run->now < end;)
        run_ms(run);
}

/* Windows of ten seconds (longer where ten seconds hold too few mails to say): all between 0.7 R and R. */
static void stays_under(struct run *run, const char *name, double r, time_ms how_long)
{
    time_ms window = r >= 5 ? 10000 : 60000;
    unsigned refused = run->refused, sent = run->sent;
    for (time_ms end = run->now + how_long; run->now < end;) {
        unsigned before = run->sent, refused_before = run->refused;
        run_for(run, window);
        double attempted = (double)(run->sent - before) / ((double)window / 1000.0);
        double taken = attempted - (double)(run->refused - refused_before) / ((double)window / 1000.0);
        double slack = 1000.0 / (double)window; /* one mail more or less is the window's edge */
        if (getenv("PACE_TRACE"))
            fprintf(stderr, "%s t=%lld attempted %.2f taken %.2f rate %.2f limit %.2f\n", name,
                    (long long)run->now / 1000, attempted / r, taken / r, run->pace.rate / r, run->pace.rate_limit / r);
        if (taken < 0.7 * r - slack || attempted > 1.12 * r + slack)
            fail_msg("%s: after %lld s it sent %.2f a second and %.2f were taken, of %.2f", name,
                     (long long)run->now / 1000, attempted, taken, r);
    }
    double mean = (double)(run->sent - sent) / ((double)how_long / 1000.0);
    if (mean > r + 0.02 * r || mean < 0.7 * r)
        fail_msg("%s: %.2f a second in all, of %.2f", name, mean, r);
    if ((run->refused - refused) * 25 > run->sent - sent)
        fail_msg("%s: %u of %u refused", name, run->refused - refused, run->sent - sent);
}

static void finds_the_limit_stays_under_it_and_follows(void **state)
{
    static const struct {
        const char *name;
        enum way way;
        double r;
    } rows[] = {
        {"bucket 1/s", BUCKET, 1},     {"bucket 5/s", BUCKET, 5},       {"bucket 20/s", BUCKET, 20},
        {"bucket 100/s", BUCKET, 100}, {"bucket 300/s", BUCKET, 300},   {"sliding 2/s", SLIDING, 2},
        {"sliding 20/s", SLIDING, 20}, {"sliding 100/s", SLIDING, 100},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct run run = {.throttle = {.way = rows[i].way, .r = rows[i].r, .tokens = rows[i].r}, .now = 1000000};
        run.throttle.at = run.now;
        pace_init(&run.pace, &unlimited, 1.0);
        run_for(&run, 60000);
        stays_under(&run, rows[i].name, rows[i].r, 600000);
        run.throttle.r *= 2; /* the receiver thinks better of us */
        run_for(&run, 180000);
        char name[40];
        snprintf(name, sizeof(name), "%s, doubled", rows[i].name);
        stays_under(&run, name, rows[i].r * 2, 300000);
        run.throttle.r /= 4; /* and worse */
        memset(run.throttle.taken, 0, sizeof(run.throttle.taken));
        run_for(&run, 180000);
        snprintf(name, sizeof(name), "%s, halved", rows[i].name);
        stays_under(&run, name, rows[i].r / 2, 300000);
        pace_release(&run.pace);
    }
}

/* ── R28: no window ever exceeds ── */

static void no_window_exceeds(void **state)
{
    static const struct {
        unsigned count;
        time_ms per;
    } rows[] = {{1, 1000}, {3, 1000}, {10, 60000}, {100, 1000}, {100, 60000}, {997, 1000}, {5000, 1000}, {7, 3600000}};
    struct random random;
    random_seed(&random, 5);
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        const unsigned count = rows[i / 2].count;
        const time_ms per = rows[i / 2].per;
        struct site_rule rule = {.connections = 1000000};
        *(i % 2 ? &rule.opening : &rule.rate) = (struct site_rate){count, per};
        struct pace pace;
        pace_init(&pace, &rule, 1.0);
        uint64_t restarts = 0;
        time_ms *ring = NEW_ARRAY(time_ms, count);
        uint64_t passed = 0;
        time_ms start = 5000000, now = start, end = start + 20 * per;
        while (now < end) { /* asked in bursts, with pauses of any length, at a coarse clock */
            bool is_pause = random_below(&random, 50) == 0;
            time_ms most = is_pause ? per : 1 + per / 500;
            now += (time_ms)random_below(&random, (uint64_t)most) + (is_pause ? 0 : 1);
            if (now >= start + 5 * per && random_below(&random, 200) == 0 && ++restarts) { /* killed, and there again */
                pace_init(&pace, &rule, 1.0);
                pace_goes_on(&pace, now);
            }
            for (unsigned tries = 0; tries < 2 * count; tries++) {
                if (i % 2 ? pace_may_open(&pace, 0, now) : pace_may_send(&pace, now))
                    break;
                i % 2 ? pace_opened(&pace, now) : pace_sent(&pace, now);
                time_ms *oldest = &ring[passed++ % count];
                if (passed > count && now - *oldest < per)
                    fail_msg("%u in %lld ms: one more after %lld ms", count, (long long)per,
                             (long long)(now - *oldest));
                *oldest = now;
            }
        }
        if (passed < 2 * (uint64_t)count) /* nor does it stand still, asked as seldom as that */
            fail_msg("%u in %lld ms: only %llu passed in 20 periods", count, (long long)per,
                     (unsigned long long)passed);
        assert_true(restarts > 0);
        free(ring);
        pace_release(&pace);
    }
}

/* Whoever asks how long to wait, and waits so long, may pass; a millisecond before, he may not. */
static void the_wait_is_true(void **state)
{
    const struct site_rule rule = {.connections = 10, .rate = {7, 1000}};
    struct pace pace;
    pace_init(&pace, &rule, 1.0);
    time_ms now = 100;
    for (int i = 0; i < 100; i++) {
        while (pace_may_send(&pace, now) == 0)
            pace_sent(&pace, now);
        time_ms wait = pace_may_send(&pace, now);
        assert_true(wait > 0 && wait <= 1000);
        assert_int_equal(pace_may_send(&pace, now + wait - 1), 1);
        now += wait;
        assert_int_equal(pace_may_send(&pace, now), 0);
    }
    pace_release(&pace);
}

/* ── what refusals do ── */

static struct sites *sites_of_ours(void)
{
    struct sites *sites;
    struct fault why;
    if (!sites_open(NULL, &sites, &why))
        fail_msg("%s", why.text);
    return sites;
}

static struct reply reply_of(int code, const char *text)
{
    return (struct reply){.code = code, .text = slice_str(text)};
}

static void words_and_what_they_do_to_the_pace(void **state)
{
    static const struct {
        const char *name;
        struct verdict verdict;
        int code;
        enum stage stage;
        bool slows, narrows;
    } rows[] = {
        {"421 at MAIL", {.reason = REASON_SYSTEM_ERROR, .scope = SCOPE_SITE}, 421, STAGE_MAIL, true, false},
        {"rate limited, 5xx (QQ)", {.reason = REASON_RATE_LIMITED}, 550, STAGE_MAIL, true, false},
        {"slow down", {.reason = REASON_BLOCKED, .action = ACTION_SLOW_DOWN}, 451, STAGE_DOT, true, false},
        {"421 at the greeting", {.reason = REASON_BLOCKED, .scope = SCOPE_SOURCE}, 421, STAGE_CONNECT, false, true},
        {"an unknown user", {.reason = REASON_USER_UNKNOWN, .scope = SCOPE_ADDRESS}, 550, STAGE_RCPT, false, false},
        {"a full mailbox, 452", {.reason = REASON_MAILBOX_FULL, .scope = SCOPE_ADDRESS}, 452, STAGE_RCPT, false, false},
        {"421 for this message (R21)", {.reason = REASON_SPAM, .scope = SCOPE_MESSAGE}, 421, STAGE_DOT, false, false},
        {"421 4.7.26: our keys", {.reason = REASON_AUTH_FAILURE, .scope = SCOPE_SENDER}, 421, STAGE_DOT, false, false},
        {"greylisted", {.reason = REASON_GREYLISTED, .scope = SCOPE_SITE}, 451, STAGE_RCPT, false, false},
        {"his own inbox is flooded",
         {.reason = REASON_RECIPIENT_FLOODED, .action = ACTION_SLOW_DOWN},
         450,
         STAGE_RCPT,
         false,
         false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct pace pace;
        pace_init(&pace, &unlimited, 1.0);
        const struct reply reply = {.code = rows[i].code, .text = SLICE("whatever")};
        pace_refused(&pace, &rows[i].verdict, &reply, rows[i].stage, 4, 1000000);
        assert_int_row(rows[i].name, pace.rate > 0, rows[i].slows);
        assert_int_row(rows[i].name, pace_connections(&pace, 1000001), rows[i].narrows ? 4 : 10);
        assert_int_row(rows[i].name, pace.lowering.count, rows[i].slows || rows[i].narrows);
        if (pace.lowering.count)
            assert_int_row(rows[i].name, pace.lowering.by, rows[i].slows ? PACE_OWN_RATE : PACE_OWN_CONNECTIONS);
        pace_release(&pace);
    }
}

/* "451 4.3.0 try again later" to one mail in fifty says nothing of our pace; to one in eight it does. */
static void a_site_that_fails_now_and_then_is_not_slowed(void **state)
{
    static const struct {
        const char *name;
        unsigned every;
        bool slows;
    } rows[] = {{"one in fifty", 50, false}, {"one in twelve", 12, false}, {"one in eight", 8, true}, {"all", 1, true}};
    static const struct verdict busy = {.reason = REASON_SYSTEM_ERROR, .scope = SCOPE_SITE};
    static const struct reply reply = {451, {4, 3, 0}, SLICE_INIT("try again later")};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct pace pace;
        pace_init(&pace, &unlimited, 1.0);
        for (unsigned mail = 1; mail <= 1000; mail++)
            if (mail % rows[i].every == 0)
                pace_refused(&pace, &busy, &reply, STAGE_RCPT, 4, 1000000 + mail);
            else
                pace_delivered(&pace, 1000000 + mail);
        assert_int_row(rows[i].name, pace.lowering.count > 0, rows[i].slows);
        pace_release(&pace);
    }
}

/* A receiver that takes three at a time: found at once, held, tried again later, and regrown when it takes more. */
static void connections_fall_at_once_and_regrow(void **state)
{
    struct pace pace;
    pace_init(&pace, &unlimited, 1.0);
    time_ms now = 1000000;
    assert_int_equal(pace_connections(&pace, now), 10);
    for (int i = 0; i < 7; i++) /* one burst counts once */
        pace_failed(&pace, 3, NULL, now + i);
    assert_int_equal(pace_connections(&pace, now + 10), 3);
    for (int i = 0; i < 250; i++)
        pace_delivered(&pace, now += 100);
    assert_int_equal(pace_connections(&pace, now), 3); /* 25 s: held */
    for (int i = 0; i < 65; i++)
        pace_delivered(&pace, now += 100);
    assert_int_equal(pace_connections(&pace, now), 4);
    pace_failed(&pace, 3, NULL, now);
    assert_int_equal(pace_connections(&pace, now), 3);
    for (int i = 0; i < 400; i++)
        pace_delivered(&pace, now += 100);
    assert_int_equal(pace_connections(&pace, now), 3); /* the hold doubles */
    for (int i = 0; i < 1000; i++)
        pace_delivered(&pace, now += 100);
    assert_int_equal(pace_connections(&pace, now), 10);
    pace_release(&pace);
}

static void the_breaker(void **state)
{
    struct pace pace;
    struct random random;
    random_seed(&random, 3);
    pace_init(&pace, &unlimited, 1.0);
    time_ms now = 1000000, before = 0;
    for (int i = 0; i < 8; i++) { /* refused, and refused again: longer each time, up to 16 minutes */
        pace_failed(&pace, 0, &random, now);
        assert_int_equal(pace.breaker, BREAKER_OPEN);
        assert_int_equal(pace_connections(&pace, now), 0);
        time_ms wait = pace_may_open(&pace, 0, now);
        assert_int_equal(pace_reopens(&pace, now), now + wait);
        assert_true(wait >= (30000 << (i < 5 ? i : 5)) * 9 / 10 && wait <= (30000 << (i < 5 ? i : 5)) * 11 / 10 + 1);
        assert_true(wait != before); /* R27 */
        before = wait;
        assert_int_equal(pace_binding(&pace, 0, now)->limit, PACE_BREAKER);
        assert_int_equal(pace.lowering.by, PACE_BREAKER);
        now += wait;
        assert_int_equal(pace_connections(&pace, now), 1); /* one probes */
        assert_int_equal(pace_may_open(&pace, 1, now), PACE_FULL);
    }
    pace_talked(&pace, now);
    assert_int_equal(pace.breaker, BREAKER_CLOSED);
    for (int i = 0; i < 200; i++)
        pace_delivered(&pace, now += 10);
    assert_int_equal(pace_connections(&pace, now), 10);

    for (int i = 0; i < 3; i++) { /* D14, au: resets in a row */
        assert_int_equal(pace.breaker, BREAKER_CLOSED);
        pace_reset(&pace, &random, now += 5000);
    }
    assert_int_equal(pace.breaker, BREAKER_OPEN);
    pace_release(&pace);
}

static void reactions_count_act_and_end(void **state)
{
    struct sites *sites = sites_of_ours();
    struct pace pace;
    pace_init(&pace, sites_rule_named(sites, SLICE("google")), 1.0);
    const struct verdict spam = {.reason = REASON_SPAM, .scope = SCOPE_MESSAGE};
    const struct reply unusual = reply_of(421, "Our system has detected an unusual rate of mail"),
                       detected = reply_of(550, "Our system has detected that this message is spam");
    time_ms now = 1000000;
    pace_refused(&pace, &spam, &unusual, STAGE_DOT, 1, now);
    pace_refused(&pace, &spam, &unusual, STAGE_DOT, 1, now += HOURS_MS(1) + 2); /* not within the hour */
    assert_null(pace.slowed_by);
    pace_refused(&pace, &spam, &unusual, STAGE_DOT, 1, now += 1000);
    assert_non_null(pace.slowed_by);
    int sent = 0;
    for (time_ms end = now + MINUTES_MS(10); now < end; now += 50) {
        for (; pace_may_send(&pace, now) == 0; sent++)
            pace_sent(&pace, now);
        if (sent != 50)
            continue;
        assert_int_equal(pace_binding(&pace, 1, now)->limit, PACE_REACTION_RATE);
        assert_string_equal(pace_binding(&pace, 1, now)->at.file, "data/sites/google.yaml");
    }
    assert_true(sent >= 98 && sent <= 101);
    now += MINUTES_MS(20) + 2;
    assert_int_equal(pace_may_send(&pace, now), 0);
    assert_null(pace.slowed_by);

    for (int i = 0; i < 5; i++)
        pace_refused(&pace, &spam, &detected, STAGE_DOT, 1, now += 1000);
    assert_int_equal(pace_connections(&pace, now), 0);
    assert_int_equal(pace_reopens(&pace, now), now + HOURS_MS(1) + 1);
    const struct pace_binding *binding = pace_binding(&pace, 0, now + 5);
    assert_int_equal(binding->limit, PACE_REACTION_SUSPEND);
    assert_slice("reaction", binding->reaction->id, SLICE("google.detected-message"));
    assert_int_equal(pace.lowering.by, PACE_REACTION_SUSPEND); /* not what our own rate did at the same words */
    assert_int_equal(pace_binding(&pace, 0, now + 500)->since, now + 5);
    assert_true(pace_connections(&pace, now + HOURS_MS(1) + 2) > 0);
    pace_release(&pace);

    pace_init(&pace, sites_default(sites), 0.001); /* scaled: an hour and a half is 5.4 s */
    const struct reply busy = reply_of(451, "Server busy, come back later");
    pace_refused(&pace, &spam, &busy, STAGE_DOT, 1, now);
    assert_int_equal(pace_connections(&pace, now), 1);
    assert_int_equal(pace_connections(&pace, now + 5402), 10);
    pace_release(&pace);
    sites_free(sites);
}

/* D13: docomo blocks networks in the words of an unknown user: while their share is abnormal nobody is excluded for
 * them */
static void the_guard_against_words_that_lie(void **state)
{
    struct sites *sites = sites_of_ours();
    struct pace pace;
    pace_init(&pace, sites_rule_named(sites, SLICE("docomo")), 1.0);
    const struct verdict unknown = {
        .reason = REASON_USER_UNKNOWN, .scope = SCOPE_ADDRESS, .action = ACTION_SUPPRESS_NOW};
    const struct reply reply = reply_of(550, "Unknown user taro@docomo.ne.jp");
    time_ms now = 1000000;
    for (int i = 0; i < 300; i++) { /* one in five: a bad list, believed */
        if (i % 5)
            pace_delivered(&pace, now += 10);
        else
            assert_false(pace_refused(&pace, &unknown, &reply, STAGE_RCPT, 1, now += 10));
    }
    int believed = 0;
    while (!pace_refused(&pace, &unknown, &reply, STAGE_RCPT, 1, now += 10))
        believed++;
    assert_true(believed < 20);
    assert_int_equal(pace_connections(&pace, now), 0);
    assert_true(pace_refused(&pace, &unknown, &reply, STAGE_RCPT, 1, now + 1000)); /* what was under way */
    assert_int_equal(pace_binding(&pace, 0, now)->limit, PACE_GUARD);
    assert_true(pace_connections(&pace, now + HOURS_MS(2) + 2) > 0);
    pace_release(&pace);
    sites_free(sites);
}

/* R28: until then another pace in its place might exceed something; and what it has learnt, when nothing presses. */
static void what_is_kept_and_for_how_long(void **state)
{
    static const struct site_rule hourly = {.connections = 10, .messages_per_connection = 1, .rate = {2, HOURS_MS(1)}};
    static const struct site_rule opening = {.connections = 10, .messages_per_connection = 1, .opening = {1, 60000}};
    static const struct verdict full = {.reason = REASON_RATE_LIMITED, .action = ACTION_SLOW_DOWN, .scope = SCOPE_SITE};
    enum what { NOTHING, SENT, OPENED, REFUSED, FAILED, FAILED_AND_STOOD_OPEN };
    static const struct {
        const char *name;
        enum what what;
        const struct site_rule *rule;
        time_ms least, most;               /* from now on */
        time_ms learnt_least, learnt_most; /* the same with what was learnt */
    } rows[] = {
        {"nothing ever happened", NOTHING, &unlimited, 0, 0, 0, 0},
        {"a mail without a limit", SENT, &unlimited, 0, 0, 0, 0},
        {"a mail of two an hour", SENT, &hourly, MINUTES_MS(30), MINUTES_MS(32), MINUTES_MS(30), MINUTES_MS(32)},
        {"a new connection of one a minute", OPENED, &opening, 60000, 73000, 60000, 73000},
        {"it was too fast", REFUSED, &unlimited, 0, 0, DAYS_MS(1), DAYS_MS(1) + 1000},
        {"nobody is at home", FAILED, &unlimited, 27000, 33001, DAYS_MS(1), DAYS_MS(1) + 1000},
        {"the breaker is over, nobody has tried yet", FAILED_AND_STOOD_OPEN, &unlimited, 0, 0, DAYS_MS(1) - 40000,
         DAYS_MS(1)},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct pace pace;
        time_ms now = 5000000;
        pace_init(&pace, rows[i].rule, 1.0);
        switch (rows[i].what) {
        case NOTHING: break;
        case SENT: pace_sent(&pace, now); break;
        case OPENED: pace_opened(&pace, now); break;
        case REFUSED:
            pace_sent(&pace, now);
            pace_refused(&pace, &full, &said_421, STAGE_MAIL, 1, now);
            break;
        case FAILED: pace_failed(&pace, 0, NULL, now); break;
        case FAILED_AND_STOOD_OPEN:
            pace_failed(&pace, 0, NULL, now);
            now += 40000;
            break;
        }
        time_ms kept = pace_kept_until(&pace, false, now), learnt = pace_kept_until(&pace, true, now);
        assert_row(rows[i].name, (kept ? kept - now : 0) >= rows[i].least && (kept ? kept - now : 0) <= rows[i].most);
        assert_row(rows[i].name, (learnt ? learnt - now : 0) >= rows[i].learnt_least &&
                                     (learnt ? learnt - now : 0) <= rows[i].learnt_most);
        pace_release(&pace);
    }
}

/* While matches of a reaction still count, and while it acts. */
static void a_reaction_that_counts_is_kept(void **state)
{
    static const char text[] =
        "name: default\nlabel: all\nconnections: 10\nmessages_per_connection: 100\nrate: none\n"
        "new_connections: none\ndaily: none\ntls: may\nreactions:\n  - id: default.busy\n    text: "
        "[\"busy\"]\n    count: 2\n    within: 10m\n    suspend: 2h\n    examples:\n      - \"421 "
        "4.3.2 busy\"\n    not:\n      - \"550 5.1.1 no such user\"\n";
    static const struct reply busy = {.code = 421, .status = {4, 3, 2}, .text = SLICE_INIT("busy")};
    struct sites *sites = sites_new();
    struct fault why;
    struct pace pace;
    time_ms now = 5000000;
    (void)state;
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    pace_init(&pace, sites_rule_for(sites, NULL, 0), 1.0);
    pace_hears_reply(&pace, &busy, STAGE_CONNECT, now);
    time_ms kept = pace_kept_until(&pace, false, now);
    assert_in_range(kept - now, MINUTES_MS(10), MINUTES_MS(10) + 1);
    pace_hears_reply(&pace, &busy, STAGE_CONNECT, now += 1000);
    kept = pace_kept_until(&pace, false, now);
    assert_in_range(kept - now, HOURS_MS(2), HOURS_MS(2) + 1);
    assert_int_equal(pace_kept_until(&pace, false, kept), 0);
    pace_release(&pace);
    sites_free(sites);
}

/* Issue 4.5: by hand. Whatever was held against a site is over, the rule's windows stay as full as they are, and what a
 * person ordered is ended by a person. */
static void a_person_resumes_and_suspends(void **state)
{
    static const char text[] =
        "name: default\nlabel: all\nconnections: 10\nmessages_per_connection: 100\nrate: 5/min\n"
        "new_connections: none\ndaily: none\ntls: may\nunknown_users: {share: 50%, of: 2, suspend: 3h}\nreactions:\n"
        "  - id: default.busy\n    text: [\"busy\"]\n    suspend: 2h\n    examples:\n      - \"421 4.3.2 busy\"\n"
        "    not:\n      - \"550 5.1.1 no such user\"\n"
        "  - id: default.slow\n    text: [\"slow\"]\n    rate: 1/min\n    for: 1h\n    examples:\n      - \"421 4.3.2 "
        "slow\"\n    not:\n      - \"550 5.1.1 no such user\"\n";
    static const struct reply busy = {.code = 421, .status = {4, 3, 2}, .text = SLICE_INIT("busy")},
                              slow = {.code = 421, .status = {4, 3, 2}, .text = SLICE_INIT("slow")},
                              nobody = {.code = 550, .status = {5, 1, 1}, .text = SLICE_INIT("no such user")};
    static const struct verdict unknown = {.reason = REASON_USER_UNKNOWN, .scope = SCOPE_ADDRESS};
    enum what { NOTHING, SUSPENDED, SLOWED, GUARDED, BROKEN, OWN_RATE, OWN_CONNECTIONS };
    static const struct {
        const char *name;
        enum what what;
        bool is_lifted;
    } rows[] = {
        {"nothing is held against it", NOTHING, false},
        {"a reaction suspends it", SUSPENDED, true},
        {"a reaction slows it", SLOWED, true},
        {"the guard leaves it alone", GUARDED, true},
        {"the breaker is open", BROKEN, true},
        {"a rate that we have learnt", OWN_RATE, true},
        {"connections that we have learnt", OWN_CONNECTIONS, true},
    };
    struct sites *sites = sites_new();
    struct fault why;
    (void)state;
    if (!sites_read(sites, "default.yaml", slice_str(text), false, &why) || !sites_settle(sites, false, &why))
        fail_msg("%s", why.text);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct pace pace;
        time_ms now = 5000000;
        pace_init(&pace, sites_rule_for(sites, NULL, 0), 1.0);
        for (int sent = 0; sent < 5; sent++)
            pace_sent(&pace, now);
        time_ms full = pace_may_send(&pace, now);
        assert_row(rows[i].name, full > 0); /* of the rule: nobody lifts that */
        switch (rows[i].what) {
        case NOTHING: break;
        case SUSPENDED: pace_hears_reply(&pace, &busy, STAGE_CONNECT, now); break;
        case SLOWED: pace_hears_reply(&pace, &slow, STAGE_CONNECT, now); break;
        case GUARDED:
            for (int n = 0; n < 2; n++)
                (void)pace_refused(&pace, &unknown, &nobody, STAGE_RCPT, 0, now);
            break;
        case BROKEN: pace_failed(&pace, 0, NULL, now); break;
        case OWN_RATE: (void)pace_refused(&pace, &limited, &said_421, STAGE_MAIL, 0, now); break;
        case OWN_CONNECTIONS: pace_crowded(&pace, 3, now); break;
        }
        if (rows[i].is_lifted)
            assert_row(rows[i].name, pace_may_send(&pace, now) > full || pace_connections(&pace, now) < 10 ||
                                         pace_rate(&pace, now) < 5.0 / 60);
        assert_row(rows[i].name, pace_resume(&pace, now) == rows[i].is_lifted);
        assert_int_row(rows[i].name, pace_may_send(&pace, now), full);
        assert_int_row(rows[i].name, pace_connections(&pace, now), 10);
        assert_row(rows[i].name, !pace_resume(&pace, now));
        pace_suspend(&pace, now + HOURS_MS(1));
        assert_int_row(rows[i].name, pace_may_send(&pace, now), HOURS_MS(1));
        assert_int_row(rows[i].name, pace_connections(&pace, now), 0);
        assert_row(rows[i].name, pace_binding(&pace, 0, now)->limit == PACE_ORDER);
        assert_row(rows[i].name, !pace_resume(&pace, now)); /* its own order ends it */
        assert_int_row(rows[i].name, pace_may_send(&pace, now), HOURS_MS(1));
        assert_int_row(rows[i].name, pace_connections(&pace, now + HOURS_MS(1)), 10);
        pace_suspend(&pace, 0);
        assert_int_row(rows[i].name, pace_connections(&pace, now), 10);
        pace_release(&pace);
    }
    sites_free(sites);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_limit_stays_under_it_and_follows),
        cmocka_unit_test(no_window_exceeds),
        cmocka_unit_test(the_wait_is_true),
        cmocka_unit_test(words_and_what_they_do_to_the_pace),
        cmocka_unit_test(a_site_that_fails_now_and_then_is_not_slowed),
        cmocka_unit_test(connections_fall_at_once_and_regrow),
        cmocka_unit_test(the_breaker),
        cmocka_unit_test(reactions_count_act_and_end),
        cmocka_unit_test(the_guard_against_words_that_lie),
        cmocka_unit_test(what_is_kept_and_for_how_long),
        cmocka_unit_test(a_reaction_that_counts_is_kept),
        cmocka_unit_test(a_person_resumes_and_suspends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
