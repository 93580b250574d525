#include "audience/contact.h"

#include <assert.h>
#include <jansson.h>

/* ── rows ── */

#define CONTACT_COLUMNS                                                                                                \
    "bucket, id, address, written, name, fields, rfc_violation, consent, moved_to, created_ms, updated_ms, "           \
    "unconfirmed, brand_id"
enum { CONTACT_WIDTH = 12, PAGE_MAX = 10000 };

static struct slice lang_of(struct slice fields)
{
    if (slice_find(fields, SLICE("\"lang\"")) == SLICE_NPOS)
        return SLICE("");
    json_t *object = json_loadb(fields.ptr, fields.len, 0, NULL);
    const char *lang = json_string_value(json_object_get(object, "lang"));
    bool is_ja = lang && strncmp(lang, "ja", 2) == 0, is_en = lang && strncmp(lang, "en", 2) == 0;
    json_decref(object);
    return is_ja ? SLICE("ja") : is_en ? SLICE("en") : SLICE("");
}

static void contact_from_row(const struct rows *rows, struct arena *arena, struct contact *contact)
{
    *contact = (struct contact){
        .bucket = (unsigned)rows_int(rows, 0) % ID_BUCKETS,
        .id = (uint64_t)rows_int(rows, 1),
        .address = arena_copy(arena, rows_text(rows, 2)),
        .written = arena_copy(arena, rows_text(rows, 3)),
        .name = arena_copy(arena, rows_text(rows, 4)),
        .fields = arena_copy(arena, rows_text(rows, 5)),
        .has_rfc_violation = rows_int(rows, 6) != 0,
        .consent = arena_copy(arena, rows_text(rows, 7)),
        .moved_to = (uint64_t)rows_int(rows, 8),
        .created = rows_int(rows, 9),
        .updated = rows_int(rows, 10),
        .is_unconfirmed = rows_int(rows, 11) != 0,
        .brand_id = (uint64_t)rows_int(rows, 12),
    };
    contact->lang = lang_of(contact->fields);
}

static bool contact_one(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
                        struct arena *arena, struct contact *contact, bool *found)
{
    SCOPED(rows) rows = {0};
    *found = false;
    if (!db_query(db, why, &rows, sql, values, count))
        return false;
    if (rows_next(&rows)) {
        *found = true;
        contact_from_row(&rows, arena, contact);
    }
    return rows_end(&rows);
}

bool contact_by_address(struct db *db, struct fault *why, struct slice identity, struct arena *arena,
                        struct contact *contact, bool *found)
{
    return contact_one(db, why,
                       "SELECT " CONTACT_COLUMNS " FROM contact WHERE bucket = $1 AND address = $2 AND brand_id = 0",
                       VALUES(V_INT(address_bucket(identity)), V_TEXT(identity)), arena, contact, found);
}

#define KNOWN_TO_BRAND                                                                                                 \
    " FROM contact c WHERE c.bucket = $1 AND c.address = $2 AND c.moved_to = 0 AND (c.brand_id = $3 OR c.brand_id = "  \
    "0 AND EXISTS (SELECT 1 FROM list l JOIN list_member m ON m.bucket = $1 AND m.list_id = l.id AND m.contact_id = "  \
    "c.id WHERE l.brand_id = $3)) ORDER BY c.brand_id DESC LIMIT 1"

bool contact_of_brand(struct db *db, struct fault *why, uint64_t brand_id, struct slice identity, struct arena *arena,
                      struct contact *contact, bool *found)
{
    return contact_one(db, why, "SELECT " CONTACT_COLUMNS KNOWN_TO_BRAND,
                       VALUES(V_INT(address_bucket(identity)), V_TEXT(identity), V_INT((int64_t)brand_id)), arena,
                       contact, found);
}

bool contact_everywhere(struct db *db, struct fault *why, struct slice identity, struct arena *arena,
                        struct contact **contacts, size_t *count)
{
    enum { MOST = 1000 };
    SCOPED(rows) rows = {0};
    *contacts = ARENA_ARRAY(arena, struct contact, MOST);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT " CONTACT_COLUMNS
                  " FROM contact WHERE bucket = $1 AND address = $2 ORDER BY brand_id LIMIT 1000",
                  VALUES(V_INT(address_bucket(identity)), V_TEXT(identity))))
        return false;
    while (*count < MOST && rows_next(&rows))
        contact_from_row(&rows, arena, &(*contacts)[(*count)++]);
    return rows_end(&rows);
}

