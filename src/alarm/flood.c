/* flood.c - error mail that proves nothing, counted by ten minutes (S12, S13)
 *
 * The last hour is the running slot and the six before it, so a flood is seen with the batch that brings it over the
 * threshold. A usual hour: the mean of the seven days before. */
#include "alarm/watch.h"

#include "base/json.h"

enum { SLOT_MIN = 10, SLOTS_OF_HOUR = 6, DAYS_KEPT = 8, DAYS_OF_BASE = 7, LEAST = 30, EXAMPLES = 5 };
static const char name[] = "unverified_mail";

static bool is_of_flood(const struct event *event)
{
    if (event->kind != EVENT_UNVERIFIED)
        return false;
    /* a stranger's newsletter, or somebody's vacation: not about a mail of ours, but no error mail either */
    return event->authenticity == AUTHENTICITY_FORGED || event->authenticity == AUTHENTICITY_BACKSCATTER ||
           slice_equal(event->note, kind_word(KIND_BOUNCE)) || slice_equal(event->note, kind_word(KIND_DELAY)) ||
           slice_equal(event->note, kind_word(KIND_COMPLAINT));
}

static bool last_hour(struct db *db, struct fault *why, time_ms now, int64_t *n, int64_t *usual)
{
    time_ms hour = now / MINUTES_MS(SLOT_MIN) * MINUTES_MS(SLOT_MIN) - SLOTS_OF_HOUR * MINUTES_MS(SLOT_MIN);
    int64_t found[2];
    if (!db_query_ints(db, why,
                       "SELECT CAST(COALESCE(SUM(CASE WHEN slot_ms >= $2 THEN n ELSE 0 END), 0) AS BIGINT), "
                       "CAST(COALESCE(SUM(CASE WHEN slot_ms < $2 THEN n ELSE 0 END), 0) AS BIGINT) FROM alarm_tally "
                       "WHERE name = $1 AND slot_ms >= $3",
                       VALUES(V_STR(name), V_INT(hour), V_INT(hour - DAYS_MS(DAYS_OF_BASE))), found, 2, NULL))
        return false;
    *n = found[0];
    *usual = (found[1] + DAYS_OF_BASE * 24 / 2) / (DAYS_OF_BASE * 24);
    return true;
}

static int64_t threshold_of(const struct alarm_watch *watch, int64_t usual)
{
    int64_t per_hour = watch->options.per_hour ? watch->options.per_hour : 200;
    int64_t times = watch->options.times ? watch->options.times : 10;
    int64_t by_usual = usual * times > LEAST ? usual * times : LEAST;
    /* an installation that sees none cannot be compared with itself: only the plain number holds there */
    return usual > 0 && by_usual < per_hour ? by_usual : per_hour;
}

/* How they divide, and a few of them, as JSON. */
static void detail_write(const struct event *events, size_t count, struct buf *out)
{
    struct json json = {out};
    int64_t by_proof[AUTHENTICITY_COUNT] = {0};
    for (size_t i = 0; i < count; i++)
        if (is_of_flood(&events[i]))
            by_proof[events[i].authenticity]++;
    json_object_begin(&json);
    for (int proof = 0; proof < AUTHENTICITY_COUNT; proof++) {
        if (proof == AUTHENTICITY_GENUINE)
            continue;
        json_key_slice(&json, authenticity_word((enum authenticity)proof));
        json_int(&json, by_proof[proof]);
    }
    json_put_array(&json, "examples");
    for (size_t i = 0, shown = 0; i < count && shown < EXAMPLES; i++) {
        if (!is_of_flood(&events[i]))
            continue;
        shown++;
        json_object_begin(&json);
        json_put_string(&json, "recipient", slice_head(events[i].address, 320));
        json_put_string(&json, "authenticity", authenticity_word(events[i].authenticity));
        json_put_string(&json, "diagnostic", slice_head(events[i].diagnostic, 200));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
}

bool flood_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events, size_t count)
{
    int64_t n = 0, sum, usual;
    time_ms now = watch_now(watch);
    for (size_t i = 0; i < count; i++)
        n += is_of_flood(&events[i]);
    if (!n)
        return true;
    time_ms slot = now / MINUTES_MS(SLOT_MIN) * MINUTES_MS(SLOT_MIN);
    if (!db_do(db, why,
               "INSERT INTO alarm_tally (name, slot_ms, n) VALUES ($1, $2, $3) ON CONFLICT (name, slot_ms) DO UPDATE "
               "SET n = alarm_tally.n + excluded.n",
               VALUES(V_STR(name), V_INT(slot), V_INT(n)), NULL) ||
        !last_hour(db, why, now, &sum, &usual))
        return false;
    if (sum < threshold_of(watch, usual))
        return true;
    SCOPED(buf) detail = BUF(16384);
    detail_write(events, count, &detail);
    return alarm_raise(db, why, ALARM_UNVERIFIED_MAIL, SLICE(""), sum, usual,
                       buf_ok(&detail) ? buf_slice(&detail) : SLICE("{}"), now);
}

/* It has ended when the hour has half of what raised it; and what is old goes. */
bool flood_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    int64_t sum, usual, is_open;
    bool found;
    if (!db_query_ints(db, why, "SELECT 1 FROM alarm WHERE kind = $1 AND about = '' AND ended_ms = 0",
                       VALUES(V_STR(name)), &is_open, 1, &found))
        return false;
    if (!found)
        return true;
    if (!last_hour(db, why, now, &sum, &usual) ||
        !db_do(db, why, "DELETE FROM alarm_tally WHERE slot_ms < $1", VALUES(V_INT(now - DAYS_MS(DAYS_KEPT))), NULL))
        return false;
    return sum * 2 > threshold_of(watch, usual) || alarm_end(db, why, ALARM_UNVERIFIED_MAIL, SLICE(""), now);
}
