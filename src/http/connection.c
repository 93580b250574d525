/* connection.c - one client: heads and bodies in, requests to handlers, one after the other
 *
 * The states are in inside.h. Always true: `request` is set exactly in BODY, HANDLING, STREAMING and EVENTS; while
 * in_callback nothing frees the connection, it only becomes CLOSING; the timer means what the state says. */
#include "base/log.h"
#include "http/inside.h"
#include "http/spool.h"
#include <unistd.h>

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end);
static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes);
static void on_drained(void *owner, struct stream *stream);
static void on_tls(void *owner, struct stream *stream, const struct tls_info *info);

static const struct stream_events connection_events = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_tls = on_tls, .on_closed = on_closed};

/* --- the end --- */

/* No more of its body comes. */
static void spool_done(struct http_connection *connection)
{
    if (connection->is_spooling)
        connection->server->spools--;
    connection->is_spooling = false;
}

static void request_free(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    connection->request = NULL;
    connection->route = NULL;
    buf_release(&connection->body);
    buf_reset(&connection->headers);
    spool_done(connection);
    if (!request)
        return;
    if (request->spool >= 0)
        close(request->spool);
    arena_release(&request->arena);
    free(request);
}

/* The client is not there any more: whoever works on its request hears of it. */
static void request_gone(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    if (connection->later) {
        connection->later->request = NULL; /* http_resume will bring NULL */
        connection->later = NULL;
    }
    if (request && request->on_gone && connection->state >= CONNECTION_HANDLING)
        request->on_gone(request);
    request_free(connection);
}

static void connection_free(struct http_connection *connection)
{
    timer_clear(&connection->timer);
    buf_release(&connection->headers);
    server_forget(connection->server, connection);
    free(connection);
}

void connection_drop(struct http_connection *connection)
{
    connection->in_callback = true; /* whatever on_gone does, it ends here */
    request_gone(connection);
    connection->state = CONNECTION_CLOSING;
    stream_close(connection->stream);
    connection_free(connection);
}

static void on_closed(void *owner, struct stream *stream, const struct stream_end *end)
{
    struct http_connection *connection = owner;
    connection->stream = NULL;
    connection_drop(connection);
}

/* Say goodbye: what is queued is written first. */
static void connection_leave(struct http_connection *connection)
{
    connection->state = CONNECTION_CLOSING;
    if (connection->in_callback)
        return; /* whoever runs does it on the way out */
    stream_leave(connection->stream, LINGER_MS);
    connection_free(connection);
}

/* --- writing --- */

void connection_queue(struct http_connection *connection, struct slice bytes)
{
    connection->put_bytes += bytes.len;
    stream_write(connection->stream, bytes);
}

/* Has the client taken anything since the last look? */
static bool has_progress(struct http_connection *connection)
{
    size_t queued = stream_queued(connection->stream);
    uint64_t sent = connection->put_bytes - queued;
    time_ms now = loop_now(connection->server->loop);
    if (queued == 0 || sent != connection->sent_at_last) {
        connection->sent_at_last = sent;
        connection->progress_at = now;
    }
    return now - connection->progress_at < HTTP_WRITE_TIMEOUT_MS;
}

/* --- timers --- */

static void wait_for_next(struct http_connection *connection)
{
    connection->sent_at_last = 0;
    connection->progress_at = loop_now(connection->server->loop);
    timer_set(&connection->timer, connection->has_begun_head ? HTTP_HEAD_TIMEOUT_MS : HTTP_IDLE_MS);
}

static void refuse(struct http_connection *connection, int status, const char *wrong);

