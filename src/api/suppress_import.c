/* suppress_import.c - a file of addresses to exclude (U13): CSV whose first column, or the one called email or
 * メールアドレス, is the address
 *
 * The file stands on the disk from its first octet (http/server.h) and is read there; what is kept in memory is the
 * addresses, IMPORT_ROWS_MAX of them at most. All of them are written in one transaction, or none. */
#include "api/body.h"
#include "api/change.h"
#include "audience/csv.h"
#include "audience/mapped.h"
#include "mail/address.h"
#include "suppress/suppress.h"
#include <stdio.h>

enum { IMPORT_ROWS_MAX = 100000, REJECTS_SHOWN = 20, FORGET_ROWS = 1000 };

struct importing {
    struct slice *addresses;
    size_t count;
    uint64_t brand_id;
    enum suppress_why why;
    size_t fresh;
    size_t rejected;
    struct {
        uint64_t line;
        char why[120];
    } rejects[REJECTS_SHOWN];
};

static bool import_run(struct change *change, struct db *db, struct fault *why)
{
    struct importing *importing = change->data;
    importing->fresh = 0;
    for (size_t i = 0; i < importing->count; i++) {
        const struct suppression row = {.address = importing->addresses[i],
                                        .brand_id = importing->brand_id,
                                        .why = importing->why,
                                        .since = change->now,
                                        .count = 1};
        bool is_new;
        if (!suppress_add(db, why, &row, &is_new))
            return false;
        importing->fresh += is_new;
    }
    struct json *json = &change->json;
    json_object_begin(json);
    json_put_int(json, "rows", (int64_t)(importing->count + importing->rejected));
    json_put_int(json, "new", (int64_t)importing->fresh);
    json_put_int(json, "rejected", (int64_t)importing->rejected);
    json_put_array(json, "rejects");
    for (size_t i = 0; i < importing->rejected && i < REJECTS_SHOWN; i++) {
        json_object_begin(json);
        json_put_int(json, "line", (int64_t)importing->rejects[i].line);
        json_put_string(json, "why", slice_str(importing->rejects[i].why));
        json_end(json);
    }
    json_end(json);
    json_end(json);
    return true;
}

static bool is_address_header(struct slice text)
{
    text = slice_trim(text);
    return slice_equal_caseless(text, SLICE("email")) || slice_equal_caseless(text, SLICE("e-mail")) ||
           slice_equal_caseless(text, SLICE("address")) || slice_equal_caseless(text, SLICE("mail")) ||
           slice_equal(text, SLICE("メールアドレス"));
}

static void record_take(struct importing *importing, const struct csv_record *record, size_t column,
                        struct arena *arena)
{
    SCOPED(arena) scratch = {0};
    struct address address;
    struct fault why = {0};
    struct slice text = column < record->count ? slice_trim(record->fields[column]) : SLICE("");
    if (importing->count >= IMPORT_ROWS_MAX) {
        fault_set(&why, FAULT_LIMIT, "more than %d addresses: this one, and what follows, in a file of its own",
                  IMPORT_ROWS_MAX);
    } else if (text_is_storable(text) && address_parse(text, &scratch, &address, &why)) {
        importing->addresses[importing->count++] = arena_copy(arena, address.identity);
        return;
    }
    if (importing->rejected < REJECTS_SHOWN) {
        importing->rejects[importing->rejected].line = record->line;
        snprintf(importing->rejects[importing->rejected].why, sizeof(importing->rejects[0].why), "%.110s",
                 why.text[0] ? why.text : "no address");
    }
    importing->rejected++;
}

/* For which brand: 0 is all, which only a key of every brand may say. False: it was answered. */
static bool brand_read(struct api *api, struct http_request *request, uint64_t *brand_id)
{
    struct fault why = {0};
    struct slice brand;
    struct sender *sender = NULL;
    const char *missing;
    const struct caller *caller = api_caller(request);
    if (!query_text(request, "brand", &brand))
        return false;
    bool is_all = !brand.len && caller->key.rights.brand_count == 0;
    if (!is_all && !sender_find(&api->senders, api->db, caller, brand, world_monotonic(api->options.world), &sender,
                                &missing, &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    if (!is_all && !sender) {
        answer_problem(request, 400, "brand", "%s", missing);
        return false;
    }
    *brand_id = sender ? sender->brand.id : 0;
    return true;
}

static bool file_read(struct importing *importing, const struct mapped *file, struct arena *arena, struct fault *why)
{
    struct csv *csv = csv_open(file->bytes, "the body", SLICE(""), why);
    struct csv_record record;
    size_t column = 0;
    if (!csv)
        return false;
    for (uint64_t i = 0; csv_next(csv, &record, why); i++) {
        bool is_header = false;
        for (size_t n = 0; i == 0 && n < record.count && !is_header; n++) {
            is_header = is_address_header(record.fields[n]);
            column = is_header ? n : 0;
        }
        if (!is_header)
            record_take(importing, &record, column, arena);
        if (i % FORGET_ROWS == 0)
            mapped_forget(file, csv_ahead(csv));
    }
    csv_free(csv);
    return why->kind == FAULT_NONE;
}

void api_suppression_import(struct api *api, struct http_request *request)
{
    struct fault why = {0};
    struct mapped file = {0};
    uint64_t brand_id;
    if (!brand_read(api, request, &brand_id))
        return;
    if (request->spool >= 0 && !mapped_open(&file, "the body", request->spool, &why)) {
        answer_fault(request, &why, 400);
        return;
    }
    struct change *change = change_new(api, request, struct importing, import_run);
    struct importing *importing = change->data;
    importing->addresses = ARENA_ARRAY(&change->arena, struct slice, IMPORT_ROWS_MAX);
    importing->brand_id = brand_id;
    importing->why = SUPPRESS_BY_HAND;
    bool ok = file_read(importing, &file, &change->arena, &why);
    mapped_close(&file);
    if (!ok) {
        change_free(change);
        answer_fault(request, &why, 400);
        return;
    }
    change->job.rows = (unsigned)importing->count;
    change_begin(change, request);
}
