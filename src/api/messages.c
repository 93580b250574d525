/* messages.c - mail that programs send: accepted, shown, cancelled */
#include "api/sending.h"

#include "api/explained.h"
#include "api/message_json.h"
#include "api/page.h"
#include "api/suppression_json.h"
#include "queue/ledger.h"

#define SENDING_OF(ptr, member) ((struct sending *)(void *)((char *)(ptr)-offsetof(struct sending, member)))

/* ── the transaction ── */

/* Those whom we do not write to are deliveries too: ended at once, and told so (U13). */
static bool settle_suppressed(struct sending *sending, struct db *db, const struct submit_row *rows,
                              const unsigned char *suppressed, struct suppression *found, struct fault *why)
{
    struct ledger_move *moves = ARENA_ARRAY(&sending->work, struct ledger_move, sending->count);
    const struct ledger ledger = {0};
    size_t count = 0;
    for (size_t i = 0; i < sending->count; i++) {
        bool is_suppressed;
        if (!suppressed[i])
            continue;
        if (!suppress_check(db, why, rows[i].address, sending->message.brand_id, SLICE(""), sending->message.now,
                            &is_suppressed, &sending->work, &found[i]))
            return false;
        moves[count++] = (struct ledger_move){
            .event = {.kind = EVENT_SUPPRESSED,
                      .at = sending->message.now,
                      .bucket = id_bucket(rows[i].delivery_id),
                      .delivery_id = rows[i].delivery_id,
                      .address = rows[i].address,
                      .brand_id = sending->message.brand_id,
                      .domain = slice_from(rows[i].address, (size_t)slice_find_last_byte(rows[i].address, '@') + 1),
                      .verdict = {.reason = found[i].reason},
                      .note = suppress_word(found[i].why),
                      .state_before = DELIVERY_WAITING,
                      .state_after = DELIVERY_SUPPRESSED},
            .from = LEDGER_BIT(DELIVERY_WAITING),
            .is_before_known = true,
        };
    }
    return count == 0 || ledger_settle(&ledger, db, why, moves, count);
}

static bool data_keep(struct sending *sending, struct db *db, const struct submit_row *rows,
                      const struct sending_person *const *people, struct fault *why)
{
    struct message_data *data = ARENA_ARRAY(&sending->work, struct message_data, sending->count);
    size_t count = 0;
    for (size_t i = 0; i < sending->count; i++)
        if (people[i]->name.len || people[i]->data.len)
            data[count++] = (struct message_data){rows[i].delivery_id, people[i]->name, people[i]->data};
    return message_data_keep(db, why, data, count);
}

static void answer_write(struct sending *sending, const struct submit_row *rows,
                         const struct sending_person *const *people, const unsigned char *suppressed,
                         const struct suppression *found)
{
    struct json json = {&sending->answer};
    /* in the order of the request */
    const size_t *order = NULL;
    size_t *places = ARENA_ARRAY(&sending->work, size_t, sending->count);
    for (size_t i = 0; i < sending->count; i++)
        places[people[i] - sending->people] = i;
    order = places;
    json_object_begin(&json);
    json_put_id(&json, "id", sending->message.id);
    json_put_string(&json, "state", sending->is_scheduled ? SLICE("scheduled") : SLICE("accepted"));
    json_put_time(&json, "send_at", sending->message.due);
    json_put_array(&json, "recipients");
    for (size_t n = 0; n < sending->count; n++) {
        size_t i = order[n];
        json_object_begin(&json);
        json_put_string(&json, "email", people[i]->email);
        json_put_id(&json, "delivery_id", rows[i].delivery_id);
        json_put_string(&json, "state", suppressed[i] ? SLICE("suppressed") : SLICE("accepted"));
        json_put_string(&json, "reason", suppressed[i] ? suppression_reason(&found[i]) : SLICE(""));
        json_end(&json);
    }
    json_end(&json);
    json_end(&json);
}

/* message_submit sorts the rows: find the person of each again. */
static const struct sending_person **people_of(struct sending *sending, const struct submit_row *rows)
{
    const struct sending_person **people = ARENA_ARRAY(&sending->work, const struct sending_person *, sending->count);
    SCOPED(map) by_address = {0};
    for (size_t i = 0; i < sending->count && sending->count > 1; i++)
        map_set(&by_address, sending->people[i].identity, &sending->people[i]);
    for (size_t i = 0; i < sending->count; i++)
        people[i] = sending->count > 1 ? map_get(&by_address, rows[i].address) : sending->people;
    return people;
}

