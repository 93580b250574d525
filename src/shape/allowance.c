#include "shape/allowance.h"

#include "base/map.h"
#include <stdio.h>

enum { GROUP_ROOM = 300, KEEP_DAYS = 40 };

static const char ours[] = "50,75,110,165,250,375,560,840,1250,1900,2800,4200,6300,9500,14000,21000,32000,48000,72000,"
                           "100000";

/* ── plans ── */

bool warm_up_caps_check(struct slice caps, struct fault *why)
{
    struct slice rest = caps, one;
    uint64_t before = 0, cap;
    int steps = 0;
    while (slice_split(&rest, ',', &one)) {
        if (!slice_to_u64(one, &cap) || cap == 0 || cap > 1000000000)
            return fault_set(why, FAULT_INPUT, "\"%.*s\" is not a number of mails a day", SLICE_ARG(one));
        if (cap <= before)
            return fault_set(why, FAULT_INPUT, "a warm-up grows: %llu is no more than %llu", (unsigned long long)cap,
                             (unsigned long long)before);
        if (++steps > WARM_UP_STEPS_MOST)
            return fault_set(why, FAULT_INPUT, "a warm-up has %d steps at most", WARM_UP_STEPS_MOST);
        before = cap;
    }
    return steps > 0 || fault_set(why, FAULT_INPUT, "a warm-up needs numbers of mails a day: 50,100,500");
}

int64_t warm_up_cap(struct slice caps, int64_t step)
{
    struct slice rest = caps, one;
    for (int64_t i = 0; slice_split(&rest, ',', &one); i++) {
        uint64_t cap;
        if (i == step && slice_to_u64(one, &cap))
            return (int64_t)cap;
    }
    return -1;
}

int warm_up_judge(int64_t cap, int64_t reserved, int64_t delivered, int64_t deferred, int64_t complaints,
                  const char **why)
{
    int64_t answers = delivered + deferred;
    *why = "";
    if (answers && deferred * 5 > answers) {
        *why = "more than 20 % were deferred: a step back";
        return -1;
    }
    if (reserved * 2 < cap)
        *why = "less than half of the day's cap was used";
    else if (deferred * 20 >= answers && deferred)
        *why = "5 % or more were deferred";
    else if (complaints * 1000 >= delivered && complaints)
        *why = "one complaint or more for 1,000 mails";
    return **why ? 0 : 1;
}

bool warm_up_begin(struct db *db, struct fault *why, uint64_t source_id, struct slice group, struct slice caps,
                   time_ms now)
{
    if (!caps.len)
        caps = slice_str(ours);
    if (!warm_up_caps_check(caps, why))
        return false;
    return db_do(db, why,
                 "INSERT INTO warm_up (source_id, grp, caps, created_ms) VALUES ($1, $2, $3, $4) ON CONFLICT "
                 "(source_id, grp) DO UPDATE SET caps = $3, step = 0, day = 0, why = '', created_ms = $4",
                 VALUES(V_INT((int64_t)source_id), V_TEXT(group), V_TEXT(caps), V_INT(now)), NULL);
}

bool warm_up_end(struct db *db, struct fault *why, uint64_t source_id, struct slice group)
{
    int64_t ended = 0;
    bool is_all = slice_equal(group, SLICE("*"));
    return db_do(db, why, "DELETE FROM warm_up WHERE source_id = $1 AND grp = $2",
                 VALUES(V_INT((int64_t)source_id), V_TEXT(group)), &ended) &&
           (ended || fault_set(why, FAULT_INPUT, "there is no plan for %.*s",
                               SLICE_ARG(is_all ? SLICE("all sites together") : group)));
}

bool warm_ups_mark(struct db *db, struct fault *why, uint64_t *mark)
{
    int64_t found[2];
    if (!db_query_ints(db, why, "SELECT COUNT(*), COALESCE(MAX(created_ms), 0) FROM warm_up", NO_VALUES, found, 2,
                       NULL))
        return false;
    *mark = hash_u64((uint64_t)found[1], (uint64_t)found[0]);
    return true;
}

bool warm_up_list(struct db *db, struct fault *why, uint64_t source_id, time_ms now, struct arena *arena,
                  struct warm_up **list, size_t *count)
{
    enum { MOST = 500 };
    SCOPED(rows) rows = {0};
    *list = ARENA_ARRAY(arena, struct warm_up, MOST);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT w.grp, w.caps, w.why, w.step, w.day, u.reserved, u.delivered, u.deferred FROM warm_up w LEFT "
                  "JOIN daily_use u ON u.source_id = w.source_id AND u.grp = 'warm ' || w.grp AND u.day = $2 WHERE "
                  "w.source_id = $1 ORDER BY w.grp",
                  VALUES(V_INT((int64_t)source_id), V_INT(allowance_day(now)))))
        return false;
    while (*count < MOST && rows_next(&rows)) {
        struct warm_up *one = &(*list)[(*count)++];
        *one = (struct warm_up){.group = arena_copy(arena, rows_text(&rows, 0)),
                                .caps = arena_copy(arena, rows_text(&rows, 1)),
                                .why = arena_copy(arena, rows_text(&rows, 2)),
                                .step = rows_int(&rows, 3),
                                .day = rows_int(&rows, 4),
                                .reserved = rows_int(&rows, 5),
                                .delivered = rows_int(&rows, 6),
                                .deferred = rows_int(&rows, 7)};
        one->cap = warm_up_cap(one->caps, one->step);
    }
    return rows_end(&rows);
}

