#include "store/lease.h"

#include <assert.h>

unsigned bucket_set_count(const struct bucket_set *set)
{
    unsigned count = 0;
    for (size_t i = 0; i < COUNT_OF(set->bits); i++)
        count += (unsigned)__builtin_popcountll(set->bits[i]);
    return count;
}

static void bucket_set_remove(struct bucket_set *set, unsigned bucket)
{
    set->bits[bucket / 64] &= ~((uint64_t)1 << bucket % 64);
}

/* The rows exist from the first acquire on. */
static bool rows_make(struct db *db, struct fault *why)
{
    int64_t count;
    if (!db_query_ints(db, why, "SELECT COUNT(*) FROM lease", NO_VALUES, &count, 1, NULL))
        return false;
    if (count == ID_BUCKETS)
        return true;
    struct value buckets[ID_BUCKETS];
    for (unsigned i = 0; i < ID_BUCKETS; i++)
        buckets[i] = V_INT(i);
    return db_do_many(db, why,
                      "INSERT INTO lease (bucket, node, epoch, until_ms) VALUES ($1, -1, 0, 0) ON CONFLICT (bucket) DO "
                      "NOTHING",
                      buckets, 1, ID_BUCKETS, NULL);
}

/* What stands in the table. */
struct lease_row {
    int64_t node, epoch;
    time_ms until;
};
static bool rows_read(struct db *db, struct fault *why, struct lease_row table[ID_BUCKETS])
{
    SCOPED(rows) rows = {0};
    const char *sql = db_pick(db, "SELECT bucket, node, epoch, until_ms FROM lease ORDER BY bucket",
                              "SELECT bucket, node, epoch, until_ms FROM lease ORDER BY bucket FOR UPDATE");
    if (!db_query(db, why, &rows, sql, NO_VALUES))
        return false;
    memset(table, 0, sizeof(struct lease_row) * ID_BUCKETS);
    while (rows_next(&rows)) {
        unsigned bucket = (unsigned)rows_int(&rows, 0);
        assert(bucket < ID_BUCKETS);
        table[bucket] = (struct lease_row){rows_int(&rows, 1), rows_int(&rows, 2), rows_int(&rows, 3)};
    }
    return rows_end(&rows);
}

static bool rows_write(struct db *db, struct fault *why, const struct leases *leases, time_ms until)
{
    struct value values[ID_BUCKETS * 4];
    size_t count = 0;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        if (!bucket_set_has(&leases->held, bucket))
            continue;
        struct value *row = &values[count++ * 4];
        row[0] = V_INT(leases->node);
        row[1] = V_INT(leases->epoch[bucket]);
        row[2] = V_INT(until);
        row[3] = V_INT(bucket);
    }
    return db_do_many(db, why, "UPDATE lease SET node = $1, epoch = $2, until_ms = $3 WHERE bucket = $4", values, 4,
                      count, NULL);
}

/* Those whose row still names us and our epoch. */
static void drop_lost(struct leases *leases, const struct lease_row table[ID_BUCKETS])
{
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        const struct lease_row *row = &table[bucket];
        if (row->node != (int64_t)leases->node || row->epoch != leases->epoch[bucket])
            bucket_set_remove(&leases->held, bucket);
    }
}

bool leases_acquire(struct db *db, struct fault *why, struct leases *leases, unsigned want, time_ms now_monotonic)
{
    struct lease_row table[ID_BUCKETS];
    struct leases next = *leases; /* the job may be repeated: decide on a copy */
    next.checked_db = NULL;
    time_ms now;
    if (!rows_make(db, why) || !rows_read(db, why, table) || !db_now(db, why, &now))
        return false;
    drop_lost(&next, table);
    next.taken_over = (struct bucket_set){0};
    unsigned count = bucket_set_count(&next.held);
    for (unsigned bucket = 0; bucket < ID_BUCKETS && count < want; bucket++) {
        const struct lease_row *row = &table[bucket];
        bool is_free = row->until <= now || row->node == (int64_t)leases->node; /* ours of an earlier life */
        if (bucket_set_has(&next.held, bucket) || !is_free)
            continue;
        bucket_set_add(&next.held, bucket);
        bucket_set_add(&next.taken_over, bucket);
        next.epoch[bucket] = row->epoch + 1;
        count++;
    }
    if (!rows_write(db, why, &next, now + LEASE_MS))
        return false;
    next.until_monotonic = now_monotonic + LEASE_MS;
    *leases = next;
    return true;
}

bool leases_renew(struct db *db, struct fault *why, struct leases *leases, time_ms now_monotonic)
{
    struct lease_row table[ID_BUCKETS];
    struct leases next = *leases;
    next.checked_db = NULL;
    time_ms now;
    if (!rows_read(db, why, table) || !db_now(db, why, &now))
        return false;
    drop_lost(&next, table);
    if (!rows_write(db, why, &next, now + LEASE_MS))
        return false;
    next.until_monotonic = now_monotonic + LEASE_MS;
    *leases = next;
    return true;
}

/* One row a bucket is locked FOR SHARE: a takeover waits until we have committed, or we see its new epoch. */
static bool check_read(struct db *db, struct fault *why, struct leases *leases)
{
    SCOPED(rows) rows = {0};
    const char *sql = db_pick(db, "SELECT bucket, epoch FROM lease WHERE node = $1 ORDER BY bucket",
                              "SELECT bucket, epoch FROM lease WHERE node = $1 ORDER BY bucket FOR SHARE");
    leases->checked = (struct bucket_set){0};
    leases->checked_db = NULL;
    if (!db_query(db, why, &rows, sql, VALUES(V_INT(leases->node))))
        return false;
    while (rows_next(&rows)) {
        unsigned bucket = (unsigned)rows_int(&rows, 0);
        if (bucket < ID_BUCKETS && rows_int(&rows, 1) == leases->epoch[bucket])
            bucket_set_add(&leases->checked, bucket);
    }
    leases->checked_db = db;
    leases->checked_in = db_transaction(db);
    return rows_end(&rows);
}

bool leases_check(struct db *db, struct fault *why, struct leases *leases, const struct bucket_set *asked,
                  struct bucket_set *ours)
{
    bool is_known = leases->checked_db == db && leases->checked_in == db_transaction(db);
    *ours = (struct bucket_set){0};
    if (!is_known && !check_read(db, why, leases))
        return false;
    for (size_t i = 0; i < COUNT_OF(ours->bits); i++)
        ours->bits[i] = asked->bits[i] & leases->held.bits[i] & leases->checked.bits[i];
    return true;
}

bool leases_release_all(struct db *db, struct fault *why, struct leases *leases)
{
    struct lease_row table[ID_BUCKETS];
    if (!rows_read(db, why, table))
        return false;
    drop_lost(leases, table);
    if (!rows_write(db, why, leases, 0))
        return false;
    leases->held = (struct bucket_set){0};
    leases->until_monotonic = 0;
    return true;
}
