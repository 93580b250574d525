#include "submit/message.h"

#include "mail/address.h"
#include "queue/owed_notice.h"
#include "submit/inside.h"
#include <stdlib.h>

enum { LOOK_AGAIN_MS = 3600000 };

static int by_bucket(const void *a, const void *b)
{
    unsigned one = address_bucket(((const struct submit_row *)a)->address),
             other = address_bucket(((const struct submit_row *)b)->address);
    return one < other ? -1 : one > other;
}

static void id_put(unsigned char *to, uint64_t id)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(id >> (56 - 8 * i));
}
static uint64_t id_get(const char *from)
{
    uint64_t id = 0;
    for (int i = 0; i < 8; i++)
        id = id << 8 | (unsigned char)from[i];
    return id;
}

/* FNV-1a, 63 bits of it, never 0: it stands in the store (message.name_hash) and must stay what it is. */
static int64_t name_hash(struct slice message_id)
{
    uint64_t hash = 14695981039346656037U;
    for (size_t i = 0; i < message_id.len; i++)
        hash = (hash ^ (unsigned char)message_id.ptr[i]) * 1099511628211U;
    return (int64_t)(hash >> 1) | 1;
}

static bool insert_message(struct db *db, struct fault *why, const struct message *message, struct slice deliveries)
{
    return db_do(db, why,
                 "INSERT INTO message (bucket, id, brand_id, key_id, mail_from, from_domain, message_id, subject, "
                 "tags, label, envelope, flags, size_bytes, created_ms, due_ms, keep_until_ms, deliveries, body, "
                 "name_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
                 "$19)",
                 VALUES(V_INT(id_bucket(message->id)), V_INT((int64_t)message->id), V_INT((int64_t)message->brand_id),
                        V_INT((int64_t)message->key_id), V_TEXT(message->mail_from), V_TEXT(message->from_domain),
                        V_TEXT(message->message_id), V_TEXT(message->subject), V_TEXT(message->tags),
                        V_TEXT(message->label), V_TEXT(message->envelope), V_INT(message->flags),
                        V_INT((int64_t)message->body.len), V_INT(message->now), V_INT(message->due),
                        V_INT(message->keep_until > 0 ? message->keep_until : message->due + 1), V_BYTES(deliveries),
                        V_BYTES(message->body), V_INT(name_hash(message->message_id))),
                 NULL);
}

bool message_submit(struct db *db, struct fault *why, const struct message *message, struct submit_row *rows,
                    size_t count, struct arena *arena, struct submit_news **news, size_t *news_count)
{
    if (count == 0 || count > MESSAGE_RECIPIENTS_MAX)
        return fault_set(why, FAULT_INPUT, "a mail has 1 to %d recipients, not %zu", MESSAGE_RECIPIENTS_MAX, count);
    const struct submit_order order = {
        .brand_id = message->brand_id,
        .message_id = message->id,
        .key_id = message->key_id,
        .priority = message->priority,
        .waives_tls = (message->flags & MESSAGE_WAIVES_TLS) != 0,
        .now = message->now,
        .due = message->due,
        .expires = message->expires,
    };
    if (count > 1)
        qsort(rows, count, sizeof(*rows), by_bucket);
    if (!submit_insert(db, why, &order, rows, count, arena, news, news_count))
        return false;
    unsigned char *ids = arena_alloc(arena, count * 8);
    for (size_t i = 0; i < count; i++)
        id_put(ids + i * 8, rows[i].delivery_id);
    return insert_message(db, why, message, slice_of(ids, count * 8)) &&
           (!message->wishes ||
            notice_wish(db, why, message->id, message->wishes, message->delay_at, message->expires + DAYS_MS(1))) &&
           submit_announce(db, why, &order, *news, *news_count, arena);
}

