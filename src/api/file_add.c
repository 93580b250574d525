/* file_add.c - POST /files: a file for download comes in, on a thread of its own (S27)
 *
 *     the body is in a file --thread: hosted_take, then one transaction--> there, or not at all --http_resume-->
 *     answered
 *
 * However large it is, it takes the memory of some pieces. What a crash leaves is nobody's, and is swept. */
#include "api/file_json.h"

#include "api/body.h"
#include "api/repeat.h"
#include "hosted/name.h"
#include "hosted/take.h"
#include <openssl/sha.h>
#include <unistd.h>

enum { UPLOADS_MOST = 4 };

struct uploading {
    struct write_job job;
    struct http_later later;
    struct api *api;
    struct arena arena;
    pthread_t thread;
    bool has_thread;
    struct slice link_base;
    int spool;
    uint64_t size;
    struct hosted_file file;
    struct repeat repeat;
    /* of the last run */
    enum repeat_state repeated;
    int status;
    struct buf answer;
    bool is_done;
    struct fault why;
};
#define UPLOADING_OF(ptr, member) ((struct uploading *)(void *)((char *)(ptr)-offsetof(struct uploading, member)))

static void uploading_free(struct uploading *uploading)
{
    if (uploading->spool >= 0)
        close(uploading->spool);
    buf_release(&uploading->answer);
    arena_release(&uploading->arena);
    free(uploading);
}

/* ── on its thread ── */

static bool add_run(struct write_job *job, struct db *db, struct fault *why)
{
    struct uploading *uploading = UPLOADING_OF(job, job);
    const struct api_options *options = &uploading->api->options;
    time_ms now = world_wall(options->world);
    SCOPED(buf) link = BUF(2048);
    struct json json = {&uploading->answer};
    buf_reset(&uploading->answer);
    uploading->status = 201;
    if (!repeat_find(&uploading->repeat, db, now, &uploading->repeated, &uploading->status, &uploading->answer, why))
        return false;
    if (uploading->repeated != REPEAT_NEW)
        return true;
    uploading->file.id = id_make_anywhere(db_ids(db), now);
    uploading->file.created = now;
    hosted_link(options->ring, uploading->link_base, 0, &uploading->file, &link);
    hosted_write(&json, &uploading->file, buf_slice(&link));
    return hosted_add(db, why, &uploading->file) &&
           repeat_keep(&uploading->repeat, db, now, uploading->status, buf_slice(&uploading->answer), why);
}

/* The same request has the same bytes too. */
static void repeat_add(struct repeat *repeat, const struct hosted_body *body)
{
    unsigned char both[sizeof(repeat->request) + HOSTED_SHA256];
    memcpy(both, repeat->request, sizeof(repeat->request));
    memcpy(both + sizeof(repeat->request), body->sha256, HOSTED_SHA256);
    SHA256(both, sizeof(both), repeat->request);
}

static void *upload_main(void *context)
{
    struct uploading *uploading = context;
    struct api *api = uploading->api;
    const struct hosted_watch watch = {.is_stopping = &api->is_ending};
    uploading->is_done = hosted_take(api->options.store, api->options.world, uploading->spool, uploading->size, &watch,
                                     &uploading->file.body, &uploading->why);
    if (uploading->is_done) {
        repeat_add(&uploading->repeat, &uploading->file.body);
        uploading->job = (struct write_job){.run = add_run, .rows = 4, .fails_fast = true};
        uploading->is_done = store_write_wait(api->options.store, &uploading->job, &uploading->why);
    }
    http_resume(&uploading->later);
    return NULL;
}

static void upload_ended(struct http_later *later, struct http_request *request)
{
    struct uploading *uploading = UPLOADING_OF(later, later);
    if (uploading->has_thread)
        pthread_join(uploading->thread, NULL);
    uploading->api->writes--;
    uploading->api->uploads--;
    if (!request) { /* the client has gone */
    } else if (!uploading->is_done) {
        answer_fault(request, &uploading->why, 400);
    } else if (uploading->repeated == REPEAT_OTHER) {
        answer_problem(request, 409, "Idempotency-Key",
                       "this Idempotency-Key was used for another request; take a new one");
    } else {
        if (uploading->repeated == REPEAT_KNOWN)
            http_set(request, "Idempotent-Replayed", SLICE("true"));
        http_respond(request, uploading->status, "application/json", buf_slice(&uploading->answer));
    }
    uploading_free(uploading);
}

