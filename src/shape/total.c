#include "shape/total.h"

enum {
    BLOCK_MOST = 200,
    BLOCK_US = 250000, /* who takes much makes the others wait, or wastes it */
    BLOCKS_AHEAD = 64, /* no more are out at any time: who finds the next turn further away finds a clock set back */
    HOLDERS_MOST = 256,
};

/* ── turns ── */

unsigned total_turns_block(struct site_rate rate)
{
    struct gate_pace pace = total_pace(rate);
    int64_t block = pace.interval_us ? BLOCK_US / pace.interval_us : 0;
    return block < 1 ? 1 : block > BLOCK_MOST ? BLOCK_MOST : (unsigned)block;
}

time_ms total_turns_wait(struct total_turns *turns, time_ms now)
{
    while (turns->count && now * 1000 > turns->first_us + turns->usable_us)
        total_turns_use(turns);
    if (!turns->count)
        return -1;
    int64_t wait = turns->first_us - now * 1000;
    return wait <= 0 ? 0 : (wait + 999) / 1000;
}

void total_turns_use(struct total_turns *turns)
{
    if (!turns->count)
        return;
    turns->count--;
    turns->first_us += turns->interval_us;
}

/* The site's row is there, and nobody else's until the commit. */
static bool site_open(struct db *db, struct fault *why, const struct total_ask *ask, int64_t *next_us)
{
    return db_do(db, why, "INSERT INTO site_total (site, next_us) VALUES ($1, 0) ON CONFLICT (site) DO NOTHING",
                 VALUES(V_TEXT(ask->site)), NULL) &&
           db_query_ints(db, why,
                         db_pick(db, "SELECT next_us FROM site_total WHERE site = $1",
                                 "SELECT next_us FROM site_total WHERE site = $1 FOR UPDATE"),
                         VALUES(V_TEXT(ask->site)), next_us, 1, NULL);
}

static bool turns_take(struct db *db, struct fault *why, struct total_ask *ask, int64_t next_us)
{
    const struct gate_pace pace = total_pace(ask->rate);
    int64_t block_us = (int64_t)total_turns_block(ask->rate) * pace.interval_us;
    time_ms before = world_monotonic(ask->world), now, after;
    if (!db_now(db, why, &now))
        return false;
    after = world_monotonic(ask->world);
    int64_t now_us = now * 1000, period_us = ask->rate.per * 1000;
    if (next_us > now_us + BLOCKS_AHEAD * block_us + period_us)
        next_us = now_us + period_us;
    int64_t first_us = now_us + (ask->goes_on ? pace.interval_us : 0);
    if (next_us < first_us)
        next_us = first_us;
    /* Each clock tells whole ms: one more, so that ours is never ahead of the turn, and what we may be behind is not
     * good any more. */
    ask->turns = (struct total_turns){.first_us = (after + 1) * 1000 + next_us - now_us,
                                      .interval_us = pace.interval_us,
                                      .usable_us = pace.slack_us - (after - before + 2) * 1000,
                                      .count = ask->want_turns};
    if (ask->turns.usable_us < 0)
        ask->turns.count = 0;
    return db_do(db, why, "UPDATE site_total SET next_us = $2 WHERE site = $1",
                 VALUES(V_TEXT(ask->site), V_INT(next_us + (int64_t)ask->want_turns * pace.interval_us)), NULL);
}

/* ── permits ── */

struct holder {
    int64_t held, wanted, since;
    bool is_before_us; /* of two that wait since the same ms */
};
struct holders {
    struct holder others[HOLDERS_MOST], own;
    size_t count;
};

static bool holders_read(struct db *db, struct fault *why, const struct total_ask *ask, struct holders *holders)
{
    SCOPED(rows) rows = {0};
    *holders = (struct holders){0};
    if (!db_query(
            db, why, &rows,
            "SELECT p.held, p.wanted, p.since_ms, CASE WHEN p.node = $2 AND p.holder = $3 THEN 1 ELSE 0 END, CASE "
            "WHEN p.node < $2 OR (p.node = $2 AND p.holder < $3) THEN 1 ELSE 0 END FROM site_permit p LEFT JOIN node n "
            "ON n.node = p.node WHERE p.site = $1 AND ((n.life = p.life AND "
            "n.until_ms > 0) OR p.life = 0) ORDER BY p.since_ms",
            VALUES(V_TEXT(ask->site), V_INT(ask->node), V_TEXT(ask->holder))))
        return false;
    while (rows_next(&rows)) {
        const struct holder holder = {rows_int(&rows, 0), rows_int(&rows, 1), rows_int(&rows, 2),
                                      rows_int(&rows, 4) != 0};
        if (rows_int(&rows, 3))
            holders->own = holder;
        else if (holders->count < HOLDERS_MOST)
            holders->others[holders->count++] = holder;
    }
    return rows_end(&rows);
}

/* What is free for us beside what others hold, and what those who came before us wait for. */
static void share_out(struct total_ask *ask, const struct holders *holders, int64_t since)
{
    int64_t limit = ask->connections, held = 0, promised = 0, hungry = 0;
    int64_t part = (limit + (int64_t)holders->count) / ((int64_t)holders->count + 1); /* rounded up */
    for (size_t i = 0; i < holders->count; i++) {
        const struct holder *other = &holders->others[i];
        int64_t due = (other->wanted < part ? other->wanted : part) - other->held;
        held += other->held;
        hungry += due > 0;
        if (due > 0 && (other->since < since || (other->since == since && other->is_before_us)))
            promised += due;
    }
    int64_t free = limit - held - promised, want = ask->want;
    ask->most = hungry ? (unsigned)part : ask->connections;
    if (hungry && want > part)
        want = part;
    if (want > free)
        want = free;
    ask->permits = want > (int64_t)ask->has ? (unsigned)want : ask->has;
}

static bool permits_take(struct db *db, struct fault *why, struct total_ask *ask)
{
    struct holders holders;
    time_ms now;
    if (!db_now(db, why, &now) || !holders_read(db, why, ask, &holders))
        return false;
    /* who begins to want, or had one that has ended, waits from now on */
    bool has_waited = holders.own.wanted > holders.own.held && holders.own.held <= ask->has;
    int64_t since = has_waited ? holders.own.since : now;
    share_out(ask, &holders, since);
    if (ask->permits == 0 && ask->want == 0)
        return db_do(db, why, "DELETE FROM site_permit WHERE site = $1 AND node = $2 AND holder = $3",
                     VALUES(V_TEXT(ask->site), V_INT(ask->node), V_TEXT(ask->holder)), NULL);
    return db_do(db, why,
                 "INSERT INTO site_permit (site, node, holder, life, held, wanted, since_ms) VALUES ($1, $2, $3, $4, "
                 "$5, $6, $7) ON CONFLICT (site, node, holder) DO UPDATE SET life = excluded.life, held = "
                 "excluded.held, wanted = excluded.wanted, since_ms = excluded.since_ms",
                 VALUES(V_TEXT(ask->site), V_INT(ask->node), V_TEXT(ask->holder), V_INT(ask->life), V_INT(ask->permits),
                        V_INT(ask->want), V_INT(since)),
                 NULL);
}

bool total_reserve(struct db *db, struct fault *why, struct total_ask *ask)
{
    int64_t next_us;
    ask->turns = (struct total_turns){0};
    ask->permits = ask->most = 0;
    return site_open(db, why, ask, &next_us) &&
           (!ask->rate.count || !ask->want_turns || turns_take(db, why, ask, next_us)) &&
           (!ask->connections || permits_take(db, why, ask));
}
