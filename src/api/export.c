/* export.c - everything of a kind as one stream: CSV (UTF-8 with BOM, or CP932), JSON, JSON lines
 *
 *     begun --a bucket's next rows, while the reader takes them--> ... --the last bucket--> ended
 *
 * One step reads STEP_ROWS rows in one turn of the loop. A CSV cell that a spreadsheet would take for a formula gets an
 * apostrophe (X10). */
#include "api/inside.h"

#include "api/message_json.h"
#include "api/people.h"
#include "api/suppression_json.h"
#include "api/visitor.h"
#include "audience/csv.h"
#include "mime/charset.h"
#include <stdio.h>

enum { STEP_ROWS = 500, PIECE_MAX = 16 << 20, EXPORTS_MOST = 20, CELLS_MAX = 16 };

enum export_format { EXPORT_CSV, EXPORT_JSON, EXPORT_LINES };

struct cells {
    const char *names[CELLS_MAX];
    struct slice texts[CELLS_MAX];
    bool is_raw[CELLS_MAX]; /* JSON already */
    size_t count;
    struct arena *arena;
};
static void cell(struct cells *cells, const char *name, struct slice text)
{
    cells->names[cells->count] = name;
    cells->texts[cells->count++] = text;
}
static void cell_time(struct cells *cells, const char *name, time_ms at)
{
    SCOPED(buf) out = BUF(40);
    if (at)
        time_rfc3339(&out, at);
    cell(cells, name, arena_copy(cells->arena, buf_slice(&out)));
}
static void cell_id(struct cells *cells, const char *name, uint64_t id)
{
    cell(cells, name, id ? arena_printf(cells->arena, "%llu", (unsigned long long)id) : SLICE(""));
}

/* What is exported: rows of one bucket behind a key: a number in the first column, or a text and a number in the first
 * two. */
struct export_kind {
    const char *name, *select, *order; /* "SELECT ... WHERE bucket = $1 AND id > $2", "id" */
    bool has_text_key;                 /* $2 is the text, $3 the number */
    void (*cells)(const struct rows *row, struct cells *cells);
};

struct exporting {
    struct api *api;
    struct http_request *request; /* NULL: gone */
    struct visitor visitor;
    const struct export_kind *kind;
    enum export_format format;
    iconv_t converter; /* (iconv_t)-1: UTF-8 */
    struct buf condition;
    struct buf after; /* text keys */
    int64_t after_id;
    unsigned bucket;
    bool is_begun, in_step;
    struct buf pending;
    struct timer timer;
};

static void exporting_free(struct exporting *exporting)
{
    struct api *api = exporting->api;
    timer_clear(&exporting->timer);
    if (exporting->converter != (iconv_t)-1)
        iconv_close(exporting->converter);
    buf_release(&exporting->condition);
    buf_release(&exporting->after);
    buf_release(&exporting->pending);
    free(exporting);
    api->exports--;
}

/* ── one row ── */

static void csv_row(struct buf *out, const struct cells *cells, bool is_head)
{
    for (size_t i = 0; i < cells->count; i++) {
        if (i)
            buf_byte(out, ',');
        csv_put(out, is_head ? slice_str(cells->names[i]) : cells->texts[i]);
    }
    buf_text(out, "\r\n");
}

static void json_row(struct buf *out, const struct cells *cells)
{
    struct json json = {out};
    json_object_begin(&json);
    for (size_t i = 0; i < cells->count; i++) {
        json_key_slice(&json, slice_str(cells->names[i]));
        if (cells->is_raw[i])
            json_raw(&json, cells->texts[i]);
        else
            json_text(&json, cells->texts[i]);
    }
    json_end(&json);
}

static void row_write(struct exporting *exporting, const struct rows *row, struct buf *out, struct arena *arena)
{
    struct cells cells = {.arena = arena};
    exporting->kind->cells(row, &cells);
    if (exporting->format == EXPORT_CSV) {
        if (!exporting->is_begun)
            csv_row(out, &cells, true);
        csv_row(out, &cells, false);
    } else {
        if (exporting->format == EXPORT_JSON)
            buf_str(out, exporting->is_begun ? ",\n" : "[\n");
        json_row(out, &cells);
        if (exporting->format == EXPORT_LINES)
            buf_byte(out, '\n');
    }
    exporting->is_begun = true;
}

