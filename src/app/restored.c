#include "app/restored.h"

#include "campaign/campaign.h"
#include "queue/ledger.h"
#include "store/seal.h"

enum { BATCH = 500, CAMPAIGNS = 64 };

static const struct ledger_move to_held = {
    .event = {.kind = EVENT_HELD, .state_after = DELIVERY_HELD, .note = SLICE_INIT("restored")},
    .from = LEDGER_OWED & ~LEDGER_BIT(DELIVERY_HELD),
};

static bool owed_read(struct db *db, struct fault *why, unsigned bucket, uint64_t after, time_ms now,
                      struct arena *arena, struct ledger_move *moves, size_t *count)
{
    static const char sql[] =
        LEDGER_EVENT_SQL("", "d.bucket = $1 AND d.id > $2 AND d.state IN (0, 1, 3, 4) ORDER BY d.id LIMIT $3");
    SCOPED(rows) rows = {0};
    *count = 0;
    if (!db_query(db, why, &rows, sql, VALUES(V_INT(bucket), V_INT((int64_t)after), V_INT(BATCH))))
        return false;
    while (*count < BATCH && rows_next(&rows)) {
        struct ledger_move *move = &moves[(*count)++];
        *move = to_held;
        move->event.at = move->due = now;
        ledger_event_read(&rows, arena, &move->event);
    }
    return rows_end(&rows);
}

static bool bucket_hold(struct restored *restored, struct db *db, struct fault *why, unsigned bucket)
{
    const struct ledger ledger = {0}; /* nobody serves this store */
    uint64_t after = 0;
    for (size_t count = BATCH; count == BATCH;) {
        SCOPED(arena) arena = {0};
        struct ledger_move *moves = ARENA_ARRAY(&arena, struct ledger_move, BATCH);
        if (!owed_read(db, why, bucket, after, restored->now, &arena, moves, &count) ||
            !ledger_settle(&ledger, db, why, moves, count))
            return false;
        for (size_t i = 0; i < count; i++)
            restored->held += moves[i].is_moved;
        after = count ? moves[count - 1].event.delivery_id : 0;
    }
    return true;
}

static bool campaigns_pause(struct restored *restored, struct db *db, struct fault *why)
{
    uint64_t ids[CAMPAIGNS];
    for (size_t count = CAMPAIGNS; count == CAMPAIGNS;) {
        if (!campaign_in_state(db, why, CAMPAIGN_EXPANDING, ids, CAMPAIGNS, &count))
            return false;
        for (size_t i = 0; i < count; i++)
            if (!campaign_pause(db, why, ids[i], SLICE("restored from a backup"), restored->now))
                return false;
        restored->paused += (int64_t)count;
    }
    return true;
}

static bool orders_end(const struct restored *restored, struct db *db, struct fault *why)
{
    return db_do(
               db, why,
               "UPDATE queue_order SET done_ms = $1, moved = moved + (SELECT CAST(COALESCE(SUM(t.moved), 0) AS BIGINT) "
               "FROM queue_order_todo t WHERE t.order_id = queue_order.id) WHERE done_ms = 0",
               VALUES(V_INT(restored->now)), NULL) &&
           db_do(db, why, "DELETE FROM queue_order_todo", NO_VALUES, NULL);
}

bool restored_settle(void *context, struct db *db, struct fault *why)
{
    struct restored *restored = context;
    restored->held = restored->paused = 0;
    if (!secret_sealed_by(db, why, &restored->key_id))
        return false;
    if (!restored->sends) {
        for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
            if (!bucket_hold(restored, db, why, bucket))
                return false;
        if (!campaigns_pause(restored, db, why) || !orders_end(restored, db, why))
            return false;
    }
    return report_audit_within(db, why, 0, &restored->audit);
}