static void on_timer(struct timer *timer)
{
    struct http_connection *connection = timer->owner;
    switch (connection->state) {
    case CONNECTION_HEAD:
        if (stream_queued(connection->stream) && has_progress(connection))
            timer_set(timer, HTTP_IDLE_MS);
        else if (connection->has_begun_head && stream_queued(connection->stream) == 0)
            refuse(connection, 408, "the request's head took too long");
        else
            connection_drop(connection);
        return;
    case CONNECTION_BODY: refuse(connection, 408, "the request's body took too long"); return;
    case CONNECTION_EVENTS:
    case CONNECTION_HANDLING:
    case CONNECTION_STREAMING:
        if (!has_progress(connection)) {
            connection_drop(connection);
            return;
        }
        if (connection->is_head && connection->state != CONNECTION_HANDLING) {
            request_gone(connection);
            connection_answered(connection);
            return;
        }
        if (connection->state == CONNECTION_EVENTS && stream_queued(connection->stream) == 0)
            connection_queue(connection, connection->is_chunked ? SLICE("3\r\n:\n\n\r\n") : SLICE(":\n\n"));
        timer_set(timer, HTTP_PING_MS);
        return;
    case CONNECTION_CLOSING: return;
    }
}

/* --- requests --- */

static void request_new(struct http_connection *connection)
{
    struct http_request *request = NEW(struct http_request);
    request->connection = connection;
    request->spool = -1;
    request->peer = connection->peer;
    request->is_tls = connection->is_tls;
    connection->request = request;
    connection->is_head = false;
    buf_reset(&connection->headers);
}

/* An answer of the server itself, before a handler was found or its body was whole; then close, unless `keeps`. */
static void answer_self(struct http_connection *connection, int status, const char *words, bool keeps)
{
    SCOPED(buf) body = BUF(600);
    struct http_request *request = connection->request;
    buf_printf(&body, "%d %s", status, http_status_text(status));
    if (words)
        buf_printf(&body, ": %s", words);
    buf_byte(&body, '\n');
    connection->state = CONNECTION_HANDLING;
    connection->is_kept_alive &= keeps;
    request->on_gone = NULL;
    http_respond(request, status, "text/plain; charset=utf-8", buf_slice(&body));
}

static void refuse(struct http_connection *connection, int status, const char *wrong)
{
    char peer[ENDPOINT_TEXT_ROOM];
    log_debug("http", "%s: %d: %s", endpoint_text(&connection->peer, peer), status, wrong);
    if (!connection->request)
        request_new(connection);
    answer_self(connection, status, wrong, false);
}

static void handle(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    connection->state = CONNECTION_HANDLING;
    request->body = buf_slice(&connection->body);
    request->body_len = connection->body_len;
    spool_done(connection);
    timer_set(&connection->timer, HTTP_PING_MS);
    connection->route->handler(request, connection->route->user);
}

/* No route: OPTIONS is answered with what there is; the others with 404 or 405. */
static void no_route(struct http_connection *connection, int status, const struct buf *allow, bool has_body)
{
    struct http_request *request = connection->request;
    bool is_options = status == 405 && slice_equal(request->head.method, SLICE("OPTIONS"));
    if (status == 405)
        http_set(request, "Allow", buf_slice(allow));
    if (!is_options || has_body) {
        answer_self(connection, status, NULL, !has_body);
        return;
    }
    connection->state = CONNECTION_HANDLING;
    http_respond(request, 204, NULL, SLICE(""));
}

static uint64_t body_limit(const struct http_route *route, struct slice method)
{
    if (route->body_limit)
        return route->body_limit;
    return slice_equal(method, SLICE("GET")) || slice_equal(method, SLICE("HEAD")) ? 0 : HTTP_DEFAULT_BODY;
}

/* Does the route want this body? Refused, it is never read: the connection cannot be used again. */
static bool admits_body(struct http_connection *connection)
{
    const struct http_route *route = connection->route;
    bool is_kept_alive = connection->is_kept_alive;
    if (!route->admits)
        return true;
    connection->state = CONNECTION_HANDLING;
    connection->is_kept_alive = false;
    if (!route->admits(connection->request, route->user))
        return false;
    connection->is_kept_alive = is_kept_alive;
    return true;
}

