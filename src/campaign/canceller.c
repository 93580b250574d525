#include "campaign/canceller.h"

#include "base/log.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { LOOK_MS = 500 /* between two looks while there is work */, AGAIN_MS = 10000, ROWS_A_JOB = 2000 };

struct canceller {
    struct store_watch watch;
    struct write_job job;
    struct store *store;
    struct world *world;
    struct ledger ledger;
    _Atomic bool is_running;
    _Atomic time_ms next; /* monotonic: not before */
    /* of the writer thread */
    uint64_t campaign_id; /* 0: none is worked at */
    unsigned bucket;
    int64_t owed;
    bool has_more; /* of the last run */
};

/* A cancelled campaign's id that comes after this one; 0: none. */
static bool next_campaign(struct db *db, uint64_t after, uint64_t *id, struct fault *why)
{
    SCOPED(rows) rows = {0};
    *id = 0;
    if (!db_query(db, why, &rows,
                  "SELECT h.name FROM hold h JOIN campaign c ON h.name = CAST(c.id AS TEXT) WHERE h.kind = 'campaign' "
                  "AND c.state = 'cancelled' LIMIT 1000",
                  NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        uint64_t found;
        if (slice_to_u64(rows_text(&rows, 0), &found) && found > after && (!*id || found < *id))
            *id = found;
    }
    return rows_end(&rows);
}

static bool bucket_run(struct canceller *canceller, struct db *db, uint64_t campaign_id, unsigned bucket, time_ms now,
                       int64_t *moved, int64_t *owed, struct fault *why)
{
    return ledger_cancel_campaign(&canceller->ledger, db, why, campaign_id, bucket, now, moved) &&
           db_query_ints(db, why, "SELECT COUNT(*) FROM delivery WHERE bucket = $1 AND campaign_id = $2 AND state <= 4",
                         VALUES(V_INT(bucket), V_INT((int64_t)campaign_id)), owed, 1, NULL);
}

static bool cancel_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct canceller *canceller = (struct canceller *)((char *)job - offsetof(struct canceller, job));
    time_ms now = world_wall(canceller->world);
    uint64_t campaign_id = canceller->campaign_id;
    unsigned bucket = canceller->bucket;
    int64_t owed_before = canceller->owed, rows = 0;
    canceller->has_more = false;
    if (!campaign_id) {
        if (!next_campaign(db, 0, &campaign_id, why) || !campaign_id)
            return why->kind == FAULT_NONE;
        bucket = 0;
        owed_before = 0;
    }
    while (bucket < ID_BUCKETS && rows < ROWS_A_JOB) {
        int64_t moved, owed;
        if (!bucket_run(canceller, db, campaign_id, bucket, now, &moved, &owed, why))
            return false;
        rows += moved + 1;
        if (!moved || !owed) {
            owed_before += owed;
            bucket++;
        }
    }
    canceller->has_more = true;
    if (bucket == ID_BUCKETS) {
        SCOPED(buf) name = BUF(24);
        buf_u64(&name, campaign_id);
        if (!owed_before && !db_do(db, why, "DELETE FROM hold WHERE kind = 'campaign' AND name = $1",
                                   VALUES(V_TEXT(buf_slice(&name))), NULL))
            return false;
        if (!next_campaign(db, campaign_id, &campaign_id, why))
            return false;
        canceller->has_more = campaign_id != 0;
        bucket = 0;
        owed_before = 0;
    }
    canceller->campaign_id = campaign_id; /* a repeated run looks at the same rows again: that is fine */
    canceller->bucket = bucket;
    canceller->owed = owed_before;
    return true;
}

static void cancel_done(struct write_job *job, const struct fault *why)
{
    struct canceller *canceller = (struct canceller *)((char *)job - offsetof(struct canceller, job));
    if (why)
        log_warn("campaign", "a cancelled campaign waits: %s", why->text);
    bool is_pressed = !why && canceller->has_more;
    atomic_store(&canceller->next, world_monotonic(canceller->world) + (is_pressed ? 0 : why ? LOOK_MS : AGAIN_MS));
    atomic_store(&canceller->is_running, false);
}

static void wake(struct store_watch *watch, unsigned marks)
{
    struct canceller *canceller = (struct canceller *)watch;
    bool is_due = (marks & STORE_MARK_HOLDS) || world_monotonic(canceller->world) >= atomic_load(&canceller->next);
    if (is_due && !atomic_exchange(&canceller->is_running, true))
        store_write(canceller->store, &canceller->job);
    watch->again_ms = atomic_load(&canceller->is_running) ? LOOK_MS / 10 : 0;
}

struct canceller *canceller_start(struct store *store, struct world *world, const struct ledger *ledger)
{
    struct canceller *canceller = NEW(struct canceller);
    canceller->store = store;
    canceller->world = world;
    canceller->ledger = *ledger;
    canceller->job.run = cancel_run;
    canceller->job.done = cancel_done;
    canceller->job.rows = ROWS_A_JOB;
    canceller->watch.wake = wake;
    store_watch_add(store, &canceller->watch);
    return canceller;
}

void canceller_stop(struct canceller *canceller)
{
    if (!canceller)
        return;
    store_watch_remove(canceller->store, &canceller->watch);
    const struct timespec pause = {.tv_nsec = 2000000};
    while (atomic_load(&canceller->is_running))
        nanosleep(&pause, NULL);
    free(canceller);
}