static bool sending_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct sending *sending = SENDING_OF(job, job);
    arena_reset(&sending->work);
    buf_reset(&sending->answer);
    sending->news_count = 0;
    sending->status = 202;
    if (!repeat_find(&sending->repeat, db, sending->message.now, &sending->repeated, &sending->status, &sending->answer,
                     why))
        return false;
    if (sending->repeated != REPEAT_NEW)
        return true;
    struct submit_row *rows = ARENA_ARRAY(&sending->work, struct submit_row, sending->count);
    struct slice *identities = ARENA_ARRAY(&sending->work, struct slice, sending->count);
    unsigned char *suppressed = arena_zero(&sending->work, sending->count);
    struct suppression *found = ARENA_ARRAY(&sending->work, struct suppression, sending->count);
    for (size_t i = 0; i < sending->count; i++) {
        rows[i].address = sending->people[i].identity;
        rows[i].written = sending->people[i].written;
    }
    if (!message_submit(db, why, &sending->message, rows, sending->count, &sending->work, &sending->news,
                        &sending->news_count))
        return false;
    for (size_t i = 0; i < sending->count; i++)
        identities[i] = rows[i].address;
    const struct sending_person **people = people_of(sending, rows);
    if (!suppress_check_many(db, why, identities, sending->count, sending->message.brand_id, SLICE(""),
                             sending->message.now, suppressed) ||
        !sending_files_keep(sending, db, why) || !settle_suppressed(sending, db, rows, suppressed, found, why) ||
        !data_keep(sending, db, rows, people, why))
        return false;
    answer_write(sending, rows, people, suppressed, found);
    return repeat_keep(&sending->repeat, db, sending->message.now, sending->status, buf_slice(&sending->answer), why);
}

static void sending_done(struct write_job *job, const struct fault *why)
{
    struct sending *sending = SENDING_OF(job, job);
    const struct api_options *options = &sending->api->options;
    if (why)
        sending->why = *why;
    else if (sending->news_count && options->submitted)
        options->submitted(options->owner, sending->news, sending->news_count);
    http_resume(&sending->later);
}

/* M9 (RFC 7505 4.2): no error mail and no answer could ever come back. */
static void from_refuse(struct http_request *request, struct slice domain)
{
    answer_problem(
        request, 400, "from",
        "%.*s says in the DNS that it takes no mail (a null MX), so no answer could come back, and receivers "
        "refuse such senders (550 5.7.27); write from a domain that has a mailbox, or take its null MX away",
        SLICE_ARG(slice_head(domain, 253)));
}

static void sending_resumed(struct http_later *later, struct http_request *request)
{
    struct sending *sending = SENDING_OF(later, later);
    sending->api->writes--;
    if (!request) { /* the client has gone */
    } else if (sending->is_from_nowhere) {
        from_refuse(request, sending->message.from_domain);
    } else if (sending->why.kind != FAULT_NONE) {
        answer_fault(request, &sending->why, 400);
    } else if (sending->repeated == REPEAT_OTHER) {
        answer_problem(request, 409, "Idempotency-Key",
                       "this Idempotency-Key was used for another request; take a new one");
    } else {
        if (sending->repeated == REPEAT_KNOWN)
            http_set(request, "Idempotent-Replayed", SLICE("true"));
        http_respond(request, sending->status, "application/json", buf_slice(&sending->answer));
    }
    sending_free(sending);
}

static void from_told(void *owner, bool is_published)
{
    struct sending *sending = owner;
    sending->is_from_nowhere = is_published;
    if (is_published)
        http_resume(&sending->later);
    else
        store_write(sending->api->options.store, &sending->job);
}

