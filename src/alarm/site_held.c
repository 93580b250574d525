/* site_held.c - the verdicts that are held for a site: read, tried again, or believed */
#include "alarm/site_inside.h"

#include <stdlib.h>

enum { SPREAD_MS = 20 }; /* between two that are tried again */

bool held_read(struct db *db, struct fault *why, struct slice site, bool only_owed, size_t most, struct arena *arena,
               struct held **out, size_t *count)
{
    SCOPED(rows) rows = {0};
    *out = ARENA_ARRAY(arena, struct held, most);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT h.bucket, h.delivery_id, h.is_owed, h.address, h.brand_id, h.campaign_id, h.rule, "
                  "d.contact_id, d.attempts, l.id, l.priority, l.domain, d.state, l.waives_tls, l.source_id FROM "
                  "held_verdict h LEFT JOIN "
                  "delivery d ON d.bucket = h.bucket AND d.id = h.delivery_id LEFT JOIN lane l ON l.id = d.lane_id "
                  "WHERE h.site = $1 AND h.is_owed >= $2 ORDER BY h.since_ms, h.bucket, h.delivery_id",
                  VALUES(V_TEXT(site), V_INT(only_owed))))
        return false;
    while (*count < most && rows_next(&rows)) {
        struct held *held = &(*out)[*count];
        held->bucket = (unsigned)rows_int(&rows, 0);
        ++*count;
        held->delivery_id = (uint64_t)rows_int(&rows, 1);
        held->is_owed = rows_int(&rows, 2) && rows_int(&rows, 12) == DELIVERY_HELD;
        held->event = (struct event){.bucket = held->bucket,
                                     .delivery_id = held->delivery_id,
                                     .address = arena_copy(arena, rows_text(&rows, 3)),
                                     .brand_id = (uint64_t)rows_int(&rows, 4),
                                     .campaign_id = (uint64_t)rows_int(&rows, 5),
                                     .verdict = {.rule = arena_copy(arena, rows_text(&rows, 6))},
                                     .contact_id = (uint64_t)rows_int(&rows, 7),
                                     .attempt = (int)rows_int(&rows, 8),
                                     .domain = arena_copy(arena, rows_text(&rows, 11)),
                                     .site = site};
        held->lane = (struct lane_key){.id = (uint64_t)rows_int(&rows, 9),
                                       .brand_id = held->event.brand_id,
                                       .campaign_id = held->event.campaign_id,
                                       .priority = (int)rows_int(&rows, 10),
                                       .waives_tls = rows_int(&rows, 13) != 0,
                                       .source_id = (uint64_t)rows_int(&rows, 14),
                                       .domain = held->event.domain};
    }
    return rows_end(&rows);
}

static bool held_forget(struct db *db, struct fault *why, const struct held *held, size_t count)
{
    struct value *values = NEW_ARRAY(struct value, count * 2 + 1);
    for (size_t i = 0; i < count; i++) {
        values[i * 2] = V_INT(held[i].bucket);
        values[i * 2 + 1] = V_INT((int64_t)held[i].delivery_id);
    }
    bool ok = count == 0 || db_do_many(db, why, "DELETE FROM held_verdict WHERE bucket = $1 AND delivery_id = $2",
                                       values, 2, count, NULL);
    free(values);
    return ok;
}

bool held_retry(struct alarm_watch *watch, struct db *db, struct fault *why, const struct held *held, size_t count,
                time_ms now)
{
    SCOPED(arena) arena = {0};
    struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, count + 1);
    struct submit_news *news = ARENA_ARRAY(&arena, struct submit_news, count + 1);
    size_t n = 0, told = 0;
    for (size_t i = 0; i < count; i++) {
        if (!held[i].is_owed)
            continue;
        struct ledger_move *move = &moves[n];
        *move = (struct ledger_move){.event = held[i].event,
                                     .from = LEDGER_BIT(DELIVERY_HELD),
                                     .is_before_known = true,
                                     .due = now + (time_ms)n * SPREAD_MS};
        move->event.kind = EVENT_RELEASED;
        move->event.at = now;
        move->event.state_before = DELIVERY_HELD;
        move->event.state_after = DELIVERY_DEFERRED;
        move->event.verdict = (struct verdict){0};
        move->event.note = SLICE("site_guard");
        news[n++] = (struct submit_news){.lane = held[i].lane, .bucket = held[i].bucket, .due = move->due, .count = 1};
    }
    if (!held_forget(db, why, held, count) || !ledger_settle(&watch->options.ledger, db, why, moves, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (moves[i].is_moved)
            news[told++] = news[i];
    watch_tell(watch, news, told);
    return true;
}

bool held_believe(struct alarm_watch *watch, struct db *db, struct fault *why, const struct held *held, size_t count,
                  time_ms now)
{
    SCOPED(arena) arena = {0};
    struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, count + 1);
    struct event *ended = ARENA_ARRAY(&arena, struct event, count + 1);
    struct event *extra = ARENA_ARRAY(&arena, struct event, count + 1);
    size_t n = 0, ended_count = 0, extra_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct event event = held[i].event;
        struct slice rule = event.verdict.rule;
        rules_verdict_of_reason(watch->options.rules, REASON_USER_UNKNOWN, true, &event.verdict);
        event.verdict.rule = rule;
        policy_adjust(policies_chosen(watch->options.ledger.policy.policies), &event.verdict);
        event.kind = EVENT_BOUNCED;
        event.at = now;
        event.origin = EVENT_ORIGIN_REPLY;
        event.note = SLICE("site_guard");
        event.state_before = held[i].is_owed ? DELIVERY_HELD : DELIVERY_STATE_COUNT;
        event.state_after = held[i].is_owed ? DELIVERY_BOUNCED : DELIVERY_STATE_COUNT;
        if (held[i].is_owed)
            moves[n++] =
                (struct ledger_move){.event = event, .from = LEDGER_BIT(DELIVERY_HELD), .is_before_known = true};
        else
            ended[ended_count++] = event;
    }
    return held_forget(db, why, held, count) &&
           suppress_apply(db, why, ended, ended_count, &watch->options.ledger.policy, extra, &extra_count) &&
           ledger_settle(&watch->options.ledger, db, why, moves, n) && event_append(db, why, extra, extra_count);
}
