/* server.h - the HTTP/1.1 server: connections, bodies, answers, event streams
 *
 * A server belongs to one loop; several loops may each have one on the same port (is_shared). A request is handled on
 * that loop's thread: the handler answers at once, or suspends the request and answers later, or opens a stream of
 * events. Requests of one connection are handled one after the other, in order (pipelining); the next is read when
 * the answer is complete.
 *
 * A body stands in memory, whole, when its handler runs; for a route that `spools` it stands in a file instead, and
 * takes no more memory than one read of the socket, however large it is. HTTP_SPOOLS_MOST such bodies arrive at once;
 * one more is a 503, as is a full disk.
 *
 * Limits: head 16 KiB and 100 headers (431), body as the route says (413), HEAD_TIMEOUT for a whole head and
 * BODY_TIMEOUT for each 64 KiB of body (slow loris; 408), IDLE between requests, `connections_most`: then the one that
 * has been idle the longest, or is slowest with its head, makes room for the next. Expect: 100-continue is answered
 * when the handler's route accepts the length. HEAD is a GET whose body is not sent. */
#ifndef TODOKE_HTTP_SERVER_H
#define TODOKE_HTTP_SERVER_H

#include "base/arena.h"
#include "http/head.h"
#include "net/listener.h"
#include "net/mailbox.h"
#include "net/proxy.h"
#include "net/stream.h"

enum {
    HTTP_HEAD_TIMEOUT_MS = 15000,
    HTTP_BODY_TIMEOUT_MS = 30000,
    HTTP_IDLE_MS = 60000,
    HTTP_WRITE_TIMEOUT_MS = 60000, /* a reader that takes nothing */
    HTTP_PING_MS = 15000,          /* event streams: a comment, so that proxies and we notice who has gone */
    HTTP_DEFAULT_BODY = 1 << 20,
    HTTP_PARAMS_MOST = 8,
    HTTP_SPOOLS_MOST = 16,
};

struct http_server;
struct http_router;
struct http_connection;
struct http_aside;

struct http_param {
    struct slice name, value; /* value percent-decoded */
};

/* One request; lives from the handler's call until its answer is complete or the client has gone. */
struct http_request {
    struct http_head head; /* slices live as long as the request */
    struct slice body;     /* complete, within the route's limit; empty when it is spooled */
    uint64_t body_len;
    int spool; /* file with the body, to be read from its beginning (pread); -1: none. Closed with the request: who
                  works longer takes it and leaves -1 */
    struct http_param params[HTTP_PARAMS_MOST]; /* of the route's {names} */
    size_t param_count;
    struct endpoint peer; /* the client, also behind a proxy that is believed; rate limits and logs go by it */
    bool is_tls;          /* the client's own connection is */
    struct arena arena;   /* the handler's, for this request */
    void *user;           /* the handler's own, e.g. who has signed in */
    bool is_admitted;     /* for the route's `admits` to say so to its handler */
    /* The client has gone, or its stream was cut off, before the answer was complete; also called when the server is
     * freed. After it the request is no more. NULL: nobody cares. */
    void (*on_gone)(struct http_request *request);
    /* A streamed answer's queue has drained: send more. */
    void (*on_room)(struct http_request *request);
    struct http_connection *connection;
    struct http_aside *aside; /* of a copy: where its answer goes; else NULL */
};

typedef void http_handler(struct http_request *request, void *user);

struct http_options {
    struct endpoint at;
    bool is_shared;
    struct tls_server *tls;    /* NULL: in clear */
    unsigned connections_most; /* 0: 12,000; more wait in the backlog while all are at work */
    const char *cure_setting;  /* as in listener.h */
    const char *server_name;   /* Server header; NULL: none */
    /* The only peers whose X-Forwarded-For and X-Forwarded-Proto are believed; NULL: nobody's. In clear text nobody but
     * them and this machine is answered then (403). Lives as long as the server. */
    const struct proxies *proxies;
    bool has_proxy_head; /* their connections begin with a PROXY header (net/proxy.h), before TLS; others' never do */
};
struct http_server *http_server_new(struct loop *loop, const struct http_options *options,
                                    const struct http_router *router, struct fault *why);