/* ── a step ── */

static bool bucket_read(struct exporting *exporting, struct buf *out, size_t *rows_read, struct fault *why)
{
    const struct export_kind *kind = exporting->kind;
    SCOPED(buf) sql = BUF(65536);
    SCOPED(rows) rows = {0};
    SCOPED(arena) arena = {0};
    buf_printf(&sql, "%s%.*s ORDER BY %s LIMIT %d", kind->select, SLICE_ARG(buf_slice(&exporting->condition)),
               kind->order, STEP_ROWS);
    *rows_read = 0;
    const struct value bucket = V_INT(exporting->bucket), after = V_INT(exporting->after_id);
    if (!(kind->has_text_key ? db_query(exporting->api->db, why, &rows, buf_cstr(&sql),
                                        VALUES(bucket, V_TEXT(buf_slice(&exporting->after)), after))
                             : db_query(exporting->api->db, why, &rows, buf_cstr(&sql), VALUES(bucket, after))))
        return false;
    while (rows_next(&rows)) {
        if (kind->has_text_key) {
            buf_reset(&exporting->after);
            buf_append(&exporting->after, rows_text(&rows, 0));
        }
        exporting->after_id = rows_int(&rows, kind->has_text_key);
        row_write(exporting, &rows, out, &arena);
        ++*rows_read;
    }
    return rows_end(&rows);
}

/* UTF-8 into the charset asked for; what it has not becomes '?'. */
static void convert(struct exporting *exporting, struct buf *text)
{
    if (exporting->converter == (iconv_t)-1)
        return;
    struct buf out = BUF(PIECE_MAX);
    char *from = text->ptr;
    size_t left = text->len;
    while (left) {
        char piece[4096], *to = piece;
        size_t room = sizeof(piece);
        size_t done = iconv(exporting->converter, &from, &left, &to, &room);
        buf_append(&out, slice_of(piece, sizeof(piece) - room));
        if (done == (size_t)-1 && left && room > 8) { /* a character it cannot write */
            buf_byte(&out, '?');
            do {
                from++;
                left--;
            } while (left && ((unsigned char)*from & 0xc0) == 0x80);
        }
    }
    buf_release(text);
    *text = out;
}

static bool piece_send(struct exporting *exporting)
{
    if (!exporting->pending.len)
        return true;
    if (!http_send(exporting->request, buf_slice(&exporting->pending)))
        return false;
    buf_reset(&exporting->pending);
    return true;
}

static void export_end(struct exporting *exporting)
{
    struct http_request *request = exporting->request;
    request->on_gone = NULL;
    request->on_room = NULL;
    exporting->request = NULL;
    http_end(request);
}

/* Cut it off: half an export must not look whole. */
static void export_break(struct exporting *exporting)
{
    struct http_request *request = exporting->request;
    exporting->request = NULL;
    http_cut(request);
}

/* The next rows into `pending`. False: they cannot be read, or are too many bytes. */
static bool piece_read(struct exporting *exporting)
{
    struct fault why = {0};
    size_t rows = 0, read;
    while (exporting->bucket < ID_BUCKETS && rows < STEP_ROWS) {
        if (!bucket_read(exporting, &exporting->pending, &read, &why))
            return false;
        rows += read;
        if (read < STEP_ROWS) {
            exporting->bucket++;
            exporting->after_id = 0;
            buf_reset(&exporting->after);
        }
    }
    if (exporting->bucket == ID_BUCKETS && exporting->format == EXPORT_JSON)
        buf_str(&exporting->pending, exporting->is_begun ? "\n]\n" : "[]\n");
    convert(exporting, &exporting->pending);
    return buf_ok(&exporting->pending);
}

static void export_step(struct timer *timer)
{
    struct exporting *exporting = timer->owner;
    exporting->in_step = true;
    if (exporting->request && piece_send(exporting)) { /* else on_room goes on */
        if (exporting->bucket == ID_BUCKETS)
            export_end(exporting);
        else if (!visitor_may_stay(exporting->api, &exporting->visitor) || !piece_read(exporting))
            export_break(exporting);
        else if (piece_send(exporting))
            timer_set(timer, 0);
    }
    exporting->in_step = false;
    if (!exporting->request)
        exporting_free(exporting);
}

