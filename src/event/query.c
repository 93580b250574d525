#include "event/row.h"

#include <assert.h>
#include <stdio.h>

const uint64_t EVENT_PROBLEMS = EVENT_BIT(EVENT_DEFERRED) | EVENT_BIT(EVENT_BOUNCED) | EVENT_BIT(EVENT_EXPIRED) |
                                EVENT_BIT(EVENT_DELAY_NOTICE) | EVENT_BIT(EVENT_COMPLAINT) |
                                EVENT_BIT(EVENT_AUTOREPLY) | EVENT_BIT(EVENT_UNVERIFIED);
/* Word for word the conditions of the partial indexes, or SQLite does not use them: EVENT_PROBLEMS
 * (data/schema/0020_predicate.sql), and the few among them that are asked for by themselves (0047_event_rare.sql). */
#define IS_PROBLEM "((553072 >> kind) & 1) = 1"
#define IS_RARE    "((532480 >> kind) & 1) = 1"

/* ── statements put together from conditions ── */

enum { SQL_MAX = 4096, CONDITIONS_MAX = 32 };
struct question {
    struct buf sql;
    struct value values[CONDITIONS_MAX];
    size_t count;
};

/* " AND <condition>" with every '?' written as the placeholder of this value. */
static void ask(struct question *question, const char *condition, struct value value)
{
    assert(question->count < CONDITIONS_MAX);
    question->values[question->count++] = value;
    buf_text(&question->sql, " AND ");
    for (; *condition; condition++) {
        if (*condition == '?')
            buf_printf(&question->sql, "$%zu", question->count);
        else
            buf_byte(&question->sql, *condition);
    }
}

static bool page_fetch(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
                       size_t limit, struct arena *arena, struct event_page *page)
{
    *page = (struct event_page){.events = ARENA_ARRAY(arena, struct event, limit)};
    SCOPED(rows) rows = {0};
    if (!db_query(db, why, &rows, sql, values, count))
        return false;
    while (rows_next(&rows)) {
        if (page->count == limit) { /* one more was asked for than fits */
            page->has_more = true;
            break;
        }
        event_from_row(&rows, arena, &page->events[page->count++]);
    }
    return rows_end(&rows);
}

static size_t page_limit(size_t limit)
{
    return limit < 1 ? 1 : limit > EVENT_PAGE_MAX ? EVENT_PAGE_MAX : limit;
}

/* ── the error lists ── */

static void ask_kinds(struct question *question, uint64_t kinds)
{
    if (kinds == EVENT_BIT(EVENT_COMPLAINT) || kinds == EVENT_BIT(EVENT_UNVERIFIED)) {
        buf_text(&question->sql, " AND " IS_RARE);
        ask(question, "kind = ?", V_INT(kinds == EVENT_BIT(EVENT_COMPLAINT) ? EVENT_COMPLAINT : EVENT_UNVERIFIED));
        return;
    }
    if (!kinds || (kinds & EVENT_PROBLEMS) == EVENT_PROBLEMS)
        return;
    buf_text(&question->sql, " AND kind IN (0"); /* no kind has number 0 */
    for (unsigned kind = 0; kind < EVENT_KIND_END; kind++)
        if (kinds & EVENT_PROBLEMS & EVENT_BIT(kind))
            buf_printf(&question->sql, ", %u", kind);
    buf_byte(&question->sql, ')');
}

/* FROM ... WHERE ... of the error lists. A deferral is a problem only while nothing has followed it: what came of the
 * delivery later says more. */
static void ask_problems(struct question *question, struct db *db, const struct event_filter *filter,
                         struct arena *arena)
{
    buf_text(&question->sql,
             " FROM event WHERE " IS_PROBLEM
             " AND (kind <> 4 OR NOT EXISTS (SELECT 1 FROM delivery d WHERE d.bucket = event.bucket AND d.id = "
             "event.delivery_id AND d.last_seq > event.seq))");
    ask_kinds(question, filter->kinds);
    brands_condition(&filter->brands, "brand_id", &question->sql);
    if (filter->campaign_id)
        ask(question, "campaign_id = ?", V_INT((int64_t)filter->campaign_id));
    if (filter->brand_id)
        ask(question, "brand_id = ?", V_INT((int64_t)filter->brand_id));
    if (filter->by_whose)
        ask(question, "COALESCE(whose, 0) = ?", V_INT(filter->whose));
    if (filter->by_reason)
        ask(question, "COALESCE(reason, 0) = ?", V_INT(filter->reason));
    if (filter->domain.len)
        ask(question, "domain = ?", V_TEXT(filter->domain));
    if (filter->site.len)
        ask(question, "site = ?", V_TEXT(filter->site));
    if (filter->status.len)
        ask(question, "status = ?", V_TEXT(filter->status));
    if (filter->since) {
        ask(question, "at_ms >= ?", V_INT(filter->since));
        ask(question, "id >= ?", V_INT((int64_t)id_first_of(filter->since))); /* an event is written when it is over */
    }
    if (filter->until)
        ask(question, "at_ms < ?", V_INT(filter->until));
    if (filter->text.len)
        ask(question,
            db_pick(db, "(address LIKE ? ESCAPE '\\' OR diagnostic LIKE ? ESCAPE '\\')",
                    "(address ILIKE ? ESCAPE '\\' OR diagnostic ILIKE ? ESCAPE '\\')"),
            V_TEXT(db_like(filter->text, arena)));
    if (filter->before_id)
        ask(question, "id < ?", V_INT((int64_t)filter->before_id));
}

