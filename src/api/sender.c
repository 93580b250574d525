#include "api/sender.h"

#include <stdio.h>

static void sender_free(struct sender *sender)
{
    arena_release(&sender->arena);
    free(sender);
}

void senders_release(struct senders *senders)
{
    size_t at = 0;
    for (struct id_map_entry *entry; (entry = id_map_walk(&senders->by_id, &at));)
        sender_free(entry->value);
    id_map_release(&senders->by_id);
    *senders = (struct senders){0};
}

static bool domains_read(struct db *db, struct sender *sender, struct fault *why)
{
    SCOPED(rows) rows = {0};
    sender->domain_count = 0;
    sender->domains[sender->domain_count++] = brand_domain(&sender->brand);
    if (!db_query(db, why, &rows, "SELECT DISTINCT domain FROM dkim_key WHERE brand_id = $1 ORDER BY domain",
                  VALUES(V_INT((int64_t)sender->brand.id))))
        return false;
    while (sender->domain_count < SENDER_DOMAINS_MAX && rows_next(&rows))
        sender->domains[sender->domain_count++] = arena_copy(&sender->arena, rows_text(&rows, 0));
    return rows_end(&rows);
}

static bool sender_read(struct senders *senders, struct db *db, uint64_t id, time_ms now, struct sender **found,
                        struct fault *why)
{
    struct sender *sender = id_map_get(&senders->by_id, id);
    char number[24];
    *found = sender;
    if (sender && now - sender->read_at < SENDER_MS)
        return true;
    if (!sender) {
        if (senders->by_id.count >= SENDERS_MOST)
            senders_release(senders);
        sender = NEW(struct sender);
    } else {
        id_map_remove(&senders->by_id, id);
    }
    snprintf(number, sizeof(number), "%llu", (unsigned long long)id);
    arena_reset(&sender->arena);
    if (!brand_find(db, why, slice_str(number), &sender->arena, &sender->brand) || !domains_read(db, sender, why)) {
        sender_free(sender);
        return false;
    }
    sender->read_at = now;
    id_map_set(&senders->by_id, id, sender);
    *found = sender;
    return true;
}

static bool only_read(struct senders *senders, struct db *db, time_ms now, struct fault *why)
{
    if (senders->only_at && now - senders->only_at < SENDER_MS)
        return true;
    int64_t columns[2] = {0, 0};
    if (!db_query_ints(db, why, "SELECT COUNT(*), COALESCE(MIN(id), 0) FROM brand", NO_VALUES, columns, 2, NULL))
        return false;
    senders->only = columns[0] == 1 ? (uint64_t)columns[1] : 0;
    senders->only_at = now ? now : 1;
    return true;
}

bool sender_find(struct senders *senders, struct db *db, const struct caller *caller, struct slice name_or_id,
                 time_ms now, struct sender **sender, const char **missing, struct fault *why)
{
    const struct key_rights *rights = &caller->key.rights;
    uint64_t id = rights->brand_count == 1 ? rights->brands[0] : 0;
    *sender = NULL;
    *missing = "there is no such brand";
    if (name_or_id.len) {
        SCOPED(arena) arena = {0};
        struct brand brand;
        struct fault none = {0};
        if (!brand_find(db, &none, name_or_id, &arena, &brand)) {
            *why = none;
            why->kind = none.kind == FAULT_INPUT ? FAULT_NONE : none.kind;
            return none.kind == FAULT_INPUT;
        }
        id = brand.id;
    } else if (!id && rights->brand_count == 0) {
        if (!only_read(senders, db, now, why))
            return false;
        id = senders->only;
    }
    if (!id) {
        *missing = "say for which brand: its name or id";
        return true;
    }
    if (!key_may_brand(rights, id))
        return true;
    return sender_read(senders, db, id, now, sender, why);
}

bool sender_has_domain(const struct sender *sender, struct slice domain)
{
    for (size_t i = 0; i < sender->domain_count; i++)
        if (slice_equal(sender->domains[i], domain))
            return true;
    return false;
}
