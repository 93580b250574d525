#include "suppress/suppress.h"

#include "mail/address.h"

#include <assert.h>
#include <stdio.h>

#define WHY_CASE(NAME, word)                                                                                           \
    case SUPPRESS_##NAME:                                                                                              \
        return SLICE(#word);
#define WHY_TEST(NAME, name)                                                                                           \
    if (slice_equal(word, SLICE(#name))) {                                                                             \
        *why = SUPPRESS_##NAME;                                                                                        \
        return true;                                                                                                   \
    }

struct slice suppress_word(enum suppress_why why)
{
    switch (why) {
        SUPPRESS_WHYS(WHY_CASE)
    case SUPPRESS_WHY_COUNT: break;
    }
    return SLICE("");
}

bool suppress_of(struct slice word, enum suppress_why *why)
{
    SUPPRESS_WHYS(WHY_TEST)
    return false;
}

/* ── rows ── */

#define SUPPRESS_COLUMNS "address, brand_id, topic, why, reason, since_ms, expires_ms, count, event_id, campaign_id"

static void suppression_from_row(const struct rows *rows, struct arena *arena, struct suppression *row)
{
    int64_t reason = rows_int(rows, 4);
    *row = (struct suppression){
        .address = arena_copy(arena, rows_text(rows, 0)),
        .brand_id = (uint64_t)rows_int(rows, 1),
        .topic = arena_copy(arena, rows_text(rows, 2)),
        .reason = reason > 0 && reason < REASON_COUNT ? (enum reason)reason : REASON_UNDEFINED,
        .since = rows_int(rows, 5),
        .expires = rows_int(rows, 6),
        .count = (int)rows_int(rows, 7),
        .event_id = (uint64_t)rows_int(rows, 8),
        .campaign_id = (uint64_t)rows_int(rows, 9),
    };
    if (!suppress_of(rows_text(rows, 3), &row->why))
        row->why = SUPPRESS_BY_HAND; /* a word of a newer program: excluded all the same */
}

/* ── may we write to ...? ── */

#define IS_SUPPRESSED                                                                                                  \
    " FROM suppression WHERE bucket = $1 AND address = $2 AND (brand_id = 0 OR brand_id = $3) AND (topic = '' OR "     \
    "topic = $4) AND (expires_ms = 0 OR expires_ms > $5) ORDER BY brand_id, topic LIMIT 1"

bool suppress_check(struct db *db, struct fault *why, struct slice identity, uint64_t brand_id, struct slice topic,
                    time_ms now, bool *is_suppressed, struct arena *arena, struct suppression *found)
{
    SCOPED(rows) rows = {0};
    *is_suppressed = false;
    if (!db_query(db, why, &rows, "SELECT " SUPPRESS_COLUMNS IS_SUPPRESSED,
                  VALUES(V_INT(address_bucket(identity)), V_TEXT(identity), V_INT((int64_t)brand_id), V_TEXT(topic),
                         V_INT(now))))
        return false;
    if (rows_next(&rows)) {
        *is_suppressed = true;
        if (found)
            suppression_from_row(&rows, arena, found);
    }
    return rows_end(&rows);
}

bool suppress_of_address(struct db *db, struct fault *why, struct slice identity, time_ms now, size_t most,
                         struct arena *arena, struct suppression **list, size_t *count)
{
    SCOPED(rows) rows = {0};
    *list = ARENA_ARRAY(arena, struct suppression, most);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT " SUPPRESS_COLUMNS " FROM suppression WHERE bucket = $1 AND address = $2 AND (expires_ms = 0 "
                  "OR expires_ms > $3) ORDER BY brand_id, topic LIMIT $4",
                  VALUES(V_INT(address_bucket(identity)), V_TEXT(identity), V_INT(now), V_INT((int64_t)most))))
        return false;
    while (*count < most && rows_next(&rows))
        suppression_from_row(&rows, arena, &(*list)[(*count)++]);
    return rows_end(&rows);
}

static bool check_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    unsigned char *is_suppressed = context;
    enum suppress_why word = SUPPRESS_BY_HAND;
    if (!suppress_of(rows_text(row, 0), &word))
        word = SUPPRESS_BY_HAND;
    is_suppressed[index] = (unsigned char)(word + 1);
    return true;
}

bool suppress_check_many(struct db *db, struct fault *why, const struct slice *identities, size_t count,
                         uint64_t brand_id, struct slice topic, time_ms now, unsigned char *is_suppressed)
{
    if (!count)
        return true;
    struct value *values = NEW_ARRAY(struct value, count * 5);
    for (size_t i = 0; i < count; i++) {
        struct value *row = &values[i * 5];
        row[0] = V_INT(address_bucket(identities[i]));
        row[1] = V_TEXT(identities[i]);
        row[2] = V_INT((int64_t)brand_id);
        row[3] = V_TEXT(topic);
        row[4] = V_INT(now);
    }
    memset(is_suppressed, 0, count);
    bool ok = db_query_many(db, why, "SELECT why" IS_SUPPRESSED, values, 5, count, check_take, is_suppressed);
    free(values);
    return ok;
}

/* ── changing ── */

/* What a person asked for outranks what we concluded. */
static bool outranks(enum suppress_why there, enum suppress_why comes)
{
    bool is_wish = there == SUPPRESS_UNSUBSCRIBED || there == SUPPRESS_COMPLAINT;
    return is_wish && comes != SUPPRESS_UNSUBSCRIBED && comes != SUPPRESS_COMPLAINT;
}

bool suppress_add(struct db *db, struct fault *why, const struct suppression *row, bool *is_new)
{
    unsigned bucket = address_bucket(row->address);
    bool is_there = false, stays = false;
    {
        SCOPED(rows) rows = {0};
        if (!db_query(db, why, &rows,
                      "SELECT why, expires_ms FROM suppression WHERE bucket = $1 AND address = $2 AND brand_id = $3 "
                      "AND topic = $4",
                      VALUES(V_INT(bucket), V_TEXT(row->address), V_INT((int64_t)row->brand_id), V_TEXT(row->topic))))
            return false;
        if (rows_next(&rows)) {
            enum suppress_why there;
            time_ms expires = rows_int(&rows, 1);
            is_there = !expires || expires > row->since;
            stays = is_there && suppress_of(rows_text(&rows, 0), &there) && outranks(there, row->why);
        }
        if (!rows_end(&rows))
            return false;
    }
    if (is_new)
        *is_new = !is_there;
    if (stays)
        return true;
    return db_do(
        db, why,
        "INSERT INTO suppression (bucket, " SUPPRESS_COLUMNS
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (bucket, address, brand_id, "
        "topic) DO UPDATE SET why = excluded.why, reason = excluded.reason, since_ms = excluded.since_ms, "
        "expires_ms = excluded.expires_ms, count = excluded.count, event_id = excluded.event_id, campaign_id = "
        "excluded.campaign_id",
        VALUES(V_INT(bucket), V_TEXT(row->address), V_INT((int64_t)row->brand_id), V_TEXT(row->topic),
               V_TEXT(suppress_word(row->why)), V_INT(row->reason), V_INT(row->since), V_INT(row->expires),
               V_INT(row->count ? row->count : 1), V_INT((int64_t)row->event_id), V_INT((int64_t)row->campaign_id)),
        NULL);
}

bool suppress_remove(struct db *db, struct fault *why, struct slice identity, uint64_t brand_id, struct slice topic,
                     bool *was_there)
{
    int64_t removed = 0;
    unsigned bucket = address_bucket(identity);
    if (!db_do(db, why, "DELETE FROM suppression WHERE bucket = $1 AND address = $2 AND brand_id = $3 AND topic = $4",
               VALUES(V_INT(bucket), V_TEXT(identity), V_INT((int64_t)brand_id), V_TEXT(topic)), &removed) ||
        !db_do(db, why, "DELETE FROM strike WHERE bucket = $1 AND address = $2",
               VALUES(V_INT(bucket), V_TEXT(identity)), NULL))
        return false;
    if (was_there)
        *was_there = removed > 0;
    return true;
}

/* ── lists ── */

enum { SQL_MAX = 8192, CONDITIONS_MAX = 16, LIST_MAX = 10000 };
struct question {
    struct buf sql;
    struct value values[CONDITIONS_MAX];
    size_t count;
};

static void ask(struct question *question, const char *column_and_sign, struct value value)
{
    assert(question->count < CONDITIONS_MAX);
    question->values[question->count++] = value;
    buf_printf(&question->sql, " AND %s $%zu", column_and_sign, question->count);
}

/* The address that the text is, if it is one: then it is found by its key. */
static struct slice exact_identity(struct slice text, struct arena *arena)
{
    struct address address;
    struct fault ignored;
    if (slice_find_byte(text, '@') != SLICE_NPOS && address_parse(slice_trim(text), arena, &address, &ignored))
        return address.identity;
    return (struct slice){0};
}

/* A row for all brands belongs to the brand whose error led to it: others do not hear of it. */
void suppress_brands_condition(const struct brands *brands, struct buf *sql)
{
    if (!brands->count)
        return;
    buf_text(sql, " AND ((1 = 1");
    brands_condition(brands, "brand_id", sql);
    buf_text(sql, ") OR (brand_id = 0 AND EXISTS (SELECT 1 FROM event e WHERE ((553072 >> e.kind) & 1) = 1 AND "
                  "e.id = suppression.event_id");
    brands_condition(brands, "e.brand_id", sql);
    buf_text(sql, ")))");
}

static void ask_filter(struct question *question, const struct suppress_filter *filter)
{
    suppress_brands_condition(&filter->brands, &question->sql);
    if (filter->by_why)
        ask(question, "why =", V_TEXT(suppress_word(filter->why)));
    if (filter->by_reason)
        ask(question, "reason =", V_INT(filter->reason));
    if (filter->brand_id)
        ask(question, "brand_id =", V_INT((int64_t)filter->brand_id));
    if (filter->campaign_id)
        ask(question, "campaign_id =", V_INT((int64_t)filter->campaign_id));
    if (!filter->before)
        return;
    question->values[question->count] = V_INT(filter->before);
    question->values[question->count + 1] = V_TEXT(filter->before_address);
    question->values[question->count + 2] = V_INT((int64_t)filter->before_brand);
    size_t n = question->count;
    question->count += 3;
    buf_printf(
        &question->sql,
        " AND (since_ms < $%zu OR (since_ms = $%zu AND (address > $%zu OR (address = $%zu AND brand_id > $%zu))))",
        n + 1, n + 1, n + 2, n + 2, n + 3);
}

static bool list_fetch(struct db *db, struct fault *why, struct question *question, size_t limit, struct arena *arena,
                       struct suppress_page *page)
{
    *page = (struct suppress_page){.rows = ARENA_ARRAY(arena, struct suppression, limit)};
    question->values[question->count++] = V_INT((int64_t)limit + 1);
    buf_printf(&question->sql, " ORDER BY since_ms DESC, address, brand_id, topic LIMIT $%zu", question->count);
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, buf_cstr(&question->sql), question->values, question->count))
        return false;
    while (rows_next(&rows)) {
        if (page->count == limit) {
            page->has_more = true;
            break;
        }
        suppression_from_row(&rows, arena, &page->rows[page->count++]);
    }
    return rows_end(&rows);
}