bool event_problems(struct db *db, struct fault *why, const struct event_filter *filter, size_t limit,
                    struct arena *arena, struct event_page *page)
{
    limit = page_limit(limit);
    struct question question = {.sql = BUF(SQL_MAX)};
    buf_text(&question.sql, "SELECT " EVENT_COLUMNS);
    ask_problems(&question, db, filter, arena);
    question.values[question.count++] = V_INT((int64_t)limit + 1);
    buf_printf(&question.sql, " ORDER BY id DESC LIMIT $%zu", question.count);
    const char *sql = buf_cstr(&question.sql);
    bool ok = page_fetch(db, why, sql, question.values, question.count, limit, arena, page);
    buf_release(&question.sql);
    return ok;
}

bool event_problem_faults(struct db *db, struct fault *why, const struct event_filter *filter, uint64_t n[WHOSE_COUNT])
{
    struct question question = {.sql = BUF(SQL_MAX)};
    SCOPED(arena) arena = {0};
    memset(n, 0, sizeof(*n) * WHOSE_COUNT);
    buf_text(&question.sql, "SELECT whose, COUNT(*) FROM (SELECT COALESCE(whose, 0) AS whose");
    ask_problems(&question, db, filter, &arena);
    question.values[question.count++] = V_INT(EVENT_COUNTED_MAX);
    buf_printf(&question.sql, " ORDER BY id DESC LIMIT $%zu) AS newest GROUP BY whose", question.count);
    SCOPED(rows) rows = {0};
    bool ok = db_query(db, why, &rows, buf_cstr(&question.sql), question.values, question.count);
    buf_release(&question.sql);
    while (ok && rows_next(&rows)) {
        int64_t whose = rows_int(&rows, 0);
        n[whose > 0 && whose < WHOSE_COUNT ? whose : 0] += (uint64_t)rows_int(&rows, 1);
    }
    return ok && rows_end(&rows);
}

/* ── one delivery ── */

/* ACCEPTED is counted in batches, so the delivery's row tells it. */
static bool accepted_event(struct db *db, struct fault *why, uint64_t delivery_id, struct arena *arena,
                           struct event *event, int64_t *state, bool *found)
{
    SCOPED(rows) rows = {0};
    *found = false;
    if (!db_query(db, why, &rows,
                  "SELECT accepted_ms, campaign_id, contact_id, brand_id, address, state FROM delivery WHERE bucket "
                  "= $1 AND id = $2",
                  VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id))))
        return false;
    if (rows_next(&rows)) {
        *found = true;
        *state = rows_int(&rows, 5);
        *event = (struct event){.bucket = id_bucket(delivery_id),
                                .id = delivery_id,
                                .at = rows_int(&rows, 0),
                                .kind = EVENT_ACCEPTED,
                                .n = 1,
                                .delivery_id = delivery_id,
                                .campaign_id = (uint64_t)rows_int(&rows, 1),
                                .contact_id = (uint64_t)rows_int(&rows, 2),
                                .brand_id = (uint64_t)rows_int(&rows, 3),
                                .address = arena_copy(arena, rows_text(&rows, 4)),
                                .state_before = DELIVERY_STATE_COUNT,
                                .state_after = DELIVERY_WAITING};
    }
    return rows_end(&rows);
}

/* Left to itself, SQLite walks through the whole bucket by its primary key. */
#define MOVES_FROM "SELECT " EVENT_COLUMNS " FROM "
#define MOVES_WHERE                                                                                                    \
    "WHERE bucket = $1 AND delivery_id = $2 AND ((393226 >> kind) & 1) = 0 AND kind <> 23 ORDER BY seq LIMIT $3"

/* DELIVERED is not in the index by delivery (most events are): it is looked for among the bucket's events between what
 * came before it and what came after it. */
static bool delivered_event(struct db *db, struct fault *why, uint64_t delivery_id, uint64_t after_seq,
                            uint64_t before_seq, struct arena *arena, struct event_page *page)
{
    return page_fetch(db, why,
                      "SELECT " EVENT_COLUMNS
                      " FROM event WHERE bucket = $1 AND seq > $2 AND seq < $3 AND kind = 3 AND delivery_id = $4 ORDER "
                      "BY seq LIMIT 1",
                      VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)after_seq), V_INT((int64_t)before_seq),
                             V_INT((int64_t)delivery_id)),
                      1, arena, page);
}