static bool belong_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    ((struct contact *)context)[index].brand_id = (uint64_t)rows_int(row, 0);
    return true;
}

bool contact_belong(struct db *db, struct fault *why, uint64_t brand_id, struct contact *contacts, size_t count)
{
    enum { WIDTH = 3 };
    if (!count)
        return true;
    struct value *values = NEW_ARRAY(struct value, count * WIDTH);
    for (size_t i = 0; i < count; i++) {
        contacts[i].brand_id = brand_id;
        values[i * WIDTH] = V_INT(address_bucket(contacts[i].address));
        values[i * WIDTH + 1] = V_TEXT(contacts[i].address);
        values[i * WIDTH + 2] = V_INT((int64_t)brand_id);
    }
    bool ok = db_query_many(db, why, "SELECT c.brand_id" KNOWN_TO_BRAND, values, WIDTH, count, belong_take, contacts);
    free(values);
    return ok;
}

bool contact_by_id(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct contact *contact,
                   bool *found)
{
    return contact_one(db, why, "SELECT " CONTACT_COLUMNS " FROM contact WHERE bucket = $1 AND id = $2",
                       VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)), arena, contact, found);
}

/* ── saving: insert, or update what is there; one round trip ── */

struct saving {
    struct contact *contacts;
    const uint64_t *fresh; /* the ids offered: a row that kept another was there already */
    bool *is_new;
};

static bool save_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct saving *saving = context;
    uint64_t id = (uint64_t)rows_int(row, 0);
    saving->contacts[index].id = id;
    if (saving->is_new)
        saving->is_new[index] = id == saving->fresh[index];
    return true;
}

/* An empty name, fields or consent says nothing and changes nothing. */
bool contact_save(struct db *db, struct fault *why, struct contact *contacts, size_t count, time_ms now, bool *is_new)
{
    if (!count)
        return true;
    struct value *values = NEW_ARRAY(struct value, count * CONTACT_WIDTH);
    uint64_t *fresh = NEW_ARRAY(uint64_t, count);
    for (size_t i = 0; i < count; i++) {
        struct contact *contact = &contacts[i];
        contact->bucket = address_bucket(contact->address);
        fresh[i] = id_make(db_ids(db), now, contact->bucket);
        const struct value row[CONTACT_WIDTH] = {
            V_INT(contact->bucket),
            V_INT((int64_t)fresh[i]),
            V_TEXT(contact->address),
            V_TEXT(contact->written),
            V_TEXT(contact->name),
            V_TEXT(contact->fields.len ? contact->fields : SLICE("{}")),
            V_INT(contact->has_rfc_violation),
            V_TEXT(contact->consent),
            V_INT(now),
            V_INT(now),
            V_INT(contact->is_unconfirmed),
            V_INT((int64_t)contact->brand_id),
        };
        memcpy(&values[i * CONTACT_WIDTH], row, sizeof(row));
    }
    struct saving saving = {contacts, fresh, is_new};
    bool ok = db_query_many(
        db, why,
        "INSERT INTO contact (bucket, id, address, written, name, fields, rfc_violation, consent, created_ms, "
        "updated_ms, unconfirmed, brand_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT "
        "(bucket, address, brand_id) DO UPDATE SET "
        "written = excluded.written, name = CASE WHEN excluded.name <> '' THEN excluded.name ELSE contact.name END, "
        "fields = CASE WHEN excluded.fields <> '{}' THEN excluded.fields ELSE contact.fields END, consent = CASE WHEN "
        "excluded.consent <> '' THEN excluded.consent ELSE contact.consent END, rfc_violation = "
        "excluded.rfc_violation, updated_ms = excluded.updated_ms, unconfirmed = CASE WHEN excluded.consent <> '' THEN "
        "excluded.unconfirmed ELSE contact.unconfirmed END RETURNING id",
        values, CONTACT_WIDTH, count, save_take, &saving);
    free(fresh);
    free(values);
    return ok;
}

bool contact_change(struct db *db, struct fault *why, const struct contact *contact, time_ms now)
{
    return db_do(db, why,
                 "UPDATE contact SET name = $3, fields = $4, consent = $5, updated_ms = $6 WHERE bucket = $1 AND id = "
                 "$2",
                 VALUES(V_INT(id_bucket(contact->id)), V_INT((int64_t)contact->id), V_TEXT(contact->name),
                        V_TEXT(contact->fields.len ? contact->fields : SLICE("{}")), V_TEXT(contact->consent),
                        V_INT(now)),
                 NULL);
}

