/* testing.h - deliveries put straight into a store (for *_test.c only): what submit/ would write, without submit/ */
#ifndef TODOKE_QUEUE_TESTING_H
#define TODOKE_QUEUE_TESTING_H

#include "mail/address.h"
#include "queue/lanes.h"
#include "store/testing.h"

enum { TEST_BRAND = 77 };
#define TEST_NOW ((time_ms)1795321800000)

struct test_delivery {
    const char *address;            /* identity, and written */
    uint64_t campaign_id, brand_id; /* brand 0: TEST_BRAND */
    int priority;
    bool waives_tls;
    time_ms due;
    uint64_t id;          /* out */
    struct lane_key lane; /* out; the domain is a part of `address` */
};

static inline bool test_delivery_run(struct db *db, struct fault *why, void *context)
{
    struct test_delivery *delivery = context;
    struct slice address = slice_str(delivery->address),
                 domain = slice_from(address, (size_t)slice_find_last_byte(address, '@') + 1);
    uint64_t brand = delivery->brand_id ? delivery->brand_id : TEST_BRAND;
    const struct value lane[] = {V_INT((int64_t)delivery->campaign_id),
                                 V_TEXT(domain),
                                 V_INT((int64_t)brand),
                                 V_INT(delivery->priority),
                                 V_INT(delivery->waives_tls),
                                 V_INT((int64_t)id_make_anywhere(db_ids(db), TEST_NOW))};
    int64_t lane_id;
    if (!db_do(db, why,
               "INSERT INTO lane (campaign_id, domain, brand_id, priority, waives_tls, id) VALUES ($1, $2, $3, $4, $5, "
               "$6) ON CONFLICT DO NOTHING",
               lane, 6, NULL) ||
        !db_query_ints(
            db, why,
            "SELECT id FROM lane WHERE campaign_id = $1 AND domain = $2 AND brand_id = $3 AND priority = $4 AND "
            "waives_tls = $5 AND source_id = 0",
            lane, 5, &lane_id, 1, NULL))
        return false;
    unsigned bucket = address_bucket(address);
    delivery->lane = (struct lane_key){.id = (uint64_t)lane_id,
                                       .brand_id = brand,
                                       .campaign_id = delivery->campaign_id,
                                       .priority = delivery->priority,
                                       .waives_tls = delivery->waives_tls,
                                       .domain = domain};
    delivery->id = id_make(db_ids(db), TEST_NOW, bucket);
    return db_do(db, why,
                 "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, address, written, state, due_ms, "
                 "accepted_ms, expires_ms, changed_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 1, $9, 1)",
                 VALUES(V_INT(bucket), V_INT((int64_t)delivery->id), V_INT(lane_id), V_INT((int64_t)brand),
                        V_INT_OR_NULL((int64_t)delivery->campaign_id), V_TEXT(address), V_TEXT(address),
                        V_INT(delivery->due), V_INT(TEST_NOW * 2)),
                 NULL);
}

static inline void test_delivery_add(struct test_store *test, struct test_delivery *delivery)
{
    test_write(test->store, test_delivery_run, delivery);
}

/* A statement without values, in a job of its own. */
static inline bool test_do_run(struct db *db, struct fault *why, void *sql)
{
    return db_do(db, why, sql, NO_VALUES, NULL);
}
static inline void test_do(struct test_store *test, char *sql)
{
    test_write(test->store, test_do_run, sql);
}

#endif
