/* row.h - one event as a row of the store (private to event/) */
#ifndef TODOKE_EVENT_ROW_H
#define TODOKE_EVENT_ROW_H

#include "event/event.h"

#define EVENT_COLUMNS                                                                                                  \
    "bucket, seq, id, at_ms, kind, n, origin, delivery_id, campaign_id, contact_id, brand_id, mail_id, address, "      \
    "domain, site, state_before, state_after, reason, action, scope, whose, permanent, authenticity, stage, code, "    \
    "status, diagnostic, mark_from, mark_to, rule, words, remote_mta, attempt, next_attempt_ms, note, before_ms"
enum { EVENT_WIDTH = 36 };

/* The row's values in this log; text that is not clean UTF-8, or a diagnostic too long, is repaired into the arena. */
void event_values(const struct event *event, unsigned log, struct arena *arena, struct value values[EVENT_WIDTH]);
/* Of a query whose columns are EVENT_COLUMNS; text is copied into the arena. */
void event_from_row(const struct rows *rows, struct arena *arena, struct event *event);
/* At most `limit` of them; a statement that asks for one more learns whether there is more. */
NODISCARD bool event_page_fetch(struct db *db, struct fault *why, const char *sql, const struct value *values,
                                size_t count, size_t limit, struct arena *arena, struct event_page *page);
/* 1 to EVENT_PAGE_MAX. */
size_t event_page_limit(size_t limit);

#endif