static void export_gone(struct http_request *request)
{
    struct exporting *exporting = request->user;
    exporting->request = NULL;
    if (!exporting->in_step)
        exporting_free(exporting);
}

static void export_room(struct http_request *request)
{
    timer_set(&((struct exporting *)request->user)->timer, 0);
}

/* ── beginning ── */

static bool format_read(struct http_request *request, enum export_format *format, bool *is_cp932)
{
    struct slice text;
    *format = EXPORT_CSV;
    *is_cp932 = false;
    if (http_query(request, "format", &text) && text.len && !slice_equal(text, SLICE("csv"))) {
        if (!slice_equal(text, SLICE("json")) && !slice_equal(text, SLICE("ndjson"))) {
            answer_problem(request, 400, "format", "format is csv, json or ndjson");
            return false;
        }
        *format = slice_equal(text, SLICE("json")) ? EXPORT_JSON : EXPORT_LINES;
    }
    if (http_query(request, "charset", &text) && text.len && !slice_equal_caseless(text, SLICE("utf-8"))) {
        *is_cp932 = slice_equal_caseless(text, SLICE("cp932")) || slice_equal_caseless(text, SLICE("shift_jis"));
        if (!*is_cp932 || *format != EXPORT_CSV) {
            answer_problem(request, 400, "charset", "charset is utf-8, or for CSV cp932");
            return false;
        }
    }
    return true;
}

/* condition: behind the kind's WHERE. */
static void export_begin(struct api *api, struct http_request *request, const struct export_kind *kind,
                         struct slice condition)
{
    enum export_format format;
    bool is_cp932;
    if (!format_read(request, &format, &is_cp932))
        return;
    if (api->exports >= EXPORTS_MOST || api->is_stopping) {
        http_set(request, "Retry-After", SLICE("30"));
        answer_problem(request, 503, "", "too many exports are under way; try again shortly");
        return;
    }
    struct exporting *exporting = NEW(struct exporting);
    *exporting = (struct exporting){.api = api,
                                    .request = request,
                                    .kind = kind,
                                    .format = format,
                                    .converter = is_cp932 ? charset_converter("CP932", "UTF-8") : (iconv_t)-1,
                                    .condition = BUF(65536),
                                    .after = BUF(4096),
                                    .pending = BUF(PIECE_MAX)};
    visitor_of(api, request, &exporting->visitor);
    api->exports++;
    buf_append(&exporting->condition, condition);
    if (format == EXPORT_CSV && !is_cp932)
        buf_text(&exporting->pending, "\xef\xbb\xbf");
    timer_init(&exporting->timer, api->loop, export_step, exporting);
    static const char *const types[] = {"text/csv; charset=utf-8", "application/json", "application/x-ndjson"};
    static const char *const endings[] = {"csv", "json", "ndjson"};
    http_set(request, "Content-Disposition",
             arena_printf(&request->arena, "attachment; filename=\"%s.%s\"", kind->name, endings[format]));
    request->user = exporting;
    request->on_gone = export_gone;
    request->on_room = export_room;
    http_begin(request, 200, is_cp932 ? "text/csv; charset=Shift_JIS" : types[format]);
    timer_set(&exporting->timer, 0);
}

/* ── contacts ── */

static void contact_cells(const struct rows *row, struct cells *cells)
{
    cell_id(cells, "id", (uint64_t)rows_int(row, 0));
    cell(cells, "email", rows_text(row, 1));
    cell(cells, "name", rows_text(row, 2));
    cell(cells, "consent", rows_text(row, 3));
    cell_time(cells, "created_at", rows_int(row, 4));
    cell_time(cells, "updated_at", rows_int(row, 5));
    cells->is_raw[cells->count] = true;
    cell(cells, "fields", rows_text(row, 6));
}

