/* answer.c - what handlers call: reading a request, writing its answer, suspending it */
#include "http/inside.h"

#include "base/percent.h"

#include <assert.h>

/* --- reading --- */

struct slice http_param(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->param_count; i++)
        if (slice_equal(request->params[i].name, slice_str(name)))
            return request->params[i].value;
    return SLICE("");
}

struct slice http_header(const struct http_request *request, const char *name)
{
    struct slice value;
    return http_head_find(&request->head, slice_str(name), &value) ? value : SLICE("");
}

static bool find_pair(struct http_request *request, struct slice pairs, const char *name, struct slice *value)
{
    struct slice pair, key;
    while (slice_split(&pairs, '&', &pair)) {
        char *to = arena_alloc(&request->arena, pair.len + 1);
        size_t len;
        if (!slice_split(&pair, '=', &key) || !percent_decode(key, true, to, &len) ||
            !slice_equal(slice_of(to, len), slice_str(name)))
            continue;
        if (!percent_decode(pair.ptr ? pair : SLICE(""), true, to, &len))
            return false;
        *value = slice_of(to, len);
        return true;
    }
    return false;
}

bool http_query(struct http_request *request, const char *name, struct slice *value)
{
    return find_pair(request, request->head.query, name, value);
}

bool http_form(struct http_request *request, const char *name, struct slice *value)
{
    return slice_starts_caseless(http_header(request, "Content-Type"), SLICE("application/x-www-form-urlencoded")) &&
           find_pair(request, request->body, name, value);
}

bool http_cookie(const struct http_request *request, const char *name, struct slice *value)
{
    for (size_t i = 0; i < request->head.header_count; i++) {
        struct slice rest = request->head.headers[i].value, pair, key;
        if (!slice_equal_caseless(request->head.headers[i].name, SLICE("Cookie")))
            continue;
        while (slice_split(&rest, ';', &pair)) {
            pair = slice_trim(pair);
            if (slice_split(&pair, '=', &key) && pair.ptr && slice_equal(key, slice_str(name))) {
                *value = pair;
                return true;
            }
        }
    }
    return false;
}

/* --- the head of an answer --- */

void http_set(struct http_request *request, const char *name, struct slice value)
{
    struct buf *headers = request->aside ? &request->aside->headers : &request->connection->headers;
    for (size_t i = 0; i < value.len; i++)
        assert(value.ptr[i] != '\r' && value.ptr[i] != '\n' && value.ptr[i] != '\0' && "a header is one line");
    buf_str(headers, name);
    buf_text(headers, ": ");
    buf_append(headers, value);
    buf_text(headers, "\r\n");
    assert(buf_ok(headers) && "the headers of an answer are 16 KiB at most");
}

static void head_begin(struct http_connection *connection, struct buf *out, int status, const char *type)
{
    struct http_server *server = connection->server;
    bool is_old = connection->request->head.minor == 0;
    buf_text(out, "HTTP/1.1 ");
    buf_u64(out, (uint64_t)status);
    buf_byte(out, ' ');
    buf_str(out, http_status_text(status));
    buf_text(out, "\r\nDate: ");
    buf_append(out, server_date(server));
    buf_text(out, "\r\n");
    if (server->server_name) {
        buf_text(out, "Server: ");
        buf_str(out, server->server_name);
        buf_text(out, "\r\n");
    }
    if (!connection->is_kept_alive)
        buf_text(out, "Connection: close\r\n");
    else if (is_old)
        buf_text(out, "Connection: keep-alive\r\n");
    if (connection->request->is_tls) /* RFC 6797: a year */
        buf_text(out, "Strict-Transport-Security: max-age=31536000\r\n");
    if (type) {
        buf_text(out, "Content-Type: ");
        buf_str(out, type);
        buf_text(out, "\r\n");
    }
    buf_append(out, buf_slice(&connection->headers));
}

static bool has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

