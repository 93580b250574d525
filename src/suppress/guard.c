#include "suppress/guard.h"

#include "mail/address.h"

/* A row's long memory: what is older than about fifty windows counts less and less. */
enum { FADE_PERCENT = 98, PROBE_DOUBLINGS_MAX = 5 };

/* ── the ledger's question ── */

bool guard_is_about(const struct event *event)
{
    bool is_genuine = event->origin != EVENT_ORIGIN_MAIL || event->authenticity == AUTHENTICITY_GENUINE;
    return event->kind == EVENT_BOUNCED && event->verdict.reason == REASON_USER_UNKNOWN && is_genuine &&
           event->domain.len > 0;
}

static bool site_of_event(struct db *db, struct fault *why, const struct event *event, struct arena *arena,
                          struct slice *site)
{
    *site = event->site;
    if (site->len)
        return true;
    *site = event->domain;
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT site FROM site_domain WHERE domain = $1", VALUES(V_TEXT(event->domain))))
        return false;
    if (rows_next(&rows))
        *site = arena_copy(arena, rows_text(&rows, 0));
    return rows_end(&rows);
}

bool guard_holds(struct db *db, struct fault *why, const struct event *event, struct arena *arena, struct slice *site,
                 bool *holds)
{
    int64_t is_holding = 0;
    if (!site_of_event(db, why, event, arena, site) ||
        !db_query_ints(db, why, "SELECT is_holding FROM site_guard WHERE site = $1", VALUES(V_TEXT(*site)), &is_holding,
                       1, holds))
        return false;
    *holds = *holds && is_holding;
    return true;
}

void guard_hold(struct event *event)
{
    struct verdict *verdict = &event->verdict;
    event->note = reason_word(verdict->reason);
    verdict->reason = REASON_ON_HOLD;
    verdict->action = ACTION_NONE;
    verdict->scope = SCOPE_SITE;
    verdict->whose = WHOSE_RECEIVER;
    verdict->retry = RETRY_NONE;
    verdict->is_permanent = false;
    verdict->words = SLICE(GUARD_WORDS);
    if (event->origin == EVENT_ORIGIN_MAIL)
        return;
    event->kind = EVENT_DEFERRED;
    event->state_after = DELIVERY_HELD;
    event->next_attempt_at = 0;
}

bool guard_keep(struct db *db, struct fault *why, const struct event *event, struct slice site,
                const struct verdict *would_be)
{
    return db_do(db, why,
                 "INSERT INTO held_verdict (bucket, delivery_id, site, address, brand_id, campaign_id, reason, rule, "
                 "event_id, since_ms, is_owed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT "
                 "(bucket, delivery_id) DO UPDATE SET site = excluded.site, reason = excluded.reason, rule = "
                 "excluded.rule, event_id = excluded.event_id, is_owed = excluded.is_owed",
                 VALUES(V_INT(event->bucket), V_INT((int64_t)event->delivery_id), V_TEXT(site), V_TEXT(event->address),
                        V_INT((int64_t)event->brand_id), V_INT((int64_t)event->campaign_id), V_INT(would_be->reason),
                        V_TEXT(would_be->rule), V_INT((int64_t)event->id), V_INT(event->at),
                        V_INT(event->state_after == DELIVERY_HELD)),
                 NULL);
}

/* ── rows ── */

#define GUARD_COLUMNS                                                                                                  \
    "site, is_holding, asked, since_ms, window_ms, tried, unknown, tried_before, unknown_before, tried_ever, "         \
    "unknown_ever, round_tried, round_unknown, rounds, probe_ms"

static struct guard_site site_from_row(const struct rows *rows, struct slice site)
{
    return (struct guard_site){.site = site,
                               .is_holding = rows_int(rows, 1) != 0,
                               .asked = (int)rows_int(rows, 2),
                               .since = rows_int(rows, 3),
                               .window = rows_int(rows, 4),
                               .tried = rows_int(rows, 5),
                               .unknown = rows_int(rows, 6),
                               .tried_before = rows_int(rows, 7),
                               .unknown_before = rows_int(rows, 8),
                               .tried_ever = rows_int(rows, 9),
                               .unknown_ever = rows_int(rows, 10),
                               .round_tried = rows_int(rows, 11),
                               .round_unknown = rows_int(rows, 12),
                               .rounds = (int)rows_int(rows, 13),
                               .probe = rows_int(rows, 14)};
}

bool guard_read(struct db *db, struct fault *why, struct slice site, time_ms now, struct guard_site *row)
{
    SCOPED(rows) rows = {0};
    *row = (struct guard_site){.site = site, .window = now};
    if (!db_query(db, why, &rows, "SELECT " GUARD_COLUMNS " FROM site_guard WHERE site = $1", VALUES(V_TEXT(site))))
        return false;
    if (rows_next(&rows))
        *row = site_from_row(&rows, site);
    return rows_end(&rows);
}