bool message_find(struct db *db, struct fault *why, uint64_t id, bool wants_body, struct arena *arena,
                  struct message *message)
{
    SCOPED(rows) rows = {0};
    const char *sql = wants_body ? "SELECT brand_id, key_id, mail_from, from_domain, message_id, subject, tags, label, "
                                   "envelope, flags, created_ms, due_ms, keep_until_ms, body, length(deliveries) FROM "
                                   "message WHERE bucket = $1 "
                                   "AND id = $2"
                                 : "SELECT brand_id, key_id, mail_from, from_domain, message_id, subject, tags, label, "
                                   "envelope, flags, created_ms, due_ms, keep_until_ms, '', length(deliveries) FROM "
                                   "message WHERE bucket = $1 "
                                   "AND id = $2";
    if (!db_query(db, why, &rows, sql, VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no message %llu", (unsigned long long)id);
    *message = (struct message){
        .id = id,
        .brand_id = (uint64_t)rows_int(&rows, 0),
        .key_id = (uint64_t)rows_int(&rows, 1),
        .mail_from = arena_copy(arena, rows_text(&rows, 2)),
        .from_domain = arena_copy(arena, rows_text(&rows, 3)),
        .message_id = arena_copy(arena, rows_text(&rows, 4)),
        .subject = arena_copy(arena, rows_text(&rows, 5)),
        .tags = arena_copy(arena, rows_text(&rows, 6)),
        .label = arena_copy(arena, rows_text(&rows, 7)),
        .envelope = arena_copy(arena, rows_text(&rows, 8)),
        .flags = (unsigned)rows_int(&rows, 9),
        .now = rows_int(&rows, 10),
        .due = rows_int(&rows, 11),
        .keep_until = rows_int(&rows, 12),
        .body = arena_copy(arena, rows_bytes(&rows, 13)),
        .recipients = (size_t)rows_int(&rows, 14) / 8,
    };
    return rows_end(&rows);
}

static void ids_read(struct slice packed, struct arena *arena, uint64_t **ids, size_t *count)
{
    *count = packed.len / 8;
    *ids = ARENA_ARRAY(arena, uint64_t, *count ? *count : 1);
    for (size_t i = 0; i < *count; i++)
        (*ids)[i] = id_get(packed.ptr + i * 8);
}

struct usage {
    void (*take)(void *context, uint64_t key_id, time_ms at, size_t recipients);
    void *context;
};
static bool usage_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    const struct usage *usage = context;
    usage->take(usage->context, (uint64_t)rows_int(row, 0), rows_int(row, 1), (size_t)rows_int(row, 2) / 8);
    return true;
}

bool message_usage(struct db *db, struct fault *why, time_ms since,
                   void (*take)(void *context, uint64_t key_id, time_ms at, size_t recipients), void *context)
{
    struct usage usage = {take, context};
    struct value *values = NEW_ARRAY(struct value, ID_BUCKETS * 3);
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        values[bucket * 3] = V_INT(bucket);
        values[bucket * 3 + 1] = V_INT((int64_t)id_first_of(since));
        values[bucket * 3 + 2] = V_INT(MESSAGE_LETTER);
    }
    bool ok = db_query_many(db, why,
                            "SELECT key_id, created_ms, length(deliveries) FROM message WHERE bucket = $1 AND id >= $2 "
                            "AND key_id > 0 AND (flags & $3) = 0",
                            values, 3, ID_BUCKETS, usage_take, &usage);
    free(values);
    return ok;
}

bool message_deliveries(struct db *db, struct fault *why, uint64_t id, struct arena *arena, uint64_t **ids,
                        size_t *count)
{
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, "SELECT deliveries FROM message WHERE bucket = $1 AND id = $2",
                  VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id))))
        return false;
    if (!rows_next(&rows))
        return rows_end(&rows) && fault_set(why, FAULT_INPUT, "there is no message %llu", (unsigned long long)id);
    ids_read(rows_bytes(&rows, 0), arena, ids, count);
    return rows_end(&rows);
}

bool message_named(struct db *db, struct fault *why, struct slice message_id, uint64_t *ids, size_t most, size_t *count)
{
    SCOPED(arena) arena = {0};
    SCOPED(rows) rows = {0};
    *count = 0;
#define NAMED "WHERE name_hash IN ($1, 0) AND message_id = $2 ORDER BY id LIMIT $3"
    if (!db_query(db, why, &rows,
                  db_pick(db, "SELECT id, deliveries FROM message INDEXED BY message_name " NAMED,
                          "SELECT id, deliveries FROM message " NAMED),
                  VALUES(V_INT(name_hash(message_id)), V_TEXT(message_id), V_INT((int64_t)most))))
        return false;
    while (*count < most && rows_next(&rows)) {
        uint64_t *found;
        size_t n;
        ids_read(rows_bytes(&rows, 1), &arena, &found, &n);
        for (size_t i = 0; i < n && *count < most; i++)
            ids[(*count)++] = found[i];
    }
    return rows_end(&rows);
}

/* ── the sweep ── */

struct swept {
    uint64_t id;
    uint64_t *deliveries;
    size_t count;
    bool is_needed;
};

