#include "store/counter.h"

#include "store/backend.h"

static struct bucket_set *set_of(uint64_t bits[ID_BUCKETS / 64])
{
    return (struct bucket_set *)(void *)bits;
}
_Static_assert(sizeof(struct bucket_set) == sizeof(((struct db *)0)->counters.locked), "the same bits");

void counters_are_shared(struct db *db, bool is_shared)
{
    db->counters.is_shared = is_shared && db_is_postgres(db);
}

static bool take_row(void *context, size_t index, const struct rows *row, struct fault *why)
{
    bucket_set_add(context, (unsigned)rows_int(row, 0) % ID_BUCKETS);
    return true;
}

/* Those behind what is locked already: without waiting. */
static bool try_lock(struct db *db, struct fault *why, const struct bucket_set *wanted)
{
    struct value buckets[ID_BUCKETS];
    struct bucket_set got = {0};
    size_t count = 0;
    for (unsigned bucket = 0; bucket < db->counters.highest; bucket++)
        if (bucket_set_has(wanted, bucket))
            buckets[count++] = V_INT(bucket);
    if (!db_query_many(db, why, "SELECT bucket FROM bucket_counter WHERE bucket = $1 FOR UPDATE SKIP LOCKED", buckets,
                       1, count, take_row, &got))
        return false;
    *set_of(db->counters.locked) = bucket_set_plus(*set_of(db->counters.locked), &got);
    if (bucket_set_count(&got) == count)
        return true;
    db->is_lost = db->is_conflict = true;
    return fault_set(why, FAULT_WORLD, "store: another node writes to the same buckets");
}

bool counters_want(struct db *db, struct fault *why, const struct bucket_set *wanted)
{
    if (!db->counters.is_shared)
        return true;
    *set_of(db->counters.wanted) = bucket_set_plus(*set_of(db->counters.wanted), wanted);
    struct bucket_set fresh = bucket_set_less(*wanted, set_of(db->counters.locked));
    if (bucket_set_count(&fresh) == 0)
        return true;
    if (!try_lock(db, why, &fresh))
        return false;
    for (unsigned bucket = ID_BUCKETS; bucket-- > db->counters.highest;)
        if (bucket_set_has(&fresh, bucket)) {
            db->counters.highest = bucket;
            break;
        }
    *set_of(db->counters.locked) = bucket_set_plus(*set_of(db->counters.locked), &fresh);
    return true;
}

bool counters_take(struct db *db, struct fault *why, unsigned tries)
{
    struct value buckets[ID_BUCKETS];
    size_t count = 0;
    if (tries > 1)
        *set_of(db->counters.wanted) = bucket_set_all();
    struct bucket_set wanted = *set_of(db->counters.wanted);
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
        if (bucket_set_has(&wanted, bucket)) {
            buckets[count++] = V_INT(bucket);
            db->counters.highest = bucket;
        }
    *set_of(db->counters.locked) = wanted;
    return db_do_many(
        db, why,
        "INSERT INTO bucket_counter (bucket, seq) VALUES ($1, 0) ON CONFLICT (bucket) DO UPDATE SET seq = "
        "bucket_counter.seq",
        buckets, 1, count, NULL);
}