void api_message_send(struct api *api, struct http_request *request)
{
    struct sending *sending = sending_read(api, request);
    if (!sending)
        return;
    sending->job = (struct write_job){.run = sending_run,
                                      .done = sending_done,
                                      .rows = (unsigned)(4 + 2 * sending->count + 16 * sending->link_count),
                                      .fails_fast = true};
    enum null_mx_said said =
        api->null_mx ? null_mx_known(api->null_mx, sending->message.from_domain) : NULL_MX_TAKES_MAIL;
    if (said == NULL_MX_PUBLISHED) {
        from_refuse(request, sending->message.from_domain);
        return sending_free(sending);
    }
    api->writes++;
    http_suspend(request, &sending->later, sending_resumed);
    if (said == NULL_MX_NOT_KNOWN)
        null_mx_ask(api->null_mx, sending->message.from_domain, from_told, sending);
    else
        store_write(api->options.store, &sending->job);
}

/* ── looking ── */

struct message_rows {
    struct json *json;
};
static bool message_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct json *json = ((struct message_rows *)context)->json;
    json_object_begin(json);
    json_put_id(json, "id", (uint64_t)rows_int(row, 0));
    json_put_id(json, "brand_id", (uint64_t)rows_int(row, 1));
    json_put_string(json, "from", rows_text(row, 2));
    json_put_string(json, "subject", rows_text(row, 3));
    json_put_string(json, "label", rows_text(row, 4));
    json_put_array(json, "tags");
    struct slice tags = rows_text(row, 5), tag;
    while (tags.len && slice_split(&tags, '\n', &tag))
        json_text(json, tag);
    json_end(json);
    json_put_time(json, "created_at", rows_int(row, 6));
    json_put_time(json, "send_at", rows_int(row, 7));
    json_put_int(json, "recipient_count", rows_int(row, 8) / 8);
    json_end(json);
    return true;
}

/* What stands between line breaks of `tags`, whole. */
static struct slice tag_pattern(struct slice tag, struct arena *arena)
{
    struct slice like = db_like(tag, arena); /* %tag% */
    return arena_printf(arena, "%%\n%.*s\n%%", (int)(like.len - 2), like.ptr + 1);
}

void api_message_list(struct api *api, struct http_request *request)
{
    unsigned limit;
    uint64_t before;
    struct slice label, tag;
    struct fault why = {0};
    struct page_ids page;
    struct value more[2];
    size_t count = 0;
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) sql = BUF(8192);
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (!page_by_id(request, &limit, &before) || !query_text(request, "label", &label) ||
        !query_text(request, "tag", &tag))
        return;
    buf_text(&sql, "SELECT id FROM message WHERE bucket = $1 AND id < $2");
    brands_condition(&brands, "brand_id", &sql);
    if (label.len) {
        more[count++] = V_TEXT(label);
        buf_printf(&sql, " AND label = $%zu", count + 3);
    }
    if (tag.len) {
        more[count++] = V_TEXT(tag_pattern(tag, &request->arena));
        buf_printf(&sql, " AND '\n' || tags || '\n' LIKE $%zu ESCAPE '\\'", count + 3);
    }
    buf_text(&sql, " ORDER BY id DESC LIMIT $3");
    struct message_rows rows = {&json};
    bool ok = page_ids(api->db, buf_cstr(&sql), more, count, before, limit, &request->arena, &page, &why);
    json_object_begin(&json);
    json_put_array(&json, "items");
    ok = ok && page_rows(api->db, &page,
                         "SELECT id, brand_id, mail_from, subject, label, tags, created_ms, due_ms, "
                         "length(deliveries) FROM message WHERE bucket = $1 AND id = $2",
                         message_take, &rows, &request->arena, &why);
    if (!ok) {
        answer_fault(request, &why, 400);
        return;
    }
    json_end(&json);
    page_close(&json, page.count ? page.ids[page.count - 1] : 0, page.has_more);
    answer_json(request, &out);
}

void api_message_show(struct api *api, struct http_request *request)
{
    struct message message;
    struct fault why = {0};
    if (!message_of_request(api, request, &message))
        return;
    SCOPED(buf) out = BUF(ANSWER_MAX);
    struct json json = {&out};
    if (message_write(api, &json, &message, &request->arena, &why))
        answer_json(request, &out);
    else
        answer_fault(request, &why, 404);
}

/* ── cancelling: what is not yet on the wire ── */

struct cancelling {
    struct write_job job;
    struct http_later later;
    struct api *api;
    uint64_t message_id;
    size_t cancelled;
    struct fault why;
};
#define CANCELLING_OF(ptr, member) ((struct cancelling *)(void *)((char *)(ptr)-offsetof(struct cancelling, member)))

