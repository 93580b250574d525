#include "api/page.h"

struct gathered {
    uint64_t *ids;
    size_t count, room;
    unsigned counts[ID_BUCKETS];
    uint64_t lowest[ID_BUCKETS];
};

static bool gather_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct gathered *gathered = context;
    uint64_t id = (uint64_t)rows_int(row, 0);
    if (gathered->count < gathered->room)
        gathered->ids[gathered->count++] = id;
    gathered->counts[index]++;
    gathered->lowest[index] = id;
    return true;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left < right) - (left > right);
}

static bool gather(struct db *db, const char *sql, const struct value *more, size_t more_count, uint64_t before,
                   size_t each, struct gathered *gathered, struct fault *why)
{
    size_t width = 3 + more_count;
    struct value *values = NEW_ARRAY(struct value, ID_BUCKETS * width);
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        struct value *row = values + bucket * width;
        row[0] = V_INT(bucket);
        row[1] = V_INT(before ? (int64_t)before : INT64_MAX);
        row[2] = V_INT((int64_t)each);
        for (size_t i = 0; i < more_count; i++)
            row[3 + i] = more[i];
    }
    gathered->count = 0;
    memset(gathered->counts, 0, sizeof(gathered->counts));
    bool ok = db_query_many(db, why, sql, values, width, ID_BUCKETS, gather_take, gathered);
    free(values);
    if (gathered->count)
        qsort(gathered->ids, gathered->count, sizeof(*gathered->ids), newest_first);
    return ok;
}

/* Could a bucket that gave all it was asked for have more that belong on this page? */
static bool is_enough(const struct gathered *gathered, size_t each, size_t wanted)
{
    uint64_t cut = gathered->count >= wanted ? gathered->ids[wanted - 1] : 0;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++)
        if (gathered->counts[bucket] == each && gathered->lowest[bucket] > cut)
            return false;
    return true;
}

bool page_ids(struct db *db, const char *sql, const struct value *more, size_t more_count, uint64_t before,
              size_t limit, struct arena *arena, struct page_ids *page, struct fault *why)
{
    size_t wanted = limit + 1, each = wanted / 32 + 4;
    struct gathered *gathered = NEW(struct gathered);
    bool ok = true;
    for (bool is_done = false; ok && !is_done; each *= 8) {
        if (each > wanted)
            each = wanted;
        gathered->room = ID_BUCKETS * each;
        free(gathered->ids);
        gathered->ids = NEW_ARRAY(uint64_t, gathered->room);
        ok = gather(db, sql, more, more_count, before, each, gathered, why);
        is_done = each == wanted || is_enough(gathered, each, wanted);
    }
    page->has_more = gathered->count > limit;
    page->count = page->has_more ? limit : gathered->count;
    page->ids = ARENA_ARRAY(arena, uint64_t, page->count + 1);
    if (page->count)
        memcpy(page->ids, gathered->ids, page->count * sizeof(*page->ids));
    free(gathered->ids);
    free(gathered);
    return ok;
}

bool page_rows(struct db *db, const struct page_ids *page, const char *sql, db_take take, void *context,
               struct arena *arena, struct fault *why)
{
    struct value *values = ARENA_ARRAY(arena, struct value, page->count * 2 + 1);
    for (size_t i = 0; i < page->count; i++) {
        values[2 * i] = V_INT(id_bucket(page->ids[i]));
        values[2 * i + 1] = V_INT((int64_t)page->ids[i]);
    }
    return !page->count || db_query_many(db, why, sql, values, 2, page->count, take, context);
}

void page_close(struct json *json, uint64_t last_id, bool has_more)
{
    json_put_id(json, "next_cursor", has_more ? last_id : 0);
    json_end(json);
}

bool page_by_id(struct http_request *request, unsigned *limit, uint64_t *before)
{
    struct slice cursor;
    *before = 0;
    if (!page_read(request, limit, &cursor))
        return false;
    if (!cursor.len || id_parse(cursor, before))
        return true;
    answer_bad_cursor(request);
    return false;
}
