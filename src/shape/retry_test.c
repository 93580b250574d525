/* S30, S32, S38, M10, R27: which refusals are final, and when the others are tried again */
#include "base/test.h"
#include "shape/retry.h"

static void decided(void **state)
{
    static const struct {
        const char *name;
        enum reason reason;
        enum whose_fault whose;
        enum retry retry;
        int code;
        unsigned attempts;
        enum delivery_state want;
        int from_minutes, to_minutes;
        const char *words;
    } rows[] = {
        {"unknown user, 550", REASON_USER_UNKNOWN, WHOSE_ADDRESS, RETRY_NONE, 550, 1, DELIVERY_BOUNCED, 0, 0},
        {"unknown user, 450: believed only at the end", REASON_USER_UNKNOWN, WHOSE_ADDRESS, RETRY_NONE, 450, 1,
         DELIVERY_DEFERRED, 13, 19},
        {"full, 552 5.2.2: soft though 5xx", REASON_MAILBOX_FULL, WHOSE_ADDRESS, RETRY_FULL, 552, 1, DELIVERY_DEFERRED,
         3 * 1440 * 9 / 10, 3 * 1440 * 12 / 10 + 1},
        {"full, the fourth time", REASON_MAILBOX_FULL, WHOSE_ADDRESS, RETRY_FULL, 552, 4, DELIVERY_EXPIRED, 0, 0},
        {"greylisted", REASON_GREYLISTED, WHOSE_RECEIVER, RETRY_GREYLIST, 451, 1, DELIVERY_DEFERRED, 4, 7},
        {"busy, 421", REASON_SYSTEM_ERROR, WHOSE_RECEIVER, RETRY_BUSY, 421, 1, DELIVERY_DEFERRED, 13, 19},
        {"busy, but 554", REASON_SYSTEM_ERROR, WHOSE_RECEIVER, RETRY_BUSY, 554, 1, DELIVERY_BOUNCED, 0, 0},
        {"frequency limited, 550 (QQ)", REASON_RATE_LIMITED, WHOSE_SENDER, RETRY_LANE, 550, 1, DELIVERY_DEFERRED, 1, 3},
        {"unauthenticated, 421 4.7.26: never heals", REASON_AUTH_FAILURE, WHOSE_SENDER, RETRY_NONE, 421, 1,
         DELIVERY_BOUNCED, 0, 0},
        {"turned away at the greeting, 421: may be a storm, nobody is lost by it", REASON_BLOCKED, WHOSE_SENDER,
         RETRY_NONE, 421, 1, DELIVERY_DEFERRED, 13, 19},
        {"blocked, 554", REASON_BLOCKED, WHOSE_SENDER, RETRY_NONE, 554, 1, DELIVERY_BOUNCED, 0, 0},
        {"connection refused", REASON_NETWORK_ERROR, WHOSE_RECEIVER, RETRY_NETWORK, 0, 3, DELIVERY_DEFERRED, 18, 25},
        {"unreadable 4xx", REASON_UNDEFINED, WHOSE_NONE, RETRY_NONE, 499, 1, DELIVERY_DEFERRED, 13, 19},
        {"relay denied, 454: their settings, perhaps for an hour", REASON_RELAY_DENIED, WHOSE_RECEIVER, RETRY_NONE, 454,
         1, DELIVERY_DEFERRED, 13, 19},
        {"our domain is not found, 450: their DNS, perhaps", REASON_REJECTED, WHOSE_SENDER, RETRY_NONE, 450, 1,
         DELIVERY_DEFERRED, 13, 19},
        {"no PTR, 450", REASON_PTR_REQUIRED, WHOSE_SENDER, RETRY_NONE, 450, 1, DELIVERY_DEFERRED, 13, 19},
        {"too big for the room that is left, 452", REASON_MESSAGE_TOO_BIG, WHOSE_MESSAGE, RETRY_NONE, 452, 1,
         DELIVERY_DEFERRED, 13, 19},
        {"a policy, 450", REASON_POLICY_VIOLATION, WHOSE_MESSAGE, RETRY_NONE, 450, 1, DELIVERY_DEFERRED, 13, 19},
        {"spam, 451, for good", REASON_SPAM, WHOSE_MESSAGE, RETRY_NONE, 451, 1, DELIVERY_BOUNCED, 0, 0,
         "content rejected"},
        {"spam, 451, later", REASON_SPAM, WHOSE_MESSAGE, RETRY_NONE, 451, 1, DELIVERY_DEFERRED, 13, 19,
         "looks like spam, please try again later"},
        {"spam, 421: the connection ends, no more", REASON_SPAM, WHOSE_MESSAGE, RETRY_NONE, 421, 1, DELIVERY_DEFERRED,
         13, 19, "content spam connection closed"},
        {"a virus, 451: the scanner is away", REASON_VIRUS, WHOSE_MESSAGE, RETRY_NONE, 451, 1, DELIVERY_DEFERRED, 13,
         19, "virus scanner temporarily unavailable"},
        {"authentication, 451: their DNS", REASON_AUTH_FAILURE, WHOSE_SENDER, RETRY_NONE, 451, 1, DELIVERY_DEFERRED, 13,
         19, "SPF temporary error: DNS timeout"},
        {"authentication, 550, later", REASON_AUTH_FAILURE, WHOSE_SENDER, RETRY_NONE, 550, 1, DELIVERY_BOUNCED, 0, 0,
         "try again later"},
        {"spam, 550", REASON_SPAM, WHOSE_MESSAGE, RETRY_NONE, 550, 1, DELIVERY_BOUNCED, 0, 0},
    };
    const struct retry_settings settings = {.scale = 1.0};
    struct random random;
    random_seed(&random, 1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct verdict verdict = {.reason = rows[i].reason, .whose = rows[i].whose, .retry = rows[i].retry};
        const struct reply reply = {.code = rows[i].code, .text = slice_str(rows[i].words ? rows[i].words : "")};
        time_ms now = 1795321800000, due = 0;
        enum delivery_state got =
            retry_decide(&verdict, &reply, rows[i].attempts, now, now + DAYS_MS(20), 0, &settings, &random, &due);
        assert_int_row(rows[i].name, got, rows[i].want);
        if (got == DELIVERY_DEFERRED)
            assert_row(rows[i].name,
                       due >= now + MINUTES_MS(rows[i].from_minutes) && due <= now + MINUTES_MS(rows[i].to_minutes));
    }
}

