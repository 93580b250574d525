#include "store/lease.h"

#include "store/counter.h"

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

/* The rows exist from the first keep on. */
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
    if (!db_query(db, why, &rows, "SELECT bucket, node, epoch, until_ms FROM lease ORDER BY bucket", NO_VALUES))
        return false;
    memset(table, 0, sizeof(struct lease_row) * ID_BUCKETS);
    while (rows_next(&rows)) {
        unsigned bucket = (unsigned)rows_int(&rows, 0);
        assert(bucket < ID_BUCKETS);
        table[bucket] = (struct lease_row){rows_int(&rows, 1), rows_int(&rows, 2), rows_int(&rows, 3)};
    }
    return rows_end(&rows);
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

/* ── lives ── */

static bool life_keep(struct db *db, struct fault *why, struct leases *leases, time_ms now, time_ms until)
{
    int64_t changed;
    leases->is_new_life = false;
    if (!db_do(db, why, "UPDATE node SET until_ms = $1 WHERE node = $2 AND life = $3 AND until_ms > 0",
               VALUES(V_INT(until), V_INT(leases->node), V_INT(leases->life)), &changed))
        return false;
    if (changed)
        return true;
    leases->is_new_life = true; /* the first; or somebody has taken us for dead, and others hold what we held */
    leases->held = (struct bucket_set){0};
    return db_query_ints(db, why,
                         "INSERT INTO node (node, life, until_ms, since_ms, version) VALUES ($1, 1, $2, $3, $4) ON "
                         "CONFLICT (node) DO UPDATE SET life = node.life + 1, until_ms = excluded.until_ms, since_ms = "
                         "excluded.since_ms, version = excluded.version RETURNING life",
                         VALUES(V_INT(leases->node), V_INT(until), V_INT(now), V_STR(TODOKE_VERSION)), &leases->life, 1,
                         NULL);
}

static bool lives_end(struct db *db, struct fault *why, time_ms now)
{
    return db_do(db, why, "UPDATE node SET life = life + 1, until_ms = 0 WHERE until_ms > 0 AND until_ms <= $1",
                 VALUES(V_INT(now)), NULL);
}

static bool lives_read(struct db *db, struct fault *why, struct leases *leases)
{
    uint64_t before[LEASE_NODES / 64];
    SCOPED(rows) rows = {0};
    memcpy(before, leases->live, sizeof(before));
    memset(leases->live, 0, sizeof(leases->live));
    leases->live_count = 0;
    if (!db_query(db, why, &rows, "SELECT node FROM node WHERE until_ms > 0", NO_VALUES))
        return false;
    while (rows_next(&rows)) {
        int64_t node = rows_int(&rows, 0);
        if (node < 0 || node >= LEASE_NODES)
            continue;
        leases->live[node / 64] |= (uint64_t)1 << node % 64;
        leases->live_count++;
    }
    for (size_t i = 0; i < COUNT_OF(before); i++)
        leases->others_ended |= (before[i] & ~leases->live[i]) != 0;
    return rows_end(&rows);
}

/* ── keeping ── */

static bool renew(struct db *db, struct fault *why, const struct leases *leases, time_ms until)
{
    struct value values[ID_BUCKETS * 4];
    size_t count = 0;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        if (!bucket_set_has(&leases->held, bucket))
            continue;
        struct value *row = &values[count++ * 4];
        row[0] = V_INT(until);
        row[1] = V_INT(bucket);
        row[2] = V_INT(leases->node);
        row[3] = V_INT(leases->epoch[bucket]);
    }
    return db_do_many(db, why, "UPDATE lease SET until_ms = $1 WHERE bucket = $2 AND node = $3 AND epoch = $4", values,
                      4, count, NULL);
}