static bool need_seen(void *context, size_t index, const struct rows *row, struct fault *why)
{
    *(bool *)context = true;
    return true;
}

/* Is any of its deliveries still owed? */
static bool need_look(struct db *db, struct fault *why, struct swept *swept, struct arena *arena)
{
    struct value *values = ARENA_ARRAY(arena, struct value, swept->count * 2 + 1);
    for (size_t i = 0; i < swept->count; i++) {
        values[i * 2] = V_INT(id_bucket(swept->deliveries[i]));
        values[i * 2 + 1] = V_INT((int64_t)swept->deliveries[i]);
    }
    return swept->count == 0 ||
           db_query_many(db, why, "SELECT 1 FROM delivery WHERE bucket = $1 AND id = $2 AND state <= 4", values, 2,
                         swept->count, need_seen, &swept->is_needed);
}
_Static_assert(DELIVERY_WAITING == 0 && DELIVERY_IN_DOUBT == 4, "what is owed is 0 to 4");

bool message_data_keep(struct db *db, struct fault *why, const struct message_data *data, size_t count)
{
    enum { WIDTH = 4 };
    struct value *values = NEW_ARRAY(struct value, count * WIDTH + 1);
    for (size_t i = 0; i < count; i++) {
        values[i * WIDTH] = V_INT(id_bucket(data[i].delivery_id));
        values[i * WIDTH + 1] = V_INT((int64_t)data[i].delivery_id);
        values[i * WIDTH + 2] = V_TEXT(data[i].name);
        values[i * WIDTH + 3] = V_TEXT(data[i].data);
    }
    bool ok =
        count == 0 || db_do_many(db, why, "INSERT INTO delivery_data (bucket, id, name, data) VALUES ($1, $2, $3, $4)",
                                 values, WIDTH, count, NULL);
    free(values);
    return ok;
}

/* What its recipients' templates were given goes with the body. */
static bool data_remove(struct db *db, struct fault *why, const struct swept *swept, struct arena *arena)
{
    struct value *values = ARENA_ARRAY(arena, struct value, swept->count * 2 + 1);
    for (size_t i = 0; i < swept->count; i++) {
        values[i * 2] = V_INT(id_bucket(swept->deliveries[i]));
        values[i * 2 + 1] = V_INT((int64_t)swept->deliveries[i]);
    }
    return swept->count == 0 || db_do_many(db, why, "DELETE FROM delivery_data WHERE bucket = $1 AND id = $2", values,
                                           2, swept->count, NULL);
}

bool message_sweep(struct db *db, struct fault *why, time_ms now, size_t most, size_t *looked)
{
    SCOPED(arena) arena = {0};
    struct swept *list = ARENA_ARRAY(&arena, struct swept, most ? most : 1);
    SCOPED(rows) rows = {0};
    *looked = 0;
    if (!db_query(db, why, &rows,
                  "SELECT id, deliveries FROM message WHERE keep_until_ms > 0 AND keep_until_ms <= $1 ORDER BY "
                  "keep_until_ms LIMIT $2",
                  VALUES(V_INT(now), V_INT((int64_t)most))))
        return false;
    while (*looked < most && rows_next(&rows)) {
        struct swept *swept = &list[(*looked)++];
        swept->id = (uint64_t)rows_int(&rows, 0);
        ids_read(rows_bytes(&rows, 1), &arena, &swept->deliveries, &swept->count);
    }
    if (!rows_end(&rows))
        return false;
    for (size_t i = 0; i < *looked; i++) {
        struct swept *swept = &list[i];
        const struct value key[] = {V_INT(id_bucket(swept->id)), V_INT((int64_t)swept->id), V_INT(now + LOOK_AGAIN_MS)};
        if (!need_look(db, why, swept, &arena))
            return false;
        bool ok =
            swept->is_needed
                ? db_do(db, why, "UPDATE message SET keep_until_ms = $3 WHERE bucket = $1 AND id = $2", key, 3, NULL)
                : db_do(db, why,
                        db_pick(db, "UPDATE message SET keep_until_ms = 0, body = x'' WHERE bucket = $1 AND id = $2",
                                "UPDATE message SET keep_until_ms = 0, body = '' WHERE bucket = $1 AND id = $2"),
                        key, 2, NULL);
        if (!ok || (!swept->is_needed && !data_remove(db, why, swept, &arena)))
            return false;
    }
    return true;
}