static void given_up_after_its_time(void **state)
{
    const struct retry_settings settings = {.scale = 1.0};
    struct random random;
    random_seed(&random, 1);
    struct verdict verdict = {.reason = REASON_NETWORK_ERROR, .whose = WHOSE_RECEIVER, .retry = RETRY_NETWORK};
    const time_ms start = 1795321800000, expires = start + DAYS_MS(5);
    time_ms now = start, due = 0;
    unsigned attempts = 1;
    while (retry_decide(&verdict, &(struct reply){0}, attempts, now, expires, 0, &settings, &random, &due) ==
           DELIVERY_DEFERRED) {
        assert_true(due > now && due < expires);
        now = due;
        attempts++;
    }
    assert_true(attempts > 25 && attempts < 45); /* S38: minutes at first, then every four hours up to five days */
}

/* The hour of the next try is later than the end: a last try shortly before it, and then it is over. */
static void a_last_try_before_the_end(void **state)
{
    static const struct {
        const char *name;
        enum retry retry;
        unsigned attempts;
        time_ms left, opens; /* from now */
        enum delivery_state want;
    } rows[] = {
        {"full, two days left of three", RETRY_FULL, 2, DAYS_MS(2), 0, DELIVERY_DEFERRED},
        {"full, an hour left: not worth one", RETRY_FULL, 2, HOURS_MS(1), 0, DELIVERY_EXPIRED},
        {"no connection, three hours left", RETRY_NETWORK, 9, HOURS_MS(3), 0, DELIVERY_DEFERRED},
        {"no connection, ten minutes left", RETRY_NETWORK, 9, MINUTES_MS(10), 0, DELIVERY_EXPIRED},
        {"the way opens before the end", RETRY_FULL, 2, DAYS_MS(2), DAYS_MS(1), DELIVERY_DEFERRED},
        {"the way opens after the end", RETRY_LANE, 2, DAYS_MS(2), DAYS_MS(3), DELIVERY_EXPIRED},
        {"it is over", RETRY_NETWORK, 9, 0, 0, DELIVERY_EXPIRED},
        {"it was over long ago", RETRY_NETWORK, 9, -DAYS_MS(1), 0, DELIVERY_EXPIRED},
    };
    const struct retry_settings settings = {.scale = 1.0};
    struct random random;
    random_seed(&random, 1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct verdict verdict = {.reason = REASON_MAILBOX_FULL, .retry = rows[i].retry};
        const time_ms now = 1795321800000, expires = now + rows[i].left;
        time_ms due = 0;
        enum delivery_state got = retry_decide(&verdict, &(struct reply){.code = 450}, rows[i].attempts, now, expires,
                                               rows[i].opens ? now + rows[i].opens : 0, &settings, &random, &due);
        assert_int_row(rows[i].name, got, rows[i].want);
        if (got == DELIVERY_DEFERRED)
            assert_row(rows[i].name, due > expires - rows[i].left / 10 && due < expires);
    }
    /* the story of a full mailbox, with the defaults: tried after three days, and on the fifth, then given up */
    const struct verdict full = {.reason = REASON_MAILBOX_FULL, .retry = RETRY_FULL};
    const time_ms start = 1795321800000, expires = start + DAYS_MS(5);
    time_ms now = start, due = 0;
    unsigned attempts = 1;
    for (; retry_decide(&full, &(struct reply){.code = 552}, attempts, now, expires, 0, &settings, &random, &due) ==
           DELIVERY_DEFERRED;
         attempts++)
        now = due;
    assert_int_equal(attempts, 3);
    assert_true(now > start + DAYS_MS(4) && now < expires);
}