bool guard_write(struct db *db, struct fault *why, const struct guard_site *row)
{
    return db_do(
        db, why,
        "INSERT INTO site_guard (" GUARD_COLUMNS
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (site) DO UPDATE SET "
        "is_holding = excluded.is_holding, asked = excluded.asked, since_ms = excluded.since_ms, window_ms = "
        "excluded.window_ms, tried = excluded.tried, unknown = excluded.unknown, tried_before = "
        "excluded.tried_before, unknown_before = excluded.unknown_before, tried_ever = excluded.tried_ever, "
        "unknown_ever = excluded.unknown_ever, round_tried = excluded.round_tried, round_unknown = "
        "excluded.round_unknown, rounds = excluded.rounds, probe_ms = excluded.probe_ms",
        VALUES(V_TEXT(row->site), V_INT(row->is_holding), V_INT(row->asked), V_INT(row->since), V_INT(row->window),
               V_INT(row->tried), V_INT(row->unknown), V_INT(row->tried_before), V_INT(row->unknown_before),
               V_INT(row->tried_ever), V_INT(row->unknown_ever), V_INT(row->round_tried), V_INT(row->round_unknown),
               V_INT(row->rounds), V_INT(row->probe)),
        NULL);
}

bool guard_busy(struct db *db, struct fault *why, struct arena *arena, struct guard_site **out, size_t *count)
{
    enum { MOST = 1000 };
    SCOPED(rows) rows = {0};
    *out = ARENA_ARRAY(arena, struct guard_site, MOST);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT " GUARD_COLUMNS " FROM site_guard WHERE is_holding = 1 OR asked > 0 ORDER BY site LIMIT $1",
                  VALUES(V_INT(MOST))))
        return false;
    while (*count < MOST && rows_next(&rows))
        (*out)[(*count)++] = site_from_row(&rows, arena_copy(arena, rows_text(&rows, 0)));
    return rows_end(&rows);
}

bool guard_ask(struct db *db, struct fault *why, struct slice site, int wish, bool *found)
{
    int64_t changed;
    if (!db_do(db, why,
               "UPDATE site_guard SET asked = $2 WHERE site = $1 AND (is_holding = 1 OR asked > 0 OR EXISTS (SELECT 1 "
               "FROM held_verdict h WHERE h.site = site_guard.site))",
               VALUES(V_TEXT(site), V_INT(wish)), &changed))
        return false;
    *found = changed > 0;
    return true;
}

/* ── arithmetic ── */

static int percent(int64_t part, int64_t whole)
{
    if (part <= 0)
        return 0;
    return part >= whole ? 100 : (int)((part * 100 + whole / 2) / whole);
}

int guard_share(const struct guard_site *row)
{
    if (row->is_holding)
        return percent(row->round_unknown, row->round_tried);
    return percent(row->unknown + row->unknown_before, row->tried + row->tried_before);
}

int guard_limit(const struct guard_site *row, const struct policy_guard *guard)
{
    enum { TRIED_ENOUGH = 200 };
    int ceiling = policy_site_share(guard, row->site), limit = ceiling;
    if (row->tried_ever >= TRIED_ENOUGH) { /* it has a history */
        int64_t own = row->unknown_ever * 100 * guard->times / row->tried_ever;
        limit = own < guard->normal_percent ? guard->normal_percent : own < 100 ? (int)own : 100;
    }
    return limit < ceiling ? limit : ceiling;
}

static void window_passes(struct guard_site *row, time_ms window, time_ms now)
{
    if (now - row->window < window)
        return;
    row->tried_ever = row->tried_ever * FADE_PERCENT / 100 + row->tried_before;
    row->unknown_ever = row->unknown_ever * FADE_PERCENT / 100 + row->unknown_before;
    bool is_long_ago = now - row->window >= 2 * window;
    if (is_long_ago) {
        row->tried_ever += row->tried;
        row->unknown_ever += row->unknown;
    }
    row->tried_before = is_long_ago ? 0 : row->tried;
    row->unknown_before = is_long_ago ? 0 : row->unknown;
    row->tried = row->unknown = 0;
    row->window = now;
}

bool guard_is_normal_again(const struct guard_site *row, const struct policy_guard *guard)
{
    return row->round_tried >= guard->probes && guard_share(row) <= guard_limit(row, guard);
}

bool guard_count(struct guard_site *row, const struct policy_guard *guard, int64_t tried, int64_t unknown, time_ms now)
{
    if (!guard->share_percent)
        return false;
    if (row->is_holding) {
        row->round_tried += tried;
        row->round_unknown += unknown;
        return false;
    }
    window_passes(row, guard->window / 2, now); /* two halves: the running one and the one before */
    row->tried += tried;
    row->unknown += unknown;
    int64_t unknowns = row->unknown + row->unknown_before, tries = row->tried + row->tried_before;
    /* without tries these are error mails about the mails of days ago: nothing to hold them against */
    bool is_enough = unknown > 0 && unknowns >= guard->least && tries >= guard->least;
    return is_enough && guard_share(row) > guard_limit(row, guard);
}

time_ms guard_probe_wait(const struct policy_guard *guard, int rounds)
{
    time_ms most = HOURS_MS(12) > guard->probe_after ? HOURS_MS(12) : guard->probe_after;
    time_ms wait = guard->probe_after << (rounds < PROBE_DOUBLINGS_MAX ? rounds : PROBE_DOUBLINGS_MAX);
    return wait < most ? wait : most;
}