/* From the highest on: whoever leads goes on leading. */
static bool give_away(struct db *db, struct fault *why, struct leases *leases, unsigned count)
{
    struct value values[ID_BUCKETS * 2];
    size_t rows = 0;
    for (unsigned bucket = ID_BUCKETS; bucket-- > 0 && rows < count;) {
        if (!bucket_set_has(&leases->held, bucket))
            continue;
        bucket_set_remove(&leases->held, bucket);
        values[rows * 2] = V_INT(bucket);
        values[rows++ * 2 + 1] = V_INT(leases->node);
    }
    return db_do_many(db, why, "UPDATE lease SET node = -1, until_ms = 0 WHERE bucket = $1 AND node = $2", values, 2,
                      rows, NULL);
}

/* In the order of the buckets: two nodes that take cannot deadlock. */
static bool take(struct db *db, struct fault *why, struct leases *leases, const struct lease_row table[ID_BUCKETS],
                 unsigned most, time_ms now, time_ms until)
{
    struct value values[ID_BUCKETS * 6];
    unsigned wanted[ID_BUCKETS];
    int64_t changed[ID_BUCKETS];
    size_t rows = 0;
    for (unsigned bucket = 0; bucket < ID_BUCKETS && rows < most; bucket++) {
        const struct lease_row *row = &table[bucket];
        bool is_free = row->until <= now || row->node == (int64_t)leases->node; /* ours of an earlier life */
        if (bucket_set_has(&leases->held, bucket) || !is_free)
            continue;
        struct value *to = &values[rows * 6];
        to[0] = V_INT(bucket);
        to[1] = V_INT(row->epoch);
        to[2] = V_INT(leases->node);
        to[3] = V_INT(row->epoch + 1);
        to[4] = V_INT(until);
        to[5] = V_INT(now);
        wanted[rows++] = bucket;
    }
    if (!db_do_many(db, why,
                    "UPDATE lease SET node = $3, epoch = $4, until_ms = $5 WHERE bucket = $1 AND epoch = $2 AND "
                    "(until_ms <= $6 OR node = $3)",
                    values, 6, rows, changed))
        return false;
    struct value handed[ID_BUCKETS];
    size_t taken = 0;
    for (size_t i = 0; i < rows; i++) {
        if (!changed[i])
            continue;
        bucket_set_add(&leases->held, wanted[i]);
        bucket_set_add(&leases->gained, wanted[i]);
        leases->epoch[wanted[i]] = table[wanted[i]].epoch + 1;
        handed[taken++] = V_INT(wanted[i]);
    }
    /* what their last owner had handed to somebody: ours to decide now */
    return db_do_many(db, why, "DELETE FROM handoff WHERE bucket = $1", handed, 1, taken, NULL);
}

static void show(struct leases *leases)
{
    for (size_t i = 0; i < COUNT_OF(leases->held.bits); i++)
        __atomic_store_n(&leases->shown.held.bits[i], leases->held.bits[i], __ATOMIC_RELAXED);
    __atomic_store_n(&leases->shown.leads, bucket_set_has(&leases->held, LEASE_LEADER), __ATOMIC_RELAXED);
}

bool leases_keep(struct db *db, struct fault *why, struct leases *leases, time_ms now_monotonic)
{
    struct lease_row table[ID_BUCKETS];
    struct leases next = *leases; /* the job may be repeated: decide on a copy */
    time_ms now, length = db_is_postgres(db) ? LEASE_MS : LEASE_ALONE_MS;
    next.checked_db = NULL;
    next.gained = (struct bucket_set){0};
    next.others_ended = false;
    if (!rows_make(db, why) || !db_now(db, why, &now) || !life_keep(db, why, &next, now, now + length) ||
        !lives_end(db, why, now) || !lives_read(db, why, &next) || !rows_read(db, why, table))
        return false;
    drop_lost(&next, table);
    unsigned nodes = next.live_count ? next.live_count : 1, share = (ID_BUCKETS + nodes - 1) / nodes;
    unsigned count = bucket_set_count(&next.held);
    if (count > share && !give_away(db, why, &next, count - share))
        return false;
    if (!renew(db, why, &next, now + length) ||
        (count < share && !take(db, why, &next, table, share - count, now, now + length)))
        return false;
    next.until_monotonic = now_monotonic + length;
    next.db_now = db_is_postgres(db) ? now : 0;
    counters_are_shared(db, next.live_count > 1);
    memcpy(leases, &next, offsetof(struct leases, shown)); /* others are reading what is shown */
    show(leases);
    return true;
}