static void respond_aside(struct http_aside *aside, int status, const char *type, struct slice body)
{
    assert(!aside->status && "one answer for each request");
    aside->status = status;
    aside->type = type;
    buf_append(&aside->body, body);
}

void http_respond(struct http_request *request, int status, const char *type, struct slice body)
{
    if (request->aside) {
        respond_aside(request->aside, status, type, body);
        return;
    }
    struct http_connection *connection = request->connection;
    SCOPED(buf) out = BUF(ANSWER_HEADERS_MOST + 1024);
    assert(connection->state == CONNECTION_HANDLING && !connection->later && "one answer for each request");
    head_begin(connection, &out, status, type);
    if (!has_no_body(status)) {
        buf_text(&out, "Content-Length: ");
        buf_u64(&out, body.len);
        buf_text(&out, "\r\n");
    }
    buf_text(&out, "\r\n");
    connection_queue(connection, buf_slice(&out));
    if (!connection->is_head && !has_no_body(status))
        connection_queue(connection, body);
    connection_answered(connection);
}

/* `framing`: the header that says where the body ends. */
static void body_begin(struct http_connection *connection, int status, const char *type, struct slice framing)
{
    SCOPED(buf) out = BUF(ANSWER_HEADERS_MOST + 1024);
    assert(connection->state == CONNECTION_HANDLING && !connection->later && "one answer for each request");
    connection->state = CONNECTION_STREAMING;
    head_begin(connection, &out, status, type);
    buf_append(&out, framing);
    buf_text(&out, "\r\n");
    connection_queue(connection, buf_slice(&out));
    if (connection->is_head) /* that was all: whoever would go on hears on_gone in the loop's next turn */
        timer_set(&connection->timer, 0);
}

void http_begin(struct http_request *request, int status, const char *type)
{
    struct http_connection *connection = request->connection;
    connection->is_chunked = request->head.minor == 1;
    connection->is_kept_alive &= connection->is_chunked;
    body_begin(connection, status, type, connection->is_chunked ? SLICE("Transfer-Encoding: chunked\r\n") : SLICE(""));
}

void http_begin_sized(struct http_request *request, int status, const char *type, uint64_t length)
{
    struct http_connection *connection = request->connection;
    SCOPED(buf) framing = BUF(64);
    buf_printf(&framing, "Content-Length: %llu\r\n", (unsigned long long)length);
    connection->is_chunked = false;
    connection->is_sized = true;
    connection->unsent = connection->is_head ? 0 : length;
    body_begin(connection, status, type, buf_slice(&framing));
}

static void send_piece(struct http_connection *connection, struct slice bytes)
{
    SCOPED(buf) size = BUF(32);
    if (bytes.len == 0 || connection->is_head)
        return; /* an empty chunk would be the end */
    if (connection->is_sized) {
        assert(bytes.len <= connection->unsent && "no more than Content-Length says");
        connection->unsent -= bytes.len;
    }
    if (connection->is_chunked) {
        buf_printf(&size, "%zx\r\n", bytes.len);
        connection_queue(connection, buf_slice(&size));
    }
    connection_queue(connection, bytes);
    if (connection->is_chunked)
        connection_queue(connection, SLICE("\r\n"));
}

bool http_send(struct http_request *request, struct slice bytes)
{
    struct http_connection *connection = request->connection;
    assert(connection->state == CONNECTION_STREAMING);
    if (stream_queued(connection->stream) > SEND_MOST)
        return false;
    send_piece(connection, bytes);
    return true;
}

void http_end(struct http_request *request)
{
    struct http_connection *connection = request->connection;
    assert(connection->state == CONNECTION_STREAMING || connection->state == CONNECTION_EVENTS);
    assert(connection->unsent == 0 && "as much as Content-Length says");
    connection->is_sized = false;
    if (connection->is_chunked && !connection->is_head)
        connection_queue(connection, SLICE("0\r\n\r\n"));
    connection_answered(connection);
}