bool warm_ups_used(struct db *db, struct fault *why, time_ms now, struct arena *arena, struct warm_up_use **list,
                   size_t *count)
{
    enum { MOST = 2000 };
    SCOPED(rows) rows = {0};
    *list = ARENA_ARRAY(arena, struct warm_up_use, MOST);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT w.source_id, w.caps, w.step, u.reserved FROM warm_up w JOIN daily_use u ON u.source_id = "
                  "w.source_id AND u.grp = 'warm *' AND u.day = w.day WHERE w.grp = '*' AND w.day = $1 LIMIT $2",
                  VALUES(V_INT(allowance_day(now)), V_INT(MOST))))
        return false;
    while (*count < MOST && rows_next(&rows)) {
        struct warm_up_use one = {.source_id = (uint64_t)rows_int(&rows, 0),
                                  .cap = warm_up_cap(rows_text(&rows, 1), rows_int(&rows, 2)),
                                  .reserved = rows_int(&rows, 3)};
        if (one.cap >= 0)
            (*list)[(*count)++] = one;
    }
    return rows_end(&rows);
}

bool warm_up_is_used_up(struct db *db, struct fault *why, uint64_t source_id, time_ms now, bool *is_it)
{
    SCOPED(rows) rows = {0};
    *is_it = false;
    if (!db_query(db, why, &rows,
                  "SELECT w.caps, w.step, u.reserved FROM warm_up w JOIN daily_use u ON u.source_id = w.source_id AND "
                  "u.grp = 'warm *' AND u.day = w.day WHERE w.source_id = $1 AND w.grp = '*' AND w.day = $2",
                  VALUES(V_INT((int64_t)source_id), V_INT(allowance_day(now)))))
        return false;
    if (rows_next(&rows)) {
        int64_t cap = warm_up_cap(rows_text(&rows, 0), rows_int(&rows, 1));
        *is_it = cap >= 0 && rows_int(&rows, 2) >= cap;
    }
    return rows_end(&rows);
}

/* ── a new day for a plan ── */

struct plan {
    struct slice group;
    struct buf caps;
    int64_t step, day;
    bool found;
};

static bool plan_read(struct db *db, struct fault *why, const struct allowance_ask *ask, struct plan *plan)
{
    SCOPED(rows) rows = {0};
    if (!ask->source_id)
        return true;
    if (!db_query(db, why, &rows,
                  "SELECT grp, caps, step, day FROM warm_up WHERE source_id = $1 AND grp IN ($2, '*') ORDER BY CASE "
                  "WHEN grp = '*' THEN 1 ELSE 0 END LIMIT 1",
                  VALUES(V_INT((int64_t)ask->source_id), V_TEXT(ask->site))))
        return false;
    if (rows_next(&rows)) {
        plan->found = true;
        plan->group = slice_equal(rows_text(&rows, 0), SLICE("*")) ? SLICE("*") : ask->site;
        buf_append(&plan->caps, rows_text(&rows, 1));
        plan->step = rows_int(&rows, 2);
        plan->day = rows_int(&rows, 3);
    }
    return rows_end(&rows);
}

/* Complaints, of this site or of all, on the day that is judged, and on the one behind it when that is over, too: what
 * was sent on a Friday is complained of on Saturday, and judged on Monday. Ids tell the time (base/id.h). */
static bool complaints_of(struct db *db, struct fault *why, struct slice group, int64_t day, int64_t today,
                          int64_t *complaints)
{
    bool is_all = slice_equal(group, SLICE("*"));
    time_ms from = day * DAYS_MS(1), until = (day + 2 < today ? day + 2 : today) * DAYS_MS(1);
    return db_query_ints(
        db, why,
        "SELECT COUNT(*) FROM event WHERE kind = 13 AND ((532480 >> kind) & 1) = 1 AND id >= $5 AND "
        "at_ms >= $1 AND at_ms < $2 AND ($3 = 1 OR site = $4)",
        VALUES(V_INT(from), V_INT(until), V_INT(is_all), V_TEXT(group), V_INT((int64_t)id_first_of(from))), complaints,
        1, NULL);
}