/* "rate limits when the site's lane reopens", and with jitter, so that they do not come back together (R27) */
static void a_limit_is_tried_when_the_way_opens(void **state)
{
    const struct retry_settings settings = {.scale = 1.0};
    struct random random;
    random_seed(&random, 1);
    const struct verdict limited = {.reason = REASON_RATE_LIMITED, .retry = RETRY_LANE},
                         busy = {.reason = REASON_SYSTEM_ERROR, .retry = RETRY_BUSY};
    const time_ms now = 1795321800000, opens = now + HOURS_MS(2);
    time_ms due, before = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(retry_decide(&limited, &(struct reply){.code = 421}, 3, now, now + DAYS_MS(5), opens,
                                      &settings, &random, &due),
                         DELIVERY_DEFERRED);
        assert_true(due > opens && due <= opens + MINUTES_MS(12) + 1 && due != before);
        before = due;
        assert_int_equal(retry_decide(&busy, &(struct reply){.code = 451}, 1, now, now + DAYS_MS(5), opens, &settings,
                                      &random, &due),
                         DELIVERY_DEFERRED);
        assert_true(due > opens);
        assert_int_equal(retry_decide(&busy, &(struct reply){.code = 451}, 6, now, now + DAYS_MS(5), opens, &settings,
                                      &random, &due),
                         DELIVERY_DEFERRED);
        assert_true(due > now + HOURS_MS(7)); /* its own hour is later */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decided), cmocka_unit_test(given_up_after_its_time),
                                       cmocka_unit_test(a_last_try_before_the_end),
                                       cmocka_unit_test(a_limit_is_tried_when_the_way_opens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
