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
             "event.delivery_id AND (d.last_seq > event.seq OR d.state > 4)))");
    _Static_assert(DELIVERY_IN_DOUBT == 4, "what is greater is an end");
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
    limit = event_page_limit(limit);
    struct question question = {.sql = BUF(SQL_MAX)};
    buf_text(&question.sql, "SELECT " EVENT_COLUMNS);
    ask_problems(&question, db, filter, arena);
    question.values[question.count++] = V_INT((int64_t)limit + 1);
    buf_printf(&question.sql, " ORDER BY id DESC LIMIT $%zu", question.count);
    const char *sql = buf_cstr(&question.sql);
    bool ok = event_page_fetch(db, why, sql, question.values, question.count, limit, arena, page);
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

/* ── single events, and in order ── */

bool event_find(struct db *db, struct fault *why, uint64_t id, struct arena *arena, struct event *event)
{
    struct event_page page;
    *why = (struct fault){0};
    if (!event_page_fetch(db, why, "SELECT " EVENT_COLUMNS " FROM event WHERE " IS_PROBLEM " AND id = $1",
                          VALUES(V_INT((int64_t)id)), 1, arena, &page))
        return false;
    if (page.count)
        *event = page.events[0];
    return page.count > 0;
}

bool event_since(struct db *db, struct fault *why, unsigned log, uint64_t after_seq, size_t limit, struct arena *arena,
                 struct event_page *page)
{
    limit = event_page_limit(limit);
    return event_page_fetch(
        db, why, "SELECT " EVENT_COLUMNS " FROM event WHERE bucket = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        VALUES(V_INT(log), V_INT((int64_t)after_seq), V_INT((int64_t)limit + 1)), limit, arena, page);
}

bool event_seq_before(struct db *db, struct fault *why, unsigned log, time_ms since, uint64_t *seq)
{
    int64_t low = 0, high = 0;
    bool found;
    if (!db_query_ints(db, why, "SELECT seq FROM bucket_counter WHERE bucket = $1", VALUES(V_INT(log)), &high, 1,
                       &found))
        return false;
    while (low < high) {
        int64_t middle = (low + high) / 2, at;
        if (!db_query_ints(db, why, "SELECT at_ms FROM event WHERE bucket = $1 AND seq > $2 ORDER BY seq LIMIT 1",
                           VALUES(V_INT(log), V_INT(middle)), &at, 1, &found))
            return false;
        if (found && at < since)
            low = middle + 1;
        else
            high = middle;
    }
    *seq = (uint64_t)low;
    return true;
}
