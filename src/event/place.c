#include "event/place.h"

#include "base/base64.h"

enum { BATCH = 500 };

/* ── cursors ── */

void event_place_print(const struct event_place *place, struct buf *out)
{
    SCOPED(buf) bytes = BUF(ID_BUCKETS * 10 + 1);
    buf_byte(&bytes, 1); /* the form's version */
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        uint64_t seq = place->seq[bucket];
        for (; seq >= 128; seq >>= 7)
            buf_byte(&bytes, (char)((seq & 127) | 128));
        buf_byte(&bytes, (char)seq);
    }
    base64url_encode(out, buf_slice(&bytes));
}

bool event_place_parse(struct slice text, struct event_place *place)
{
    SCOPED(buf) bytes = BUF(ID_BUCKETS * 10 + 1);
    size_t at = 1;
    if (text.len > EVENT_CURSOR_MAX || !base64url_decode(&bytes, text) || !buf_ok(&bytes) || !bytes.len ||
        bytes.ptr[0] != 1)
        return false;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        uint64_t seq = 0;
        unsigned shift = 0, byte = 128;
        while (byte & 128) {
            if (at == bytes.len || shift > 56)
                return false;
            byte = (unsigned char)bytes.ptr[at++];
            seq |= (uint64_t)(byte & 127) << shift;
            shift += 7;
        }
        if (seq > INT64_MAX)
            return false;
        place->seq[bucket] = seq;
    }
    return at == bytes.len;
}

bool event_place_now(struct db *db, struct event_place *place, struct fault *why)
{
    SCOPED(rows) rows = {0};
    *place = (struct event_place){0};
    if (!db_query(db, why, &rows, "SELECT bucket, seq FROM bucket_counter", NO_VALUES))
        return false;
    while (rows_next(&rows))
        place->seq[(unsigned)rows_int(&rows, 0) % ID_BUCKETS] = (uint64_t)rows_int(&rows, 1);
    return rows_end(&rows);
}

/* ── reading on ── */

static bool is_wished(const struct event_wish *wish, const struct brands *brands, const struct event *event)
{
    return (!wish->kinds || wish->kinds & EVENT_BIT(event->kind)) &&
           (!wish->campaign_id || event->campaign_id == wish->campaign_id) && brands_have(brands, event->brand_id);
}

bool event_page_next(struct db *db, struct event_wish *wish, const struct brands *brands,
                     const struct event_place *until, size_t limit,
                     void (*write)(void *context, const struct event *event), void *context, size_t *count,
                     bool *has_more, struct fault *why)
{
    struct event_place now = {0};
    size_t scanned = 0;
    *count = 0;
    *has_more = false;
    if (until)
        now = *until;
    else if (!event_place_now(db, &now, why))
        return false;
    for (unsigned bucket = 0; bucket < ID_BUCKETS; bucket++) {
        while (wish->place.seq[bucket] < now.seq[bucket]) {
            if (*count == limit || scanned >= EVENTS_SCANNED_MAX) {
                *has_more = true;
                return true;
            }
            SCOPED(arena) arena = {0};
            struct event_page page;
            size_t room = limit - *count < BATCH ? limit - *count : BATCH;
            if (!event_since(db, why, bucket, wish->place.seq[bucket], room, &arena, &page))
                return false;
            while (page.count && page.events[page.count - 1].seq > now.seq[bucket])
                page.count--; /* past the end, or come meanwhile: the next time */
            for (size_t i = 0; i < page.count; i++) {
                wish->place.seq[bucket] = page.events[i].seq;
                if (!is_wished(wish, brands, &page.events[i]))
                    continue;
                write(context, &page.events[i]);
                ++*count;
            }
            scanned += page.count + 1;
            if (!page.count)
                wish->place.seq[bucket] = now.seq[bucket]; /* they are older than what is kept */
        }
    }
    return true;
}

/* ── one event ── */

static bool has_verdict(enum event_kind kind)
{
    return kind == EVENT_DEFERRED || kind == EVENT_BOUNCED || kind == EVENT_EXPIRED || kind == EVENT_SUPPRESSED ||
           kind == EVENT_DELAY_NOTICE || kind == EVENT_COMPLAINT || kind == EVENT_AUTOREPLY || kind == EVENT_EXCLUDED ||
           kind == EVENT_UNVERIFIED;
}

void event_write(struct json *json, const struct event *event)
{
    json_object_begin(json);
    json_put_id(json, "id", event->id);
    json_put_time(json, "at", event->at);
    json_put_string(json, "kind", event_word(event->kind));
    json_put_int(json, "count", event->n ? event->n : 1);
    json_put_id(json, "delivery_id", event->delivery_id);
    json_put_id(json, "campaign_id", event->campaign_id);
    json_put_id(json, "contact_id", event->contact_id);
    json_put_id(json, "brand_id", event->brand_id);
    json_put_string(json, "address", event->address);
    json_put_string(json, "domain", event->domain);
    json_put_string(json, "state",
                    event->state_after < DELIVERY_STATE_COUNT ? delivery_word(event->state_after) : SLICE(""));
    json_put_string(json, "reason", has_verdict(event->kind) ? reason_word(event->verdict.reason) : SLICE(""));
    json_put_string(json, "fault", has_verdict(event->kind) ? whose_word(event->verdict.whose) : SLICE(""));
    json_put_int(json, "reply_code", event->code);
    json_put_string(json, "diagnostic", event->diagnostic);
    json_put_string(json, "remote_mta", event->remote_mta);
    json_put_int(json, "attempt", event->attempt);
    json_put_time(json, "next_attempt_at", event->next_attempt_at);
    json_put_string(json, "note", event->note);
    json_end(json);
}
