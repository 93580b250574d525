/* fold.c - rows are taken out of their buckets and put into one, in one transaction
 *
 * A row leaves by DELETE ... RETURNING: what another node's reader added to it until then is in what was returned. */
#include "report/fold.h"

/* What is gone for good from where the readers write: all but what would still be owed. */
#define HAS_ENDED "(state < 0 OR state > 4 OR n = 0)"

void fold_release(struct fold *fold)
{
    map_release(&fold->kept);
}

/* ── whose turn it is ── */

/* The largest, whether they are folded already or not: a second fold, or one that a crash broke off, keeps the same. */
static bool domains_keep(struct db *reader, struct fault *why, struct fold *fold)
{
    SCOPED(rows) rows = {0};
    if (!db_query(reader, why, &rows,
                  "SELECT domain FROM count_state WHERE campaign_id = $1 AND state >= 0 AND domain <> '" FOLD_OTHERS
                  "' GROUP BY domain ORDER BY SUM(n) DESC, domain LIMIT $2",
                  VALUES(V_INT((int64_t)fold->campaign_id), V_INT(FOLD_DOMAINS_KEPT))))
        return false;
    while (rows_next(&rows))
        map_set(&fold->kept, rows_text(&rows, 0), fold);
    return rows_end(&rows);
}

bool fold_next(struct db *reader, struct fault *why, time_ms over, time_ms for_good, struct fold *fold)
{
    int64_t row[2];
    bool found;
    *fold = (struct fold){0};
    if (!db_query_ints(reader, why,
                       "SELECT id, CASE WHEN finished_ms < $2 THEN 2 ELSE 1 END FROM campaign WHERE finished_ms > 0 "
                       "AND ((finished_ms < $1 AND counts_folded = 0) OR (finished_ms < $2 AND counts_folded < 2)) "
                       "ORDER BY id LIMIT 1",
                       VALUES(V_INT(over), V_INT(for_good)), row, 2, &found))
        return false;
    if (!found)
        return true;
    fold->campaign_id = (uint64_t)row[0];
    fold->level = (int)row[1];
    return domains_keep(reader, why, fold);
}

/* ── one bucket ── */

enum { KEYS = 4 }; /* at most: domain, and numbers */
struct sum {
    struct slice domain;
    int64_t key[KEYS - 1], n;
};
struct table {
    const char *take, *put;
    bool has_domain;
    int numbers; /* of the key, besides campaign and domain */
};
static const struct table tables[] = {
    {"DELETE FROM count_state WHERE bucket = $1 AND campaign_id = $2 AND " HAS_ENDED " RETURNING n, domain, state",
     "INSERT INTO count_state (bucket, campaign_id, n, domain, state) VALUES ($1, $2, $3, $4, $5) ON CONFLICT "
     "(bucket, campaign_id, domain, state) DO UPDATE SET n = count_state.n + excluded.n",
     true, 1},
    {"DELETE FROM count_reason WHERE bucket = $1 AND campaign_id = $2 AND " HAS_ENDED
     " RETURNING n, domain, reason, whose, state",
     "INSERT INTO count_reason (bucket, campaign_id, n, domain, reason, whose, state) VALUES ($1, $2, $3, $4, $5, $6, "
     "$7) ON CONFLICT (bucket, campaign_id, domain, reason, whose, state) DO UPDATE SET n = count_reason.n + "
     "excluded.n",
     true, 3},
    {"DELETE FROM count_engaged WHERE bucket = $1 AND campaign_id = $2 RETURNING n, what",
     "INSERT INTO count_engaged (bucket, campaign_id, n, what) VALUES ($1, $2, $3, $4) ON CONFLICT (bucket, "
     "campaign_id, what) DO UPDATE SET n = count_engaged.n + excluded.n",
     false, 1},
};

static void sum_add(struct map *sums, struct arena *arena, const struct sum *sum)
{
    char text[sizeof(sum->key) + 512];
    struct slice domain = slice_head(sum->domain, 512);
    memcpy(text, sum->key, sizeof(sum->key));
    if (domain.len)
        memcpy(text + sizeof(sum->key), domain.ptr, domain.len);
    struct slice key = slice_of(text, sizeof(sum->key) + domain.len);
    struct sum *known = map_get(sums, key);
    if (!known) {
        known = ARENA_NEW(arena, struct sum);
        *known = *sum;
        known->n = 0;
        known->domain = arena_copy(arena, domain);
        map_set(sums, key, known);
    }
    known->n += sum->n;
}

static bool rows_take(struct db *db, struct fault *why, const struct fold *fold, const struct table *table,
                      unsigned bucket, struct map *sums, struct arena *arena, int64_t *gone)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, table->take, VALUES(V_INT(bucket), V_INT((int64_t)fold->campaign_id))))
        return false;
    for (; rows_next(&rows); ++*gone) {
        int column = 1;
        struct sum sum = {.n = rows_int(&rows, 0)};
        if (table->has_domain)
            sum.domain = rows_text(&rows, column++);
        if (sum.domain.len && !map_get(&fold->kept, sum.domain))
            sum.domain = SLICE(FOLD_OTHERS);
        for (int i = 0; i < table->numbers; i++)
            sum.key[i] = rows_int(&rows, column++);
        if (sum.n)
            sum_add(sums, arena, &sum);
    }
    return rows_end(&rows);
}

static bool sums_put(struct db *db, struct fault *why, const struct fold *fold, const struct table *table,
                     const struct map *sums, struct arena *arena)
{
    size_t width = 3 + (size_t)table->has_domain + (size_t)table->numbers, rows = 0, at = 0;
    struct value *values = ARENA_ARRAY(arena, struct value, sums->count * width + 1);
    for (struct map_entry *entry; (entry = map_walk(sums, &at));) {
        const struct sum *sum = entry->value;
        struct value *row = &values[rows++ * width];
        *row++ = V_INT(FOLD_BUCKET);
        *row++ = V_INT((int64_t)fold->campaign_id);
        *row++ = V_INT(sum->n);
        if (table->has_domain)
            *row++ = V_TEXT(sum->domain);
        for (int i = 0; i < table->numbers; i++)
            *row++ = V_INT(sum->key[i]);
    }
    return db_do_many(db, why, table->put, values, width, rows, NULL);
}

static bool bucket_fold(struct db *db, struct fault *why, const struct fold *fold, unsigned bucket, int64_t *gone)
{
    bool ok = true;
    for (size_t i = 0; ok && i < COUNT_OF(tables); i++) {
        SCOPED(arena) arena = {0};
        struct map sums = {0};
        ok = rows_take(db, why, fold, &tables[i], bucket, &sums, &arena, gone) &&
             sums_put(db, why, fold, &tables[i], &sums, &arena);
        map_release(&sums);
    }
    return ok;
}

bool fold_slice(struct db *db, struct fault *why, const struct fold *fold, int64_t most, unsigned *bucket,
                int64_t *gone)
{
    for (*gone = 0; *bucket < ID_BUCKETS && *gone < most; ++*bucket)
        if (!bucket_fold(db, why, fold, *bucket, gone))
            return false;
    return *bucket < ID_BUCKETS ||
           db_do(db, why, "UPDATE campaign SET counts_folded = $2 WHERE id = $1 AND counts_folded < $2",
                 VALUES(V_INT((int64_t)fold->campaign_id), V_INT(fold->level)), NULL);
}