void api_contact_export(struct api *api, struct http_request *request)
{
    static const struct export_kind kind = {
        .name = "contacts",
        .select =
            "SELECT id, written, name, consent, created_ms, updated_ms, fields FROM contact WHERE bucket = $1 AND "
            "id > $2 AND moved_to = 0",
        .order = "id",
        .cells = contact_cells,
    };
    struct slice text;
    uint64_t list_id = 0;
    struct list list;
    struct fault why = {0};
    bool found = true;
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) condition = BUF(65536);
    if (http_query(request, "list", &text) && text.len) {
        found = id_parse(text, &list_id);
        if (found && !list_is_seen(api->db, brands, list_id, &request->arena, &list, &found, &why)) {
            answer_fault(request, &why, 400);
            return;
        }
    }
    if (!found)
        answer_problem(request, 400, "list", "there is no such list");
    else if (!seen_condition(api->db, brands, list_id, &condition, &why))
        answer_fault(request, &why, 400);
    else
        export_begin(api, request, &kind, buf_slice(&condition));
}

/* ── suppressions ── */

static void suppression_cells(const struct rows *row, struct cells *cells)
{
    struct suppression found = {.reason = (enum reason)rows_int(row, 3)};
    if (!suppress_of(rows_text(row, 2), &found.why))
        found.why = SUPPRESS_BY_HAND;
    cell(cells, "email", rows_text(row, 0));
    cell_id(cells, "brand_id", (uint64_t)rows_int(row, 1));
    cell(cells, "reason", suppression_reason(&found));
    cell_time(cells, "since", rows_int(row, 4));
    cell_time(cells, "expires_at", rows_int(row, 5));
}

void api_suppression_export(struct api *api, struct http_request *request)
{
    static const struct export_kind kind = {
        .name = "suppressions",
        .select = "SELECT address, brand_id, why, reason, since_ms, expires_ms FROM suppression WHERE bucket = $1 AND "
                  "(address, brand_id) > ($2, $3) AND topic = ''",
        .order = "address, brand_id",
        .has_text_key = true,
        .cells = suppression_cells,
    };
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) condition = BUF(8192);
    suppress_brands_condition(&brands, &condition);
    export_begin(api, request, &kind, buf_slice(&condition));
}

/* ── deliveries of a campaign ── */

static void delivery_cells(const struct rows *row, struct cells *cells)
{
    int64_t state = rows_int(row, 2);
    cell_id(cells, "id", (uint64_t)rows_int(row, 0));
    cell(cells, "email", rows_text(row, 1));
    cell(cells, "state",
         delivery_word(state >= 0 && state < DELIVERY_STATE_COUNT ? (enum delivery_state)state : DELIVERY_WAITING));
    cell(cells, "attempts", arena_printf(cells->arena, "%lld", (long long)rows_int(row, 3)));
    cell_time(cells, "changed_at", rows_int(row, 4));
    bool is_told = state == DELIVERY_DEFERRED || state == DELIVERY_BOUNCED || state == DELIVERY_EXPIRED;
    cell(cells, "reason", is_told ? reason_word((enum reason)rows_int(row, 5)) : SLICE(""));
    cell(cells, "status", is_told ? rows_text(row, 6) : SLICE(""));
    cell(cells, "diagnostic", is_told ? rows_text(row, 7) : SLICE(""));
}

void api_delivery_export(struct api *api, struct http_request *request)
{
    static const struct export_kind kind = {
        .name = "deliveries",
        .select = "SELECT d.id, d.written, d.state, d.attempts, d.changed_ms, COALESCE(e.reason, 0), e.status, "
                  "e.diagnostic FROM delivery d LEFT JOIN event e ON e.bucket = d.bucket AND e.seq = d.last_seq AND "
                  "d.last_seq > 0 WHERE d.bucket = $1 AND d.id > $2",
        .order = "d.id",
        .cells = delivery_cells,
    };
    struct slice text = SLICE("");
    uint64_t id;
    struct brands brands = caller_brands(api_caller(request));
    SCOPED(buf) condition = BUF(4096);
    (void)http_query(request, "campaign", &text);
    if (!id_parse(text, &id)) {
        answer_problem(request, 400, "campaign", "say of which campaign: its id");
        return;
    }
    buf_printf(&condition, " AND d.campaign_id = %llu", (unsigned long long)id);
    brands_condition(&brands, "d.brand_id", &condition);
    export_begin(api, request, &kind, buf_slice(&condition));
}