/* Connections are closed, their requests gone. Waits until every suspended request has been resumed (with NULL), so
 * whoever holds them must still run. Not from inside a callback. */
void http_server_free(struct http_server *server);
struct endpoint http_server_endpoint(const struct http_server *server);
/* Stop accepting, finish what is under way, close idle connections; event streams are cut off (on_gone). */
void http_server_drain(struct http_server *server);
size_t http_server_connections(const struct http_server *server);
/* Hand it a connection accepted elsewhere; on the server's thread. */
void http_server_adopt(struct http_server *server, int fd, const struct endpoint *peer);

/* --- reading --- */
/* The value of a {name} in the route's pattern; "" when there is none. */
struct slice http_param(const struct http_request *request, const char *name);
/* The first such header; "" when absent. */
struct slice http_header(const struct http_request *request, const char *name);
/* The first such query parameter, decoded into the request's arena; false: absent or badly encoded. */
bool http_query(struct http_request *request, const char *name, struct slice *value);
/* Likewise in a body of application/x-www-form-urlencoded. */
bool http_form(struct http_request *request, const char *name, struct slice *value);
bool http_cookie(const struct http_request *request, const char *name, struct slice *value);

/* --- answering: exactly one of respond, begin ... end, events, later --- */
/* A header of the answer, before it begins. A value with CR, LF or NUL is our mistake (X3: check strangers' text
 * before). Content-Length, Transfer-Encoding, Connection, Date and Content-Type are the server's. */
void http_set(struct http_request *request, const char *name, struct slice value);
/* The whole answer. The request is no more when this returns. type NULL: no Content-Type. */
void http_respond(struct http_request *request, int status, const char *type, struct slice body);
/* A body of unknown length: chunked (or until close, for HTTP/1.0), then http_send ..., http_end. To a HEAD only the
 * head is sent, of this and of the two below; a handler that goes on in later turns is told that its client has gone.
 */
void http_begin(struct http_request *request, int status, const char *type);
/* The same for a body whose length is known: Content-Length. All of it must be sent before http_end; less: http_cut. */
void http_begin_sized(struct http_request *request, int status, const char *type, uint64_t length);
/* False: the reader is slow and the queue is full; wait for on_room. Nothing was taken. */
NODISCARD bool http_send(struct http_request *request, struct slice bytes);
void http_end(struct http_request *request);
/* Something went wrong in the middle: the connection is closed, so that the client sees that the answer is not whole.
 * on_gone is not called. */
void http_cut(struct http_request *request);

/* Server-sent events: text/event-stream, open until http_end or the client goes. Pings are automatic. */
void http_events_begin(struct http_request *request);
/* name, id: "" for none; data may have several lines. False: the reader is too slow, the event was not queued (end
 * the stream and let it reconnect, or skip). */
NODISCARD bool http_event(struct http_request *request, struct slice name, struct slice id, struct slice data);

/* Answer later, from any thread. After http_suspend the handler returns; the holder calls http_resume exactly once,
 * from any thread. Then `resume` runs on the server's thread with the request; or with NULL, when the client has gone
 * meanwhile (free what you hold). */
/* An answer made on another thread, from a copy of the request: http_set and http_respond of the copy fill it. */
struct http_aside {
    int status; /* 0: none yet */
    const char *type;
    struct buf headers; /* "Name: value" lines, ready */
    struct buf body;
};
/* A copy that lives in its own arena, with no connection: only reading, http_set and http_respond work on it. `user` is
 * not copied. Not for requests with a body. */
void http_request_copy(const struct http_request *request, struct http_request *copy, struct http_aside *aside);
/* On the request's own thread: answer as the copy did. */
void http_respond_as(struct http_request *request, const struct http_aside *aside);
void http_aside_release(struct http_aside *aside);

struct http_later {
    struct mail_item item;
    struct mailbox *home;
    struct http_request *request;
    void (*resume)(struct http_later *later, struct http_request *request);
};
void http_suspend(struct http_request *request, struct http_later *later,
                  void (*resume)(struct http_later *later, struct http_request *request));
void http_resume(struct http_later *later);

/* "Not Found" */
const char *http_status_text(int status);

#endif