void http_cut(struct http_request *request)
{
    struct http_connection *connection = request->connection;
    assert(connection->state == CONNECTION_STREAMING || connection->state == CONNECTION_EVENTS);
    request->on_gone = NULL;
    connection->is_chunked = false; /* no last chunk */
    connection->is_sized = false;
    connection->unsent = 0;
    connection->is_kept_alive = false;
    connection_answered(connection);
}

/* --- events (WHATWG HTML 9.2) --- */

void http_events_begin(struct http_request *request)
{
    http_set(request, "Cache-Control", SLICE("no-store"));
    http_set(request, "X-Accel-Buffering", SLICE("no"));
    http_begin(request, 200, "text/event-stream");
    request->connection->state = CONNECTION_EVENTS;
}

static void field(struct buf *out, const char *name, struct slice value)
{
    buf_str(out, name);
    buf_text(out, ": ");
    buf_append(out, value);
    buf_byte(out, '\n');
}

bool http_event(struct http_request *request, struct slice name, struct slice id, struct slice data)
{
    struct http_connection *connection = request->connection;
    SCOPED(buf) out = BUF(SEND_MOST * 2);
    struct slice line;
    assert(connection->state == CONNECTION_EVENTS);
    assert(slice_find_byte(name, '\n') < 0 && slice_find_byte(id, '\n') < 0);
    if (stream_queued(connection->stream) > SEND_MOST)
        return false;
    if (name.len)
        field(&out, "event", name);
    if (id.len)
        field(&out, "id", id);
    if (data.len == 0)
        field(&out, "data", data);
    while (slice_line(&data, &line))
        field(&out, "data", line);
    buf_byte(&out, '\n');
    if (!buf_ok(&out))
        return false;
    send_piece(connection, buf_slice(&out));
    return true;
}

/* --- aside --- */

void http_request_copy(const struct http_request *request, struct http_request *copy, struct http_aside *aside)
{
    *copy = (struct http_request){.spool = -1,
                                  .head = request->head,
                                  .param_count = request->param_count,
                                  .peer = request->peer,
                                  .is_tls = request->is_tls,
                                  .aside = aside};
    *aside = (struct http_aside){.headers = BUF(ANSWER_HEADERS_MOST), .body = BUF(OUT_MOST)};
    struct http_head *head = &copy->head;
    struct slice *const texts[] = {&head->method, &head->target, &head->path, &head->query, &head->host};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i] = arena_copy(&copy->arena, *texts[i]);
    for (size_t i = 0; i < head->header_count; i++) {
        head->headers[i].name = arena_copy(&copy->arena, head->headers[i].name);
        head->headers[i].value = arena_copy(&copy->arena, head->headers[i].value);
    }
    for (size_t i = 0; i < copy->param_count; i++)
        copy->params[i] = (struct http_param){arena_copy(&copy->arena, request->params[i].name),
                                              arena_copy(&copy->arena, request->params[i].value)};
}

void http_respond_as(struct http_request *request, const struct http_aside *aside)
{
    assert(aside->status && "the copy was answered");
    buf_append(&request->connection->headers, buf_slice(&aside->headers));
    http_respond(request, aside->status, aside->type, buf_slice(&aside->body));
}

void http_aside_release(struct http_aside *aside)
{
    buf_release(&aside->headers);
    buf_release(&aside->body);
}

/* --- later --- */

void http_suspend(struct http_request *request, struct http_later *later,
                  void (*resume)(struct http_later *later, struct http_request *request))
{
    struct http_connection *connection = request->connection;
    assert(connection->state == CONNECTION_HANDLING && !connection->later);
    later->home = &connection->server->resumed;
    later->request = request;
    later->resume = resume;
    connection->later = later;
    connection->server->suspended++;
}

void http_resume(struct http_later *later)
{
    mailbox_post(later->home, &later->item);
}
