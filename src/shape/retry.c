#include "shape/retry.h"

enum { STEPS = 8 };
static const double LAST_PART = 4, /* a last try needs this part of the usual wait before it */
    LAST_SPREAD = 0.05;            /* of the time left: not all at the same moment (R27) */

/* Waits in minutes by attempt; the last one repeats while the delivery lives, 0 ends it. */
static const struct {
    int minutes[STEPS];
    int most; /* attempts after which it is given up; 0: only its expiry ends it */
} schedules[RETRY_COUNT] = {
    [RETRY_NONE] = {{0}, 0},
    [RETRY_GREYLIST] = {{5, 10, 15, 30, 60, 120, 240, 240}, 0},
    [RETRY_BUSY] = {{15, 30, 60, 120, 240, 480, 720, 720}, 0},
    [RETRY_FULL] = {{3 * 1440, 3 * 1440, 3 * 1440}, 4},
    [RETRY_NETWORK] = {{5, 10, 20, 40, 80, 160, 240, 240}, 0},
    [RETRY_LANE] = {{2, 5, 10, 20, 40, 60, 120, 240}, 0}, /* or when the site's way opens again */
};

time_ms retry_wait(enum retry retry, unsigned attempts)
{
    if (attempts == 0 || (schedules[retry].most && attempts >= (unsigned)schedules[retry].most))
        return 0;
    unsigned step = attempts - 1 < STEPS ? attempts - 1 : STEPS - 1;
    return MINUTES_MS(schedules[retry].minutes[step]);
}

/* A fault of the message or of authentication, said for good (RECEIVERS.md: these are not retried). */
static bool is_for_good(const struct verdict *verdict, const struct reply *reply)
{
    switch (verdict->reason) {
    case REASON_AUTH_FAILURE: return !reply_asks_for_later(reply);
    case REASON_SPAM:
    case REASON_VIRUS:
    case REASON_URL_BLOCKED:
    case REASON_CONTENT_ERROR:
    case REASON_LINE_TOO_LONG:
    case REASON_NOT_RFC_COMPLIANT: return reply->code != 421 && !reply_asks_for_later(reply);
    default: return false; /* an unknown user, a block, a policy, a size (RFC 1870 6.1: for want of room), ... */
    }
}

/* Which schedule holds for this refusal; RETRY_NONE: it is final. */
static enum retry schedule_of(const struct verdict *verdict, const struct reply *reply)
{
    bool is_5xx = reply_is_permanent(reply);
    switch (verdict->retry) {
    case RETRY_NONE: return is_5xx || is_for_good(verdict, reply) ? RETRY_NONE : RETRY_BUSY;
    case RETRY_BUSY:
    case RETRY_NETWORK: return is_5xx ? RETRY_NONE : verdict->retry;
    case RETRY_GREYLIST:
    case RETRY_FULL:
    case RETRY_LANE: return verdict->retry;
    case RETRY_COUNT: break;
    }
    return RETRY_NONE;
}

enum delivery_state retry_decide(const struct verdict *verdict, const struct reply *reply, unsigned attempts,
                                 time_ms now, time_ms expires, time_ms opens, const struct retry_settings *settings,
                                 struct random *random, time_ms *due)
{
    enum retry schedule = schedule_of(verdict, reply);
    if (schedule == RETRY_NONE)
        return DELIVERY_BOUNCED;
    time_ms wait = retry_wait(schedule, attempts);
    if (wait == 0)
        return DELIVERY_EXPIRED;
    double jittered = (double)wait * settings->scale * (0.9 + 0.3 * random_unit(random));
    if (opens > now && (schedule == RETRY_LANE || opens > now + (time_ms)jittered))
        jittered = (double)(opens - now) * (1.0 + 0.1 * random_unit(random));
    *due = now + (time_ms)jittered + 1;
    if (*due < expires)
        return DELIVERY_DEFERRED;
    /* The hour comes too late: a last try shortly before the end, where that is worth one and the way is open then. */
    time_ms left = expires - now;
    if ((double)left * LAST_PART < jittered)
        return DELIVERY_EXPIRED;
    *due = expires - (time_ms)((double)left * LAST_SPREAD * random_unit(random)) - 1;
    return opens < *due ? DELIVERY_DEFERRED : DELIVERY_EXPIRED;
}
