/* downloads.c - a file by the link in a mail: GET and HEAD /f/{token} (S27, X6)
 *
 *     token good, file there --to be counted--> suspended: DOWNLOADED written --commit--> sent piece by piece --> ended
 *                            --not counted---------------------------------------------> likewise
 *
 * One use of a link is one event: a GET that begins at the file's first octet, of more than a probe's few. What goes on
 * behind it (Range), HEAD, 304 and what says of itself that it is a prefetch count nothing; nor does a link of
 * nobody's delivery, as the API and the command line show it.
 *
 * A piece (hosted/hosted.h) is read when the reader has taken the one before it; so a download holds no thread and,
 * however large the file and slow the reader, a piece or two. Nothing of it runs here: it is always an
 * attachment, sandboxed, never sniffed, and what a browser could run has no type of its own (X9). */
#include "api/downloads.h"

#include "api/agent.h"
#include "api/public_page.h"
#include "hosted/hosted.h"
#include "hosted/name.h"
#include "http/disposition.h"
#include "http/range.h"
#include "mailauth/token.h"

enum { DOWNLOADS_MOST = 2000, AGENT_KEPT = 300, PROBE_MAX = 1024 /* octets */ };

struct download {
    struct write_job job;
    struct http_later later;
    struct api *api;
    struct arena arena;
    struct http_request *request; /* while it is sent; NULL: gone */
    struct hosted_file file;
    enum http_range range;
    uint64_t at, end; /* octets that are still to be sent */
    struct event event;
    bool has_failed;
    bool in_step;
    struct timer timer;
};
#define DOWNLOAD_OF(ptr, member) ((struct download *)(void *)((char *)(ptr)-offsetof(struct download, member)))

static void download_free(struct download *download)
{
    timer_clear(&download->timer);
    download->api->downloads--;
    arena_release(&download->arena);
    free(download);
}

/* ── sending ── */

/* The next piece, to its end. False: it is not there any more. */
static bool piece_send(struct download *download)
{
    struct fault why = {0};
    uint64_t place = download->at / HOSTED_PIECE, left = download->end - download->at;
    SCOPED(buf) piece = BUF(HOSTED_PIECE);
    if (!hosted_piece_read(download->api->db, &why, download->file.body.id, (unsigned)place, &piece) || !buf_ok(&piece))
        return false;
    struct slice rest = slice_from(buf_slice(&piece), (size_t)(download->at - place * HOSTED_PIECE));
    rest = slice_head(rest, left < rest.len ? (size_t)left : rest.len);
    if (rest.len && http_send(download->request, rest)) /* else on_room asks again */
        download->at += rest.len;
    return rest.len > 0;
}

static void download_end(struct download *download, bool is_whole)
{
    struct http_request *request = download->request;
    request->on_gone = NULL;
    request->on_room = NULL;
    download->request = NULL;
    if (is_whole)
        http_end(request);
    else
        http_cut(request);
}

/* At the beginning, and whenever what was sent has left: never more than a piece or two wait. */
static void download_step(struct timer *timer)
{
    struct download *download = timer->owner;
    download->in_step = true;
    if (!piece_send(download))
        download_end(download, false);
    else if (download->at == download->end)
        download_end(download, true);
    download->in_step = false;
    if (!download->request)
        download_free(download);
}

static void download_gone(struct http_request *request)
{
    struct download *download = request->user;
    download->request = NULL;
    if (!download->in_step)
        download_free(download);
}

static void download_room(struct http_request *request)
{
    timer_set(&((struct download *)request->user)->timer, 0);
}

