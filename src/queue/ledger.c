#include "queue/ledger.h"

#include "base/id.h"
#include "queue/owed_notice.h"

/* What of `asked` may be moved: `held` are our buckets (without leases all), `served` those too of which mail was
 * handed to us. Not alive: nothing, not even what we have on the wire. */
struct right {
    struct bucket_set held, served;
    bool is_alive;
};
static bool our_right(const struct ledger *ledger, struct db *db, struct fault *why, const struct bucket_set *asked,
                      struct right *right)
{
    *right = (struct right){*asked, *asked, true};
    if (!ledger->leases)
        return true;
    if (!leases_check(db, why, ledger->leases, asked, &right->held))
        return false;
    right->is_alive = ledger->leases->is_alive;
    right->served = bucket_set_plus(right->held, &ledger->leases->handed);
    return true;
}

/* ── the mark ── */

enum { MARK_WIDTH = 8 };

/* Does suppression s speak of delivery d? Of everything; or, where a campaign sends it, of campaigns or of its list.
 * Who left by himself and now asks to be on a list gets the mail that asks whether it was he (audience/optin.h). Looked
 * at only where there is a row for the address: it costs the others nothing. */
#define SPEAKS_OF(d)                                                                                                   \
    "(s.topic = '' OR (" d ".campaign_id IS NOT NULL AND (s.topic = 'campaigns' OR s.topic = (SELECT 'list:' || "      \
    "c.list_id FROM campaign c WHERE c.id = " d ".campaign_id)))) AND NOT (s.why = 'unsubscribed' AND " d              \
    ".message_id IS NOT NULL AND EXISTS (SELECT 1 FROM optin o WHERE o.bucket = " d ".bucket AND o.address = " d       \
    ".address AND o.message_id = " d ".message_id AND o.confirmed_ms = 0))"

/* The plus keeps SQLite from building a table in memory for IN or OR, for each mark anew. */
static const char mark_sql[] =
    "UPDATE delivery SET state = 3, node = $4, version_id = $5, date_ms = $6, changed_ms = "
    "$7, source_id = $8 WHERE bucket = $1 AND id = $2 AND "
    "state <= 1 AND attempts = $3 AND NOT EXISTS (SELECT 1 FROM suppression s WHERE "
    "s.bucket = delivery.bucket AND s.address = "
    "delivery.address AND (+s.brand_id = 0 OR +s.brand_id = delivery.brand_id) AND " SPEAKS_OF(
        "delivery") " AND (s.expires_ms = 0 OR s.expires_ms > $7))";

/* One that could not be marked: excluded, or simply gone. */
static bool mark_refused(const struct ledger *ledger, struct db *db, struct fault *why, struct ledger_mark *mark,
                         time_ms now)
{
    mark->result = LEDGER_GONE;
    SCOPED(rows) rows = {0};
    if (!db_query(
            db, why, &rows,
            "SELECT d.address, d.campaign_id, d.contact_id, d.brand_id, l.domain, s.reason, s.why FROM delivery "
            "d JOIN lane l ON "
            "l.id = d.lane_id JOIN suppression s ON s.bucket = d.bucket AND s.address = d.address AND s.brand_id "
            "IN (0, "
            "d.brand_id) AND " SPEAKS_OF("d") " AND (s.expires_ms = 0 OR s.expires_ms > $4) WHERE d.bucket = $1 AND "
                                              "d.id = $2 AND "
                                              "d.state <= 1 AND d.attempts = $3 LIMIT 1",
            VALUES(V_INT(id_bucket(mark->id)), V_INT((int64_t)mark->id), V_INT(mark->attempts), V_INT(now))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows);
    SCOPED(arena) arena = {0};
    struct ledger_move move = {
        .event = {.kind = EVENT_SUPPRESSED,
                  .at = now,
                  .bucket = id_bucket(mark->id),
                  .delivery_id = mark->id,
                  .address = arena_copy(&arena, rows_text(&rows, 0)),
                  .campaign_id = (uint64_t)rows_int(&rows, 1),
                  .contact_id = (uint64_t)rows_int(&rows, 2),
                  .brand_id = (uint64_t)rows_int(&rows, 3),
                  .domain = arena_copy(&arena, rows_text(&rows, 4)),
                  .verdict = {.reason = (enum reason)rows_int(&rows, 5)},
                  .note = arena_copy(&arena, rows_text(&rows, 6)),
                  .state_before = mark->state,
                  .state_after = DELIVERY_SUPPRESSED},
        .from = LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED),
        .is_before_known = true,
        .is_mine = true,
    };
    if (!rows_end(&rows) || !ledger_settle(ledger, db, why, &move, 1))
        return false;
    if (move.is_moved)
        mark->result = LEDGER_SUPPRESSED;
    return true;
}

