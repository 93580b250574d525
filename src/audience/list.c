#include "audience/contact.h"
#include "base/utf8.h"

#define LIST_COLUMNS "id, brand_id, name, created_ms, title, notice, has_form"

bool list_create(struct db *db, struct fault *why, uint64_t brand_id, struct slice name, time_ms now, uint64_t *id,
                 bool *is_new)
{
    int64_t there = 0;
    bool found;
    if (!name.len)
        return fault_set(why, FAULT_INPUT, "a list has a name");
    if (!utf8_is_line(name))
        return fault_set(why, FAULT_INPUT, "a list's name is one line of text");
    if (!db_query_ints(db, why, "SELECT id FROM list WHERE brand_id = $1 AND name = $2",
                       VALUES(V_INT((int64_t)brand_id), V_TEXT(name)), &there, 1, &found))
        return false;
    *id = found ? (uint64_t)there : id_make_anywhere(db_ids(db), now);
    if (is_new)
        *is_new = !found;
    return found || db_do(db, why, "INSERT INTO list (id, brand_id, name, created_ms) VALUES ($1, $2, $3, $4)",
                          VALUES(V_INT((int64_t)*id), V_INT((int64_t)brand_id), V_TEXT(name), V_INT(now)), NULL);
}

/* Counting goes by the key's front, bucket by bucket: without it a list of a million is a scan of everything. */
static bool count_members(struct db *db, struct fault *why, struct list *list)
{
    return db_query_ints(db, why,
                         db_pick(db,
                                 "WITH RECURSIVE b(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM b WHERE n < 255) SELECT "
                                 "SUM((SELECT COUNT(*) FROM list_member WHERE bucket = b.n AND list_id = $1)) FROM b",
                                 "SELECT COUNT(*) FROM list_member WHERE bucket BETWEEN 0 AND 255 AND list_id = $1"),
                         VALUES(V_INT((int64_t)list->id)), &list->members, 1, NULL);
}

static void list_from_row(const struct rows *rows, struct arena *arena, struct list *list)
{
    *list = (struct list){.id = (uint64_t)rows_int(rows, 0),
                          .brand_id = (uint64_t)rows_int(rows, 1),
                          .name = arena_copy(arena, rows_text(rows, 2)),
                          .created = rows_int(rows, 3),
                          .title = arena_copy(arena, rows_text(rows, 4)),
                          .notice = arena_copy(arena, rows_text(rows, 5)),
                          .has_form = rows_int(rows, 6) != 0};
}

bool list_find(struct db *db, struct fault *why, struct slice name_or_id, struct arena *arena, struct list *list)
{
    int64_t id = 0;
    bool is_number = slice_to_i64(name_or_id, &id), found = false;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT " LIST_COLUMNS " FROM list WHERE name = $1 OR id = $2 ORDER BY created_ms, "
                      "id LIMIT 1",
                      VALUES(V_TEXT(name_or_id), V_INT(is_number ? id : 0))))
            return false;
        if (rows_next(&rows)) {
            found = true;
            list_from_row(&rows, arena, list);
        }
        if (!rows_end(&rows))
            return false;
    }
    if (!found)
        return fault_set(why, FAULT_INPUT, "there is no list \"%.*s\"", SLICE_ARG(slice_head(name_or_id, 100)));
    return count_members(db, why, list);
}

bool list_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct list *list, bool *found)
{
    *found = false;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows, "SELECT " LIST_COLUMNS " FROM list WHERE id = $1", VALUES(V_INT((int64_t)id))))
            return false;
        if (rows_next(&rows)) {
            *found = true;
            list_from_row(&rows, arena, list);
        }
        if (!rows_end(&rows))
            return false;
    }
    return !*found || count_members(db, why, list);
}

enum { LISTS_MAX = 10000 };

bool list_all(struct db *db, struct fault *why, struct arena *arena, struct list **lists, size_t *count)
{
    struct list *found = ARENA_ARRAY(arena, struct list, LISTS_MAX);
    *count = 0;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows, "SELECT " LIST_COLUMNS " FROM list ORDER BY name, id LIMIT 10000", NO_VALUES))
            return false;
        while (rows_next(&rows))
            list_from_row(&rows, arena, &found[(*count)++]);
        if (!rows_end(&rows))
            return false;
    }
    for (size_t i = 0; i < *count; i++)
        if (!count_members(db, why, &found[i]))
            return false;
    *lists = found;
    return true;
}

bool list_publish(struct db *db, struct fault *why, const struct list *list)
{
    return db_do(db, why, "UPDATE list SET title = $2, notice = $3, has_form = $4 WHERE id = $1",
                 VALUES(V_INT((int64_t)list->id), V_TEXT(list->title), V_TEXT(list->notice), V_INT(list->has_form)),
                 NULL);
}

bool list_add(struct db *db, struct fault *why, uint64_t list_id, const uint64_t *contact_ids, size_t count,
              time_ms now)
{
    struct value *values = NEW_ARRAY(struct value, count * 4);
    for (size_t i = 0; i < count; i++) {
        values[i * 4] = V_INT(id_bucket(contact_ids[i]));
        values[i * 4 + 1] = V_INT((int64_t)list_id);
        values[i * 4 + 2] = V_INT((int64_t)contact_ids[i]);
        values[i * 4 + 3] = V_INT(now);
    }
    bool ok = db_do_many(db, why,
                         "INSERT INTO list_member (bucket, list_id, contact_id, joined_ms) VALUES ($1, $2, $3, $4) ON "
                         "CONFLICT (bucket, list_id, contact_id) DO NOTHING",
                         values, 4, count, NULL);
    free(values);
    return ok;
}

bool list_remove(struct db *db, struct fault *why, uint64_t list_id, uint64_t contact_id, bool *was_there)
{
    int64_t removed = 0;
    if (!db_do(db, why, "DELETE FROM list_member WHERE bucket = $1 AND list_id = $2 AND contact_id = $3",
               VALUES(V_INT(id_bucket(contact_id)), V_INT((int64_t)list_id), V_INT((int64_t)contact_id)), &removed))
        return false;
    if (was_there)
        *was_there = removed > 0;
    return true;
}