static void headers_set(struct http_request *request, const struct hosted_file *file)
{
    SCOPED(buf) value = BUF(8192);
    http_disposition(file->name, &value);
    http_set(request, "Content-Disposition", buf_slice(&value));
    buf_reset(&value);
    hosted_etag(&file->body, &value);
    http_set(request, "ETag", buf_slice(&value));
    http_set(request, "Accept-Ranges", SLICE("bytes"));
    http_set(request, "Cache-Control", SLICE("private, no-cache"));
    http_set(request, "X-Content-Type-Options", SLICE("nosniff"));
    http_set(request, "Content-Security-Policy", SLICE("sandbox; default-src 'none'; frame-ancestors 'none'"));
    http_set(request, "Cross-Origin-Resource-Policy", SLICE("same-origin"));
    http_set(request, "Referrer-Policy", SLICE("no-referrer"));
    http_set(request, "X-Robots-Tag", SLICE("noindex"));
}

static void range_set(struct http_request *request, const struct download *download)
{
    unsigned long long size = download->file.body.size_bytes;
    if (download->range == HTTP_PART)
        http_set(request, "Content-Range",
                 arena_printf(&request->arena, "bytes %llu-%llu/%llu", (unsigned long long)download->at,
                              (unsigned long long)download->end - 1, size));
    else if (download->range == HTTP_NO_SUCH_PART)
        http_set(request, "Content-Range", arena_printf(&request->arena, "bytes */%llu", size));
}

/* Nothing is left to be asked: its head, and the first piece soon. */
static void download_begin(struct download *download, struct http_request *request)
{
    SCOPED(buf) type = BUF(HOSTED_TYPE_MAX + 1);
    headers_set(request, &download->file);
    range_set(request, download);
    buf_append(&type,
               hosted_type_is_active(download->file.type) ? SLICE("application/octet-stream") : download->file.type);
    switch (download->range) {
    case HTTP_HAS_IT:
    case HTTP_IS_NOT_WANTED:
    case HTTP_NO_SUCH_PART:
        http_respond(request,
                     download->range == HTTP_HAS_IT         ? 304
                     : download->range == HTTP_NO_SUCH_PART ? 416
                                                            : 412,
                     download->range == HTTP_HAS_IT ? NULL : "text/plain", SLICE(""));
        download_free(download);
        return;
    case HTTP_WHOLE:
    case HTTP_PART: break;
    }
    bool is_head = slice_equal(request->head.method, SLICE("HEAD"));
    http_begin_sized(request, download->range == HTTP_PART ? 206 : 200, buf_cstr(&type), download->end - download->at);
    if (is_head || download->at == download->end) {
        http_end(request);
        download_free(download);
        return;
    }
    download->request = request;
    request->user = download;
    request->on_gone = download_gone;
    request->on_room = download_room;
    timer_set(&download->timer, 0);
}

/* ── counting ── */

static bool count_run(struct write_job *job, struct db *db, struct fault *why)
{
    const struct download *download = DOWNLOAD_OF(job, job);
    struct event event = download->event; /* it may run again */
    return (event.origin != EVENT_ORIGIN_PERSON || hosted_downloaded(db, why, download->file.id)) &&
           event_append(db, why, &event, 1);
}

static void count_done(struct write_job *job, const struct fault *why)
{
    struct download *download = DOWNLOAD_OF(job, job);
    download->has_failed = why != NULL;
    http_resume(&download->later);
}

static void counted(struct http_later *later, struct http_request *request)
{
    struct download *download = DOWNLOAD_OF(later, later);
    download->api->writes--;
    if (request && !download->has_failed) {
        download_begin(download, request);
        return;
    }
    if (request)
        public_page(request, 503, PUBLIC_PAGE_LATER);
    download_free(download);
}

/* Is this a use of the link? */
static bool is_use(const struct download *download, const struct http_request *request)
{
    bool is_sent = download->range == HTTP_WHOLE || download->range == HTTP_PART;
    uint64_t len = download->end - download->at;
    return is_sent && slice_equal(request->head.method, SLICE("GET")) && download->at == 0 &&
           (len > PROBE_MAX || len == download->file.body.size_bytes) && !agent_is_early(request);
}

