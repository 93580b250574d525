/* site.c - the reader's half of the guard (suppress/guard.h): begins to hold, tries again, ends
 *
 *     answers of a batch (site_answers.c) --too many unknown--> begin: what was decided is taken back (site_back.c)
 *     a tick --> probe: some of the held are tried again; end: normal again, a person's wish, or time
 *            --> carry_out: the rest of the held is tried again or believed, a slice each tick (site_held.c)
 *
 * Sites are written in the order of their names, so that two nodes cannot deadlock. A site whose answers are all good
 * is one blind addition; only those with an unknown user are read and judged. */
#include "alarm/site_inside.h"

#include "base/json.h"
#include "base/log.h"

enum {
    RELEASE_MOST = 500, /* deliveries in one tick */
    LATE_MS = 5000,     /* another node may still be writing one down that it held */
};

static time_ms wait_of(const struct alarm_watch *watch, time_ms wait)
{
    double scale = watch->options.time_scale > 0 ? watch->options.time_scale : 1.0;
    return (time_ms)((double)wait * scale) + 1;
}

static const struct policy_guard *limits_of(const struct alarm_watch *watch)
{
    return &policies_chosen(watch->options.ledger.policy.policies)->guard;
}

/* ── beginning ── */

static void detail_of(const struct guard_site *row, struct buf *out)
{
    struct json json = {out};
    json_object_begin(&json);
    json_put_string(&json, "site", row->site);
    json_put_int(&json, "answers", row->tried + row->tried_before);
    json_put_int(&json, "unknown", row->unknown + row->unknown_before);
    json_put_int(&json, "answers_ever", row->tried_ever);
    json_put_int(&json, "unknown_ever", row->unknown_ever);
    json_end(&json);
}

static bool begin(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, time_ms now)
{
    const struct policy_guard *limits = limits_of(watch);
    int share = guard_share(row), limit = guard_limit(row, limits);
    bool has_before = row->tried_before || row->unknown_before;
    time_ms from = has_before ? row->window - limits->window / 2 : row->window;
    size_t taken = 0;
    SCOPED(buf) detail = BUF(4096);
    detail_of(row, &detail);
    row->is_holding = true;
    row->since = row->window = now;
    row->probe = now + wait_of(watch, guard_probe_wait(limits, 0));
    row->rounds = row->asked = 0;
    row->tried = row->unknown = row->tried_before = row->unknown_before = row->round_tried = row->round_unknown = 0;
    if (!guard_write(db, why, row) || !verdicts_take_back(watch, db, why, row->site, from, &taken) ||
        !alarm_raise(db, why, ALARM_SITE_GUARD, row->site, share, limit, buf_slice(&detail), now))
        return false;
    log_warn("alarm",
             "%.*s says \"no such user\" to %d %% of the mail (up to %d %% is normal): held, nobody is excluded; %zu "
             "verdicts were taken back",
             SLICE_ARG(row->site), share, limit, taken);
    return true;
}

/* Somebody is unknown there: is that still normal, and does the guard hold anyway? */
static bool judge(struct alarm_watch *watch, struct db *db, struct fault *why, const struct answers *answers,
                  const struct event *events, size_t count, struct arena *arena)
{
    struct guard_site row;
    if (!guard_read(db, why, answers->site, answers->first, &row))
        return false;
    if (row.is_holding && !verdicts_take_back_late(watch, db, why, answers->site, events, count, arena))
        return false;
    /* another node's answers are read when they are, not in the order of time: the window begins with the first of all,
     * or what stands before it would not be taken back */
    if (!row.is_holding && !row.tried_before && !row.unknown_before && answers->first < row.window)
        row.window = answers->first;
    bool begins = guard_count(&row, limits_of(watch), answers->tried, answers->unknown, answers->last);
    return begins ? begin(watch, db, why, &row, watch_now(watch)) : guard_write(db, why, &row);
}

bool site_take(struct alarm_watch *watch, struct db *db, struct fault *why, const struct event *events, size_t count)
{
    if (!limits_of(watch)->share_percent)
        return true;
    SCOPED(arena) arena = {0};
    struct answers **rows;
    size_t n;
    if (!answers_read(watch, db, why, events, count, &arena, &rows, &n) || !answers_add_good(db, why, rows, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (rows[i]->unknown && !judge(watch, db, why, rows[i], events, count, &arena))
            return false;
    }
    return true;
}

/* ── trying again, and ending ── */

static bool end(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, int wish,
                time_ms now)
{
    log_info("alarm", "%.*s: %s", SLICE_ARG(row->site),
             wish == GUARD_RETRY ? "its share of unknown users is normal again, or a person said so: what was held is "
                                   "tried again"
                                 : "what it says is believed: the held verdicts are carried out");
    row->is_holding = false;
    row->asked = wish;
    row->window = now;
    row->tried_ever += row->round_tried;
    row->unknown_ever += row->round_unknown;
    row->round_tried = row->round_unknown = row->rounds = 0;
    return guard_write(db, why, row) && alarm_end(db, why, ALARM_SITE_GUARD, row->site, now);
}

static bool probe(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, time_ms now)
{
    const struct policy_guard *limits = limits_of(watch);
    SCOPED(arena) arena = {0};
    struct held *held;
    size_t count;
    row->round_tried = row->round_unknown = 0;
    row->probe = now + wait_of(watch, guard_probe_wait(limits, ++row->rounds));
    return guard_write(db, why, row) &&
           held_read(db, why, row->site, true, (size_t)limits->probes, &arena, &held, &count) &&
           held_retry(watch, db, why, held, count, now);
}

/* Some of those still held, now that it is decided. */
static bool carry_out(struct alarm_watch *watch, struct db *db, struct fault *why, struct guard_site *row, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct held *held;
    size_t count;
    if (!held_read(db, why, row->site, false, RELEASE_MOST, &arena, &held, &count))
        return false;
    if (count == 0) {
        if (now - row->window < LATE_MS) /* since it ended */
            return true;
        row->asked = 0;
        return guard_write(db, why, row);
    }
    return row->asked == GUARD_EXCLUDE ? held_believe(watch, db, why, held, count, now)
                                       : held_retry(watch, db, why, held, count, now);
}

bool site_tick(struct alarm_watch *watch, struct db *db, struct fault *why, time_ms now)
{
    const struct policy_guard *limits = limits_of(watch);
    struct guard_site *rows;
    size_t count;
    if (!guard_busy(db, why, &watch->arena, &rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct guard_site *row = &rows[i];
        bool ok = true;
        int wish = row->asked;
        /* before the first round only those answer who were on the wire when it began: good ones come later than bad */
        if (!wish && row->is_holding && row->rounds > 0 && guard_is_normal_again(row, limits))
            wish = GUARD_RETRY;
        if (!wish && row->is_holding && now - row->since >= wait_of(watch, limits->believe_after))
            wish = GUARD_EXCLUDE;
        if (row->is_holding && wish)
            ok = end(watch, db, why, row, wish, now);
        else if (row->is_holding && now >= row->probe)
            ok = probe(watch, db, why, row, now);
        if (ok && !row->is_holding && row->asked)
            ok = carry_out(watch, db, why, row, now);
        if (!ok)
            return false;
    }
    return true;
}
