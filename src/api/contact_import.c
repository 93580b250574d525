/* contact_import.c - a CSV file of people, read on a thread of its own, its progress told line by line
 *
 *     begun --thread: import_file--> progress ... --mailbox--> told --...--> done, or a fault
 *
 * What is wrong before anything is written is answered as a problem; after that the answer is JSON lines: progress,
 * and at the end done or error. The import goes on when the client goes away.
 *
 * The file stands on the disk from its first octet (http/server.h), without a name, and is read there: how large it is
 * costs no memory. After a crash the same file sent again goes on behind its last batch (audience/import.h). */
#include "api/import_thread.h"

#include "audience/import.h"
#include "campaign/brand.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { IMPORTS_MOST = 2, REJECTED_TEXT_MAX = 1 << 20 };

struct importing {
    struct api *api;
    struct http_request *request; /* of the api's thread; NULL: gone */
    bool is_begun;
    pthread_t thread;
    struct arena arena;
    struct import_options options;
    struct import_result result;
    struct fault why;
    bool is_done;
    char reject_path[80];
};
/* From the import's thread to the api's. */
struct import_news {
    struct mail_item item;
    struct importing *importing;
    struct import_progress progress;
    bool is_end;
};

static void news_post(struct importing *importing, const struct import_progress *progress, bool is_end)
{
    struct import_news *news = NEW(struct import_news);
    news->importing = importing;
    news->is_end = is_end;
    if (progress)
        news->progress = *progress;
    mailbox_post(&importing->api->import_news, &news->item);
}

static void progressed(void *context, const struct import_progress *progress)
{
    news_post(context, progress, false);
}

static void *import_main(void *context)
{
    struct importing *importing = context;
    importing->is_done = import_file(importing->api->options.store, &importing->options, &importing->arena,
                                     &importing->result, &importing->why);
    news_post(importing, NULL, true);
    return NULL;
}

/* ── telling ── */

static void progress_write(struct json *json, const struct import_progress *progress)
{
    json_put_int(json, "rows", (int64_t)progress->rows);
    json_put_int(json, "total", (int64_t)progress->total);
    json_put_int(json, "new", (int64_t)progress->fresh);
    json_put_int(json, "updated", (int64_t)progress->updated);
    json_put_int(json, "rejected", (int64_t)progress->rejected);
}

static void line_send(struct importing *importing, struct buf *line)
{
    if (!importing->request)
        return;
    if (!importing->is_begun)
        http_begin(importing->request, 200, "application/x-ndjson");
    importing->is_begun = true;
    buf_byte(line, '\n');
    if (importing->request && !http_send(importing->request, buf_slice(line))) { /* slow: it hears the next one */
    }
}

static void rejected_write(struct json *json, const struct importing *importing)
{
    SCOPED(buf) text = BUF(REJECTED_TEXT_MAX);
    json_put_array(json, "rejects");
    for (size_t i = 0; i < IMPORT_REJECTS_SHOWN && importing->result.rejects[i].line; i++) {
        json_object_begin(json);
        json_put_int(json, "line", (int64_t)importing->result.rejects[i].line);
        json_put_string(json, "why", importing->result.rejects[i].reason);
        json_end(json);
    }
    json_end(json);
    FILE *file = importing->result.reject_path.len ? fopen(importing->reject_path, "rb") : NULL;
    if (file) {
        char piece[8192];
        for (size_t len; (len = fread(piece, 1, sizeof(piece), file)) > 0;)
            buf_append(&text, slice_of(piece, len));
        (void)fclose(file);
    }
    json_put_string(json, "rejected_csv", buf_ok(&text) ? buf_slice(&text) : SLICE(""));
}

static void importing_end(struct importing *importing)
{
    struct api *api = importing->api;
    SCOPED(buf) line = BUF(REJECTED_TEXT_MAX * 8);
    struct json json = {&line};
    pthread_join(importing->thread, NULL);
    if (importing->request && !importing->is_done && !importing->is_begun) {
        importing->request->on_gone = NULL;
        answer_fault(importing->request, &importing->why, 400);
    } else if (importing->request) {
        json_object_begin(&json);
        json_put_bool(&json, "done", importing->is_done);
        json_put_string(&json, "error", importing->is_done ? SLICE("") : slice_str(importing->why.text));
        json_put_id(&json, "list_id", importing->result.list_id);
        progress_write(&json, &importing->result.progress);
        rejected_write(&json, importing);
        json_end(&json);
        line_send(importing, &line);
        if (importing->request) {
            importing->request->on_gone = NULL;
            http_end(importing->request);
        }
    }
    close(importing->options.file);
    unlink(importing->reject_path);
    arena_release(&importing->arena);
    free(importing);
    api->imports--;
    api->writes--;
}