/* Opens and clicks are in no index: the row of what came of the delivery says where they stand; and where its newest
 * downloads do, so that a robot's thousand keep nothing else off the timeline. */
static bool engaged_places(struct db *db, struct fault *why, uint64_t delivery_id, struct value *values, size_t most,
                           size_t *count)
{
    SCOPED(rows) rows = {0};
    *count = 0;
    if (!db_query(db, why, &rows, "SELECT events FROM engaged WHERE bucket = $1 AND delivery_id = $2",
                  VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id))))
        return false;
    while (rows_next(&rows)) {
        struct slice rest = rows_text(&rows, 0), word, bucket;
        uint64_t number, seq;
        while (*count < most && slice_split(&rest, ' ', &word)) {
            if (!slice_split(&word, '.', &bucket) || !slice_to_u64(bucket, &number) || !slice_to_u64(word, &seq))
                continue;
            values[*count * 2] = V_INT((int64_t)number);
            values[*count * 2 + 1] = V_INT((int64_t)seq);
            ++*count;
        }
    }
    return rows_end(&rows);
}

struct taking {
    struct event_page *page;
    struct arena *arena;
};

/* Among what is there, by its time. */
static bool take_engaged(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct taking *taking = context;
    struct event_page *page = taking->page;
    struct event event;
    event_from_row(row, taking->arena, &event);
    size_t at = page->count++;
    for (; at && page->events[at - 1].at > event.at; at--)
        page->events[at] = page->events[at - 1];
    page->events[at] = event;
    return true;
}

bool event_timeline(struct db *db, struct fault *why, uint64_t delivery_id, size_t limit, struct arena *arena,
                    struct event_page *page)
{
    limit = page_limit(limit);
    struct event accepted = {0};
    struct event_page moves, delivered = {0};
    int64_t state = DELIVERY_WAITING;
    bool found;
    if (!accepted_event(db, why, delivery_id, arena, &accepted, &state, &found) ||
        !page_fetch(
            db, why,
            db_pick(db, MOVES_FROM "event INDEXED BY event_delivery " MOVES_WHERE, MOVES_FROM "event " MOVES_WHERE),
            VALUES(V_INT(id_bucket(delivery_id)), V_INT((int64_t)delivery_id), V_INT((int64_t)limit + 1)), limit, arena,
            &moves))
        return false;
    uint64_t after = 0, before = INT64_MAX;
    bool was_delivered = state == DELIVERY_DELIVERED;
    for (size_t i = 0; i < moves.count && before == INT64_MAX; i++) {
        if (moves.events[i].state_before == DELIVERY_DELIVERED) {
            before = moves.events[i].seq;
            was_delivered = true;
        } else if (moves.events[i].state_after < DELIVERY_STATE_COUNT)
            after = moves.events[i].seq;
    }
    if (was_delivered && !delivered_event(db, why, delivery_id, after, before, arena, &delivered))
        return false;
    enum { ENGAGED_MOST = 64 };
    struct value places[ENGAGED_MOST * 2];
    size_t engaged;
    if (!engaged_places(db, why, delivery_id, places, ENGAGED_MOST, &engaged))
        return false;
    *page = (struct event_page){.events = ARENA_ARRAY(arena, struct event, moves.count + 2 + engaged),
                                .has_more = moves.has_more};
    if (found)
        page->events[page->count++] = accepted;
    for (size_t i = 0; i < moves.count; i++) {
        if (delivered.count && delivered.events[0].seq < moves.events[i].seq) {
            page->events[page->count++] = delivered.events[0];
            delivered.count = 0;
        }
        page->events[page->count++] = moves.events[i];
    }
    if (delivered.count)
        page->events[page->count++] = delivered.events[0];
    struct taking taking = {page, arena};
    return db_query_many(db, why, "SELECT " EVENT_COLUMNS " FROM event WHERE bucket = $1 AND seq = $2", places, 2,
                         engaged, take_engaged, &taking);
}

/* ── single events, and in order ── */

bool event_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct event *event)
{
    struct event_page page;
    *why = (struct fault){0};
    if (!page_fetch(db, why, "SELECT " EVENT_COLUMNS " FROM event WHERE " IS_PROBLEM " AND id = $1",
                    VALUES(V_INT((int64_t)id)), 1, arena, &page))
        return false;
    if (!page.count && !page_fetch(db, why, "SELECT " EVENT_COLUMNS " FROM event WHERE bucket = $1 AND id = $2",
                                   VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)), 1, arena, &page))
        return false;
    if (page.count)
        *event = page.events[0];
    return page.count > 0;
}

bool event_since(struct db *db, struct fault *why, unsigned bucket, uint64_t after_seq, size_t limit,
                 struct arena *arena, struct event_page *page)
{
    limit = page_limit(limit);
    return page_fetch(db, why,
                      "SELECT " EVENT_COLUMNS " FROM event WHERE bucket = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                      VALUES(V_INT(bucket), V_INT((int64_t)after_seq), V_INT((int64_t)limit + 1)), limit, arena, page);
}