bool ledger_mark(const struct ledger *ledger, struct db *db, struct fault *why, struct ledger_mark *marks, size_t count,
                 time_ms now)
{
    struct bucket_set asked = {0};
    struct right right;
    for (size_t i = 0; i < count; i++)
        bucket_set_add(&asked, id_bucket(marks[i].id));
    if (!our_right(ledger, db, why, &asked, &right))
        return false;
    struct value *values = NEW_ARRAY(struct value, count * MARK_WIDTH);
    int64_t *changed = NEW_ARRAY(int64_t, count);
    size_t *which = NEW_ARRAY(size_t, count);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        marks[i].result = LEDGER_GONE;
        if (!bucket_set_has(&right.served, id_bucket(marks[i].id)))
            continue;
        struct value *row = values + rows * MARK_WIDTH;
        row[0] = V_INT(id_bucket(marks[i].id));
        row[1] = V_INT((int64_t)marks[i].id);
        row[2] = V_INT(marks[i].attempts);
        row[3] = V_INT(ledger->node);
        row[4] = V_INT((int64_t)marks[i].version_id);
        row[5] = V_INT(marks[i].date);
        row[6] = V_INT(now);
        row[7] = V_INT((int64_t)marks[i].source_id);
        which[rows++] = i;
    }
    bool ok = rows == 0 || db_do_many(db, why, mark_sql, values, MARK_WIDTH, rows, changed);
    for (size_t r = 0; ok && r < rows; r++) {
        if (changed[r])
            marks[which[r]].result = LEDGER_MARKED;
        else
            ok = mark_refused(ledger, db, why, &marks[which[r]], now);
    }
    free(values);
    free(changed);
    free(which);
    return ok;
}

bool ledger_unmark(const struct ledger *ledger, struct db *db, struct fault *why, const struct ledger_mark *marks,
                   size_t count, time_ms now)
{
    enum { WIDTH = 6 };
    const struct bucket_set none = {0};
    struct right right;
    if (!our_right(ledger, db, why, &none, &right))
        return false;
    struct value *values = NEW_ARRAY(struct value, count * WIDTH);
    size_t rows = 0;
    for (size_t i = 0; right.is_alive && i < count; i++) {
        struct value *row = values + rows++ * WIDTH;
        row[0] = V_INT(id_bucket(marks[i].id));
        row[1] = V_INT((int64_t)marks[i].id);
        row[2] = V_INT(marks[i].state);
        row[3] = V_INT(ledger->node);
        row[4] = V_INT(now);
        row[5] = V_INT((int64_t)marks[i].pinned_id);
    }
    bool ok =
        rows == 0 ||
        db_do_many(db, why,
                   "UPDATE delivery SET state = $3, changed_ms = $5, source_id = $6 WHERE bucket = $1 AND id = $2 "
                   "AND state = 3 AND node = $4",
                   values, WIDTH, rows, NULL);
    free(values);
    return ok;
}

/* ── every other move ── */

