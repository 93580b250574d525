/* unread.c - refusals whose words no rule knows, by likeness: what the next rules are learned from
 *
 * Only what a receiver of ours said: live, or by genuine mail. Anybody else could fill the table. */
#include "alarm/watch.h"

#include "base/utf8.h"
#include "bounce/likeness.h"
#include <stdio.h>

enum { SAMPLE_MAX = 500 };

/* Judged by status or code alone, or not at all; or by words that decide nothing. */
static bool is_unread(const struct event *event)
{
    if (event->kind != EVENT_BOUNCED && event->kind != EVENT_DEFERRED && event->kind != EVENT_EXPIRED)
        return false;
    if (event->origin == EVENT_ORIGIN_MAIL && event->authenticity != AUTHENTICITY_GENUINE)
        return false;
    if (!event->diagnostic.len ||
        (!event->code && event->origin != EVENT_ORIGIN_MAIL)) /* our own words: timeouts, DNS */
        return false;
    bool is_undecided = event->verdict.reason == REASON_ON_HOLD && !event->note.len; /* with a note: the guard's */
    return is_undecided || event->verdict.reason == REASON_UNDEFINED ||
           slice_starts(event->verdict.rule, SLICE("fallback."));
}

/* Events come bucket by bucket, not by their time. */
#define IS_FIRST "excluded.first_ms < unread_words.first_ms"
#define IS_LAST  "excluded.last_ms >= unread_words.last_ms"
#define LEARN                                                                                                          \
    "n = unread_words.n + 1, "                                                                                         \
    "sample = CASE WHEN " IS_FIRST " THEN excluded.sample ELSE unread_words.sample END, "                              \
    "first_ms = CASE WHEN " IS_FIRST " THEN excluded.first_ms ELSE unread_words.first_ms END, "                        \
    "last_sample = CASE WHEN " IS_LAST " THEN excluded.sample ELSE unread_words.last_sample END, "                     \
    "last_ms = CASE WHEN " IS_LAST " THEN excluded.last_ms ELSE unread_words.last_ms END"

static bool keep(struct db *db, struct fault *why, const struct event *event)
{
    SCOPED(buf) words = BUF(4 * LIKENESS_TEXT_MAX);
    char fingerprint[LIKENESS_FINGERPRINT], status[24] = "";
    likeness_write(event->diagnostic, &words);
    likeness_fingerprint(buf_slice(&words), fingerprint);
    if (event->status[0])
        snprintf(status, sizeof(status), "%u.%u.%u", event->status[0], event->status[1], event->status[2]);
    struct slice sample = utf8_head(event->diagnostic, SAMPLE_MAX);
    return db_do(db, why,
                 "INSERT INTO unread_words (fingerprint, words, sample, last_sample, receiver, code, status, stage, n, "
                 "first_ms, last_ms) VALUES ($1, $2, $3, $3, $4, $5, $6, $7, 1, $8, $8) ON CONFLICT (fingerprint) DO "
                 "UPDATE SET " LEARN,
                 VALUES(V_STR(fingerprint), V_TEXT(utf8_head(buf_slice(&words), 2 * SAMPLE_MAX)), V_TEXT(sample),
                        V_TEXT(event->domain), V_INT(event->code), V_STR(status), V_INT(event->stage),
                        V_INT(event->at)),
                 NULL);
}

/* The rarest and oldest make room. */
static bool make_room(struct db *db, struct fault *why)
{
    int64_t count;
    if (!db_query_ints(db, why, "SELECT COUNT(*) FROM unread_words", NO_VALUES, &count, 1, NULL))
        return false;
    return count <= UNREAD_ROWS_MAX ||
           db_do(db, why,
                 "DELETE FROM unread_words WHERE fingerprint IN (SELECT fingerprint FROM unread_words ORDER BY n, "
                 "last_ms LIMIT $1)",
                 VALUES(V_INT(count - UNREAD_ROWS_MAX)), NULL);
}

bool unread_take(struct db *db, struct fault *why, const struct event *events, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (!is_unread(&events[i]))
            continue;
        any = true;
        if (!keep(db, why, &events[i]))
            return false;
    }
    return !any || make_room(db, why);
}

bool unread_list(struct db *db, struct fault *why, size_t limit, struct arena *arena, struct unread_row **out,
                 size_t *count)
{
    SCOPED(rows) rows = {0};
    *out = ARENA_ARRAY(arena, struct unread_row, limit);
    *count = 0;
    if (!db_query(db, why, &rows,
                  "SELECT fingerprint, words, sample, last_sample, receiver, code, status, stage, n, first_ms, last_ms "
                  "FROM unread_words ORDER BY n DESC, last_ms DESC LIMIT $1",
                  VALUES(V_INT((int64_t)limit))))
        return false;
    while (*count < limit && rows_next(&rows)) {
        int64_t stage = rows_int(&rows, 7);
        (*out)[(*count)++] = (struct unread_row){
            .fingerprint = arena_copy(arena, rows_text(&rows, 0)),
            .words = arena_copy(arena, rows_text(&rows, 1)),
            .sample = arena_copy(arena, rows_text(&rows, 2)),
            .last_sample = arena_copy(arena, rows_text(&rows, 3)),
            .receiver = arena_copy(arena, rows_text(&rows, 4)),
            .code = (int)rows_int(&rows, 5),
            .status = arena_copy(arena, rows_text(&rows, 6)),
            .stage = stage_word(stage > 0 && stage < STAGE_COUNT ? (enum stage)stage : STAGE_UNKNOWN),
            .n = rows_int(&rows, 8),
            .first = rows_int(&rows, 9),
            .last = rows_int(&rows, 10),
        };
    }
    return rows_end(&rows);
}
