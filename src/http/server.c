#include "http/inside.h"

#include "base/log.h"
#include "net/world.h"
#include <stdio.h>
#include <time.h>

enum {
    CONNECTIONS_DEFAULT = 12000,
    SPARED_MS = 2000,     /* so long after it came, or its last request, nobody has to go */
    ROOM_AGAIN_MS = 500,  /* while the listener waits */
    ROOM_SAID_MS = 60000, /* between two lines of the log */
};

const char *http_status_text(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Status";
    }
}

/* RFC 9110 5.6.7, made anew once a second. */
struct slice server_date(struct http_server *server)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_ms now = world_wall(loop_world(server->loop)) / 1000;
    if (now != server->date_at || !server->date[0]) {
        time_t at = (time_t)now;
        struct tm tm;
        gmtime_r(&at, &tm);
        snprintf(server->date, sizeof(server->date), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                 tm.tm_mday % 100, months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100,
                 tm.tm_sec % 100);
        server->date_at = now;
    }
    return slice_str(server->date);
}

/* ── who is there, and who goes when all places are taken ── */

static void connection_out(struct http_server *server, struct http_connection *connection)
{
    *(connection->before ? &connection->before->next : &server->connections) = connection->next;
    *(connection->next ? &connection->next->before : &server->last) = connection->before;
}

static void connection_in(struct http_server *server, struct http_connection *connection)
{
    connection->active_at = loop_now(server->loop);
    connection->before = NULL;
    connection->next = server->connections;
    *(connection->next ? &connection->next->before : &server->last) = connection;
    server->connections = connection;
}

void server_active(struct http_server *server, struct http_connection *connection)
{
    connection_out(server, connection);
    connection_in(server, connection);
}

/* The one that has been idle the longest goes: between requests, or dripping a head that never ends (slow loris). Those
 * at work step back to the front, so that they are not looked at again and again. */
static bool make_room(struct http_server *server)
{
    time_ms now = loop_now(server->loop);
    struct http_connection *last;
    while ((last = server->last) && now - last->active_at >= SPARED_MS) {
        if (last->state != CONNECTION_HEAD || last->in_callback || stream_queued(last->stream)) {
            server_active(server, last);
            continue;
        }
        if (!server->room_said_at || now - server->room_said_at >= ROOM_SAID_MS) {
            server->room_said_at = now ? now : 1;
            log_warn("http", "all %zu places are taken; idle connections are closed for new ones", server->most);
        }
        connection_drop(last);
        return true;
    }
    return false;
}

static void on_room(struct timer *timer)
{
    struct http_server *server = timer->owner;
    if (server->count >= server->most && !server->is_draining && !make_room(server))
        timer_set(timer, ROOM_AGAIN_MS);
}

void server_came(struct http_server *server)
{
    if (++server->count < server->most || !server->listener || make_room(server))
        return;
    listener_pause(server->listener);
    timer_set(&server->room, ROOM_AGAIN_MS);
}

void server_went(struct http_server *server)
{
    if (server->count-- == server->most && server->listener && !server->is_draining)
        listener_resume(server->listener);
}

void server_forget(struct http_server *server, struct http_connection *connection)
{
    connection_out(server, connection);
    server_went(server);
}

void server_take(struct http_server *server, int fd, const struct endpoint *peer, bool is_tls, bool is_barred)
{
    struct http_connection *connection = connection_new(server, fd, peer, is_tls, is_barred);
    connection_in(server, connection);
    server_came(server);
}

void http_server_adopt(struct http_server *server, int fd, const struct endpoint *peer)
{
    bool is_ours = server->proxies && proxies_have(server->proxies, &peer->ip);
    if (is_ours && server->has_proxy_head)
        arrival_new(server, fd, peer);
    else
        server_take(server, fd, peer, false, server->proxies && !server->tls && !is_ours && !ip_is_loopback(&peer->ip));
}

static void on_accept(void *owner, int fd, const struct endpoint *peer)
{
    http_server_adopt(owner, fd, peer);
}

static void on_resumed(struct mailbox *mailbox, struct mail_item *batch)
{
    struct http_server *server = mailbox->owner;
    while (batch) {
        struct http_later *later = (struct http_later *)batch;
        struct http_request *request = later->request;
        batch = batch->next;
        server->suspended--;
        if (request)
            request->connection->later = NULL;
        later->resume(later, request);
    }
}

struct http_server *http_server_new(struct loop *loop, const struct http_options *options,
                                    const struct http_router *router, struct fault *why)
{
    struct http_server *server = NEW(struct http_server);
    struct listener_options listen = {
        .at = options->at, .is_shared = options->is_shared, .cure_setting = options->cure_setting};
    server->loop = loop;
    server->router = router;
    server->tls = options->tls;
    server->proxies = options->proxies && options->proxies->count ? options->proxies : NULL;
    server->has_proxy_head = options->has_proxy_head;
    server->server_name = options->server_name;
    server->most = options->connections_most ? options->connections_most : CONNECTIONS_DEFAULT;
    server->listener = listener_new(loop, &listen, on_accept, server, why);
    if (!server->listener) {
        free(server);
        return NULL;
    }
    timer_init(&server->room, loop, on_room, server);
    mailbox_init(&server->resumed, loop, on_resumed, server);
    return server;
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    listener_free(server->listener);
    server->listener = NULL;
    arrivals_drop(server);
    timer_clear(&server->room);
    while (server->connections)
        connection_drop(server->connections);
    while (server->suspended)
        loop_turn(server->loop, 10);
    mailbox_release(&server->resumed);
    free(server);
}

struct endpoint http_server_endpoint(const struct http_server *server)
{
    return listener_endpoint(server->listener);
}

void http_server_drain(struct http_server *server)
{
    server->is_draining = true;
    listener_pause(server->listener);
    for (struct http_connection *connection = server->connections, *next; connection; connection = next) {
        next = connection->next;
        connection->is_kept_alive = false;
        bool is_idle = connection->state == CONNECTION_HEAD && !connection->has_begun_head;
        if ((is_idle && stream_queued(connection->stream) == 0) || connection->state == CONNECTION_EVENTS)
            connection_drop(connection);
    }
}

size_t http_server_connections(const struct http_server *server)
{
    return server->count;
}
