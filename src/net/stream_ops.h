/* stream_ops.h - behind stream.h: what a kind of stream must supply (sockets: stream_socket.c; a simulated network)
 *
 * The front (stream.c) keeps the queue, the unread bytes, the deadline, and calls the owner; the kind moves bytes.
 *
 *     CONNECTING -> OPEN -> TLS_WAITING -> HANDSHAKE -> OPEN ... any -> ENDED -> freed
 *
 * stream_opened, stream_start_tls_*, `tls_may_start`, stream_secured and stream_ended make these moves. Always true: a
 * stream is freed by its deferred call only, so its memory outlives whatever code is running on it; an ENDED stream has
 * no descriptor; an orphan (the owner has closed it) makes no callbacks. */
#ifndef TODOKE_NET_STREAM_OPS_H
#define TODOKE_NET_STREAM_OPS_H

#include "net/stream.h"

struct stream_ops {
    /* Write what stream_sendable gives; say stream_wrote. Nothing is called while there is nothing to send. */
    void (*flush)(struct stream *stream);
    /* What the front wants has changed (stream_wants_bytes): watch accordingly. */
    void (*want)(struct stream *stream);
    /* Begin the handshake (state is HANDSHAKE): stream_secured or stream_ended(STREAM_TLS) follows. */
    void (*start_tls)(struct stream *stream);
    /* Everything has left: end our side. */
    void (*end_writing)(struct stream *stream);
    /* Let go of descriptor and TLS session, and free `self`. is_polite: end TLS with close_notify. */
    void (*release)(struct stream *stream, bool is_polite);
    struct endpoint (*local)(struct stream *stream);
};

enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_TLS_WAITING, /* start_tls was asked for; what is queued must leave in clear first */
    STREAM_HANDSHAKE,
    STREAM_ENDED, /* on_closed, and then the end of the memory, are due */
};

struct stream {
    const struct stream_ops *ops; /* NULL: never got that far */
    void *self;                   /* the kind's own */
    struct loop *loop;
    const struct stream_events *events;
    void *owner;
    struct endpoint peer;
    struct buf in;  /* what on_bytes has left; usually empty */
    struct buf out; /* the queue, from out_at on */
    size_t out_at;
    size_t clear_left; /* TLS_WAITING: bytes of the queue that still go in clear */
    enum stream_state state;
    bool is_open; /* was OPEN once */
    bool is_tls, is_paused, is_leaving, is_orphan;
    struct stream *leaving_next, **leaving_at; /* in loop->leaving; NULL: it does not leave */
    bool has_offer, has_drained, has_unsent;
    bool ends_writing, has_ended_writing;
    struct timer deadline;
    const char *deadline_what;
    time_ms deadline_ms;
    struct deferred soon;
    struct stream_end end;
    struct tls_want tls_want; /* its strings are copies; client set: a client's upgrade */
    struct tls_server *tls_server;
};

struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, const struct stream_events *events,
                          void *owner, uint32_t in_limit, uint32_t out_limit);
/* The four below may run the owner's code, which may close the stream: false says that it has ended, let it be. */
NODISCARD bool stream_opened(struct stream *stream);
NODISCARD bool stream_came(struct stream *stream, struct slice bytes); /* at most stream_takes(stream) */
NODISCARD bool stream_secured(struct stream *stream, const struct tls_info *info);
void stream_ended(struct stream *stream, enum stream_why why, const char *text);
/* As above, in the words of an errno. */
void stream_ended_errno(struct stream *stream, int error);
/* What may be written now; empty when nothing may. */
struct slice stream_sendable(const struct stream *stream);
void stream_wrote(struct stream *stream, size_t count);
/* Does the front want bytes now, and how many at most? */
bool stream_wants_bytes(const struct stream *stream);
size_t stream_takes(const struct stream *stream);

#endif
