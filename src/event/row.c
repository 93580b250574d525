#include "event/row.h"

#include "base/utf8.h"

#include <stdio.h>

/* ── to the store ── */

static bool is_clean(struct slice text)
{
    return utf8_is_valid(text) && !(text.len && memchr(text.ptr, 0, text.len));
}

/* Strangers' bytes as text that both stores take: UTF-8, no NUL, at most `limit` octets. */
static struct value text_value(struct slice text, size_t limit, struct arena *arena)
{
    if (!text.len)
        return V_NULL;
    if (text.len <= limit && is_clean(text))
        return V_TEXT(text);
    SCOPED(buf) repaired = BUF(limit * 3 + 8);
    utf8_repair(&repaired, slice_head(text, limit));
    for (size_t i = 0; i < repaired.len; i++)
        if (!repaired.ptr[i])
            repaired.ptr[i] = ' ';
    return V_TEXT(arena_copy(arena, utf8_head(buf_slice(&repaired), limit)));
}

static struct value status_value(const uint16_t status[3], struct arena *arena)
{
    if (!status[0])
        return V_NULL;
    return V_TEXT(arena_printf(arena, "%u.%u.%u", status[0], status[1], status[2]));
}

static struct value state_value(enum delivery_state state)
{
    return state < DELIVERY_STATE_COUNT ? V_INT(state) : V_NULL;
}

enum { TEXT_MAX = 512 };

void event_values(const struct event *event, unsigned log, struct arena *arena, struct value values[EVENT_WIDTH])
{
    const struct verdict *verdict = &event->verdict;
    const struct value row[EVENT_WIDTH] = {
        V_INT(log),
        V_INT((int64_t)event->seq),
        V_INT((int64_t)event->id),
        V_INT(event->at),
        V_INT(event->kind),
        V_INT(event->n ? event->n : 1),
        V_INT(event->origin),
        V_INT_OR_NULL((int64_t)event->delivery_id),
        V_INT_OR_NULL((int64_t)event->campaign_id),
        V_INT_OR_NULL((int64_t)event->contact_id),
        V_INT_OR_NULL((int64_t)event->brand_id),
        V_INT_OR_NULL((int64_t)event->mail_id),
        text_value(event->address, TEXT_MAX, arena),
        text_value(event->domain, TEXT_MAX, arena),
        text_value(event->site, TEXT_MAX, arena),
        state_value(event->state_before),
        state_value(event->state_after),
        V_INT_OR_NULL(verdict->reason),
        V_INT_OR_NULL(verdict->action),
        V_INT_OR_NULL(verdict->scope),
        V_INT_OR_NULL(verdict->whose),
        V_INT_OR_NULL(verdict->is_permanent),
        V_INT_OR_NULL(event->authenticity),
        V_INT_OR_NULL(event->stage),
        V_INT_OR_NULL(event->code),
        status_value(event->status, arena),
        text_value(event->diagnostic, EVENT_DIAGNOSTIC_MAX, arena),
        V_INT_OR_NULL((int64_t)verdict->mark_from),
        V_INT_OR_NULL((int64_t)verdict->mark_to),
        text_value(verdict->rule, TEXT_MAX, arena),
        text_value(verdict->words, TEXT_MAX, arena),
        text_value(event->remote_mta, TEXT_MAX, arena),
        V_INT_OR_NULL(event->attempt),
        V_INT_OR_NULL(event->next_attempt_at),
        text_value(event->note, TEXT_MAX, arena),
        V_INT_OR_NULL(event->before_since),
    };
    memcpy(values, row, sizeof(row));
}

/* ── from the store ── */

/* Numbers that a newer program wrote, or a broken row, become 0 rather than an enum that no switch knows. */
static unsigned bounded(int64_t number, unsigned below)
{
    return number > 0 && number < (int64_t)below ? (unsigned)number : 0;
}

static enum delivery_state state_at(const struct rows *rows, int column)
{
    return rows_is_null(rows, column) ? DELIVERY_STATE_COUNT : bounded(rows_int(rows, column), DELIVERY_STATE_COUNT);
}

static struct slice text_at(const struct rows *rows, int column, struct arena *arena)
{
    struct slice text = rows_text(rows, column);
    return text.len ? arena_copy(arena, text) : (struct slice){0};
}

static void status_read(struct slice text, uint16_t status[3])
{
    struct slice part;
    for (int i = 0; i < 3 && slice_split(&text, '.', &part); i++) {
        uint64_t number;
        status[i] = slice_to_u64(part, &number) && number < 1000 ? (uint16_t)number : 0;
    }
}

void event_from_row(const struct rows *rows, struct arena *arena, struct event *event)
{
    *event = (struct event){
        .bucket = bounded(rows_int(rows, 0), ID_BUCKETS),
        .seq = (uint64_t)rows_int(rows, 1),
        .id = (uint64_t)rows_int(rows, 2),
        .at = rows_int(rows, 3),
        .kind = bounded(rows_int(rows, 4), EVENT_KIND_END),
        .n = (unsigned)rows_int(rows, 5),
        .origin = bounded(rows_int(rows, 6), EVENT_ORIGIN_END),
        .delivery_id = (uint64_t)rows_int(rows, 7),
        .campaign_id = (uint64_t)rows_int(rows, 8),
        .contact_id = (uint64_t)rows_int(rows, 9),
        .brand_id = (uint64_t)rows_int(rows, 10),
        .mail_id = (uint64_t)rows_int(rows, 11),
        .address = text_at(rows, 12, arena),
        .domain = text_at(rows, 13, arena),
        .site = text_at(rows, 14, arena),
        .state_before = state_at(rows, 15),
        .state_after = state_at(rows, 16),
        .verdict = {.reason = bounded(rows_int(rows, 17), REASON_COUNT),
                    .action = bounded(rows_int(rows, 18), ACTION_COUNT),
                    .scope = bounded(rows_int(rows, 19), SCOPE_COUNT),
                    .whose = bounded(rows_int(rows, 20), WHOSE_COUNT),
                    .is_permanent = rows_int(rows, 21) != 0,
                    .mark_from = (size_t)rows_int(rows, 27),
                    .mark_to = (size_t)rows_int(rows, 28),
                    .rule = text_at(rows, 29, arena),
                    .words = text_at(rows, 30, arena)},
        .authenticity = bounded(rows_int(rows, 22), AUTHENTICITY_COUNT),
        .stage = bounded(rows_int(rows, 23), STAGE_COUNT),
        .code = (int)rows_int(rows, 24),
        .diagnostic = text_at(rows, 26, arena),
        .remote_mta = text_at(rows, 31, arena),
        .attempt = (int)rows_int(rows, 32),
        .next_attempt_at = rows_int(rows, 33),
        .note = text_at(rows, 34, arena),
        .before_since = rows_int(rows, 35),
    };
    status_read(rows_text(rows, 25), event->status);
}

/* ── pages ── */

bool event_page_fetch(struct db *db, struct fault *why, const char *sql, const struct value *values, size_t count,
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

size_t event_page_limit(size_t limit)
{
    return limit < 1 ? 1 : limit > EVENT_PAGE_MAX ? EVENT_PAGE_MAX : limit;
}