/* ── beginning ── */

static bool expiry_read(struct api *api, struct http_request *request, struct hosted_file *file)
{
    struct slice text;
    uint64_t days;
    if (!query_text(request, "days", &text))
        return false;
    file->expires = api_now(api) + api->options.file_expires_after;
    if (!text.len)
        return true;
    if (!slice_to_u64(text, &days) || days < 1 || days > HOSTED_DAYS_MOST) {
        answer_problem(request, 400, "days", "days is a number from 1 to %d: so long the file can be downloaded",
                       HOSTED_DAYS_MOST);
        return false;
    }
    file->expires = api_now(api) + DAYS_MS((time_ms)days);
    return true;
}

static bool name_read(struct http_request *request, struct uploading *uploading)
{
    SCOPED(buf) clean = BUF(HOSTED_NAME_MAX + 1);
    struct slice name, type;
    if (!http_query(request, "name", &name) || !slice_trim(name).len || name.len > 4 * HOSTED_NAME_MAX ||
        !text_is_storable(name)) {
        answer_problem(request, 400, "name", "say what it is called: name, in UTF-8, at most %d octets",
                       HOSTED_NAME_MAX);
        return false;
    }
    hosted_name_clean(name, &clean);
    if (!hosted_type_of(http_header(request, "Content-Type"), buf_slice(&clean), &type)) {
        answer_problem(request, 400, "Content-Type", "this is no media type; application/pdf is one");
        return false;
    }
    uploading->file.name = arena_copy(&uploading->arena, buf_slice(&clean));
    uploading->file.type = arena_copy(&uploading->arena, type);
    return true;
}

static bool request_read(struct api *api, struct http_request *request, struct uploading *uploading)
{
    const struct caller *caller = api_caller(request);
    const char *missing;
    struct sender *sender;
    struct slice brand;
    struct fault why = {0};
    if (!query_text(request, "brand", &brand) || !name_read(request, uploading) ||
        !expiry_read(api, request, &uploading->file) ||
        !repeat_read(request, caller->key.id, &uploading->arena, &uploading->repeat))
        return false;
    if (!sender_find(&api->senders, api->db, caller, brand, world_monotonic(api->options.world), &sender, &missing,
                     &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    if (!sender) {
        answer_problem(request, 400, "brand", "%s", missing);
        return false;
    }
    if (request->spool < 0 || !request->body_len) {
        answer_problem(request, 400, "", "the file is empty");
        return false;
    }
    uploading->link_base = arena_copy(&uploading->arena, sender->brand.link_base);
    uploading->file.brand_id = sender->brand.id;
    uploading->file.key_id = caller->key.id;
    return true;
}

void api_file_add(struct api *api, struct http_request *request)
{
    if (api->uploads >= UPLOADS_MOST || api->is_stopping) {
        http_set(request, "Retry-After", SLICE("5"));
        answer_problem(request, 503, "", "other files are coming in; try again shortly");
        return;
    }
    struct uploading *uploading = NEW(struct uploading);
    *uploading = (struct uploading){.api = api, .spool = -1, .answer = BUF(65536)};
    if (!request_read(api, request, uploading)) {
        uploading_free(uploading);
        return;
    }
    uploading->spool = request->spool;
    uploading->size = request->body_len;
    request->spool = -1;
    http_suspend(request, &uploading->later, upload_ended);
    api->writes++;
    api->uploads++;
    uploading->has_thread = true; /* it may be at its end before pthread_create is */
    if (pthread_create(&uploading->thread, NULL, upload_main, uploading) != 0) {
        uploading->has_thread = false;
        fault_set(&uploading->why, FAULT_WORLD, "no thread for the file; try again shortly");
        http_resume(&uploading->later);
    }
}
