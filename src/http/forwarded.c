/* forwarded.c - whom a proxy speaks for: its PROXY header before everything, its X-Forwarded headers in each request
 *
 *     arrival_new --whole header--> server_take
 *          |--no header, the end, or HTTP_HEAD_TIMEOUT_MS--> closed
 *
 * A header that is not whole stays in the socket (MSG_PEEK) and SO_RCVLOWAT asks to be woken for more than is there;
 * so TLS or HTTP behind it begin at their own first byte. */
#include "base/log.h"
#include "http/inside.h"
#include <errno.h>
#include <unistd.h>

struct arrival {
    struct http_server *server;
    int fd;
    struct endpoint peer;
    struct watch watch;
    struct timer timer;
    size_t seen; /* octets at the last look */
    struct arrival *next, *before;
};

/* Out of the server's list; the descriptor is whose it becomes. */
static void arrival_free(struct arrival *arrival)
{
    *(arrival->before ? &arrival->before->next : &arrival->server->arrivals) = arrival->next;
    if (arrival->next)
        arrival->next->before = arrival->before;
    watch_clear(&arrival->watch);
    timer_clear(&arrival->timer);
    server_went(arrival->server);
    free(arrival);
}

static void arrival_end(struct arrival *arrival, const char *wrong)
{
    char peer[ENDPOINT_TEXT_ROOM];
    log_info("http", "closed, %s proxy=%s", wrong, endpoint_text(&arrival->peer, peer));
    close(arrival->fd);
    arrival_free(arrival);
}

static bool wake_at(const struct arrival *arrival, size_t octets)
{
    int least = (int)octets;
    return setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least)) == 0;
}

static void arrival_done(struct arrival *arrival, const struct proxy_head *head)
{
    char taken[PROXY_V2_MOST];
    if (recv(arrival->fd, taken, head->len, 0) != (ssize_t)head->len || !wake_at(arrival, 1)) {
        arrival_end(arrival, "its PROXY header could not be read");
        return;
    }
    struct http_server *server = arrival->server;
    int fd = arrival->fd;
    struct endpoint peer = head->has_client ? head->client : arrival->peer;
    arrival_free(arrival);
    server_take(server, fd, &peer, head->has_tls, false);
}

static void on_ready(struct watch *watch, bool can_read, bool can_write)
{
    struct arrival *arrival = watch->owner;
    char bytes[PROXY_V2_MOST];
    struct proxy_head head;
    ssize_t len = recv(arrival->fd, bytes, sizeof(bytes), MSG_PEEK);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0 || (size_t)len == arrival->seen) { /* woken, and nothing more: it has ended */
        arrival_end(arrival, "it ended before its PROXY header did");
        return;
    }
    arrival->seen = (size_t)len;
    switch (proxy_head_read(slice_of(bytes, (size_t)len), &head)) {
    case PROXY_MORE:
        if (!wake_at(arrival, arrival->seen + 1))
            arrival_end(arrival, "its PROXY header could not be waited for");
        return;
    case PROXY_BAD: arrival_end(arrival, head.wrong); return;
    case PROXY_DONE: arrival_done(arrival, &head); return;
    }
}

static void on_late(struct timer *timer)
{
    arrival_end(timer->owner, "its PROXY header took too long");
}

void arrival_new(struct http_server *server, int fd, const struct endpoint *peer)
{
    struct arrival *arrival = NEW(struct arrival);
    arrival->server = server;
    arrival->fd = fd;
    arrival->peer = *peer;
    arrival->next = server->arrivals;
    if (arrival->next)
        arrival->next->before = arrival;
    server->arrivals = arrival;
    server_came(server);
    watch_init(&arrival->watch, server->loop, fd, on_ready, arrival);
    watch_want(&arrival->watch, true, false);
    timer_init(&arrival->timer, server->loop, on_late, arrival);
    timer_set(&arrival->timer, HTTP_HEAD_TIMEOUT_MS);
}

void arrivals_drop(struct http_server *server)
{
    while (server->arrivals) {
        struct arrival *arrival = server->arrivals;
        close(arrival->fd);
        arrival_free(arrival);
    }
}

/* ── X-Forwarded-For, X-Forwarded-Proto ── */

/* "192.0.2.1", "192.0.2.1:443", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443" */
static bool address_read(struct slice word, struct endpoint *to)
{
    struct fault ignored;
    word = slice_trim(word);
    *to = (struct endpoint){0};
    if (ip_parse(word, &to->ip))
        return true;
    if (word.len > 2 && word.ptr[0] == '[' && word.ptr[word.len - 1] == ']')
        return ip_parse(slice_head(slice_from(word, 1), word.len - 2), &to->ip);
    return word.len && word.ptr[0] != ':' && endpoint_parse(word, to, &ignored);
}

/* From the right, where our own proxies have written: the first that is none of them is the client. What cannot be
 * read ends it there. False: the end. */
static bool walk_back(const struct proxies *proxies, struct slice value, struct endpoint *peer)
{
    while (value.ptr) {
        ptrdiff_t comma = slice_find_last_byte(value, ',');
        struct endpoint further;
        if (!address_read(slice_from(value, (size_t)(comma + 1)), &further))
            return false;
        *peer = further;
        if (!proxies_have(proxies, &further.ip))
            return false;
        value = comma < 0 ? (struct slice){0} : slice_head(value, (size_t)comma);
    }
    return true;
}

void forwarded_apply(const struct proxies *proxies, struct http_request *request)
{
    const struct http_head *head = &request->head;
    if (!proxies_have(proxies, &request->peer.ip))
        return;
    for (size_t i = head->header_count; i-- > 0;)
        if (slice_equal_caseless(head->headers[i].name, SLICE("X-Forwarded-For")) &&
            !walk_back(proxies, head->headers[i].value, &request->peer))
            break;
    for (size_t i = head->header_count; i-- > 0;) {
        struct slice value = head->headers[i].value;
        if (!slice_equal_caseless(head->headers[i].name, SLICE("X-Forwarded-Proto")))
            continue;
        value = slice_trim(slice_from(value, (size_t)(slice_find_last_byte(value, ',') + 1)));
        request->is_tls = slice_equal_caseless(value, SLICE("https"));
        break;
    }
}