/* What the rows are now: for moves that do not know, and lock them for what follows. */
static bool states_before(struct db *db, struct fault *why, struct ledger_move *moves, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (moves[i].is_before_known)
            continue;
        int64_t columns[3] = {DELIVERY_STATE_COUNT, 0, 0};
        bool found;
        if (!db_query_ints(
                db, why,
                db_pick(db, "SELECT state, last_seq, changed_ms FROM delivery WHERE bucket = $1 AND id = $2",
                        "SELECT state, last_seq, changed_ms FROM delivery WHERE bucket = $1 AND id = $2 FOR UPDATE"),
                VALUES(V_INT(id_bucket(moves[i].event.delivery_id)), V_INT((int64_t)moves[i].event.delivery_id)),
                columns, 3, &found))
            return false;
        moves[i].event.state_before = found ? (enum delivery_state)columns[0] : DELIVERY_STATE_COUNT;
        moves[i].event.before_since = moves[i].event.state_before == DELIVERY_DELIVERED ? columns[2] : 0;
        if (!found || moves[i].event.state_before != DELIVERY_ON_WIRE)
            continue;
        /* the counters know it as what its last event made of it */
        int64_t state = DELIVERY_WAITING;
        if (columns[1] &&
            !db_query_ints(db, why, "SELECT state_after FROM event WHERE bucket = $1 AND seq = $2",
                           VALUES(V_INT(id_bucket(moves[i].event.delivery_id)), V_INT(columns[1])), &state, 1, &found))
            return false;
        moves[i].event.state_before = (enum delivery_state)state;
    }
    return true;
}

enum { MOVE_WIDTH = 9 };
static const char move_sql[] =
    "UPDATE delivery SET state = $3, due_ms = CASE WHEN CAST($4 AS BIGINT) > 0 THEN $4 ELSE due_ms END, attempts = "
    "attempts + $5, "
    "changed_ms = $6, source_id = CASE WHEN CAST($9 AS BIGINT) < 0 THEN source_id ELSE $9 END WHERE bucket = $1 AND id "
    "= $2 AND ((CAST($7 AS INTEGER) >> state) & 1) = 1 AND (state <> 3 OR "
    "CAST($8 AS INTEGER) < 0 OR node = $8)";

/* The states it may leave here: in buckets that are not ours what we have on the wire, and nothing else. */
static unsigned move_from(const struct ledger_move *move, const struct right *right, bool *is_ours_only)
{
    unsigned bucket = id_bucket(move->event.delivery_id);
    bool is_ours = bucket_set_has(move->is_mine ? &right->served : &right->held, bucket);
    *is_ours_only = move->is_mine || !is_ours;
    if (move->event.state_before == DELIVERY_STATE_COUNT || !right->is_alive)
        return 0;
    return is_ours ? move->from : move->from & LEDGER_BIT(DELIVERY_ON_WIRE);
}

/* What is in doubt, or was not tried, keeps the source it has: -1. */
static int64_t source_after(const struct ledger_move *move)
{
    return move->is_attempt && move->event.state_after != DELIVERY_IN_DOUBT ? (int64_t)move->pinned_id : -1;
}

static bool move_rows(const struct ledger *ledger, struct db *db, struct fault *why, const struct right *right,
                      struct ledger_move *moves, size_t count)
{
    struct value *values = NEW_ARRAY(struct value, count * MOVE_WIDTH);
    int64_t *changed = NEW_ARRAY(int64_t, count);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ledger_move *move = &moves[i];
        unsigned bucket = id_bucket(move->event.delivery_id);
        struct value *row = values + rows * MOVE_WIDTH;
        row[0] = V_INT(bucket);
        row[1] = V_INT((int64_t)move->event.delivery_id);
        row[2] = V_INT(move->event.state_after);
        row[3] = V_INT(delivery_is_owed(move->event.state_after) ? move->due : 0);
        row[4] = V_INT(move->is_attempt);
        row[5] = V_INT(move->event.at);
        bool is_ours_only;
        row[6] = V_INT(move_from(move, right, &is_ours_only));
        row[7] = V_INT(is_ours_only ? (int64_t)ledger->node : -1);
        row[8] = V_INT(source_after(move));
        rows++;
    }
    bool ok = db_do_many(db, why, move_sql, values, MOVE_WIDTH, rows, changed);
    for (size_t i = 0; ok && i < count; i++)
        moves[i].is_moved = changed[i] > 0;
    free(values);
    free(changed);
    return ok;
}

