/* row.h - one event as a row of the store (private to event/) */
#ifndef TODOKE_EVENT_ROW_H
#define TODOKE_EVENT_ROW_H

#include "event/event.h"

#define EVENT_COLUMNS                                                                                                  \
    "bucket, seq, id, at_ms, kind, n, origin, delivery_id, campaign_id, contact_id, brand_id, mail_id, address, "      \
    "domain, site, state_before, state_after, reason, action, scope, whose, permanent, authenticity, stage, code, "    \
    "status, diagnostic, mark_from, mark_to, rule, words, remote_mta, attempt, next_attempt_ms, note"
enum { EVENT_WIDTH = 35 };

/* The row's values; text that is not clean UTF-8, or a diagnostic too long, is repaired into the arena. */
void event_values(const struct event *event, struct arena *arena, struct value values[EVENT_WIDTH]);
/* Of a query whose columns are EVENT_COLUMNS; text is copied into the arena. */
void event_from_row(const struct rows *rows, struct arena *arena, struct event *event);

#endif