bool contact_speaks(struct db *db, struct fault *why, uint64_t id, struct slice lang, time_ms now)
{
    SCOPED(arena) arena = {0};
    struct contact contact;
    bool found;
    if (!contact_by_id(db, why, id, &arena, &contact, &found))
        return false;
    if (!found || slice_equal(contact.lang, lang))
        return true;
    json_t *fields = json_loadb(contact.fields.ptr, contact.fields.len, 0, NULL);
    if (!json_is_object(fields)) {
        json_decref(fields);
        fields = json_object();
    }
    json_object_set_new(fields, "lang", json_stringn(lang.ptr, lang.len));
    char *text = json_dumps(fields, JSON_COMPACT);
    json_decref(fields);
    contact.fields = slice_str(text);
    bool ok = contact.fields.len > CONTACT_FIELDS_MAX || contact_change(db, why, &contact, now);
    free(text);
    return ok;
}

bool contact_delete(struct db *db, struct fault *why, uint64_t id, bool *was_there)
{
    const struct value key[] = {V_INT(id_bucket(id)), V_INT((int64_t)id)};
    int64_t removed = 0;
    if (!db_do(db, why, "DELETE FROM list_member WHERE bucket = $1 AND contact_id = $2", key, 2, NULL) ||
        !db_do(db, why, "DELETE FROM contact WHERE bucket = $1 AND id = $2", key, 2, &removed))
        return false;
    *was_there = removed > 0;
    return true;
}

/* ── search ── */

/* Newest first over all buckets: ids sort by time within a bucket and between them, but the keys begin with the bucket,
 * so without a text this reads the newest `limit` of each bucket and merges. */
struct merging {
    struct arena *arena;
    struct contact *found;
    size_t count, room;
};

static bool merge_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct merging *merging = context;
    assert(merging->count < merging->room);
    contact_from_row(row, merging->arena, &merging->found[merging->count++]);
    return true;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t left = ((const struct contact *)a)->id, right = ((const struct contact *)b)->id;
    return (left < right) - (left > right);
}

bool contact_search(struct db *db, struct fault *why, uint64_t list_id, struct slice text, uint64_t before_id,
                    size_t limit, struct arena *arena, struct contact_page *page)
{
    limit = limit < 1 ? 1 : limit > PAGE_MAX ? PAGE_MAX : limit;
    struct slice pattern = text.len ? db_like(text, arena) : (struct slice){0};
    const char *in_list = list_id ? " AND id IN (SELECT contact_id FROM list_member WHERE bucket = $1 AND list_id = "
                                    "$4)"
                                  : " AND $4 = 0";
    const char *like = db_pick(db, " AND (address LIKE $5 ESCAPE '\\' OR name LIKE $5 ESCAPE '\\')",
                               " AND (address ILIKE $5 ESCAPE '\\' OR name ILIKE $5 ESCAPE '\\')");
    SCOPED(buf) sql = BUF(2048);
    buf_printf(&sql,
               "SELECT " CONTACT_COLUMNS
               " FROM contact WHERE bucket = $1 AND id < $2%s%s AND moved_to = 0 ORDER BY id DESC LIMIT $3",
               in_list, text.len ? like : "");
    size_t width = text.len ? 5 : 4;
    struct value values[ID_BUCKETS * 5];
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        struct value *row = &values[bucket * width];
        row[0] = V_INT(bucket);
        row[1] = V_INT(before_id ? (int64_t)before_id : INT64_MAX);
        row[2] = V_INT((int64_t)limit + 1);
        row[3] = V_INT((int64_t)list_id);
        if (text.len)
            row[4] = V_TEXT(pattern);
    }
    struct merging merging = {.arena = arena, .room = ID_BUCKETS * (limit + 1)};
    merging.found = NEW_ARRAY(struct contact, merging.room);
    bool ok = db_query_many(db, why, buf_cstr(&sql), values, width, ID_BUCKETS, merge_take, &merging);
    if (ok) {
        qsort(merging.found, merging.count, sizeof(*merging.found), newest_first);
        page->has_more = merging.count > limit;
        page->count = page->has_more ? limit : merging.count;
        page->contacts = ARENA_ARRAY(arena, struct contact, page->count + 1);
        memcpy(page->contacts, merging.found, page->count * sizeof(*merging.found));
    }
    free(merging.found);
    return ok;
}