/* The pages of error mail show a deferral only while it is the last thing that happened: remember where that is. */
static bool remember_events(struct db *db, struct fault *why, const struct event *events, size_t count)
{
    struct value *values = NEW_ARRAY(struct value, count * 3);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].state_after == DELIVERY_DELIVERED || events[i].state_after == DELIVERY_STATE_COUNT)
            continue;
        values[rows * 3] = V_INT(events[i].bucket);
        values[rows * 3 + 1] = V_INT((int64_t)events[i].delivery_id);
        values[rows * 3 + 2] = V_INT((int64_t)events[i].seq);
        rows++;
    }
    bool ok = rows == 0 || db_do_many(db, why, "UPDATE delivery SET last_seq = $3 WHERE bucket = $1 AND id = $2",
                                      values, 3, rows, NULL);
    free(values);
    return ok;
}

/* ── the site guard ── */

struct doubts {
    struct arena arena;
    struct slice *sites; /* of the moves that are doubted; NULL: none is */
};

/* Ask it about each unknown user. The job may have run before: what it made of the event then is undone first. */
static bool doubt(struct db *db, struct fault *why, struct ledger_move *moves, size_t count, struct doubts *doubts)
{
    for (size_t i = 0; i < count; i++) {
        struct event *event = &moves[i].event;
        if (moves[i].is_doubted) {
            event->verdict = moves[i].as_said;
            event->kind = EVENT_BOUNCED;
            event->state_after = DELIVERY_BOUNCED;
            event->note = SLICE("");
            moves[i].is_doubted = false;
        }
        if (!guard_is_about(event))
            continue;
        struct slice site;
        if (!guard_holds(db, why, event, &doubts->arena, &site, &moves[i].is_doubted))
            return false;
        if (!moves[i].is_doubted)
            continue;
        if (!doubts->sites)
            doubts->sites = ARENA_ARRAY(&doubts->arena, struct slice, count);
        doubts->sites[i] = site;
        moves[i].as_said = event->verdict;
        moves[i].due = event->at;
        guard_hold(event);
    }
    return true;
}

static bool keep_doubted(struct db *db, struct fault *why, const struct ledger_move *moves, size_t count,
                         const struct event *events, const struct doubts *doubts)
{
    for (size_t i = 0, moved = 0; doubts->sites && i < count; i++) {
        if (moves[i].is_doubted && moves[i].is_moved &&
            !guard_keep(db, why, &events[moved], doubts->sites[i], &moves[i].as_said))
            return false;
        moved += moves[i].is_moved;
    }
    return true;
}

static bool settle(const struct ledger *ledger, struct db *db, struct fault *why, struct ledger_move *moves,
                   size_t count, const struct doubts *doubts)
{
    struct bucket_set asked = {0};
    struct right right;
    for (size_t i = 0; i < count; i++) {
        moves[i].event.bucket = id_bucket(moves[i].event.delivery_id);
        moves[i].event.id = 0;
        bucket_set_add(&asked, moves[i].event.bucket);
    }
    if (!our_right(ledger, db, why, &asked, &right) || !states_before(db, why, moves, count) ||
        !move_rows(ledger, db, why, &right, moves, count))
        return false;

    /* the events of those that moved, then what those events do to their addresses */
    struct event *events = NEW_ARRAY(struct event, count * 2);
    size_t moved = 0, extra = 0;
    for (size_t i = 0; i < count; i++)
        if (moves[i].is_moved)
            events[moved++] = moves[i].event;
    bool ok = suppress_apply(db, why, events, moved, &ledger->policy, events + moved, &extra) &&
              keep_doubted(db, why, moves, count, events, doubts) && notice_owe(db, why, events, moved) &&
              event_append(db, why, events, moved + extra) && remember_events(db, why, events, moved);
    free(events);
    return ok;
}

bool ledger_settle(const struct ledger *ledger, struct db *db, struct fault *why, struct ledger_move *moves,
                   size_t count)
{
    struct doubts doubts = {0};
    bool ok = doubt(db, why, moves, count, &doubts) && settle(ledger, db, why, moves, count, &doubts);
    arena_release(&doubts.arena);
    return ok;
}