bool leases_look(struct db *reader, struct fault *why, unsigned live_count, bool *has_work)
{
    int64_t columns[3];
    time_ms now;
    if (!db_now(reader, why, &now) ||
        !db_query_ints(reader, why,
                       "SELECT (SELECT COUNT(*) FROM lease WHERE until_ms <= $1), (SELECT COUNT(*) FROM node WHERE "
                       "until_ms > 0), (SELECT COUNT(*) FROM node WHERE until_ms > 0 AND until_ms <= $1)",
                       VALUES(V_INT(now)), columns, 3, NULL))
        return false;
    *has_work = columns[0] || columns[1] != live_count || columns[2];
    return true;
}

/* ── checking ── */

static bool check_life(struct db *db, struct fault *why, struct leases *leases)
{
    int64_t life = 0;
    const char *sql = db_pick(db, "SELECT life FROM node WHERE node = $1 AND until_ms > 0",
                              "SELECT life FROM node WHERE node = $1 AND until_ms > 0 FOR SHARE");
    bool found;
    if (!db_query_ints(db, why, sql, VALUES(V_INT(leases->node)), &life, 1, &found))
        return false;
    leases->is_alive = found && life == leases->life;
    return true;
}

static bool check_handed(struct db *db, struct fault *why, struct leases *leases)
{
    SCOPED(rows) rows = {0};
    const char *sql = db_pick(db, "SELECT bucket FROM handoff WHERE node = $1",
                              "SELECT bucket FROM handoff WHERE node = $1 ORDER BY bucket, pool FOR SHARE");
    if (!db_query(db, why, &rows, sql, VALUES(V_INT(leases->node))))
        return false;
    while (rows_next(&rows))
        bucket_set_add(&leases->handed, (unsigned)rows_int(&rows, 0) % ID_BUCKETS);
    return rows_end(&rows);
}

/* The row of our life is locked: whoever takes a bucket of ours ends that first. So the buckets' rows need no lock. */
static bool check_read(struct db *db, struct fault *why, struct leases *leases)
{
    SCOPED(rows) rows = {0};
    const char *sql = "SELECT bucket, epoch FROM lease WHERE node = $1 ORDER BY bucket";
    leases->checked = leases->handed = (struct bucket_set){0};
    leases->checked_db = NULL;
    if (!check_life(db, why, leases))
        return false;
    leases->checked_db = db;
    leases->checked_in = db_transaction(db);
    if (!leases->is_alive)
        return true;
    if (!db_query(db, why, &rows, sql, VALUES(V_INT(leases->node))))
        return false;
    while (rows_next(&rows)) {
        unsigned bucket = (unsigned)rows_int(&rows, 0);
        if (bucket < ID_BUCKETS && rows_int(&rows, 1) == leases->epoch[bucket])
            bucket_set_add(&leases->checked, bucket);
    }
    return rows_end(&rows) && check_handed(db, why, leases);
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

bool leases_lead(struct db *db, struct fault *why, struct leases *leases, bool *leads)
{
    struct bucket_set asked = {0}, ours;
    *leads = true;
    if (!leases)
        return true;
    bucket_set_add(&asked, LEASE_LEADER);
    if (!leases_check(db, why, leases, &asked, &ours))
        return false;
    *leads = bucket_set_has(&ours, LEASE_LEADER);
    return true;
}

bool leases_end(struct db *db, struct fault *why, struct leases *leases)
{
    if (!give_away(db, why, leases, ID_BUCKETS) ||
        !db_do(db, why, "UPDATE node SET life = life + 1, until_ms = 0 WHERE node = $1 AND life = $2",
               VALUES(V_INT(leases->node), V_INT(leases->life)), NULL))
        return false;
    leases->held = (struct bucket_set){0};
    leases->checked_db = NULL;
    leases->until_monotonic = 0;
    show(leases);
    return true;
}
