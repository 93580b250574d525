#include "api/message_json.h"

#include "api/explained.h"
#include "event/event.h"

enum { TIMELINE_MAX = 500 };

/* ── deliveries ── */

struct delivery_rows {
    struct json *json;
    const struct rules *rules;
    int64_t states[DELIVERY_STATE_COUNT];
};

static bool delivery_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct delivery_rows *rows = context;
    struct json *json = rows->json;
    int64_t number = rows_int(row, 2);
    enum delivery_state state =
        number >= 0 && number < DELIVERY_STATE_COUNT ? (enum delivery_state)number : DELIVERY_WAITING;
    rows->states[state]++;
    bool is_told = state == DELIVERY_DEFERRED || state == DELIVERY_BOUNCED || state == DELIVERY_EXPIRED ||
                   state == DELIVERY_SUPPRESSED;
    enum reason reason = (enum reason)rows_int(row, 8);
    json_object_begin(json);
    json_put_id(json, "id", (uint64_t)rows_int(row, 0));
    json_put_string(json, "email", rows_text(row, 1));
    json_put_string(json, "state", delivery_word(state));
    json_put_int(json, "attempts", rows_int(row, 3));
    json_put_time(json, "accepted_at", rows_int(row, 4));
    json_put_time(json, "changed_at", rows_int(row, 5));
    json_put_time(json, "next_attempt_at", delivery_is_owed(state) ? rows_int(row, 6) : 0);
    json_put_time(json, "expires_at", rows_int(row, 7));
    json_put_string(json, "reason", is_told ? reason_word(reason) : SLICE(""));
    json_put_string(json, "status", is_told ? rows_text(row, 9) : SLICE(""));
    json_put_string(json, "diagnostic", is_told ? rows_text(row, 10) : SLICE(""));
    json_put_id(json, "campaign_id", (uint64_t)rows_int(row, 11));
    json_put_id(json, "message_id", (uint64_t)rows_int(row, 12));
    json_put_id(json, "brand_id", (uint64_t)rows_int(row, 13));
    json_end(json);
    return true;
}

static bool deliveries_read(struct api *api, struct delivery_rows *rows, const uint64_t *ids, size_t count,
                            struct arena *arena, struct fault *why)
{
    struct value *values = ARENA_ARRAY(arena, struct value, count * 2 + 1);
    for (size_t i = 0; i < count; i++) {
        values[2 * i] = V_INT(id_bucket(ids[i]));
        values[2 * i + 1] = V_INT((int64_t)ids[i]);
    }
    return count == 0 ||
           db_query_many(api->db, why,
                         "SELECT d.id, d.written, d.state, d.attempts, d.accepted_ms, d.changed_ms, d.due_ms, "
                         "d.expires_ms, COALESCE(e.reason, 0), e.status, e.diagnostic, d.campaign_id, d.message_id, "
                         "d.brand_id FROM delivery d LEFT JOIN event e ON e.bucket = d.bucket AND e.seq = d.last_seq "
                         "AND d.last_seq > 0 WHERE d.bucket = $1 AND d.id = $2",
                         values, 2, count, delivery_take, rows);
}

bool deliveries_write(struct api *api, struct json *json, const uint64_t *ids, size_t count, struct arena *arena,
                      struct fault *why)
{
    struct delivery_rows rows = {.json = json, .rules = api->options.rules};
    return deliveries_read(api, &rows, ids, count, arena, why);
}

bool delivery_timeline_write(struct api *api, struct json *json, uint64_t id, struct arena *arena, struct fault *why)
{
    struct event_page page;
    if (!event_timeline(api->db, why, id, TIMELINE_MAX, arena, &page))
        return false;
    timeline_put(json, api->options.rules, &page, arena);
    return true;
}

bool delivery_brand(struct api *api, uint64_t id, uint64_t *brand_id, struct fault *why)
{
    int64_t brand = 0;
    bool found;
    if (!db_query_ints(api->db, why, "SELECT brand_id FROM delivery WHERE bucket = $1 AND id = $2",
                       VALUES(V_INT(id_bucket(id)), V_INT((int64_t)id)), &brand, 1, &found))
        return false;
    *brand_id = found ? (uint64_t)brand : 0;
    return true;
}

/* ── messages ── */

bool message_of_request(struct api *api, struct http_request *request, struct message *message)
{
    uint64_t id;
    struct fault why = {0};
    if (id_parse(http_param(request, "id"), &id) && message_find(api->db, &why, id, false, &request->arena, message) &&
        key_may_brand(&api_caller(request)->key.rights, message->brand_id))
        return true;
    if (why.kind != FAULT_NONE && why.kind != FAULT_INPUT)
        answer_fault(request, &why, 400);
    else
        answer_no_such(request, "message");
    return false;
}

static struct slice message_state(const struct message *message, const int64_t states[DELIVERY_STATE_COUNT],
                                  time_ms now)
{
    int64_t owed = 0;
    for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++)
        owed += delivery_is_owed((enum delivery_state)state) ? states[state] : 0;
    if (!owed)
        return SLICE("ended");
    return message->due > now ? SLICE("scheduled") : SLICE("sending");
}

bool message_write(struct api *api, struct json *json, const struct message *message, struct arena *arena,
                   struct fault *why)
{
    uint64_t *ids;
    size_t count;
    SCOPED(buf) list = BUF(ANSWER_MAX);
    struct json below = {&list};
    struct delivery_rows rows = {.json = &below, .rules = api->options.rules};
    if (!message_deliveries(api->db, why, message->id, arena, &ids, &count))
        return false;
    json_array_begin(&below);
    if (!deliveries_read(api, &rows, ids, count < MESSAGE_RECIPIENTS_SHOWN ? count : MESSAGE_RECIPIENTS_SHOWN, arena,
                         why))
        return false;
    json_end(&below);
    json_object_begin(json);
    json_put_id(json, "id", message->id);
    json_put_id(json, "brand_id", message->brand_id);
    json_put_string(json, "state", message_state(message, rows.states, api_now(api)));
    json_put_string(json, "subject", message->subject);
    json_put_string(json, "from", message->mail_from);
    json_put_string(json, "label", message->label);
    json_put_array(json, "tags");
    struct slice tags = message->tags, tag;
    while (tags.len && slice_split(&tags, '\n', &tag))
        json_text(json, tag);
    json_end(json);
    json_put_time(json, "created_at", message->now);
    json_put_time(json, "send_at", message->due);
    json_put_int(json, "recipient_count", (int64_t)count);
    json_put_object(json, "counts");
    for (unsigned state = 0; state < DELIVERY_STATE_COUNT; state++) {
        json_key_slice(json, delivery_word((enum delivery_state)state));
        json_int(json, rows.states[state]);
    }
    json_end(json);
    json_key(json, "deliveries");
    json_raw(json, buf_slice(&list));
    if (count == 1 && !delivery_timeline_write(api, json, ids[0], arena, why))
        return false;
    json_end(json);
    return buf_ok(&list) || fault_set(why, FAULT_LIMIT, "the answer is too big");
}