static bool list_ask(struct db *db, struct fault *why, const struct suppress_filter *filter, struct slice identity,
                     size_t limit, struct arena *arena, struct suppress_page *page)
{
    struct question question = {.sql = BUF(SQL_MAX)};
    buf_text(&question.sql, "SELECT " SUPPRESS_COLUMNS " FROM suppression WHERE 1 = 1");
    if (identity.len) {
        ask(&question, "bucket =", V_INT(address_bucket(identity)));
        ask(&question, "address =", V_TEXT(identity));
    } else if (filter->text.len) {
        ask(&question, "address LIKE", V_TEXT(db_like(arena_lower(arena, filter->text), arena)));
        buf_text(&question.sql, " ESCAPE '\\'");
    }
    ask_filter(&question, filter);
    bool ok = list_fetch(db, why, &question, limit, arena, page);
    buf_release(&question.sql);
    return ok;
}

bool suppress_list(struct db *db, struct fault *why, const struct suppress_filter *filter, size_t limit,
                   struct arena *arena, struct suppress_page *page)
{
    limit = limit < 1 ? 1 : limit > LIST_MAX ? LIST_MAX : limit;
    struct slice identity = exact_identity(filter->text, arena);
    if (identity.len) {
        if (!list_ask(db, why, filter, identity, limit, arena, page))
            return false;
        if (page->count)
            return true;
    }
    return list_ask(db, why, filter, (struct slice){0}, limit, arena, page);
}

bool suppress_total(struct db *db, struct fault *why, const struct suppress_filter *filter, struct arena *arena,
                    int64_t *total)
{
    struct question question = {.sql = BUF(SQL_MAX)};
    buf_text(&question.sql, "SELECT COUNT(*) FROM suppression WHERE 1 = 1");
    if (filter->text.len) {
        ask(&question, "address LIKE", V_TEXT(db_like(arena_lower(arena, filter->text), arena)));
        buf_text(&question.sql, " ESCAPE '\\'");
    }
    struct suppress_filter whole = *filter;
    whole.before = 0;
    ask_filter(&question, &whole);
    bool ok = db_query_ints(db, why, buf_cstr(&question.sql), question.values, question.count, total, 1, NULL);
    buf_release(&question.sql);
    return ok;
}
