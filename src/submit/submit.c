#include "submit/inside.h"

#include "base/map.h"
#include "mail/address.h"

/* The lane of this order and domain: found or made. */
static bool lane_id(struct db *db, struct fault *why, const struct submit_order *order, struct slice domain,
                    uint64_t *id)
{
    const struct value key[] = {V_INT((int64_t)order->campaign_id), V_TEXT(domain), V_INT((int64_t)order->brand_id),
                                V_INT(order->priority), V_INT(order->waives_tls)};
    static const char find[] = "SELECT id FROM lane WHERE campaign_id = $1 AND domain = $2 AND brand_id = $3 AND "
                               "priority = $4 AND waives_tls = $5 AND source_id = 0";
    int64_t number = 0;
    bool found;
    if (!db_query_ints(db, why, find, key, COUNT_OF(key), &number, 1, &found))
        return false;
    if (!found) {
        uint64_t fresh = id_make_anywhere(db_ids(db), order->now);
        if (!db_do(db, why,
                   "INSERT INTO lane (campaign_id, domain, brand_id, priority, waives_tls, id) VALUES ($1, $2, $3, $4, "
                   "$5, $6) ON CONFLICT DO NOTHING",
                   VALUES(key[0], key[1], key[2], key[3], key[4], V_INT((int64_t)fresh)), NULL) ||
            !db_query_ints(db, why, find, key, COUNT_OF(key), &number, 1, NULL))
            return false;
    }
    *id = (uint64_t)number;
    return true;
}

/* One bucket's rows: the lanes they need are found or made. by_domain: where in the news they stand. */
static bool lanes_of(struct db *db, struct fault *why, const struct submit_order *order, const struct submit_row *rows,
                     size_t count, struct arena *arena, struct map *by_domain, struct submit_news *news,
                     size_t *news_count)
{
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t at = slice_find_last_byte(rows[i].address, '@');
        if (at == SLICE_NPOS)
            return fault_set(why, FAULT_INPUT, "\"%.*s\" is no address", SLICE_ARG(rows[i].address));
        struct slice domain = slice_from(rows[i].address, (size_t)at + 1);
        if (map_get(by_domain, domain))
            continue;
        struct submit_news *fresh = &news[(*news_count)++];
        *fresh = (struct submit_news){.lane = {.brand_id = order->brand_id,
                                               .campaign_id = order->campaign_id,
                                               .priority = order->priority,
                                               .waives_tls = order->waives_tls,
                                               .domain = arena_copy(arena, domain)},
                                      .bucket = address_bucket(rows[i].address),
                                      .due = order->due};
        if (!lane_id(db, why, order, domain, &fresh->lane.id))
            return false;
        map_set(by_domain, domain, fresh);
    }
    return true;
}

static struct submit_news *news_of(const struct map *by_domain, struct slice address)
{
    return map_get(by_domain, slice_from(address, (size_t)slice_find_last_byte(address, '@') + 1));
}

enum { ROW_WIDTH = 13 };

static bool insert_rows(struct db *db, struct fault *why, const struct submit_order *order, struct submit_row *rows,
                        size_t count, struct arena *arena, const struct map *by_domain)
{
    struct value *values = ARENA_ARRAY(arena, struct value, count * ROW_WIDTH);
    int64_t *changed = ARENA_ARRAY(arena, int64_t, count);
    unsigned bucket = address_bucket(rows[0].address);
    for (size_t i = 0; i < count; i++) {
        rows[i].delivery_id = id_make(db_ids(db), order->now, bucket);
        const struct value row[ROW_WIDTH] = {
            V_INT(bucket),
            V_INT((int64_t)rows[i].delivery_id),
            V_INT((int64_t)news_of(by_domain, rows[i].address)->lane.id),
            V_INT((int64_t)order->brand_id),
            V_INT_OR_NULL((int64_t)order->campaign_id),
            V_INT_OR_NULL((int64_t)order->message_id),
            V_INT((int64_t)rows[i].contact_id),
            V_TEXT(rows[i].address),
            V_TEXT(rows[i].written),
            V_INT(order->due),
            V_INT(order->now),
            V_INT(order->expires),
            V_INT(DELIVERY_WAITING),
        };
        memcpy(values + i * ROW_WIDTH, row, sizeof(row));
    }
    if (!db_do_many(db, why,
                    "INSERT INTO delivery (bucket, id, lane_id, brand_id, campaign_id, message_id, contact_id, "
                    "address, written, due_ms, "
                    "accepted_ms, changed_ms, expires_ms, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
                    "$11, $12, $13) ON "
                    "CONFLICT DO NOTHING",
                    values, ROW_WIDTH, count, changed))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (changed[i])
            news_of(by_domain, rows[i].address)->count++;
        else
            rows[i].delivery_id = 0;
    }
    return true;
}

bool submit_insert(struct db *db, struct fault *why, const struct submit_order *order, struct submit_row *rows,
                   size_t count, struct arena *arena, struct submit_news **news, size_t *news_count)
{
    *news = ARENA_ARRAY(arena, struct submit_news, count ? count : 1);
    *news_count = 0;
    for (size_t from = 0, to; from < count; from = to) {
        unsigned bucket = address_bucket(rows[from].address);
        for (to = from + 1; to < count && address_bucket(rows[to].address) == bucket; to++)
            ;
        SCOPED(map) by_domain = {0};
        if (!lanes_of(db, why, order, rows + from, to - from, arena, &by_domain, *news, news_count) ||
            !insert_rows(db, why, order, rows + from, to - from, arena, &by_domain))
            return false;
    }
    return true;
}

bool submit_announce(struct db *db, struct fault *why, const struct submit_order *order, const struct submit_news *news,
                     size_t news_count, struct arena *arena)
{
    if (!news_count)
        return true;
    struct event *events = ARENA_ARRAY(arena, struct event, news_count);
    size_t event_count = 0;
    struct slice note = order->key_id ? arena_printf(arena, "key %llu", (unsigned long long)order->key_id) : SLICE("");
    for (size_t i = 0; i < news_count; i++) {
        if (news[i].count == 0)
            continue;
        events[event_count++] = (struct event){
            .bucket = news[i].bucket,
            .kind = EVENT_ACCEPTED,
            .n = (int)news[i].count,
            .at = order->now,
            .campaign_id = order->campaign_id,
            .brand_id = order->brand_id,
            .domain = news[i].lane.domain,
            .note = note, /* alarm/credential.c counts by it */
            .state_before = DELIVERY_STATE_COUNT,
            .state_after = DELIVERY_WAITING,
        };
    }
    db_mark(db, STORE_MARK_DELIVERIES);
    return event_append(db, why, events, event_count);
}

bool submit_rows(struct db *db, struct fault *why, const struct submit_order *order, struct submit_row *rows,
                 size_t count, struct arena *arena, struct submit_news **news, size_t *news_count)
{
    return submit_insert(db, why, order, rows, count, arena, news, news_count) &&
           submit_announce(db, why, order, *news, *news_count, arena);
}