static bool plan_turns_day(struct db *db, struct fault *why, const struct allowance_ask *ask, struct plan *plan)
{
    int64_t use[3] = {0}, complaints = 0, cap = warm_up_cap(buf_slice(&plan->caps), plan->step);
    bool found;
    char group[GROUP_ROOM];
    const char *reason = "";
    snprintf(group, sizeof(group), "warm %.*s", SLICE_ARG(plan->group));
    if (plan->day && cap >= 0) {
        if (!db_query_ints(db, why,
                           "SELECT reserved, delivered, deferred FROM daily_use WHERE source_id = $1 AND grp = $2 AND "
                           "day = $3",
                           VALUES(V_INT((int64_t)ask->source_id), V_STR(group), V_INT(plan->day)), use, 3, &found) ||
            !complaints_of(db, why, plan->group, plan->day, ask->day, &complaints))
            return false;
        plan->step += warm_up_judge(cap, use[0], use[1], use[2], complaints, &reason);
        if (plan->step < 0)
            plan->step = 0;
    }
    plan->day = ask->day;
    return db_do(db, why, "UPDATE warm_up SET step = $3, day = $4, why = $5 WHERE source_id = $1 AND grp = $2",
                 VALUES(V_INT((int64_t)ask->source_id), V_TEXT(plan->group), V_INT(plan->step), V_INT(plan->day),
                        V_STR(reason)),
                 NULL) &&
           db_do(db, why, "DELETE FROM daily_use WHERE source_id = $1 AND day < $2",
                 VALUES(V_INT((int64_t)ask->source_id), V_INT(ask->day - KEEP_DAYS)), NULL);
}

/* ── reserving ── */

struct cap {
    char group[GROUP_ROOM];
    int64_t most, reserved;
    enum allowance_bound bound;
    enum allowance_of of;
};

/* Its row is there, locked until the commit, and holds what was reported and given back. */
static bool cap_open(struct db *db, struct fault *why, const struct allowance_ask *ask, struct cap *cap)
{
    int64_t back = ask->unused_day == ask->day && (ask->unused_of & cap->of) ? ask->unused : 0;
    const struct value key[] = {V_INT((int64_t)ask->source_id), V_STR(cap->group),   V_INT(ask->day), V_INT(back),
                                V_INT(ask->delivered),          V_INT(ask->deferred)};
    return db_do(
               db, why,
               "INSERT INTO daily_use (source_id, grp, day, reserved, delivered, deferred) VALUES ($1, $2, $3, 0 * $4, "
               "$5, "
               "$6) ON CONFLICT (source_id, grp, day) DO UPDATE SET reserved = CASE WHEN daily_use.reserved > $4 THEN "
               "daily_use.reserved - $4 ELSE 0 END, delivered = daily_use.delivered + $5, deferred = "
               "daily_use.deferred + $6",
               key, 6, NULL) &&
           db_query_ints(db, why, "SELECT reserved FROM daily_use WHERE source_id = $1 AND grp = $2 AND day = $3", key,
                         3, &cap->reserved, 1, NULL);
}

static bool cap_take(struct db *db, struct fault *why, const struct allowance_ask *ask, const struct cap *cap)
{
    return db_do(db, why,
                 "UPDATE daily_use SET reserved = reserved + $4 WHERE source_id = $1 AND grp = $2 AND day = $3",
                 VALUES(V_INT((int64_t)ask->source_id), V_STR(cap->group), V_INT(ask->day), V_INT(ask->granted)), NULL);
}

static bool reserve(struct db *db, struct fault *why, struct allowance_ask *ask, struct plan *plan)
{
    struct cap caps[2];
    size_t count = 0;
    if (!plan_read(db, why, ask, plan) || (plan->found && plan->day < ask->day && !plan_turns_day(db, why, ask, plan)))
        return false;
    int64_t warm = plan->found ? warm_up_cap(buf_slice(&plan->caps), plan->step) : -1;
    if (ask->daily) {
        caps[count] = (struct cap){.most = ask->daily, .bound = ALLOWANCE_DAILY, .of = ALLOWANCE_OF_DAILY};
        snprintf(caps[count++].group, GROUP_ROOM, "site %.*s", SLICE_ARG(ask->site));
    }
    if (warm >= 0) {
        bool is_of_all = slice_equal(plan->group, SLICE("*"));
        caps[count] = (struct cap){
            .most = warm, .bound = ALLOWANCE_WARM_UP, .of = is_of_all ? ALLOWANCE_OF_PLAN : ALLOWANCE_OF_SITE_PLAN};
        snprintf(caps[count++].group, GROUP_ROOM, "warm %.*s", SLICE_ARG(plan->group));
    }
    enum { PART = 8 };
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!cap_open(db, why, ask, &caps[i]))
            return false;
        int64_t left = caps[i].most - caps[i].reserved;
        if (left >= least)
            continue;
        least = left;
        ask->bound = caps[i].bound;
        ask->cap = caps[i].most;
    }
    int64_t part = least > PART ? least / PART : least > 0, granted = part < ask->want ? part : ask->want;
    ask->granted = granted > 0 && count ? (unsigned)granted : 0;
    for (size_t i = 0; i < count && ask->granted; i++) {
        if (!cap_take(db, why, ask, &caps[i]))
            return false;
        ask->of |= caps[i].of;
    }
    return true;
}

bool allowance_reserve(struct db *db, struct fault *why, struct allowance_ask *ask)
{
    struct plan plan = {.caps = BUF(4096)};
    ask->granted = ask->of = 0;
    ask->bound = ALLOWANCE_NONE;
    ask->cap = 0;
    ask->day = allowance_day(ask->now);
    bool ok = reserve(db, why, ask, &plan);
    buf_release(&plan.caps);
    return ok;
}
