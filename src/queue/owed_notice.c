#include "queue/owed_notice.h"

#include <stdio.h>

static bool is_of_mail(const struct event *event)
{
    return !event->campaign_id && event->delivery_id;
}

static bool is_failure(const struct event *event)
{
    return (event->kind == EVENT_BOUNCED || event->kind == EVENT_EXPIRED) && is_of_mail(event) &&
           (event->state_after == DELIVERY_BOUNCED || event->state_after == DELIVERY_EXPIRED);
}

static bool is_success(const struct event *event)
{
    return event->kind == EVENT_DELIVERED && is_of_mail(event) && event->state_after == DELIVERY_DELIVERED;
}

static bool is_try(const struct event *event)
{
    return event->kind == EVENT_DEFERRED && is_of_mail(event) && event->state_after == DELIVERY_DEFERRED;
}

/* The site guard (suppress/guard.h) does not believe that it failed. */
static bool is_taken_back(const struct event *event)
{
    return is_of_mail(event) && event->state_before == DELIVERY_BOUNCED && event->state_after == DELIVERY_HELD;
}

#define OWE                                                                                                            \
    "INSERT INTO notice_owed (delivery_id, kind, message_id, address, at_ms, is_expired, status, diagnostic, "         \
    "remote_mta, retry_until_ms) SELECT d.id, CAST($3 AS INTEGER), d.message_id, d.address, CAST($4 AS BIGINT), "      \
    "CAST($5 AS INTEGER), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS TEXT), d.expires_ms FROM delivery d JOIN "

static bool owe(struct db *db, struct fault *why, const char *sql, const struct event *event, enum notice_kind kind)
{
    char status[24] = "";
    int64_t changed;
    if (event->status[0])
        snprintf(status, sizeof(status), "%u.%u.%u", event->status[0], event->status[1], event->status[2]);
    if (!db_do(db, why, sql,
               VALUES(V_INT(id_bucket(event->delivery_id)), V_INT((int64_t)event->delivery_id), V_INT(kind),
                      V_INT(event->at), V_INT(event->kind == EVENT_EXPIRED), V_STR(status), V_TEXT(event->diagnostic),
                      V_TEXT(event->remote_mta), V_INT(kind == NOTICE_FAILED ? NOTICE_FLAG : (int)kind)),
               &changed))
        return false;
    if (changed)
        db_mark(db, STORE_MARK_NOTICES);
    return true;
}

static bool owe_failure(struct db *db, struct fault *why, const struct event *event)
{
    return owe(db, why,
               OWE "message m ON m.bucket = (d.message_id & 255) AND m.id = d.message_id WHERE d.bucket = $1 AND d.id "
                   "= $2 AND (m.flags & $9) <> 0 ON CONFLICT DO NOTHING",
               event, NOTICE_FAILED);
}

/* A delay is told of once: with the first failed try after the moment from which the mail is late. */
static bool owe_wished(struct db *db, struct fault *why, const struct event *event)
{
    if (is_success(event))
        return owe(db, why,
                   OWE "notice_wish w ON w.message_id = d.message_id WHERE d.bucket = $1 AND d.id = $2 AND (w.kinds & "
                       "$9) <> 0 ON CONFLICT DO NOTHING",
                   event, NOTICE_RELAYED);
    return owe(db, why,
               OWE "notice_wish w ON w.message_id = d.message_id WHERE d.bucket = $1 AND d.id = $2 AND (w.kinds & $9) "
                   "<> 0 AND w.delay_at_ms <= $4 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.bucket = d.bucket AND "
                   "e.delivery_id = d.id AND ((393226 >> e.kind) & 1) = 0 AND e.kind = 4 AND e.at_ms >= w.delay_at_ms) "
                   "ON CONFLICT DO NOTHING",
               event, NOTICE_DELAYED);
}
_Static_assert(EVENT_DEFERRED == 4, "the kind in the query above");

static bool some_wish(struct db *db, struct fault *why, bool *is_some)
{
    int64_t one;
    return db_query_ints(db, why, "SELECT 1 FROM notice_wish LIMIT 1", NO_VALUES, &one, 1, is_some);
}

bool notice_owe(struct db *db, struct fault *why, const struct event *events, size_t count)
{
    bool has_asked = false, is_some = false; /* hardly anybody wishes: one look for all these events */
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &events[i];
        if (is_failure(event) && !owe_failure(db, why, event))
            return false;
        if (is_taken_back(event) && !db_do(db, why, "DELETE FROM notice_owed WHERE delivery_id = $1 AND kind = $2",
                                           VALUES(V_INT((int64_t)event->delivery_id), V_INT(NOTICE_FAILED)), NULL))
            return false;
        if (!is_success(event) && !is_try(event))
            continue;
        if (!has_asked && !some_wish(db, why, &is_some))
            return false;
        has_asked = true;
        if (is_some && !owe_wished(db, why, event))
            return false;
    }
    return true;
}

bool notice_wish(struct db *db, struct fault *why, uint64_t message_id, unsigned kinds, time_ms delay_at, time_ms until)
{
    return db_do(db, why, "INSERT INTO notice_wish (message_id, kinds, delay_at_ms, until_ms) VALUES ($1, $2, $3, $4)",
                 VALUES(V_INT((int64_t)message_id), V_INT(kinds), V_INT(delay_at), V_INT(until)), NULL);
}

bool notice_wishes_sweep(struct db *db, struct fault *why, time_ms now)
{
    return db_do(db, why, "DELETE FROM notice_wish WHERE until_ms < $1", VALUES(V_INT(now)), NULL);
}