/* The event of this use; false: of a delivery that is gone, or nobody's. */
static bool event_of_use(struct download *download, const struct http_request *request, uint64_t delivery_id,
                         bool *is_known, struct fault *why)
{
    struct api *api = download->api;
    time_ms now = api_now(api);
    *is_known = false;
    if (!delivery_id)
        return true;
    clicked_make_room(&api->clicked, 1);
    if (!clicked_delivery(&api->clicked, delivery_id, now) &&
        !clicked_read(&api->clicked, api->db, &delivery_id, 1, now, why))
        return false;
    const struct clicked_delivery *delivery = clicked_delivery(&api->clicked, delivery_id, now);
    if (!delivery)
        return true;
    struct slice address = arena_copy(&download->arena, delivery->address);
    *is_known = true;
    download->event = (struct event){
        .bucket = id_bucket(delivery_id),
        .at = now,
        .kind = EVENT_DOWNLOADED,
        .origin = agent_of(api->options.robots, request),
        .delivery_id = delivery_id,
        .campaign_id = delivery->campaign_id,
        .contact_id = delivery->contact_id,
        .brand_id = delivery->brand_id,
        .address = address,
        .domain = slice_from(address, (size_t)(slice_find_last_byte(address, '@') + 1)),
        .state_before = delivery->state,
        .state_after = delivery->state,
        .remote_mta = arena_copy(&download->arena, slice_head(http_header(request, "User-Agent"), AGENT_KEPT)),
        .note = download->file.name,
    };
    return true;
}

/* ── coming ── */

/* Which file; false: answered. */
static bool file_of(struct api *api, struct http_request *request, struct arena *arena, struct token *link,
                    struct hosted_file *file)
{
    struct fault why = {0};
    bool found;
    enum token_result result =
        token_check(api->options.ring, TOKEN_FILE, http_param(request, "token"), api_now(api), link);
    if (result != TOKEN_GOOD && result != TOKEN_EXPIRED) {
        public_page(request, 404, PUBLIC_PAGE_LOST);
        return false;
    }
    if (!hosted_find(api->db, &why, link->number, api_now(api), arena, file, &found)) {
        public_page(request, 503, PUBLIC_PAGE_LATER);
        return false;
    }
    if (found && file->state == HOSTED_THERE) /* a token that is older than that is ours: the file was extended */
        return true;
    bool is_removed = found && file->state == HOSTED_REMOVED;
    public_page(request, 410, is_removed ? PUBLIC_PAGE_FILE_REMOVED : PUBLIC_PAGE_FILE_OLD);
    return false;
}

static void download_ask(struct http_request *request, void *user)
{
    struct api *api = user;
    struct token link = {0};
    struct fault why = {0};
    bool is_counted;
    if (api->downloads >= DOWNLOADS_MOST || api->is_stopping) {
        http_set(request, "Retry-After", SLICE("30"));
        public_page(request, 503, PUBLIC_PAGE_LATER);
        return;
    }
    struct download *download = NEW(struct download);
    *download = (struct download){.api = api};
    timer_init(&download->timer, api->loop, download_step, download);
    api->downloads++;
    if (!file_of(api, request, &download->arena, &link, &download->file)) {
        download_free(download);
        return;
    }
    SCOPED(buf) etag = BUF(HOSTED_ETAG_LEN);
    uint64_t len;
    hosted_etag(&download->file.body, &etag);
    download->range = http_range_of(request, buf_slice(&etag), download->file.body.size_bytes, &download->at, &len);
    download->end = download->at + len;
    if (!is_use(download, request)) {
        download_begin(download, request);
    } else if (!event_of_use(download, request, link.id, &is_counted, &why)) {
        public_page(request, 503, PUBLIC_PAGE_LATER);
        download_free(download);
    } else if (!is_counted) {
        download_begin(download, request);
    } else {
        download->job = (struct write_job){.run = count_run, .done = count_done, .rows = 1, .fails_fast = true};
        api->writes++;
        http_suspend(request, &download->later, counted);
        store_write(api->options.store, &download->job);
    }
}

void downloads_routes(struct api *api)
{
    http_router_add(api->router, &(struct http_route){"GET", "/f/{token}", download_ask, api, 0});
}
