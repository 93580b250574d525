#include "queue/owed_notice.h"

#include <stdio.h>

static bool is_failure(const struct event *event)
{
    return (event->kind == EVENT_BOUNCED || event->kind == EVENT_EXPIRED) && !event->campaign_id &&
           event->delivery_id && (event->state_after == DELIVERY_BOUNCED || event->state_after == DELIVERY_EXPIRED);
}

bool notice_owe(struct db *db, struct fault *why, const struct event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &events[i];
        char status[24] = "";
        int64_t changed;
        if (!is_failure(event))
            continue;
        if (event->status[0])
            snprintf(status, sizeof(status), "%u.%u.%u", event->status[0], event->status[1], event->status[2]);
        if (!db_do(db, why,
                   "INSERT INTO notice_owed (delivery_id, message_id, address, at_ms, is_expired, status, diagnostic, "
                   "remote_mta) SELECT d.id, d.message_id, d.address, CAST($3 AS BIGINT), CAST($4 AS INTEGER), CAST($5 "
                   "AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT) FROM delivery d JOIN message m ON m.bucket = "
                   "(d.message_id & 255) AND m.id = d.message_id WHERE d.bucket = $1 AND d.id = $2 AND (m.flags & $8) "
                   "<> 0 ON CONFLICT DO NOTHING",
                   VALUES(V_INT(id_bucket(event->delivery_id)), V_INT((int64_t)event->delivery_id), V_INT(event->at),
                          V_INT(event->kind == EVENT_EXPIRED), V_STR(status), V_TEXT(event->diagnostic),
                          V_TEXT(event->remote_mta), V_INT(NOTICE_FLAG)),
                   &changed))
            return false;
        if (changed)
            db_mark(db, STORE_MARK_NOTICES);
    }
    return true;
}