struct cancel_rows {
    struct ledger_move *moves;
    size_t count;
    time_ms now;
    struct arena *arena;
};

static bool cancel_take(void *context, size_t index, const struct rows *row, struct fault *why)
{
    struct cancel_rows *rows = context;
    rows->moves[rows->count++] = (struct ledger_move){
        .event = {.kind = EVENT_CANCELLED,
                  .at = rows->now,
                  .bucket = id_bucket((uint64_t)rows_int(row, 0)),
                  .delivery_id = (uint64_t)rows_int(row, 0),
                  .address = arena_copy(rows->arena, rows_text(row, 1)),
                  .brand_id = (uint64_t)rows_int(row, 2),
                  .domain = arena_copy(rows->arena, rows_text(row, 3)),
                  .state_before = (enum delivery_state)rows_int(row, 4),
                  .state_after = DELIVERY_CANCELLED,
                  .note = SLICE("api")},
        .from = LEDGER_BIT(DELIVERY_WAITING) | LEDGER_BIT(DELIVERY_DEFERRED) | LEDGER_BIT(DELIVERY_HELD),
        .is_before_known = true,
    };
    return true;
}

static bool cancelling_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct cancelling *cancelling = CANCELLING_OF(job, job);
    const struct ledger ledger = {0};
    SCOPED(arena) arena = {0};
    uint64_t *ids;
    size_t count;
    cancelling->cancelled = 0;
    if (!message_deliveries(db, why, cancelling->message_id, &arena, &ids, &count))
        return false;
    struct cancel_rows rows = {
        .moves = ARENA_ARRAY(&arena, struct ledger_move, count + 1), .now = api_now(cancelling->api), .arena = &arena};
    struct value *values = ARENA_ARRAY(&arena, struct value, count * 2 + 1);
    for (size_t i = 0; i < count; i++) {
        values[2 * i] = V_INT(id_bucket(ids[i]));
        values[2 * i + 1] = V_INT((int64_t)ids[i]);
    }
    if (count && !db_query_many(db, why,
                                "SELECT d.id, d.address, d.brand_id, l.domain, d.state FROM delivery d JOIN lane l ON "
                                "l.id = d.lane_id WHERE d.bucket = $1 AND d.id = $2 AND d.state IN (0, 1, 2)",
                                values, 2, count, cancel_take, &rows))
        return false;
    if (rows.count && !ledger_settle(&ledger, db, why, rows.moves, rows.count))
        return false;
    for (size_t i = 0; i < rows.count; i++)
        cancelling->cancelled += rows.moves[i].is_moved;
    return true;
}

static void cancelling_done(struct write_job *job, const struct fault *why)
{
    struct cancelling *cancelling = CANCELLING_OF(job, job);
    if (why)
        cancelling->why = *why;
    http_resume(&cancelling->later);
}

static void cancelling_resumed(struct http_later *later, struct http_request *request)
{
    struct cancelling *cancelling = CANCELLING_OF(later, later);
    struct api *api = cancelling->api;
    struct fault why = {0};
    api->writes--;
    if (!request) { /* the client has gone */
    } else if (cancelling->why.kind != FAULT_NONE) {
        answer_fault(request, &cancelling->why, 404);
    } else if (!cancelling->cancelled) {
        answer_problem(request, 409, "", "nothing of this message waits any more");
    } else {
        struct message message;
        SCOPED(buf) out = BUF(ANSWER_MAX);
        struct json json = {&out};
        if (message_find(api->db, &why, cancelling->message_id, false, &request->arena, &message) &&
            message_write(api, &json, &message, &request->arena, &why))
            answer_json(request, &out);
        else
            answer_fault(request, &why, 404);
    }
    free(cancelling);
    api_changed(api);
}

void api_message_cancel(struct api *api, struct http_request *request)
{
    struct message message;
    if (!message_of_request(api, request, &message))
        return;
    struct cancelling *cancelling = NEW(struct cancelling);
    *cancelling = (struct cancelling){.job = {.run = cancelling_run, .done = cancelling_done, .fails_fast = true},
                                      .api = api,
                                      .message_id = message.id};
    api->writes++;
    http_suspend(request, &cancelling->later, cancelling_resumed);
    store_write(api->options.store, &cancelling->job);
}