void import_news_came(struct mailbox *mailbox, struct mail_item *batch)
{
    for (struct mail_item *item = batch, *next; item; item = next) {
        next = item->next;
        struct import_news *news = (struct import_news *)item;
        if (news->is_end) {
            importing_end(news->importing);
        } else {
            SCOPED(buf) line = BUF(4096);
            struct json json = {&line};
            json_object_begin(&json);
            progress_write(&json, &news->progress);
            json_end(&json);
            line_send(news->importing, &line);
        }
        free(news);
    }
}

static void import_gone(struct http_request *request)
{
    ((struct importing *)request->user)->request = NULL;
}

/* ── beginning ── */

/* The body stands in a file already, unless it is empty or a test of the api gave none. */
static bool file_keep(struct importing *importing, struct http_request *request)
{
    const char *folder = getenv("TMPDIR");
    snprintf(importing->reject_path, sizeof(importing->reject_path), "%.30s/todoke-rejected-XXXXXX",
             folder && *folder && strlen(folder) <= 30 ? folder : "/tmp");
    int rejects = mkstemp(importing->reject_path);
    if (rejects < 0)
        return false;
    close(rejects);
    importing->options.file = request->spool;
    request->spool = -1;
    return true;
}

static bool options_read(struct api *api, struct http_request *request, struct importing *importing)
{
    struct import_options *options = &importing->options;
    struct slice brand, list, consent, encoding, column;
    struct sender *sender;
    const char *missing;
    struct fault why = {0};
    if (!query_text(request, "brand", &brand) || !query_text(request, "list", &list) ||
        !query_text(request, "consent", &consent) || !query_text(request, "encoding", &encoding) ||
        !query_text(request, "email_column", &column))
        return false;
    if (!list.len) {
        answer_problem(request, 400, "list", "say on which list: its name; it is made when there is none");
        return false;
    }
    if (!sender_find(&api->senders, api->db, api_caller(request), brand, world_monotonic(api->options.world), &sender,
                     &missing, &why)) {
        answer_fault(request, &why, 400);
        return false;
    }
    if (!sender) {
        answer_problem(request, 400, "brand", "%s", missing);
        return false;
    }
    options->is_brands_own = api_caller(request)->key.rights.brand_count > 0;
    if (options->is_brands_own && !consent.len) {
        answer_problem(request, 400, "consent", "say where the permission comes from, for rows that do not");
        return false;
    }
    options->brand_id = sender->brand.id;
    options->list_name = arena_copy(&importing->arena, list);
    options->consent = arena_copy(&importing->arena, consent);
    options->encoding = arena_copy(&importing->arena, encoding);
    options->email_column = arena_copy(&importing->arena, column);
    return true;
}

void api_contact_import(struct api *api, struct http_request *request)
{
    if (api->imports >= IMPORTS_MOST || api->is_stopping) {
        http_set(request, "Retry-After", SLICE("30"));
        answer_problem(request, 503, "", "imports are under way; try again shortly");
        return;
    }
    if (request->spool < 0) {
        answer_problem(request, 400, "", "the file is empty");
        return;
    }
    struct importing *importing = NEW(struct importing);
    importing->api = api;
    if (!options_read(api, request, importing) || !file_keep(importing, request)) {
        if (importing->options.brand_id)
            answer_problem(request, 503, "", "no file can be made on this disk: %s", strerror(errno));
        arena_release(&importing->arena);
        free(importing);
        return;
    }
    importing->options.path = "the file";
    importing->options.reject_path = importing->reject_path;
    importing->options.now = api_now(api);
    importing->options.progress = progressed;
    importing->options.context = importing;
    importing->request = request;
    request->user = importing;
    request->on_gone = import_gone;
    if (pthread_create(&importing->thread, NULL, import_main, importing) != 0) {
        request->on_gone = NULL;
        answer_problem(request, 503, "", "no thread for the import; try again shortly");
        close(importing->options.file);
        unlink(importing->reject_path);
        arena_release(&importing->arena);
        free(importing);
        return;
    }
    api->imports++;
    api->writes++;
}
