/* time.h - instants as milliseconds, and their written forms
 *
 * time_ms counts milliseconds since 1970-01-01T00:00:00Z (wall) or since some start (monotonic); which one, the name
 * says. Nothing here reads a clock: the clock comes from struct world (net/world.h). */
#ifndef TODOKE_BASE_TIME_H
#define TODOKE_BASE_TIME_H

#include "base/buf.h"

typedef int64_t time_ms;

#define SECONDS_MS(n) ((time_ms)(n)*1000)
#define MINUTES_MS(n) SECONDS_MS((n)*60)
#define HOURS_MS(n)   MINUTES_MS((n)*60)
#define DAYS_MS(n)    HOURS_MS((n)*24)

/* "2026-11-22T13:30:00.123Z" (RFC 3339, UTC). */
void time_rfc3339(struct buf *out, time_ms at);
/* RFC 3339 with Z or an offset, seconds' fraction optional. */
NODISCARD bool time_parse_rfc3339(struct slice text, time_ms *at);
/* "Sun, 22 Nov 2026 22:30:00 +0900" (RFC 5322 3.3). */
void time_rfc5322(struct buf *out, time_ms at, int offset_minutes);

#endif
