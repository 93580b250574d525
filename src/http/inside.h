/* inside.h - a connection of the HTTP server, for connection.c, answer.c and server.c */
#ifndef TODOKE_HTTP_INSIDE_H
#define TODOKE_HTTP_INSIDE_H

#include "http/router.h"
#include "http/server.h"

enum {
    OUT_MOST = 256 << 20,    /* ceiling of the queue: the largest whole answer */
    SEND_MOST = 256 << 10,   /* streamed answers wait above this */
    NEXT_REQUEST_AT = 65536, /* no next request while more than this of old answers waits */
    REQUESTS_A_TURN = 32,
    ANSWER_HEADERS_MOST = 16384,
    LINGER_MS = 2000,
};

/* HEAD -> BODY -> HANDLING -> (STREAMING | EVENTS) -> HEAD ... -> CLOSING; connection.c and answer.c make the moves. */
enum connection_state {
    CONNECTION_HEAD,      /* between requests, or a head has begun */
    CONNECTION_BODY,      /* a route is found, its body is read */
    CONNECTION_HANDLING,  /* the handler has it, or has suspended it */
    CONNECTION_STREAMING, /* http_begin: the body is being sent */
    CONNECTION_EVENTS,    /* http_events_begin */
    CONNECTION_CLOSING,   /* nothing more is read; goes as soon as no code runs on it */
};

struct http_connection {
    struct http_server *server;
    struct stream *stream;
    struct endpoint peer; /* who connected; or whom a PROXY header names */
    enum connection_state state;
    struct http_head_reader reader;
    struct http_request *request; /* from its whole head to the end of its answer */
    const struct http_route *route;
    struct http_chunks chunks;
    struct buf body;
    struct buf headers; /* of the answer, set so far */
    struct http_later *later;
    bool is_kept_alive; /* after this answer */
    bool is_head;       /* the answer's body is not sent */
    bool is_chunked;    /* the answer's body */
    bool is_sized;      /* it has a Content-Length: */
    uint64_t unsent;    /* so many octets of it are still to come */
    bool in_callback;   /* freeing waits */
    bool has_begun_head;
    bool is_tls;
    bool is_barred;        /* clear text from elsewhere than our proxies */
    struct timer timer;    /* idle, head, body, writing or ping: by state */
    uint64_t put_bytes;    /* ever queued */
    uint64_t sent_at_last; /* when the timer last looked */
    time_ms progress_at;
    uint64_t body_mark; /* body bytes when the timer was set */
    uint64_t body_len, body_limit;
    bool is_spooling;                      /* counted in server->spools */
    bool has_no_room;                      /* its file cannot be written */
    time_ms active_at;                     /* when it came, or its last whole head */
    struct http_connection *next, *before; /* by active_at, the newest first */
};

struct http_server {
    struct loop *loop;
    const struct http_router *router;
    struct tls_server *tls;
    const struct proxies *proxies;
    bool has_proxy_head;
    struct arrival *arrivals; /* whose PROXY header is not whole */
    struct listener *listener;
    const char *server_name;
    struct http_connection *connections, *last;
    size_t count, most;
    struct timer room; /* while the listener waits: look again who may go */
    time_ms room_said_at;
    bool is_draining;
    struct mailbox resumed;
    unsigned spools;  /* bodies that arrive into files */
    size_t suspended; /* http_laters that have not come home */
    time_ms date_at;  /* second for which `date` is right */
    char date[32];
};

/* connection.c */
/* is_tls: the client's connection to the proxy was. is_barred: it is answered 403 */
struct http_connection *connection_new(struct http_server *server, int fd, const struct endpoint *peer, bool is_tls,
                                       bool is_barred);
/* Cut it off: the request hears on_gone. */
void connection_drop(struct http_connection *connection);
/* The answer is complete: go on with the next request, or close. */
void connection_answered(struct http_connection *connection);
void connection_queue(struct http_connection *connection, struct slice bytes);
/* forwarded.c */
/* Read the PROXY header that a proxy's connection begins with, then hand it to server_take. */
void arrival_new(struct http_server *server, int fd, const struct endpoint *peer);
void arrivals_drop(struct http_server *server);
/* Whom the proxy speaks for, by X-Forwarded-For and X-Forwarded-Proto. */
void forwarded_apply(const struct proxies *proxies, struct http_request *request);
/* server.c */
void server_take(struct http_server *server, int fd, const struct endpoint *peer, bool is_tls, bool is_barred);
/* It is in use: it has asked for something. */
void server_active(struct http_server *server, struct http_connection *connection);
/* One connection more, one less. At `most` the one that has been idle the longest makes room for the next; the listener
 * waits while there is none. */
void server_came(struct http_server *server);
void server_went(struct http_server *server);
void server_forget(struct http_server *server, struct http_connection *connection);
struct slice server_date(struct http_server *server);

#endif
