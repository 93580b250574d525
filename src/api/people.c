#include "api/people.h"

enum { LISTS_NAMED_MAX = 2000 };

bool contact_is_seen(struct db *db, struct brands brands, const struct contact *contact, bool *is_seen,
                     struct fault *why)
{
    int64_t one;
    SCOPED(buf) sql = BUF(4096);
    *is_seen = true;
    if (!brands.count || (contact->brand_id && brands_have(&brands, contact->brand_id)))
        return true;
    buf_text(&sql, "SELECT 1 FROM list_member m JOIN list l ON l.id = m.list_id WHERE m.bucket = $1 AND m.contact_id = "
                   "$2");
    brands_condition(&brands, "l.brand_id", &sql);
    buf_text(&sql, " LIMIT 1");
    return db_query_ints(db, why, buf_cstr(&sql), VALUES(V_INT(id_bucket(contact->id)), V_INT((int64_t)contact->id)),
                         &one, 1, is_seen);
}

bool list_is_seen(struct db *db, struct brands brands, uint64_t list_id, struct arena *arena, struct list *list,
                  bool *found, struct fault *why)
{
    if (!list_by_id(db, why, list_id, arena, list, found))
        return false;
    *found = *found && brands_have(&brands, list->brand_id);
    return true;
}

bool seen_condition(struct db *db, struct brands brands, uint64_t list_id, struct buf *sql, struct fault *why)
{
    SCOPED(rows) rows = {0};
    SCOPED(buf) lists = BUF(4096);
    size_t count = 0;
    if (list_id) {
        buf_printf(sql, " AND id IN (SELECT contact_id FROM list_member WHERE bucket = $1 AND list_id = %llu)",
                   (unsigned long long)list_id);
        return true;
    }
    if (!brands.count)
        return true;
    buf_text(&lists, "SELECT id FROM list WHERE id > 0");
    brands_condition(&brands, "brand_id", &lists);
    buf_printf(&lists, " LIMIT %d", LISTS_NAMED_MAX);
    if (!db_query(db, why, &rows, buf_cstr(&lists), NO_VALUES))
        return false;
    buf_text(sql, " AND id IN (SELECT contact_id FROM list_member WHERE bucket = $1 AND list_id IN (0");
    for (; rows_next(&rows); count++)
        buf_printf(sql, ", %lld", (long long)rows_int(&rows, 0));
    buf_text(sql, ") UNION ALL SELECT id FROM contact own WHERE bucket = $1 AND brand_id > 0");
    brands_condition(&brands, "brand_id", sql);
    buf_byte(sql, ')');
    return rows_end(&rows);
}

void contact_write(struct json *json, const struct contact *contact, const struct brands *brands)
{
    json_put_id(json, "id", contact->id);
    if (!brands->count) /* to a program of one brand it would tell whom the house knows already */
        json_put_id(json, "brand_id", contact->brand_id);
    json_put_string(json, "email", contact->written);
    json_put_string(json, "name", contact->name);
    json_key(json, "fields");
    json_raw(json, contact->fields.len ? contact->fields : SLICE("{}"));
    json_put_string(json, "consent", contact->consent);
    json_put_bool(json, "unconfirmed", contact->is_unconfirmed);
    json_put_time(json, "created_at", contact->created);
    json_put_time(json, "updated_at", contact->updated);
}