/* False: answered. */
static bool spool_begin(struct http_connection *connection)
{
    struct fault why = {0};
    if (connection->server->spools >= HTTP_SPOOLS_MOST) {
        http_set(connection->request, "Retry-After", SLICE("10"));
        refuse(connection, 503, "many large bodies are arriving; try again shortly");
        return false;
    }
    connection->request->spool = spool_open(&why);
    if (connection->request->spool < 0) {
        log_error("http", "no file for a large body: %s", why.text);
        refuse(connection, 503, "there is no room for a large body just now");
        return false;
    }
    connection->is_spooling = true;
    connection->server->spools++;
    return true;
}

/* A whole head: find its route, decide about its body. */
static void begin_request(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    const struct http_head *head = &request->head;
    SCOPED(buf) allow = BUF(500);
    int status;
    bool has_body = head->is_chunked || (head->has_length && head->length);
    connection->is_kept_alive = head->is_kept_alive && !connection->server->is_draining;
    connection->is_head = slice_equal(head->method, SLICE("HEAD"));
    connection->route = http_router_find(connection->server->router, head, &request->arena, request->params,
                                         &request->param_count, &status, &allow);
    if (!connection->route) {
        no_route(connection, status, &allow, has_body);
        return;
    }
    uint64_t limit = body_limit(connection->route, head->method);
    if (has_body && (limit == 0 || (head->has_length && head->length > limit))) {
        refuse(connection, 413, "the body is larger than this address takes");
        return;
    }
    connection->body_len = 0;
    connection->has_no_room = false;
    if (!has_body) {
        handle(connection);
        return;
    }
    if (!admits_body(connection))
        return;
    if (connection->route->spools && !spool_begin(connection))
        return;
    connection->state = CONNECTION_BODY;
    connection->chunks = (struct http_chunks){0};
    buf_init(&connection->body, connection->is_spooling ? 0 : limit);
    connection->body_limit = limit;
    connection->body_mark = 0;
    timer_set(&connection->timer, HTTP_BODY_TIMEOUT_MS);
    if (head->expects_continue)
        connection_queue(connection, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

static size_t take_head(struct http_connection *connection, struct slice bytes)
{
    size_t len;
    switch (http_head_scan(&connection->reader, bytes, &len)) {
    case HTTP_MORE:
        if (!connection->has_begun_head) {
            connection->has_begun_head = true;
            wait_for_next(connection);
        }
        return 0;
    case HTTP_BAD: refuse(connection, connection->reader.status, connection->reader.wrong); return 0;
    case HTTP_DONE: break;
    }
    request_new(connection);
    server_active(connection->server, connection);
    struct http_request *request = connection->request;
    struct slice kept = arena_copy(&request->arena, slice_head(bytes, len));
    bool ok = http_head_parse(&connection->reader, kept, &request->head);
    connection->has_begun_head = false;
    if (ok && connection->server->proxies)
        forwarded_apply(connection->server->proxies, request);
    if (ok && connection->is_barred)
        refuse(connection, 403, "in clear text only for this server's proxy; use https");
    else if (ok)
        begin_request(connection);
    else
        refuse(connection, connection->reader.status, connection->reader.wrong);
    return len;
}

static void more_body(struct http_connection *connection, struct slice data)
{
    struct fault why = {0};
    connection->body_len += data.len;
    if (connection->body_len > connection->body_limit || connection->has_no_room) {
        /* told below */
    } else if (!connection->is_spooling) {
        buf_append(&connection->body, data);
    } else if (!spool_append(connection->request->spool, data, &why)) {
        log_error("http", "a large body cannot be kept: %s", why.text);
        connection->has_no_room = true;
    }
    if (connection->body_len - connection->body_mark >= 65536) {
        connection->body_mark = connection->body_len;
        timer_set(&connection->timer, HTTP_BODY_TIMEOUT_MS);
    }
}

static size_t take_body(struct http_connection *connection, struct slice bytes)
{
    const struct http_head *head = &connection->request->head;
    struct slice data;
    size_t used = 0, all = 0;
    enum http_step step = HTTP_MORE;
    if (!head->is_chunked) {
        uint64_t left = head->length - connection->body_len;
        data = slice_head(bytes, left < bytes.len ? (size_t)left : bytes.len);
        more_body(connection, data);
        all = data.len;
        step = connection->body_len == head->length ? HTTP_DONE : HTTP_MORE;
    } else {
        do {
            step = http_chunks_read(&connection->chunks, slice_from(bytes, all), &used, &data);
            all += used;
            more_body(connection, data);
        } while (step == HTTP_MORE && used && connection->body_len <= connection->body_limit);
    }
    if (connection->has_no_room)
        refuse(connection, 503, "there is no room for a large body just now");
    else if (connection->body_len > connection->body_limit)
        refuse(connection, 413, "the body is larger than this address takes");
    else if (step == HTTP_BAD)
        refuse(connection, 400, connection->chunks.wrong);
    else if (step == HTTP_DONE)
        handle(connection);
    return all;
}

static size_t on_bytes(void *owner, struct stream *stream, struct slice bytes)
{
    struct http_connection *connection = owner;
    size_t used = 0;
    connection->in_callback = true;
    for (int requests = 0; used < bytes.len; requests++) {
        struct slice rest = slice_from(bytes, used);
        size_t took = 0;
        if (connection->state == CONNECTION_HEAD && stream_queued(stream) > NEXT_REQUEST_AT)
            break; /* on_drained goes on */
        if (connection->state == CONNECTION_HEAD && requests >= REQUESTS_A_TURN) {
            stream_resume(stream); /* others first */
            break;
        }
        if (connection->state == CONNECTION_HEAD)
            took = take_head(connection, rest);
        else if (connection->state == CONNECTION_BODY)
            took = take_body(connection, rest);
        if (took == 0)
            break;
        used += took;
    }
    connection->in_callback = false;
    if (connection->state == CONNECTION_CLOSING)
        connection_leave(connection);
    return used;
}

static void on_drained(void *owner, struct stream *stream)
{
    struct http_connection *connection = owner;
    struct http_request *request = connection->request;
    if (connection->state == CONNECTION_HEAD) {
        stream_resume(stream);
    } else if (connection->state == CONNECTION_STREAMING && request->on_room) {
        connection->in_callback = true;
        request->on_room(request);
        connection->in_callback = false;
        if (connection->state == CONNECTION_CLOSING)
            connection_leave(connection);
    }
}

static void on_tls(void *owner, struct stream *stream, const struct tls_info *info)
{
    struct http_connection *connection = owner;
    connection->is_tls = true;
    connection->has_begun_head = false;
    wait_for_next(connection);
}

void connection_answered(struct http_connection *connection)
{
    request_free(connection);
    connection->reader = (struct http_head_reader){0};
    if (!connection->is_kept_alive) {
        connection_leave(connection);
        return;
    }
    connection->state = CONNECTION_HEAD;
    wait_for_next(connection);
    if (!connection->in_callback)
        stream_resume(connection->stream); /* a pipelined request may wait */
}

struct http_connection *connection_new(struct http_server *server, int fd, const struct endpoint *peer, bool is_tls,
                                       bool is_barred)
{
    struct http_connection *connection = NEW(struct http_connection);
    connection->server = server;
    connection->peer = *peer;
    connection->is_tls = is_tls;
    connection->is_barred = is_barred;
    buf_init(&connection->headers, ANSWER_HEADERS_MOST);
    connection->stream = stream_adopt(server->loop, fd, peer, 0, OUT_MOST, &connection_events, connection);
    timer_init(&connection->timer, server->loop, on_timer, connection);
    if (server->tls) {
        connection->has_begun_head = true; /* the handshake has no longer than a head */
        stream_start_tls_server(connection->stream, server->tls);
    }
    wait_for_next(connection);
    return connection;
}
